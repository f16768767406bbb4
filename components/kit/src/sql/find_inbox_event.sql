select event_id from inbox where event_id = $1
