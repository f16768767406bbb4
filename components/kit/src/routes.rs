//! The routes of a component and their OpenAPI document, from one list.

use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter};
use utoipa::openapi::HttpMethod;
use utoipa::openapi::OpenApi;

/// What [`routes!`](crate::routes!) makes: the router, and how to write its document. The document is written only
/// when it is asked for, so that a fresh instance starts at once.
pub struct Routes<S> {
    pub(crate) router: Router<S>,
    pub(crate) document: fn() -> OpenApi,
}

impl<S> Routes<S> {
    /// Used by [`routes!`](crate::routes!).
    #[doc(hidden)]
    pub fn new(router: Router<S>, document: fn() -> OpenApi) -> Self {
        Self { router, document }
    }
}

impl<S> fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

/// Used by [`routes!`](crate::routes!).
#[doc(hidden)]
pub fn on<H, T, S>(methods: &[HttpMethod], handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    methods.iter().fold(MethodRouter::new(), |router, method| router.on(filter(method), handler.clone()))
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
    }
}

/// The routes of a component: `routes!(App; sessions: [login, logout], profile: [me])`.
///
/// `App` is the state of the handlers. Each name is a handler in a module that is in scope, and carries
/// `#[utoipa::path(...)]`, which is the one place where its method and path are written. `utoipa` must be in scope
/// (`use chassis_kit::utoipa;`).
#[macro_export]
macro_rules! routes {
    ($state:ty; $($module:ident: [$($handler:ident),+ $(,)?]),+ $(,)?) => {{
        fn document() -> $crate::utoipa::openapi::OpenApi {
            #[derive($crate::utoipa::OpenApi)]
            #[openapi(paths($($($module::$handler),+),+))]
            struct Document;
            <Document as $crate::utoipa::OpenApi>::openapi()
        }
        let router = $crate::axum::Router::<$state>::new();
        $crate::pastey::paste! {
            $($(
                let router = router.route(
                    &<$module::[<__path_ $handler>] as $crate::utoipa::Path>::path(),
                    $crate::routes::on(
                        &<$module::[<__path_ $handler>] as $crate::utoipa::Path>::methods(),
                        $module::$handler,
                    ),
                );
            )+)+
        }
        $crate::routes::Routes::new(router, document)
    }};
}
