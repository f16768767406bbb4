insert into todo_tags (todo_id, tag) values ($1, $2)
