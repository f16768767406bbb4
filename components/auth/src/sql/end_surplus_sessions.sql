-- All live sessions of a user but the newest $3.
update sessions set ended_at = $2, end_reason = 'limit'
where user_id = $1 and ended_at is null and id not in (
  select id from sessions
  where user_id = $1 and ended_at is null and expires_at > $2
  order by created_at desc, id desc
  limit $3
)
