select kid, public_key from signing_keys order by created_at, kid
