insert into users (id, email, email_key, password_hash, first_name, last_name, is_active, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $8)
