//! What mode `audit` finds out: where Rollcall would have decided otherwise than others did.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rollcall_approver_core::{Decision, Request, RequestUid, Verdict};
use serde::Serialize;
use tracing::{debug, warn};

use crate::convert::{Target, shorten};
use crate::metrics::Metrics;

/// How many differences are kept to be read: the newest ones. At most about 3 KiB each, so less than a megabyte.
const LAST: usize = 256;
/// How many nodes are kept that no Machine knows: far more than a cluster has.
const UNKNOWN: usize = 10_000;
/// Of how many pending requests it is kept what would have been done; what is more is judged when others decide.
const KEPT: usize = 10_000;

/// What others did with a request.
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
    /// The word for it in logs, metrics and the report.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Left => "left",
        }
    }

    /// Whether Rollcall would have done the same.
    fn agrees_with(self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Approve(_) => self == Self::Approved,
            Verdict::Deny => self == Self::Denied,
            Verdict::Hold(_) | Verdict::Ignore => self == Self::Left,
        }
    }
}

/// What others did, and what they gave as the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Theirs {
    decision: Others,
    reason: String,
    message: String,
}

impl Theirs {
    /// What stands in the conditions of a request.
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

    /// Nobody decided.
    pub(crate) fn left() -> Self {
        Self {
            decision: Others::Left,
            reason: String::new(),
            message: String::new(),
        }
    }
}

/// What Rollcall would have done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Ours {
    verdict: &'static str,
    reason: &'static str,
    message: String,
}

/// One request that Rollcall would not have decided as others did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Difference {
    /// When it was seen.
    at: Timestamp,
    csr: String,
    signer: &'static str,
    requestor: String,
    node: String,
    machine: Option<String>,
    others: Theirs,
    rollcall: Ours,
}

/// How many requests went one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Count {
    verdict: &'static str,
    others: Others,
    agrees: bool,
    count: u64,
}

/// A node that others let in, or had renew, while no Machine knew it: `expect --from-audit` adopts such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Unknown {
    node: String,
    /// The request that was approved last, when that was seen, and what Rollcall would have held it for.
    csr: String,
    at: Timestamp,
    reason: &'static str,
    /// How many were approved.
    count: u64,
}

/// What is told of an audit. Names and order of the fields are a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Since when every watch has been complete.
    since: Timestamp,
    agreements: u64,
    differences: u64,
    /// Every way that requests went.
    decisions: Vec<Count>,
    /// The newest differences, the newest last.
    last: Vec<Difference>,
    /// The nodes that others approved while no Machine knew them.
    unknown: Vec<Unknown>,
}

/// What was found out so far.
#[derive(Debug, Default)]
struct Findings {
    since: Option<Timestamp>,
    counts: BTreeMap<(&'static str, Others, bool), u64>,
    last: VecDeque<Difference>,
    kept: HashMap<RequestUid, Decision>,
    unknown: BTreeMap<String, Unknown>,
}

impl Findings {
    /// Remembers a node that others let in though no Machine knows it.
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

/// The audit. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audit(Arc<Mutex<Findings>>);

impl Audit {
    /// Decisions of others count from here on.
    pub(crate) fn begin(&self, now: Timestamp) {
        self.findings().since.get_or_insert(now);
    }

    /// Keeps a decision on a pending request, if it is one that cannot be taken back: this is what would have been done,
    /// whatever happens later.
    pub(crate) fn keep(&self, uid: &RequestUid, decision: &Decision) {
        let mut findings = self.findings();
        let is_final = matches!(decision.verdict(), Verdict::Approve(_) | Verdict::Deny);
        if is_final && findings.kept.len() < KEPT {
            let decision = || decision.clone();
            findings.kept.entry(uid.clone()).or_insert_with(decision);
        }
    }

    /// Compares what others did with what Rollcall would have done: what was kept, else the decision of this moment.
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

    /// The report; none when nothing was audited.
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

    /// A panic elsewhere leaves the findings as true as they were.
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
    /// Both sides on one line. What others wrote stands in fields only, where it is quoted.
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
