//! What says that the process still does its work: the API server was heard lately, and the engine turned lately. Both are
//! told from outside of the task that answers probes, so a probe fails where a restart may help.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long the API server may be unheard. Each watch is started anew at least every 25 s; after five minutes a new process
/// may find what this one cannot, such as another CA.
const SILENCE: Duration = Duration::from_secs(5 * 60);
/// How long the engine may take for one turn. It turns at least once a minute, and a turn takes milliseconds.
const TURN: Duration = Duration::from_secs(3 * 60);

/// How the process is. All clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Instant,
    /// When the API server was heard last, in milliseconds since the start.
    heard: AtomicU64,
    /// When the engine turned last, likewise.
    turned: AtomicU64,
}

impl Health {
    /// Of a process that starts now: as if it had heard and turned just now.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            started: Instant::now(),
            heard: AtomicU64::new(0),
            turned: AtomicU64::new(0),
        }))
    }

    /// The API server was heard.
    pub(crate) fn heard(&self) {
        self.0.heard.store(self.now(), Ordering::Relaxed);
    }

    /// The engine turned.
    pub(crate) fn turned(&self) {
        self.0.turned.store(self.now(), Ordering::Relaxed);
    }

    /// Why the process is not well, if it is not.
    pub(crate) fn trouble(&self) -> Option<String> {
        let silent = self.silent();
        let still = self.since(&self.0.turned);
        if silent > SILENCE {
            let seconds = silent.as_secs();
            return Some(format!("the API server was not heard for {seconds} s"));
        }
        (still > TURN).then(|| format!("the engine has not turned for {} s", still.as_secs()))
    }

    /// How long the API server has answered nothing.
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
