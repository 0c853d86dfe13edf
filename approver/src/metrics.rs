//! What is counted: `rollcall_*`, in Prometheus text. Labels come from enums only.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rollcall_approver_core::Decision;

/// Seconds from the making of a request to its approval: from a tenth of a second to the five minutes after which a
/// kubelet without a certificate gives up.
const LATENCY_BUCKETS: [f64; 11] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0, 300.0,
];

/// Every number the approver counts. Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    decisions: Family<DecisionLabels, Counter>,
    /// Seconds from the making of a request to its approval.
    pub(crate) approval_seconds: Histogram,
    /// Events left out because too many were waiting.
    pub(crate) events_dropped: Counter,
    /// Whether this replica is the one that writes.
    pub(crate) leader: Gauge,
    /// Machines on the roll.
    pub(crate) machines: Gauge,
    /// Requests that wait.
    pub(crate) pending: Gauge,
    /// Writes that failed.
    pub(crate) write_failures: Counter,
    registry: Arc<Registry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    verdict: &'static str,
    reason: &'static str,
}

impl Metrics {
    /// A registry with every number at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("rollcall");
        let decisions = Family::default();
        let approval_seconds = Histogram::new(LATENCY_BUCKETS);
        let (events_dropped, write_failures) = (Counter::default(), Counter::default());
        let (leader, machines, pending) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "decisions",
            "Decisions, each change of one counted",
            decisions.clone(),
        );
        registry.register(
            "approval_seconds",
            "Seconds from the making of a request to its approval",
            approval_seconds.clone(),
        );
        registry.register(
            "events_dropped",
            "Events left out because too many were waiting",
            events_dropped.clone(),
        );
        registry.register(
            "leader",
            "Whether this replica is the one that writes",
            leader.clone(),
        );
        registry.register("machines", "Machines on the roll", machines.clone());
        registry.register("pending_requests", "Requests that wait", pending.clone());
        registry.register(
            "write_failures",
            "Approvals and denials that could not be written",
            write_failures.clone(),
        );
        Self {
            decisions,
            approval_seconds,
            events_dropped,
            leader,
            machines,
            pending,
            write_failures,
            registry: Arc::new(registry),
        }
    }

    /// Counts a decision.
    pub(crate) fn decided(&self, decision: &Decision) {
        let labels = DecisionLabels {
            verdict: decision.verdict().as_str(),
            reason: decision.reason().as_str(),
        };
        self.decisions.get_or_create(&labels).inc();
    }

    /// Everything, in OpenMetrics text.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use rollcall_approver_core::{Facts, Policy, decide};

    use super::*;

    #[test]
    fn every_number_is_exported() {
        let metrics = Metrics::new();
        // A family is told only once it has a member.
        let object = crate::fixtures::read(&crate::fixtures::csr("csr-0", "worker-0"));
        let (request, _) = crate::convert::to_request(object).unwrap();
        let now = request.created_at;
        metrics.decided(&decide(
            &request,
            &Facts::default(),
            &Policy::default(),
            now,
        ));
        let text = metrics.text().unwrap();
        let counted = "rollcall_decisions_total{verdict=\"hold\",reason=\"MachineNotFound\"} 1";
        assert!(text.contains(counted), "{text}");
        for name in [
            "rollcall_decisions",
            "rollcall_approval_seconds",
            "rollcall_events_dropped",
            "rollcall_leader",
            "rollcall_machines",
            "rollcall_pending_requests",
            "rollcall_write_failures",
        ] {
            assert!(text.contains(&format!("# HELP {name} ")), "{name}: {text}");
        }
    }
}
