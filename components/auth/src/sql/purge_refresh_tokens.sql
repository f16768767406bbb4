-- Tokens of sessions that are over, a few at a time, so that no log-in pays for many.
delete from refresh_tokens where token_hash in (
  select t.token_hash from refresh_tokens t join sessions s on s.id = t.session_id where s.expires_at <= $1 limit 256
)
