-- What was changed last comes first; behind the key and the id of the item before. A filter that is null does not choose.
select id, user_id, title, description, status, priority, due_at, tags, version, created_at, updated_at
from todos
where user_id = $1
  and (updated_at, id) < ($2, $3)
  and (cast($4 as text) is null or status = $4)
  and (cast($5 as text) is null or priority = $5)
  and (cast($6 as bigint) is null or due_at >= $6)
  and (cast($7 as bigint) is null or due_at < $7)
  and (cast($8 as text) is null or search_text like $8 escape '\')
  and (cast($9 as text) is null or exists (select 1 from todo_tags where todo_id = todos.id and tag = $9))
order by updated_at desc, id desc
limit $10 offset $11
