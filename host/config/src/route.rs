//! Route patterns, as Spin writes them, and the table that finds the one for a path.
//!
//! Pure data: no request, no header and no component appears here. Paths are expected as the gateway hands them on,
//! normalised and decoded; nothing is decoded a second time.

mod pattern;
mod router;

pub use pattern::{RouteError, RoutePattern};
pub use router::{DuplicateRoute, Match, Router};

/// The segments of a path: without its leading slash, and without one trailing slash. `/` has none.
fn path_segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let inner = (!path.is_empty()).then(|| path.strip_suffix('/').unwrap_or(path));
    inner.into_iter().flat_map(|inner| inner.split('/'))
}
