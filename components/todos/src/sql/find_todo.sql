select id, user_id, title, description, status, priority, due_at, tags, version, created_at, updated_at
from todos
where id = $1 and user_id = $2
