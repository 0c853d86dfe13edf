//! A condition in the status of most Kubernetes kinds, with the fields that are used.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

/// A condition (Kubernetes: API conventions, "Typical status properties").
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) type_: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    /// The time since when it has this status.
    pub(crate) last_transition_time: Option<Time>,
    /// The time of the last report; only on Nodes.
    pub(crate) last_heartbeat_time: Option<Time>,
}

impl Condition {
    /// Returns true if it is of this type and true.
    pub(crate) fn is_true(&self, type_: &str) -> bool {
        self.type_ == type_ && self.status == "True"
    }

    /// The time since when it is true, if it is of this type and true.
    pub(crate) fn true_since(&self, type_: &str) -> Option<Timestamp> {
        let since = self.last_transition_time.as_ref();
        since.filter(|_| self.is_true(type_)).map(|time| time.0)
    }
}
