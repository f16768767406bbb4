insert into todos
  (id, user_id, title, description, status, priority, due_at, tags, search_text, version, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
