select kid, public_key, private_key, is_sealed, created_at from signing_keys order by created_at desc, kid desc limit 1
