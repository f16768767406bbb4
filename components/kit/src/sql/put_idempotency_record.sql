-- Changes one row if the key is free or its record has expired, and none if the key is taken.
insert into idempotency_keys
  (subject, route, idempotency_key, fingerprint, status, headers, body, nonce, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (subject, route, idempotency_key) do update set
  fingerprint = excluded.fingerprint,
  status = excluded.status,
  headers = excluded.headers,
  body = excluded.body,
  nonce = excluded.nonce,
  created_at = excluded.created_at,
  expires_at = excluded.expires_at
where idempotency_keys.expires_at <= excluded.created_at
