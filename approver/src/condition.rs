//! A condition, as most kinds of Kubernetes have them in their status, as far as it is read.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

/// A condition (Kubernetes: API conventions, "Typical status properties").
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// Which one.
    #[serde(rename = "type")]
    pub(crate) type_: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    /// Since when it has this status.
    pub(crate) last_transition_time: Option<Time>,
    /// When it was last reported; of Nodes only.
    pub(crate) last_heartbeat_time: Option<Time>,
}

impl Condition {
    /// Whether it is of this type, and true.
    pub(crate) fn is_true(&self, type_: &str) -> bool {
        self.type_ == type_ && self.status == "True"
    }

    /// Since when it is of this type, and true.
    pub(crate) fn true_since(&self, type_: &str) -> Option<Timestamp> {
        let since = self.last_transition_time.as_ref();
        since.filter(|_| self.is_true(type_)).map(|time| time.0)
    }
}
