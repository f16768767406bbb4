//! What no component should do, so that a test can see who feels it.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use serde::Deserialize;

pub(crate) fn router() -> Router {
    Router::new()
        .route("/panic", get(panic))
        .route("/spin", get(spin))
        .route("/alloc", get(alloc))
        .route("/log", get(log))
        .route("/stack", get(stack))
}

#[expect(clippy::panic, reason = "the test asks for it")]
async fn panic() -> String {
    panic!("asked to panic");
}

#[derive(Deserialize)]
struct Spin {
    /// How long to burn CPU without waiting; for ever where it is absent.
    ms: Option<u64>,
}

async fn spin(Query(spin): Query<Spin>) -> String {
    let begin = Instant::now();
    let mut rounds: u64 = 0;
    loop {
        rounds = std::hint::black_box(rounds.wrapping_add(1));
        // The clock is a call to the host: asking it rarely keeps this a loop of the guest's own.
        if rounds.is_multiple_of(1 << 16)
            && let Some(ms) = spin.ms
            && begin.elapsed() >= Duration::from_millis(ms)
        {
            return format!("{rounds} rounds\n");
        }
    }
}

#[derive(Deserialize)]
struct Alloc {
    #[serde(default = "sixteen")]
    mb: usize,
}

fn sixteen() -> usize {
    16
}

/// Allocates and touches `mb` mebibytes, all at once; they are freed when the answer is sent.
async fn alloc(Query(alloc): Query<Alloc>) -> String {
    let mut held: Vec<Vec<u8>> = Vec::with_capacity(alloc.mb);
    for _ in 0..alloc.mb {
        held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
    format!("{} MiB\n", held.len())
}

#[derive(Deserialize)]
struct Log {
    #[serde(default = "ten")]
    lines: u64,
    #[serde(default = "eighty")]
    bytes: usize,
}

fn ten() -> u64 {
    10
}

fn eighty() -> usize {
    80
}

/// Writes `lines` lines of `bytes` bytes each to stderr, and one to stdout.
#[expect(clippy::print_stdout, reason = "the test asks for it")]
async fn log(Query(log): Query<Log>) -> String {
    println!("a line on stdout");
    for line in 0..log.lines {
        eprintln!("line {line} {}", "x".repeat(log.bytes.saturating_sub(12)));
    }
    format!("{} lines\n", log.lines)
}

#[derive(Deserialize)]
struct Stack {
    #[serde(default = "millions")]
    depth: u64,
}

fn millions() -> u64 {
    100_000_000
}

async fn stack(Query(stack): Query<Stack>) -> String {
    format!("{}\n", descend(stack.depth))
}

/// Not a tail call: each level keeps a buffer of its own alive.
fn descend(depth: u64) -> u64 {
    let kept = std::hint::black_box([depth; 16]);
    if depth == 0 {
        return 0;
    }
    let below = descend(depth - 1);
    below.wrapping_add(kept.iter().fold(0, |sum, value| sum ^ value)).wrapping_add(1)
}
