//! The HTTP surface: one list for the router and the OpenAPI document. Method and path stand at each handler.

use chassis_kit::routes::Routes;
use chassis_kit::utoipa;

use crate::component::App;
use crate::handlers;

/// All routes.
pub(crate) fn all() -> Routes<App> {
    chassis_kit::routes!(App; handlers: [list, create, read, update, delete])
}
