//! The parts of a running host: where one of them ends by itself, the host ends.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Starts parts, and knows when they should end.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    stop: CancellationToken,
}

/// Held by a part while it runs. One that is dropped before the host was to stop, be it in a panic, stops the host.
struct Running {
    name: &'static str,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            tracing::error!(part = self.name, "a part of the host ended by itself, and the host ends with it");
            self.stop.cancel();
        }
    }
}

impl Parts {
    /// `stop` says that the host is to end, whoever wants it.
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { stop }
    }

    /// Run a part until it ends, which it should not do before it is told to.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        part: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let running = Running { name, stop: self.stop.clone() };
        tokio::spawn(async move {
            let _running = running;
            part.await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_by_itself_stops_the_host() {
        let stop = CancellationToken::new();
        Parts::new(stop.clone()).spawn("worker", async {}).await.unwrap();
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_part_that_panics_stops_the_host() {
        let stop = CancellationToken::new();
        let part = Parts::new(stop.clone()).spawn("admin", async { panic!("a fault of the part") });
        stop.cancelled().await;
        assert!(part.await.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn a_part_that_runs_stops_nothing() {
        let stop = CancellationToken::new();
        let part = Parts::new(stop.clone()).spawn("gateway", stop.clone().cancelled_owned());
        tokio::task::yield_now().await;
        assert!(!stop.is_cancelled());
        stop.cancel();
        part.await.unwrap();
    }
}
