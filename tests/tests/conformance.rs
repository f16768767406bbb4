//! Does the host obey `spin.toml` and its own promises to components?

#[path = "conformance/grants.rs"]
mod grants;
#[path = "conformance/routes.rs"]
mod routes;
