-- One row per role, in alphabetical order.
select s.id as session_id, s.user_id, s.expires_at, s.ended_at, u.is_active, u.email, r.role
from sessions s
join users u on u.id = s.user_id
left join user_roles r on r.user_id = u.id
where s.id = $1
order by r.role
