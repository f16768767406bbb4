select fingerprint, status, headers, body, nonce, expires_at
from idempotency_keys
where subject = $1 and route = $2 and idempotency_key = $3
