//! A component with three routes, driven through its door.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use futures::executor::block_on;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::alias::Alias;
use crate::user::{CurrentUser, Identity, Verifier, VerifyError};
use crate::values::violation::{Rule, Violations};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(Clone, Default)]
struct App {
    events: Arc<Mutex<Vec<String>>>,
    ailing: bool,
    without_token: bool,
}

impl Verifier for App {
    async fn verify(&self, token: &str) -> Result<Identity, VerifyError> {
        match token {
            "good" => Ok(Identity {
                user_id: "usr_1".into(),
                session_id: "ses_1".into(),
                email: None,
                roles: vec![],
                expires_at: Timestamp::MAX,
                checked_at: Timestamp::UNIX_EPOCH,
            }),
            "busy" => Err(VerifyError::Unavailable("auth is overloaded".into())),
            "old" => Err(VerifyError::Expired),
            _ => Err(VerifyError::Invalid),
        }
    }
}

mod things {
    use super::*;

    #[utoipa::path(get, path = "/api/v1/things/{id}", responses((status = 200, body = String)))]
    pub(super) async fn get_thing(Path(id): Path<String>) -> Result<Json<String>, Problem> {
        match id.as_str() {
            "broken" => Err(Problem::internal("secret reason")),
            "wrong" => Err(Violations::one("/id", Rule::new("wrong", "is wrong")).into()),
            other => Ok(Json(other.to_owned())),
        }
    }

    #[utoipa::path(delete, path = "/api/v1/things/{id}", responses((status = 204)))]
    pub(super) async fn delete_thing(CurrentUser(user): CurrentUser) -> Json<String> {
        Json(user.user_id)
    }

    #[utoipa::path(get, path = "/api/v1/count/{number}", responses((status = 200, body = u8)))]
    pub(super) async fn count(State(_app): State<App>, Path(number): Path<u8>) -> Json<u8> {
        Json(number)
    }
}

impl Component for App {
    const NAME: &'static str = "things";
    const VERSION: &'static str = "1.2.3";
    const ALIASES: Aliases =
        Aliases { since: 1_700_000_000, table: &[Alias { from: "/things/...", to: "/api/v1/things/..." }] };

    fn routes() -> Routes<Self> {
        crate::routes!(App; things: [get_thing, delete_thing, count])
    }

    fn environment(&self) -> Environment {
        Environment::new(|| Timestamp::UNIX_EPOCH, |_bytes| Ok(()))
    }

    async fn health(&self) -> Vec<Check> {
        let outcome = if self.ailing { Err("no answer".to_owned()) } else { Ok(()) };
        vec![Check::new("database", outcome)]
    }

    async fn consume(&self, event: Event) -> Result<(), Problem> {
        self.events.lock().unwrap().push(event.id().to_owned());
        Ok(())
    }

    async fn delivery_token(&self) -> Option<String> {
        (!self.without_token).then(|| "the-token".to_owned())
    }
}

fn ask(app: &App, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(app, method, path, headers, "")
}

type Answer = (StatusCode, HeaderMap, String);

fn send(app: &App, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    through(&Service::new(app.clone()), method, path, headers, body)
}

fn through(service: &Service<App>, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    block_on(async {
        let (parts, body) = service.respond(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    })
}

#[test]
fn the_first_request_is_routed_like_all_others() {
    for path in [
        "/api/v1/things/x",
        "/api/v1/things",
        "/api/v1/things/x/y",
        "/things/x",
        "/api/v1/count/x",
        "/",
        "/api/v1/things/x/",
    ] {
        for method in ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"] {
            let first = ask(&App::default(), method, path, &[]);
            let service = Service::new(App::default());
            let later: Vec<_> = (0..3).map(|_| through(&service, method, path, &[], "")).collect();
            assert_eq!(later, vec![first; 3], "{method} {path}");
        }
    }
}

fn json_of(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[test]
fn routes_answer() {
    let (status, _, body) = ask(&App::default(), "GET", "/api/v1/things/a%20b", &[]);
    assert_eq!((status, body.as_str()), (StatusCode::OK, "\"a b\""));
    let (status, _, body) = ask(&App::default(), "HEAD", "/api/v1/things/x", &[]);
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
}

#[test]
fn an_unknown_path_is_a_problem_with_the_trace_id() {
    let (status, headers, body) = ask(&App::default(), "GET", "/nothing", &[("traceparent", TRACE)]);
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["content-type"], MEDIA_TYPE);
    assert_eq!(headers["cache-control"], "no-store");
    let problem = json_of(&body);
    assert_eq!(problem["type"], "/problems/not-found");
    assert_eq!(problem["traceId"], "0af7651916cd43dd8448eb211c80319c");
}

#[test]
fn an_error_to_head_has_no_body() {
    let (status, headers, body) = ask(&App::default(), "HEAD", "/nothing", &[]);
    assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, ""));
    assert_eq!(headers["content-type"], MEDIA_TYPE);
}

#[test]
fn a_wrong_method_says_which_are_right() {
    let (status, headers, body) = ask(&App::default(), "POST", "/api/v1/things/x", &[]);
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let allow = headers["allow"].to_str().unwrap();
    for method in ["GET", "HEAD", "DELETE"] {
        assert!(allow.split(',').any(|one| one.trim() == method), "{allow}");
    }
    assert_eq!(json_of(&body)["type"], "/problems/method-not-allowed");
}

#[test]
fn reasons_for_the_log_stay_inside() {
    let (status, _, body) = ask(&App::default(), "GET", "/api/v1/things/broken", &[]);
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!body.contains("secret reason"), "{body}");
}

#[test]
fn violations_have_pointers() {
    let (status, _, body) = ask(&App::default(), "GET", "/api/v1/things/wrong", &[]);
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(json_of(&body)["errors"][0]["pointer"], "/id");
}

#[test]
fn errors_of_axum_become_problems() {
    let (status, headers, body) = ask(&App::default(), "GET", "/api/v1/count/many", &[]);
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(headers["content-type"], MEDIA_TYPE);
    assert_eq!(json_of(&body)["type"], "/problems/invalid-request");
}

#[test]
fn who_is_calling() {
    let delete = |token: &str| {
        let value = format!("Bearer {token}");
        ask(&App::default(), "DELETE", "/api/v1/things/x", &[("authorization", &value)])
    };
    assert_eq!(delete("good").2, "\"usr_1\"");
    let (status, headers, _) = delete("forged");
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(headers["www-authenticate"].to_str().unwrap().contains("error=\"invalid_token\""));
    let (status, headers, _) = delete("busy");
    assert_eq!((status, &headers["retry-after"]), (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap()));
    let (status, headers, _) = ask(&App::default(), "DELETE", "/api/v1/things/x", &[]);
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers["www-authenticate"], "Bearer realm=\"chassis\"");
}

#[test]
fn an_alias_answers_and_says_so() {
    let (status, headers, body) = ask(&App::default(), "GET", "/things/x", &[]);
    assert_eq!((status, body.as_str()), (StatusCode::OK, "\"x\""));
    assert_eq!(headers["deprecation"], "@1700000000");
    assert_eq!(headers["link"], "</api/v1/things/x>; rel=\"successor-version\"");
    let (status, headers, _) = ask(&App::default(), "GET", "/things/wrong", &[]);
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(headers.contains_key("deprecation"));
}

const TOKEN: (&str, &str) = (DELIVERY_TOKEN_HEADER, "the-token");

#[test]
fn private_paths_need_the_token() {
    for path in ["/.chassis/health", "/.chassis/openapi.json", "/.chassis/events", "/.chassis/x", "/.chassis/"] {
        for headers in [&[] as &[_], &[(DELIVERY_TOKEN_HEADER, "")], &[(DELIVERY_TOKEN_HEADER, "the-toke")]] {
            for method in ["GET", "POST"] {
                let (status, _, body) = ask(&App::default(), method, path, headers);
                assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path} {headers:?}");
                assert_eq!(json_of(&body)["type"], "/problems/not-found");
            }
        }
    }
    let open = App { without_token: true, ..App::default() };
    for headers in [&[] as &[_], &[(DELIVERY_TOKEN_HEADER, "")], &[TOKEN]] {
        assert_eq!(ask(&open, "GET", "/.chassis/health", headers).0, StatusCode::NOT_FOUND);
    }
}

#[test]
fn health_has_the_agreed_body() {
    let (status, _, body) = ask(&App::default(), "GET", "/.chassis/health", &[TOKEN]);
    assert_eq!(status, StatusCode::OK);
    let expected = json!({
        "status": "healthy", "service": "things", "version": "1.2.3",
        "timestamp": "1970-01-01T00:00:00Z", "dependencies": { "database": "healthy" },
    });
    assert_eq!(json_of(&body), expected);
    let ailing = App { ailing: true, ..App::default() };
    let (status, _, body) = ask(&ailing, "GET", "/.chassis/health", &[TOKEN]);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json_of(&body)["dependencies"]["database"], "unhealthy");
    assert!(!body.contains("no answer"), "{body}");
}

#[test]
fn events_are_delivered() {
    let app = App::default();
    let event = json!({ "specversion": "1.0", "id": "e1", "source": "/components/x", "type": "x.y" }).to_string();
    let headers = [TOKEN, ("content-type", "application/cloudevents+json")];
    assert_eq!(send(&app, "POST", "/.chassis/events", &headers, &event).0, StatusCode::NO_CONTENT);
    assert_eq!(send(&app, "POST", "/.chassis/events", &headers, "{}").0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(*app.events.lock().unwrap(), ["e1"]);
    let (status, headers, _) = ask(&app, "GET", "/.chassis/events", &[TOKEN]);
    assert_eq!((status, &headers["allow"]), (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap()));
}

#[test]
fn every_route_is_in_the_document() {
    let (status, _, body) = ask(&App::default(), "GET", "/.chassis/openapi.json", &[TOKEN]);
    assert_eq!(status, StatusCode::OK);
    let document = json_of(&body);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"], json!({ "title": "things", "version": "1.2.3" }));
    assert!(document["components"]["securitySchemes"]["bearer"].is_object());
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["responses"]["default"]["content"]["application/problem+json"].is_object());
            operations.push(format!("{method} {path}"));
        }
    }
    operations.sort();
    let expected = ["delete /api/v1/things/{id}", "get /api/v1/count/{number}", "get /api/v1/things/{id}"];
    assert_eq!(operations, expected);
}
