//! The HTTP surface: nothing yet beyond the private paths that the kit answers (events, health, OpenAPI).

use chassis_kit::routes::Routes;
use chassis_kit::utoipa;

use crate::component::App;

/// All routes.
pub(crate) fn all() -> Routes<App> {
    #[derive(utoipa::OpenApi)]
    struct Document;
    Routes::new(Vec::new(), <Document as utoipa::OpenApi>::openapi)
}
