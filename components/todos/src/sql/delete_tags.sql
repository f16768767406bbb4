delete from todo_tags where todo_id = $1
