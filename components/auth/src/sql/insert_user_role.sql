insert into user_roles (user_id, role) values ($1, $2)
