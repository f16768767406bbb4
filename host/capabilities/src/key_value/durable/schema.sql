-- One key-value store. Times are microseconds since 1970 in UTC.

-- The last version that was given, and the bytes of all entries. Kept by triggers, in the transaction of the write.
create table store (
    one integer primary key check (one = 1),
    version integer not null,
    bytes integer not null
) strict;

insert into store (one, version, bytes) values (1, 0, 0);

-- Keys are UTF-8; as blobs they are in byte order, whatever they hold. The value is the last column, so that what is
-- before it is read without it.
create table entry (
    seq integer primary key,
    key blob not null unique,
    version integer not null,
    expires_at integer,
    value blob not null
) strict;

create index entry_expires_at on entry (expires_at) where expires_at is not null;

-- An entry counts with its key, its value and 64 bytes.
create trigger entry_added after insert on entry begin
    update store set version = new.version, bytes = bytes + length(new.key) + length(new.value) + 64;
end;

create trigger entry_changed after update on entry begin
    update store set version = new.version, bytes = bytes + length(new.value) - length(old.value);
end;

create trigger entry_gone after delete on entry begin
    update store set bytes = bytes - length(old.key) - length(old.value) - 64;
end;
