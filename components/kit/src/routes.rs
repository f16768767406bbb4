//! The routes of a component and their OpenAPI document, from one list.

use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter};
use utoipa::openapi::HttpMethod;
use utoipa::openapi::OpenApi;

/// What [`routes!`](crate::routes!) makes: how to mount each route, and how to write their document. Neither is done before it is
/// needed, so that a fresh instance starts at once.
pub struct Routes<S> {
    entries: Vec<Entry<S>>,
    pub(crate) document: fn() -> OpenApi,
}

/// A route.
pub struct Entry<S> {
    /// Its path.
    #[doc(hidden)]
    pub path: String,
    /// Its methods.
    #[doc(hidden)]
    pub methods: Vec<HttpMethod>,
    /// Mounts it there.
    #[doc(hidden)]
    pub mount: fn(Router<S>, &str, &[HttpMethod]) -> Router<S>,
}

impl<S> Entry<S> {
    fn answers(&self, method: &Method) -> bool {
        // axum answers HEAD by what answers GET, where nothing answers HEAD itself.
        let stands_in = |own: &HttpMethod| method == Method::HEAD && matches!(own, HttpMethod::Get);
        self.methods.iter().any(|own| name(own) == method.as_str() || stands_in(own))
    }
}

impl<S> fmt::Debug for Entry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Used by [`routes!`](crate::routes!).
    #[doc(hidden)]
    pub fn new(entries: Vec<Entry<S>>, document: fn() -> OpenApi) -> Self {
        Self { entries, document }
    }

    /// All routes.
    pub(crate) fn router(self) -> Router<S> {
        mount(&self.entries)
    }

    /// The routes that a request can reach: for it, the same as all.
    pub(crate) fn router_for(mut self, method: &Method, path: &str) -> Router<S> {
        self.entries.retain(|entry| may_match(&entry.path, path));
        // One that is refused is told the methods of all; and of two paths that both match, one goes before the other.
        let mut paths = self.entries.iter().map(|entry| &entry.path);
        let one_path = paths.next().is_some_and(|first| paths.all(|path| path == first));
        if one_path && self.entries.iter().any(|entry| entry.answers(method)) {
            self.entries.retain(|entry| entry.answers(method));
        }
        mount(&self.entries)
    }
}

fn mount<S: Clone + Send + Sync + 'static>(entries: &[Entry<S>]) -> Router<S> {
    entries.iter().fold(Router::new(), |router, entry| (entry.mount)(router, &entry.path, &entry.methods))
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

fn name(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Put => "PUT",
        HttpMethod::Post => "POST",
        HttpMethod::Head => "HEAD",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Trace => "TRACE",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Options => "OPTIONS",
    }
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
            $crate::routes::Routes::<$state>::new(vec![$($($crate::routes::Entry {
                path: <$module::[<__path_ $handler>] as $crate::utoipa::Path>::path(),
                methods: <$module::[<__path_ $handler>] as $crate::utoipa::Path>::methods(),
                mount: |router, path, methods| router.route(path, $crate::routes::on(methods, $module::$handler)),
            }),+),+], document)
        }
    }};
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use utoipa::openapi::HttpMethod;

    use super::{Entry, may_match};

    #[test]
    fn head_is_answered_by_itself_and_by_get() {
        let entry = |method| Entry::<()> { path: "/a".into(), methods: vec![method], mount: |router, _, _| router };
        assert!(entry(HttpMethod::Head).answers(&Method::HEAD));
        assert!(entry(HttpMethod::Get).answers(&Method::HEAD));
        assert!(!entry(HttpMethod::Head).answers(&Method::GET));
        assert!(!entry(HttpMethod::Post).answers(&Method::HEAD));
    }

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
