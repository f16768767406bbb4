-- Inserts nothing where the user is not active (any more).
insert into sessions (id, user_id, created_at, refreshed_at, expires_at)
select $1, id, $3, $3, $4 from users where id = $2 and is_active
