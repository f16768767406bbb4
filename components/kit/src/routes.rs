//! The routes of a component and their OpenAPI document, from one list.

use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter};
use utoipa::openapi::HttpMethod;
use utoipa::openapi::OpenApi;

/// What [`routes!`](crate::routes!) makes: how to mount each route, and how to write their document. Neither is done before it is
/// needed, so that a fresh instance starts at once.
pub struct Routes<S> {
    entries: Vec<Entry<S>>,
    pub(crate) document: fn() -> OpenApi,
}

/// A route: its path, and what mounts it there.
type Entry<S> = (String, fn(Router<S>, &str) -> Router<S>);

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Used by [`routes!`](crate::routes!).
    #[doc(hidden)]
    pub fn new(entries: Vec<Entry<S>>, document: fn() -> OpenApi) -> Self {
        Self { entries, document }
    }

    /// All routes.
    pub(crate) fn router(self) -> Router<S> {
        self.mount(|_path| true)
    }

    /// The routes that a request for `path` can reach: for it, the same as all.
    pub(crate) fn router_for(self, path: &str) -> Router<S> {
        self.mount(|pattern| may_match(pattern, path))
    }

    fn mount(self, wanted: impl Fn(&str) -> bool) -> Router<S> {
        let entries = self.entries.into_iter().filter(|(path, _mount)| wanted(path));
        entries.fold(Router::new(), |router, (path, mount)| mount(router, &path))
    }
}

/// False only where no value of the pattern's parameters makes it the path.
fn may_match(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        if wanted.starts_with("{*") {
            return true;
        }
        let Some(segment) = segments.next() else { return false };
        if wanted != segment && !wanted.contains('{') {
            return false;
        }
    }
    segments.next().is_none()
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
        $crate::pastey::paste! {
            $crate::routes::Routes::<$state>::new(vec![$($((
                <$module::[<__path_ $handler>] as $crate::utoipa::Path>::path(),
                |router, path| {
                    let methods = <$module::[<__path_ $handler>] as $crate::utoipa::Path>::methods();
                    router.route(path, $crate::routes::on(&methods, $module::$handler))
                },
            )),+),+], document)
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::may_match;

    #[test]
    fn only_patterns_that_cannot_be_the_path_are_left_out() {
        for (pattern, path) in [
            ("/a/{id}", "/a/b"),
            ("/a/{id}", "/a/"),
            ("/a/b", "/a/b"),
            ("/{*rest}", "/a/b/c"),
            ("/a/{*rest}", "/a/b"),
            ("/a/x{id}", "/a/xy"),
        ] {
            assert!(may_match(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("/a/{id}", "/a"), ("/a/{id}", "/a/b/c"), ("/a/b", "/a/c"), ("/a/{*rest}", "/b/c"), ("/", "/a")]
        {
            assert!(!may_match(pattern, path), "{pattern} {path}");
        }
    }
}
