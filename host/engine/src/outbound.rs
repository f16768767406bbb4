//! The only way out for a guest's HTTP: to the hosts that its manifest lists.

use std::sync::Arc;

use bytes::Bytes;
use chassis_config::name::ComponentName;
use chassis_config::plan::OutboundHost;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The pooled client that all components share; it never follows redirects.
pub(crate) type HttpClient = Client<HttpsConnector<HttpConnector>, UnsyncBoxBody<Bytes, Error>>;

/// Make the shared client.
pub(crate) fn client() -> HttpClient {
    let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
    Client::builder(TokioExecutor::new()).build(connector)
}

/// What one component may call.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    pub(crate) component: ComponentName,
    pub(crate) allowed: Arc<[OutboundHost]>,
    pub(crate) client: HttpClient,
}

type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answer = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Sending), Error>> + Send>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        done: Sending,
    ) -> Answer {
        // Tells of errors while the guest reads the response; hyper reports those through the body itself.
        drop(done);
        if !self.permits(request.uri()) {
            let uri = request.uri();
            tracing::warn!(component = %self.component, scheme = uri.scheme_str(), authority = uri.authority().map(http::uri::Authority::as_str), "refused an outgoing request to a host that the component was not granted");
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let client = self.client.clone();
        let limit = options.and_then(|options| options.first_byte_timeout);
        Box::new(async move {
            let sending = client.request(request);
            let response = match limit {
                Some(limit) => {
                    tokio::time::timeout(limit, sending).await.map_err(|_elapsed| Error::ConnectionReadTimeout)?
                }
                None => sending.await,
            };
            let response = response.map_err(|error| {
                if error.is_connect() { Error::ConnectionRefused } else { Error::HttpProtocolError }
            })?;
            let finished: Sending = Box::new(async { Ok(()) });
            Ok((response.map(|body| body.map_err(Error::Hyper).boxed_unsync()), finished))
        })
    }
}

impl Outbound {
    fn permits(&self, uri: &http::Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        self.allowed.iter().any(|entry| permits(entry, scheme, host, port))
    }
}

fn permits(entry: &OutboundHost, scheme: &str, host: &str, port: u16) -> bool {
    let scheme_fits = entry.scheme == "*" || entry.scheme == scheme;
    let host_fits = match entry.host.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => {
            host.len() > suffix.len()
                && host.get(host.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        }
        None => entry.host.eq_ignore_ascii_case(host),
    };
    scheme_fits && host_fits && entry.port.is_none_or(|granted| granted == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(scheme: &str, host: &str, port: Option<u16>) -> OutboundHost {
        OutboundHost { scheme: scheme.to_owned(), host: host.to_owned(), port }
    }

    #[test]
    fn only_what_is_listed_is_permitted() {
        let exact = entry("https", "api.example.com", Some(443));
        assert!(permits(&exact, "https", "API.example.com", 443));
        assert!(!permits(&exact, "http", "api.example.com", 443));
        assert!(!permits(&exact, "https", "api.example.com", 8443));
        assert!(!permits(&exact, "https", "api.example.com.evil.test", 443));
        let below = entry("*", "*.example.com", None);
        assert!(permits(&below, "http", "a.b.example.com", 81));
        assert!(!permits(&below, "http", "example.com", 80));
        assert!(!permits(&below, "http", "evilexample.com", 80));
    }
}
