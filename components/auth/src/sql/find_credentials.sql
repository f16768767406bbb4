select id, password_hash, is_active from users where email_key = $1
