-- Deletes no row if the todo was changed or deleted since it was read.
delete from todos where id = $1 and user_id = $2 and version = $3
