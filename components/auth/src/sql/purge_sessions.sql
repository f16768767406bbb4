-- Sessions that are over and have no tokens any more, a few at a time.
delete from sessions where id in (
  select s.id from sessions s
  where s.expires_at <= $1 and not exists (select 1 from refresh_tokens t where t.session_id = s.id)
  order by s.expires_at
  limit 16
)
