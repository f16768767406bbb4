select t.expires_at as token_expires_at, t.used_at, s.id as session_id, s.user_id, s.expires_at, s.ended_at, u.is_active
from refresh_tokens t
join sessions s on s.id = t.session_id
join users u on u.id = s.user_id
where t.token_hash = $1
