-- Changes no row if the todo was changed or deleted since it was read.
update todos set
  title = $4,
  description = $5,
  status = $6,
  priority = $7,
  due_at = $8,
  tags = $9,
  search_text = $10,
  version = $11,
  updated_at = $12
where id = $1 and user_id = $2 and version = $3
