-- An event that was refused and is replayed has one row: what became of it at last.
insert into deliveries (event_id, kind, user_id, outcome, message_id, detail, at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (event_id) do update set
  outcome = excluded.outcome,
  message_id = excluded.message_id,
  detail = excluded.detail,
  at = excluded.at
