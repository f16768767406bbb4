-- A few at a time, so that no event pays for many.
delete from inbox
where event_id in (select event_id from inbox where received_at <= $1 order by received_at limit 16)
