insert into audit (id, at, action, user_id, session_id) values ($1, $2, $3, $4, $5)
