//! A server that keeps requests waiting until a test lets them go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Far more than it takes to get here: only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(60);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The server. A guest that asks it is certainly under way, for as long as the test means it to be: nobody has to guess how
/// long that takes. It ends when dropped.
#[derive(Debug)]
pub struct Gate {
    address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    /// How many requests are held.
    held: usize,
    /// How many have come.
    arrivals: watch::Sender<usize>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// Holds the first `held` requests until it is opened, and answers those that come after them at once, with 200.
    ///
    /// # Errors
    ///
    /// If it cannot listen.
    pub async fn holding(held: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State { held, arrivals: watch::Sender::new(0), open: watch::Sender::new(false) });
        let serving = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { address, state, serving })
    }

    /// What is to be asked.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Requests that have come so far.
    #[must_use]
    pub fn arrivals(&self) -> usize {
        *self.state.arrivals.borrow()
    }

    /// Waits until so many requests have come.
    ///
    /// # Errors
    ///
    /// If they do not within a minute.
    pub async fn arrived(&self, count: usize) -> anyhow::Result<()> {
        let mut arrivals = self.state.arrivals.subscribe();
        let arrived = tokio::time::timeout(PATIENCE, arrivals.wait_for(|so_far| *so_far >= count)).await;
        arrived.with_context(|| format!("{} requests have come, not {count}", self.arrivals()))??;
        Ok(())
    }

    /// Lets all go that are held.
    pub fn open(&self) {
        self.state.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Ended with their server.
    let mut connections = JoinSet::new();
    while let Ok((stream, _client)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&state)));
    }
}

/// Whoever asks may be gone before the answer: that is what some tests are about.
async fn answer(mut stream: TcpStream, state: Arc<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let mut number = 0;
    state.arrivals.send_modify(|arrivals| {
        *arrivals += 1;
        number = *arrivals;
    });
    if number <= state.held {
        let mut open = state.open.subscribe();
        // It cannot fail: the sender lives as long as the state.
        drop(open.wait_for(|open| *open).await);
    }
    stream.write_all(ANSWER).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(gate: &Gate) -> anyhow::Result<String> {
        crate::raw::get(&gate.address.to_string(), "/").await
    }

    #[tokio::test]
    async fn the_first_are_held_until_it_opens_and_later_ones_are_not() -> anyhow::Result<()> {
        let gate = Gate::holding(2).await?;
        let held = async { tokio::join!(ask(&gate), ask(&gate)) };
        let later = async {
            gate.arrived(2).await?;
            let third = ask(&gate).await?;
            assert_eq!((crate::raw::status(&third)?, gate.arrivals()), (200, 3));
            gate.open();
            anyhow::Ok(())
        };
        let ((first, second), later) = tokio::join!(held, later);
        later?;
        for answer in [first?, second?] {
            assert_eq!(crate::raw::status(&answer)?, 200);
        }
        Ok(())
    }
}
