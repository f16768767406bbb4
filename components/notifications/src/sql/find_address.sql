select user_id, email, first_name, last_name from addresses where user_id = $1
