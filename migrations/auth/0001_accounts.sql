-- Accounts, their sessions and tokens, the keys that sign, and what was done to them.
-- Times are milliseconds since 1970 (UTC). Ids are text with a prefix that names the kind.

create table users (
  id text not null primary key,
  -- As it was typed, for display and for mail.
  email text not null,
  -- Lower case, for comparison: one account per address in whatever letter case.
  email_key text not null unique,
  -- Argon2id in the PHC string format.
  password_hash text not null,
  first_name text not null,
  last_name text not null,
  is_active boolean not null default true,
  created_at bigint not null,
  updated_at bigint not null
);

create table roles (
  name text not null primary key,
  description text not null
);

insert into roles (name, description) values
  ('admin', 'Administers the system'),
  ('user', 'Uses the system');

create table user_roles (
  user_id text not null references users (id),
  role text not null references roles (name),
  primary key (user_id, role)
);

-- One row per log-in: the family of its refresh tokens. It ends at the latest at expires_at, however often it is
-- refreshed.
create table sessions (
  id text not null primary key,
  user_id text not null references users (id),
  created_at bigint not null,
  refreshed_at bigint not null,
  expires_at bigint not null,
  ended_at bigint,
  -- logout, reuse (a used refresh token came again), or limit (too many sessions of one user).
  end_reason text
);

create index sessions_by_user on sessions (user_id, created_at);
create index sessions_by_expiry on sessions (expires_at);

-- Only hashes are kept. A used token stays until its session is forgotten, so that its reuse is noticed.
create table refresh_tokens (
  token_hash blob not null primary key,
  session_id text not null references sessions (id),
  created_at bigint not null,
  expires_at bigint not null,
  used_at bigint
);

create index refresh_tokens_by_session on refresh_tokens (session_id);

-- The keys that sign access tokens (Ed25519). private_key is sealed with the configured secret where there is one.
create table signing_keys (
  kid text not null primary key,
  public_key text not null,
  private_key blob not null,
  is_sealed boolean not null,
  created_at bigint not null
);

-- What was done to an account and its sessions, for whoever has to look into it. Kept for a year.
create table audit (
  id text not null primary key,
  at bigint not null,
  action text not null,
  user_id text not null,
  session_id text
);

create index audit_by_time on audit (at);
create index audit_by_user on audit (user_id, at);

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
