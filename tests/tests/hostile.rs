//! Who feels it when a component misbehaves, and what it cannot reach?

#[path = "hostile/attempts.rs"]
mod attempts;
#[path = "hostile/calls.rs"]
mod calls;
#[path = "hostile/contracts.rs"]
mod contracts;
#[path = "hostile/grants.rs"]
mod grants;
#[path = "hostile/handles.rs"]
mod handles;
#[path = "hostile/losses.rs"]
mod losses;
#[path = "hostile/misfits.rs"]
mod misfits;
#[path = "hostile/outward.rs"]
mod outward;
#[path = "hostile/pending.rs"]
mod pending;
#[path = "hostile/shared.rs"]
mod shared;
#[path = "hostile/statements.rs"]
mod statements;
