-- A few at a time, so that no event pays for many.
delete from deliveries
where event_id in (select event_id from deliveries where at <= $1 order by at limit 16)
