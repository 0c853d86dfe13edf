//! The backoff between retries.

use std::time::Duration;

/// The first pause, before jitter. Short, because a restarting API server answers again within seconds.
const BASE: Duration = Duration::from_millis(500);

/// The longest pause. A machine that boots has five minutes before its kubelet exits (Kubernetes
/// `cmd/kubelet/app/server.go`, `exitAfter`), so pauses must be much shorter.
pub const CEILING: Duration = Duration::from_secs(30);

/// Returns the pause before retry `tries` (0 is the first one after a failure): doubling from half a second to
/// [`CEILING`]. `jitter` (0 to 1) shortens it by up to a half, so that machines that failed together do not retry
/// together.
pub fn pause(tries: u32, jitter: f64) -> Duration {
    let factor = 2_u32.saturating_pow(tries.min(16));
    let full = BASE.saturating_mul(factor).min(CEILING);
    let jitter = if jitter.is_finite() {
        jitter.clamp(0.0, 1.0)
    } else {
        0.0
    };
    full.mul_f64(1.0 - jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_ceiling_and_stays_there() {
        let seconds: Vec<f64> = (0..9)
            .map(|tries| pause(tries, 0.0).as_secs_f64())
            .collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(pause(u32::MAX, 0.0), CEILING);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(pause(2, 1.0), Duration::from_secs(1));
        for jitter in [-1.0, f64::NAN, 0.3, 7.0] {
            let pause = pause(3, jitter);
            assert!(
                pause >= Duration::from_secs(2) && pause <= Duration::from_secs(4),
                "{jitter} gave {pause:?}"
            );
        }
    }
}
