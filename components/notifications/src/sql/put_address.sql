-- An event that is older than what is known changes nothing.
insert into addresses (user_id, email, first_name, last_name, changed_at)
values ($1, $2, $3, $4, $5)
on conflict (user_id) do update set
  email = excluded.email,
  first_name = excluded.first_name,
  last_name = excluded.last_name,
  changed_at = excluded.changed_at
where addresses.changed_at <= excluded.changed_at
