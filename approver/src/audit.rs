//! The results of mode `audit`: the decisions of Rollcall that differ from those of other approvers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rollcall_approver_core::{Decision, Request, RequestUid, Verdict};
use serde::Serialize;
use tracing::{debug, warn};

use crate::convert::{Target, shorten};
use crate::metrics::Metrics;

/// The number of differences that are kept: the newest ones. At most about 3 KiB each, so less than a megabyte.
const LAST: usize = 256;
/// The number of nodes without a Machine that are kept: far more than a cluster has.
const UNKNOWN: usize = 10_000;
/// The number of pending requests with a kept decision; further ones are decided when others decide them.
const KEPT: usize = 10_000;

/// The action of others on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Others {
    /// They approved it.
    Approved,
    /// They denied it, or it failed.
    Denied,
    /// They left it pending until it was deleted.
    Left,
}

impl Others {
    /// The word in logs, metrics and the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Left => "left",
        }
    }

    /// Returns true if Rollcall would have done the same.
    fn agrees_with(self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Approve(_) => self == Self::Approved,
            Verdict::Deny => self == Self::Denied,
            Verdict::Hold(_) | Verdict::Ignore => self == Self::Left,
        }
    }
}

/// The action of others, and the reason that they gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Theirs {
    decision: Others,
    reason: String,
    message: String,
}

impl Theirs {
    /// Reads it from the conditions of a request.
    pub(crate) fn of(target: &Target) -> Self {
        let Some(condition) = target.decided() else {
            return Self::left();
        };
        let decision = match condition.type_.as_str() {
            "Approved" => Others::Approved,
            _ => Others::Denied,
        };
        let text = |text: &Option<String>| shorten(text.as_deref().unwrap_or_default());
        Self {
            decision,
            reason: text(&condition.reason),
            message: text(&condition.message),
        }
    }

    /// The value for a request that was never decided.
    pub(crate) fn left() -> Self {
        Self {
            decision: Others::Left,
            reason: String::new(),
            message: String::new(),
        }
    }
}

/// The decision that Rollcall would have made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Ours {
    verdict: &'static str,
    reason: &'static str,
    message: String,
}

/// One request that Rollcall would have decided differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Difference {
    /// The time at which it was seen.
    at: Timestamp,
    csr: String,
    signer: &'static str,
    requestor: String,
    node: String,
    machine: Option<String>,
    others: Theirs,
    rollcall: Ours,
}

/// The number of requests with one combination of decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Count {
    verdict: &'static str,
    others: Others,
    agrees: bool,
    count: u64,
}

/// A node that others admitted, or let renew, although it has no Machine: `expect --from-audit` adopts such nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Unknown {
    node: String,
    /// The request that was approved last, the time it was seen, and the reason for which Rollcall would have held it.
    csr: String,
    at: Timestamp,
    reason: &'static str,
    /// The number of approved requests.
    count: u64,
}

/// The report of an audit. Names and order of the fields are a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The time since when every watch has been complete.
    since: Timestamp,
    agreements: u64,
    differences: u64,
    /// Every combination of decisions that occurred.
    decisions: Vec<Count>,
    /// The newest differences, the newest last.
    last: Vec<Difference>,
    /// The nodes that others approved although they have no Machine.
    unknown: Vec<Unknown>,
}

/// The findings so far.
#[derive(Debug, Default)]
struct Findings {
    since: Option<Timestamp>,
    counts: BTreeMap<(&'static str, Others, bool), u64>,
    last: VecDeque<Difference>,
    kept: HashMap<RequestUid, Decision>,
    unknown: BTreeMap<String, Unknown>,
}

impl Findings {
    /// Records a node that others admitted although it has no Machine.
    fn note_unknown(&mut self, difference: &Difference) {
        let Difference { node, csr, at, .. } = difference;
        let known = self.unknown.contains_key(node);
        if node.is_empty() || (!known && self.unknown.len() >= UNKNOWN) {
            return;
        }
        let before = self.unknown.get(node).map_or(0, |before| before.count);
        let unknown = Unknown {
            node: node.clone(),
            csr: csr.clone(),
            at: *at,
            reason: difference.rollcall.reason,
            count: before.saturating_add(1),
        };
        self.unknown.insert(node.clone(), unknown);
    }
}

/// The audit. Cheap to clone: all clones share the findings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit(Arc<Mutex<Findings>>);

impl Audit {
    /// Starts the audit: decisions of others count from now on.
    pub(crate) fn begin(&self, now: Timestamp) {
        self.findings().since.get_or_insert(now);
    }

    /// Keeps a decision on a pending request, if it is one that cannot be taken back: this is the decision Rollcall would
    /// have made, whatever happens later.
    pub(crate) fn keep(&self, uid: &RequestUid, decision: &Decision) {
        let mut findings = self.findings();
        let is_final = matches!(decision.verdict(), Verdict::Approve(_) | Verdict::Deny);
        if is_final && findings.kept.len() < KEPT {
            let decision = || decision.clone();
            findings.kept.entry(uid.clone()).or_insert_with(decision);
        }
    }

    /// Compares the action of others with Rollcall's decision: the kept one, otherwise the decision of this moment.
    pub(crate) fn compare(
        &self,
        request: &Request,
        theirs: Theirs,
        judge: impl FnOnce() -> Decision,
        metrics: &Metrics,
        now: Timestamp,
    ) {
        let mut findings = self.findings();
        let decision = findings.kept.remove(&request.uid);
        let decision = decision.unwrap_or_else(judge);
        let agrees = theirs.decision.agrees_with(decision.verdict());
        let verdict = decision.verdict().as_str();
        metrics.audited(verdict, theirs.decision.as_str(), agrees);
        let key = (verdict, theirs.decision, agrees);
        let count = findings.counts.entry(key).or_default();
        *count = count.saturating_add(1);
        let difference = difference(request, theirs, &decision, now);
        difference.log(agrees);
        if agrees {
            return;
        }
        let held = matches!(decision.verdict(), Verdict::Hold(_)) && decision.machine().is_none();
        if held && difference.others.decision == Others::Approved {
            findings.note_unknown(&difference);
        }
        if findings.last.len() >= LAST {
            findings.last.pop_front();
        }
        findings.last.push_back(difference);
    }

    /// The report; `None` if nothing was audited.
    pub(crate) fn report(&self) -> Option<Report> {
        let findings = self.findings();
        let since = findings.since?;
        let sum = |wanted: bool| {
            let counts = findings.counts.iter();
            let counts = counts.filter(|((_, _, agrees), _)| *agrees == wanted);
            counts.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count))
        };
        let decisions = findings.counts.iter();
        let decisions = decisions.map(|(&(verdict, others, agrees), &count)| Count {
            verdict,
            others,
            agrees,
            count,
        });
        Some(Report {
            since,
            agreements: sum(true),
            differences: sum(false),
            decisions: decisions.collect(),
            last: findings.last.iter().cloned().collect(),
            unknown: findings.unknown.values().cloned().collect(),
        })
    }

    /// A panic elsewhere does not make the findings invalid.
    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn difference(
    request: &Request,
    others: Theirs,
    decision: &Decision,
    now: Timestamp,
) -> Difference {
    let node = request.node_name().map(|name| name.to_string());
    Difference {
        at: now,
        csr: request.name.clone(),
        signer: request.signer.name(),
        requestor: request.requestor.username.clone(),
        node: node.unwrap_or_default(),
        machine: decision.machine().map(ToString::to_string),
        others,
        rollcall: Ours {
            verdict: decision.verdict().as_str(),
            reason: decision.reason().as_str(),
            message: shorten(&decision.explanation()),
        },
    }
}

impl Difference {
    /// Logs both sides on one line. Text of others is only in fields, where it is quoted.
    fn log(&self, agrees: bool) {
        let (request, requestor, node) = (&self.csr, &self.requestor, &self.node);
        let (verdict, reason) = (self.rollcall.verdict, self.rollcall.reason);
        let (others, their_reason) = (self.others.decision.as_str(), &self.others.reason);
        if agrees {
            debug!(
                request,
                requestor, node, verdict, reason, others, their_reason, "agrees"
            );
        } else {
            warn!(
                request,
                requestor,
                node,
                verdict,
                reason,
                others,
                their_reason,
                their_message = self.others.message,
                "differs: {}",
                self.rollcall.message
            );
        }
    }
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
