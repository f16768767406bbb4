-- Changes no row if the event was recorded before.
insert into inbox (event_id, received_at) values ($1, $2) on conflict (event_id) do nothing
