//! The metrics of the mirrored Auto Scaling Groups.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Numbers of the controller that mirrors Auto Scaling Groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct AutoScaling {
    /// Rounds that failed.
    pub(crate) failures: Counter,
    /// Instances of the selected groups.
    pub(crate) instances: Gauge,
    /// The time of the last successful round, in seconds since 1970.
    pub(crate) last_success: Gauge,
}

impl AutoScaling {
    /// Exports all of them.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "auto_scaling_failures",
            "Rounds in which Auto Scaling Groups could not be mirrored",
            self.failures.clone(),
        );
        registry.register(
            "auto_scaling_instances",
            "Instances of the mirrored Auto Scaling Groups",
            self.instances.clone(),
        );
        registry.register(
            "auto_scaling_last_success_timestamp_seconds",
            "When Auto Scaling Groups were mirrored last, in seconds since 1970",
            self.last_success.clone(),
        );
    }
}
