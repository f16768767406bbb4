//! The HTTP surface. Method and path of each route stand at its handler.

use chassis_kit::routes::Routes;
use chassis_kit::utoipa;

use crate::component::App;
use crate::handlers::{accounts, keys, sessions};

/// All routes.
pub(crate) fn all() -> Routes<App> {
    chassis_kit::routes!(App;
        accounts: [register, me],
        sessions: [login, refresh, logout, validate],
        keys: [jwks],
    )
}
