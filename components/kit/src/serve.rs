//! How a component is bound to its host.

use std::any::Any;

use axum::body::Body;
use axum::http::{Request, Response};

use crate::service::{Component, Service};

/// Export a component as `wasi:http/handler`: `serve!(App, App::new());`.
///
/// The value is made once per instance, when the first request arrives, and shared by all requests of the instance.
/// Use it in a module that exists for `target_arch = "wasm32"` only: the exported symbols do not link natively.
#[macro_export]
macro_rules! serve {
    ($component:ty, $make:expr) => {
        const _: () = {
            struct Handler;

            impl $crate::spin_sdk::wasip3::exports::http::handler::Guest for Handler {
                async fn handle(
                    request: $crate::spin_sdk::wasip3::http::types::Request,
                ) -> Result<
                    $crate::spin_sdk::wasip3::http::types::Response,
                    $crate::spin_sdk::wasip3::http::types::ErrorCode,
                > {
                    static SERVICE: ::std::sync::OnceLock<$crate::Service<$component>> = ::std::sync::OnceLock::new();
                    let service = SERVICE.get_or_init(|| $crate::Service::new($make));
                    let request = $crate::spin_sdk::http::FromRequest::from_request(request)?;
                    let response = $crate::serve::answer(service, request).await;
                    $crate::spin_sdk::http::IntoResponse::into_response(response)
                }
            }

            $crate::spin_sdk::wasip3::http::service::export!(Handler);
        };
    };
}

/// Used by [`serve!`](crate::serve!).
#[doc(hidden)]
pub async fn answer<C, B>(service: &Service<C>, request: Request<B>) -> Response<Body>
where
    C: Component,
    B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + Any,
    B::Error: Into<axum::BoxError>,
{
    service.respond(request.map(Body::new)).await
}
