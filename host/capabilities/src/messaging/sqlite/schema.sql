-- Events on their way. One row per event, one delivery per event and subscribing queue. Times are microseconds since
-- 1970 in UTC.

-- The source of every number that must never come up twice: places in the order of a subject, and leases.
create table counter (
    one integer primary key check (one = 1),
    value integer not null
) strict;

insert into counter (one, value) values (1, 0);

-- A queue stays when its component disappears: its deliveries wait, and are seen in the status.
create table queue (
    id integer primary key,
    name text not null unique
) strict;

-- How many deliveries of a queue are in which state (9: dead letters). Kept by triggers, in the transaction that moves
-- a delivery, so that neither a publisher nor the status counts rows.
create table queue_count (
    queue integer not null references queue (id),
    state integer not null,
    n integer not null,
    primary key (queue, state)
) strict, without rowid;

create trigger queue_added after insert on queue begin
    insert into queue_count (queue, state, n)
    values (new.id, 0, 0), (new.id, 1, 0), (new.id, 2, 0), (new.id, 3, 0), (new.id, 4, 0), (new.id, 9, 0);
end;

create table event (
    seq integer primary key,
    id text not null unique,
    envelope text not null
) strict;

-- Ids that were published, also after their event is gone: whoever publishes one again is answered, and nothing happens.
create table known (
    seq integer primary key,
    id text not null unique,
    at integer not null
) strict;

create table dedup (
    source text not null,
    key text not null,
    id text not null,
    at integer not null,
    primary key (source, key)
) strict, without rowid;

create index dedup_at on dedup (at);

-- state 0, ready: may be leased.
--       1, blocked: an earlier delivery of its subject and queue is not done.
--       2, delayed: was never due; becomes ready or blocked at due_at.
--       3, retry: was tried; becomes ready at due_at, and blocks its subject until then.
--       4, leased: until due_at.
create table delivery (
    seq integer primary key,
    event integer not null references event (seq),
    queue integer not null references queue (id),
    subject text,
    priority integer not null,
    state integer not null,
    -- Place in the order of its subject; none before it was due for the first time.
    position integer,
    -- When the state ends by itself; none where it does not.
    due_at integer,
    -- Since when it is not held back by a delay, a pause or a lease.
    ready_at integer not null,
    -- The order of leasing: ready_at, brought forward by the priority.
    rank integer not null,
    -- When it could be delivered for the first time.
    born_at integer not null,
    -- Tries that failed.
    failed integer not null,
    -- The fencing token of the lease; 0 where it is not leased.
    lease integer not null,
    unique (event, queue)
) strict;

create index delivery_ready on delivery (queue, rank) where state = 0;
create index delivery_waiting on delivery (queue, ready_at) where state = 0;
create index delivery_due on delivery (queue, due_at) where due_at is not null;
create index delivery_subject on delivery (queue, subject, position)
where subject is not null and position is not null;

create trigger delivery_added after insert on delivery begin
    update queue_count set n = n + 1 where queue = new.queue and state = new.state;
end;

create trigger delivery_moved after update of state on delivery when new.state <> old.state begin
    update queue_count set n = n - 1 where queue = old.queue and state = old.state;
    update queue_count set n = n + 1 where queue = new.queue and state = new.state;
end;

-- The event goes with its last delivery.
create trigger delivery_gone after delete on delivery begin
    update queue_count set n = n - 1 where queue = old.queue and state = old.state;
    delete from event where seq = old.event and not exists (select 1 from delivery where event = old.event);
end;

create table dead_letter (
    seq integer primary key autoincrement,
    queue integer not null references queue (id),
    envelope text not null,
    attempts integer not null,
    reason text not null,
    died_at integer not null
) strict;

create index dead_letter_queue on dead_letter (queue, seq);
create index dead_letter_died_at on dead_letter (died_at);

create trigger dead_letter_added after insert on dead_letter begin
    update queue_count set n = n + 1 where queue = new.queue and state = 9;
end;

create trigger dead_letter_gone after delete on dead_letter begin
    update queue_count set n = n - 1 where queue = old.queue and state = 9;
end;
