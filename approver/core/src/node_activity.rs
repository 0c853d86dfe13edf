//! Signs of life of a Node: a Node that runs, or ran minutes ago, belongs to its own machine and is not a leftover.
//!
//! They come from the kubelet: it reports its status (`lastHeartbeatTime` of the Node's conditions) and renews the Lease of its
//! Node in `kube-node-lease`. The node lifecycle controller clears `Ready` on a Node with an expired Lease, by its own clock. A
//! kubelet can only make its own Node look alive, so a false report only protects that Node.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::Node;

/// The time after the last sign of life for which a Node counts as running: twice the maximum interval at which a kubelet
/// reports an unchanged status (Kubernetes: `pkg/kubelet/apis/config/v1beta1/defaults.go`, `nodeStatusReportFrequency` of 5
/// minutes).
const LATELY: SignedDuration = SignedDuration::from_mins(10);

/// Returns true if an event was only minutes before `now`, or after it.
fn is_lately(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < LATELY
}

/// The earliest time at which a machine that registered at this time may have been issued its first certificate: minutes
/// before, because a kubelet without a certificate exits after five (Kubernetes: `cmd/kubelet/app/server.go`) and makes a
/// new request.
pub(crate) fn first_issued_from(registered_at: Timestamp) -> Timestamp {
    registered_at.checked_sub(LATELY).unwrap_or(registered_at)
}

/// A sign that a Node runs, or ran a few minutes ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It is Ready.
    Ready,
    /// It was Ready until this time.
    StoppedBeingReady(Timestamp),
    /// Its kubelet reported its status at this time.
    Heartbeat(Timestamp),
    /// Its kubelet renewed its Lease at this time.
    Lease(Timestamp),
}

impl Activity {
    /// Returns the latest sign of life of a Node from the last minutes; `None` if the Node is quiet. `renewed` is the last
    /// renewal of its Lease, if known.
    pub(crate) fn of(node: &Node, renewed: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        if node.ready {
            return Some(Self::Ready);
        }
        let signs = [
            node.ready_since.map(Self::StoppedBeingReady),
            node.last_heartbeat.map(Self::Heartbeat),
            renewed.map(Self::Lease),
        ];
        let signs = signs.into_iter().flatten();
        signs
            .filter(|sign| sign.at().is_none_or(|at| is_lately(at, now)))
            .max_by_key(|sign| sign.at())
    }

    fn at(self) -> Option<Timestamp> {
        match self {
            Self::Ready => None,
            Self::StoppedBeingReady(at) | Self::Heartbeat(at) | Self::Lease(at) => Some(at),
        }
    }

    /// Returns the time at which the Node counts as quiet without a further sign of life; unknown for a Ready one.
    pub(crate) fn ends(self) -> Option<Timestamp> {
        self.at()?.checked_add(LATELY).ok()
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("it is Ready"),
            Self::StoppedBeingReady(at) => write!(f, "it was Ready until {at}"),
            Self::Heartbeat(at) => write!(f, "its kubelet reported its status at {at}"),
            Self::Lease(at) => write!(f, "its kubelet renewed its Lease at {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, registered};

    /// Ready, time of that, last heartbeat, last renewal of the Lease, each in seconds.
    type Case = (
        &'static str,
        bool,
        Option<i64>,
        Option<i64>,
        Option<i64>,
        Option<Activity>,
    );

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn any_sign_of_the_last_minutes_counts_and_the_latest_is_named() {
        const NOW: i64 = 10_000;
        let cases: [Case; 10] = [
            ("nothing known", false, None, None, None, None),
            ("Ready", true, Some(0), Some(0), None, Some(Activity::Ready)),
            (
                "Ready a moment ago",
                false,
                Some(NOW - 1),
                None,
                None,
                Some(Activity::StoppedBeingReady(at(NOW - 1))),
            ),
            (
                "Ready ten minutes ago",
                false,
                Some(NOW - 600),
                None,
                None,
                None,
            ),
            (
                "a heartbeat",
                false,
                Some(0),
                Some(NOW - 599),
                None,
                Some(Activity::Heartbeat(at(NOW - 599))),
            ),
            (
                "an old heartbeat",
                false,
                Some(0),
                Some(NOW - 600),
                None,
                None,
            ),
            (
                "a Lease",
                false,
                Some(0),
                Some(NOW - 900),
                Some(NOW - 9),
                Some(Activity::Lease(at(NOW - 9))),
            ),
            ("an old Lease", false, Some(0), None, Some(NOW - 3600), None),
            (
                "a heartbeat by a clock that is ahead",
                false,
                None,
                Some(NOW + 3600),
                None,
                Some(Activity::Heartbeat(at(NOW + 3600))),
            ),
            (
                "several",
                false,
                Some(NOW - 300),
                Some(NOW - 200),
                Some(NOW - 100),
                Some(Activity::Lease(at(NOW - 100))),
            ),
        ];
        for (about, ready, since, heartbeat, renewed, expected) in cases {
            let node = Node {
                ready,
                ready_since: since.map(at),
                last_heartbeat: heartbeat.map(at),
                ..registered()
            };
            let seen = Activity::of(&node, renewed.map(at), at(NOW));
            assert_eq!(seen, expected, "{about}");
        }
    }

    #[test]
    fn what_is_not_ready_any_more_is_quiet_after_ten_minutes() {
        let sign = Activity::StoppedBeingReady(at(0));
        assert_eq!(sign.ends(), Some(at(600)));
        assert_eq!(Activity::Ready.ends(), None);
    }
}
