-- Changes nothing where the session has ended or its user is not active.
update sessions set refreshed_at = $2
where id = $1 and ended_at is null and expires_at > $2
  and exists (select 1 from users u where u.id = sessions.user_id and u.is_active)
