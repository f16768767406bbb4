//! Takes more handles than anybody needs: files, header fields, requests, streams.

use std::any::Any;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request};
use spin_sdk::wasip3::{wit_future, wit_stream};

pub(crate) fn router() -> Router {
    Router::new().route("/handles/{kind}", get(handles))
}

#[derive(Deserialize)]
struct Wanted {
    /// How many to hold at a time; more than there can be where it is absent.
    #[serde(default = "without_end")]
    count: usize,
}

fn without_end() -> usize {
    usize::MAX
}

/// Opens `count` handles, and holds all of them until the last is open.
async fn handles(Path(kind): Path<String>, Query(wanted): Query<Wanted>) -> Result<String, (StatusCode, String)> {
    let mut held: Vec<Box<dyn Any>> = Vec::new();
    for _ in 0..wanted.count {
        held.push(open(&kind).map_err(|error| (StatusCode::INSUFFICIENT_STORAGE, error))?);
    }
    Ok(format!("{} handles\n", held.len()))
}

fn open(kind: &str) -> Result<Box<dyn Any>, String> {
    Ok(match kind {
        "files" => Box::new(std::fs::File::open("/public/a.txt").map_err(|error| error.to_string())?),
        "fields" => Box::new(Fields::new()),
        "requests" => Box::new(request()),
        "streams" => Box::new(wit_stream::new::<u8>()),
        other => return Err(format!("no handles of the kind {other}")),
    })
}

/// A request that nobody sends, with the other ends of what belongs to it.
fn request() -> impl Any {
    let (trailers, trailers_reader) = wit_future::new::<Result<Option<Fields>, ErrorCode>>(|| Ok(None));
    (Request::new(Fields::new(), None, trailers_reader, None), trailers)
}
