-- How many mails somebody was sent of late is asked before each mail about a todo.
create index deliveries_by_user on deliveries (user_id, at);
