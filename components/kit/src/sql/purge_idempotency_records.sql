-- A few at a time, so that no request pays for many.
delete from idempotency_keys
where nonce in (select nonce from idempotency_keys where expires_at <= $1 order by expires_at limit 16)
