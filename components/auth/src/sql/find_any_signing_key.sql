select kid from signing_keys limit 1
