insert into signing_keys (kid, public_key, private_key, is_sealed, created_at) values ($1, $2, $3, $4, $5)
