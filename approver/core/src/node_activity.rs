//! Signs of life of a Node: a Node that runs, or ran minutes ago, is its own machine's and nobody's leftover.
//!
//! They are the kubelet's own: it reports its status (`lastHeartbeatTime` of the Node's conditions) and renews the Lease of its
//! Node in `kube-node-lease`; and the node lifecycle controller takes `Ready` from a Node whose Lease is no longer renewed, by
//! its own clock. A kubelet can only make its own Node look alive, so that a lie keeps others out of that Node and no other.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::Node;

/// How long after the last sign of life a Node still counts as one that runs: twice as long as a kubelet waits at most before
/// it reports an unchanged status (Kubernetes: `pkg/kubelet/apis/config/v1beta1/defaults.go`, `nodeStatusReportFrequency` of
/// 5 minutes).
const LATELY: SignedDuration = SignedDuration::from_mins(10);

/// Whether something happened only minutes before a time, or after it.
fn is_lately(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) < LATELY
}

/// When a machine may have been issued its first certificate that registered at this time: within minutes, since a kubelet
/// exits without a certificate after five (Kubernetes: `cmd/kubelet/app/server.go`) and asks anew.
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
    /// The latest sign of life of a Node, where there is one from the last minutes; none of a Node that is quiet. `renewed` is
    /// when its Lease was last renewed, where that is known.
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

    /// When the Node counts as quiet, if there is no other sign of life until then; not known of one that is Ready.
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

    /// Ready, since when, last heartbeat, last renewal of the Lease, each in seconds.
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
