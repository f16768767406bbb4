-- Who is written to, and what became of each mail.
-- Times are milliseconds since 1970 (UTC).

-- Kept from events: the component that owns accounts is never asked.
create table addresses (
  user_id text not null primary key,
  email text not null,
  first_name text not null,
  last_name text not null,
  -- The time of the event that says so: an older one changes nothing.
  changed_at bigint not null
);

-- One row per event that made a mail. Kept for 90 days.
create table deliveries (
  event_id text not null primary key,
  -- Which mail: welcome or todo-created.
  kind text not null,
  user_id text not null,
  -- sent: the next hop has taken it. refused: it never will; the event is a dead letter, and can be replayed.
  outcome text not null check (outcome in ('sent', 'refused')),
  -- The Message-ID, where it was sent.
  message_id text,
  -- What the next hop answered.
  detail text not null,
  at bigint not null
);

create index deliveries_by_time on deliveries (at);

-- Events that were handled.
create table inbox (
  event_id text not null primary key,
  received_at bigint not null
);

create index inbox_by_time on inbox (received_at);
