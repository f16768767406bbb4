-- Mail that was sent into the mailbox. Times are microseconds since 1970 in UTC.

create table mail (
    seq integer primary key autoincrement,
    -- One mail, however often it was sent.
    message_id text not null unique,
    copies integer not null,
    received_at integer not null,
    sender text not null,
    -- A JSON array, in the order of the message.
    recipients text not null,
    reply_to text,
    subject text not null,
    text text not null,
    html text,
    -- The head as a server would have been sent it.
    head text not null
) strict;

create index mail_received_at on mail (received_at);

-- Who got what, in lower case.
create table recipient (
    address text not null,
    mail integer not null references mail (seq) on delete cascade,
    primary key (address, mail)
) strict, without rowid;

create index recipient_mail on recipient (mail);

-- How many mails there are, so that nobody counts them.
create table tally (
    one integer primary key check (one = 1),
    mails integer not null
) strict;

insert into tally (one, mails) values (1, 0);

create trigger mail_added after insert on mail begin
    update tally set mails = mails + 1;
end;

create trigger mail_gone after delete on mail begin
    update tally set mails = mails - 1;
end;
