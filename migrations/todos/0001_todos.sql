-- Todos, and the words to find them by.
-- Times are milliseconds since 1970 (UTC). Ids are text with a prefix that names the kind.

create table todos (
  id text not null primary key,
  -- Whose it is: an id that another component gives out. Every statement asks for it.
  user_id text not null,
  title text not null,
  description text not null,
  status text not null check (status in ('open', 'inProgress', 'done')),
  priority text not null check (priority in ('low', 'normal', 'high')),
  due_at bigint,
  -- A JSON array, in the order in which they were given. The table todo_tags holds the same for searching.
  tags text not null,
  -- Title and description without differences of letter case.
  search_text text not null,
  -- Counts the changes, from 1: a change names the version that it was decided on.
  version bigint not null check (version >= 1),
  created_at bigint not null,
  updated_at bigint not null
);

-- One for each order of a listing; the id tells apart what has the same time.
create index todos_by_creation on todos (user_id, created_at, id);
create index todos_by_change on todos (user_id, updated_at, id);
-- What is never due comes last.
create index todos_by_due_date on todos (user_id, coalesce(due_at, 9223372036854775807), id);

create table todo_tags (
  todo_id text not null references todos (id),
  tag text not null,
  primary key (todo_id, tag)
);

-- Requests with an Idempotency-Key that were done, and what was answered.
create table idempotency_keys (
  subject text not null,
  route text not null,
  idempotency_key text not null,
  fingerprint text not null,
  status bigint not null,
  headers text not null,
  body text not null,
  nonce text not null unique,
  created_at bigint not null,
  expires_at bigint not null,
  primary key (subject, route, idempotency_key)
);

create index idempotency_keys_by_expiry on idempotency_keys (expires_at);
