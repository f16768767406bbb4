-- Finds a row if the user has more todos than $2. An index alone answers it, and no count goes beyond the bound.
select user_id from todos where user_id = $1 limit 1 offset $2
