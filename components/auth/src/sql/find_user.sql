-- One row per role, in alphabetical order.
select u.id, u.email, u.first_name, u.last_name, u.is_active, u.created_at, u.updated_at, r.role
from users u
left join user_roles r on r.user_id = u.id
where u.id = $1
order by r.role
