//! The metrics: `rollcall_*`, in Prometheus text. Labels come from enums only.

mod auto_scaling;
mod feeds;

use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rollcall_approver_core::Decision;

use self::auto_scaling::AutoScaling;
use self::feeds::FeedNumbers;
pub(crate) use self::feeds::Feeds;

/// Seconds from the first observation of a request to its approval: from the milliseconds of a decision and its write to the
/// five minutes after which a kubelet without a certificate gives up.
const LATENCY_BUCKETS: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0, 300.0,
];

/// All metrics of the approver. Cheap to clone: all clones share the values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    audit_decisions: Family<AuditLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    /// Seconds from the first observation of a request to its approval.
    pub(crate) approval_seconds: Histogram,
    /// The mirrored Auto Scaling Groups.
    pub(crate) auto_scaling: AutoScaling,
    /// Writes of the record of claims that failed.
    pub(crate) claims_failures: Counter,
    config_last_reload: Gauge,
    /// 1 if the current content of the configuration file is valid.
    pub(crate) config_valid: Gauge,
    /// Pools with rules of their own that no Machine is in.
    pub(crate) empty_pools: Gauge,
    /// Events and annotations dropped because too many were waiting.
    pub(crate) events_dropped: Counter,
    feeds: FeedNumbers,
    foreign_approvals: Family<ReasonLabels, Counter>,
    /// 1 if this replica is the one that writes.
    pub(crate) leader: Gauge,
    /// The time of the last acquisition or renewal of the Lease, in seconds since 1970.
    pub(crate) lease_renewed: Gauge,
    /// Queries about instances that the cloud did not answer.
    pub(crate) look_up_failures: Counter,
    /// Machines on the roll.
    pub(crate) machines: Gauge,
    /// Pending requests.
    pub(crate) pending: Gauge,
    /// Status updates of ExpectedMachines that failed.
    pub(crate) status_failures: Counter,
    waiting: Family<DecisionLabels, Gauge>,
    /// Writes that failed.
    pub(crate) write_failures: Counter,
    registry: Arc<Registry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    verdict: &'static str,
    reason: &'static str,
}

impl DecisionLabels {
    fn of(decision: &Decision) -> Self {
        Self {
            verdict: decision.verdict().as_str(),
            reason: decision.reason().as_str(),
        }
    }
}

/// The labels under which a pending request is counted.
#[derive(Clone, Debug)]
pub(crate) struct Waiting(DecisionLabels);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuditLabels {
    verdict: &'static str,
    others: &'static str,
    agrees: &'static str,
}

impl Metrics {
    /// Creates all metrics with the value zero.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            approval_seconds: Histogram::new(LATENCY_BUCKETS),
            audit_decisions: Family::default(),
            auto_scaling: AutoScaling::default(),
            claims_failures: Counter::default(),
            config_last_reload: Gauge::default(),
            config_valid: Gauge::default(),
            decisions: Family::default(),
            empty_pools: Gauge::default(),
            events_dropped: Counter::default(),
            feeds: FeedNumbers::default(),
            foreign_approvals: Family::default(),
            leader: Gauge::default(),
            lease_renewed: Gauge::default(),
            look_up_failures: Counter::default(),
            machines: Gauge::default(),
            pending: Gauge::default(),
            status_failures: Counter::default(),
            waiting: Family::default(),
            write_failures: Counter::default(),
            registry: Arc::default(),
        };
        // The approver does not start with an invalid configuration.
        metrics.config_valid.set(1);
        let mut registry = Registry::with_prefix("rollcall");
        metrics.register_counts(&mut registry);
        metrics.register_state(&mut registry);
        metrics.auto_scaling.register(&mut registry);
        metrics.feeds.register(&mut registry);
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }

    /// Registers the counters.
    fn register_counts(&self, registry: &mut Registry) {
        registry.register(
            "approval_seconds",
            "Seconds from the moment that a request is seen to its approval",
            self.approval_seconds.clone(),
        );
        registry.register(
            "audit_decisions",
            "Requests that others decided, or left until they were deleted, in mode audit",
            self.audit_decisions.clone(),
        );
        registry.register(
            "claims_failures",
            "Writes of the record of claims that failed",
            self.claims_failures.clone(),
        );
        registry.register(
            "decisions",
            "Decisions, each change of one counted",
            self.decisions.clone(),
        );
        registry.register(
            "events_dropped",
            "Events and annotations left out because too many were waiting",
            self.events_dropped.clone(),
        );
        registry.register(
            "foreign_approvals",
            "Requests that somebody else approved while policy held them",
            self.foreign_approvals.clone(),
        );
        registry.register(
            "look_up_failures",
            "Questions about instances that the cloud did not answer",
            self.look_up_failures.clone(),
        );
        registry.register(
            "status_failures",
            "Writes of the status of an ExpectedMachine that failed",
            self.status_failures.clone(),
        );
        registry.register(
            "write_failures",
            "Approvals and denials that could not be written",
            self.write_failures.clone(),
        );
    }

    /// Registers the gauges of the current state.
    fn register_state(&self, registry: &mut Registry) {
        registry.register(
            "config_last_reload_timestamp_seconds",
            "When the configuration in force was taken over, in seconds since 1970",
            self.config_last_reload.clone(),
        );
        registry.register(
            "config_valid",
            "Whether what the configuration file holds is valid; if not, the one before stays in force",
            self.config_valid.clone(),
        );
        registry.register(
            "empty_pools",
            "Pools that the configuration names and no Machine is in",
            self.empty_pools.clone(),
        );
        registry.register(
            "leader",
            "Whether this replica is the one that writes",
            self.leader.clone(),
        );
        registry.register(
            "lease_renewed_timestamp_seconds",
            "When this replica last took or renewed the Lease, in seconds since 1970",
            self.lease_renewed.clone(),
        );
        registry.register("machines", "Machines on the roll", self.machines.clone());
        registry.register(
            "pending_requests",
            "Requests that wait",
            self.pending.clone(),
        );
        registry.register(
            "waiting_requests",
            "Requests that wait, by what was decided of them last",
            self.waiting.clone(),
        );
    }

    /// Counts a decision.
    pub(crate) fn decided(&self, decision: &Decision) {
        self.decisions
            .get_or_create(&DecisionLabels::of(decision))
            .inc();
    }

    /// Counts a pending request with this decision.
    pub(crate) fn waits(&self, decision: &Decision) -> Waiting {
        let labels = DecisionLabels::of(decision);
        self.waiting.get_or_create(&labels).inc();
        Waiting(labels)
    }

    /// Removes a request from the count of pending ones.
    pub(crate) fn waits_no_more(&self, counted: Option<&Waiting>) {
        if let Some(Waiting(labels)) = counted {
            self.waiting.get_or_create(labels).dec();
        }
    }

    /// Counts an approval by another approver of a request that Rollcall decided otherwise.
    pub(crate) fn approved_by_others(&self, decision: &Decision) {
        let reason = decision.reason().as_str();
        self.foreign_approvals
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }

    /// Counts the decision of others on a request, together with the decision that Rollcall would have made.
    pub(crate) fn audited(&self, verdict: &'static str, others: &'static str, agrees: bool) {
        let labels = AuditLabels {
            verdict,
            others,
            agrees: if agrees { "true" } else { "false" },
        };
        self.audit_decisions.get_or_create(&labels).inc();
    }

    /// Records that a configuration was applied.
    pub(crate) fn config_taken_over(&self, at: Timestamp) {
        self.config_last_reload.set(at.as_second());
    }

    /// All metrics, in OpenMetrics text.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
