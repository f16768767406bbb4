//! The components of the product as Spin runs them: composed with the adapter, on a host that offers what Spin offers, and
//! nothing of Chassis.
//!
//! Spin itself is not needed: `spin/host.rs` has its interfaces on SQLite, by the same library, with the same semantics. What
//! is run is what `cargo xtask compose-spin` made.

#[path = "spin/databases.rs"]
mod databases;
#[path = "spin/host.rs"]
mod host;
#[path = "spin/platform.rs"]
mod platform;
#[path = "spin/product.rs"]
mod product;
#[path = "spin/stores.rs"]
mod stores;
