//! Liveness of the process: the API server answered lately, and the engine's loop ran lately. Both are recorded outside of
//! the task that answers probes, so a probe fails if a restart may help.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The longest time without an answer of the API server. Each watch is started again at least every 25 s; after five minutes
/// a new process may succeed where this one cannot, for example with another CA.
const SILENCE: Duration = Duration::from_secs(5 * 60);
/// The limit of one iteration of the engine's loop. It iterates at least once a minute, within milliseconds.
const TURN: Duration = Duration::from_secs(3 * 60);

/// The health of the process. All clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    /// The time of the API server's last answer, in milliseconds since the start.
    heard: AtomicU64,
    /// The time of the engine's last loop iteration, likewise.
    turned: AtomicU64,
}

impl Health {
    /// Creates the health of a starting process: as if both had just happened.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            heard: AtomicU64::new(0),
            turned: AtomicU64::new(0),
        }))
    }

    /// Records an answer of the API server.
    pub(crate) fn heard(&self) {
        self.0.heard.store(self.now(), Ordering::Relaxed);
    }

    /// Records a loop iteration of the engine.
    pub(crate) fn turned(&self) {
        self.0.turned.store(self.now(), Ordering::Relaxed);
    }

    /// The reason why the process is unhealthy, if it is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let silent = self.silent();
        let still = self.since(&self.0.turned);
        if silent > SILENCE {
            let seconds = silent.as_secs();
            return Some(format!("the API server was not heard for {seconds} s"));
        }
        (still > TURN).then(|| format!("the engine has not turned for {} s", still.as_secs()))
    }

    /// The time since the last answer of the API server.
    pub(crate) fn silent(&self) -> Duration {
        self.since(&self.0.heard)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn since(&self, moment: &AtomicU64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(moment.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_well_while_the_api_server_is_heard_and_the_engine_turns() {
        let health = Health::new();
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(60)).await;
            health.heard();
            health.turned();
            assert_eq!(health.trouble(), None);
        }
        tokio::time::advance(TURN + Duration::from_secs(1)).await;
        let trouble = health.trouble().unwrap();
        assert!(
            trouble.contains("the engine has not turned for 181 s"),
            "{trouble}"
        );
        health.turned();
        assert_eq!(health.trouble(), None);
        tokio::time::advance(SILENCE).await;
        health.turned();
        let trouble = health.trouble().unwrap();
        assert!(
            trouble.contains("the API server was not heard"),
            "{trouble}"
        );
    }
}
