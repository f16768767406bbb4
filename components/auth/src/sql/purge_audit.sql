-- A few at a time, so that no log-in pays for many.
delete from audit where id in (select id from audit where at <= $1 order by at limit 16)
