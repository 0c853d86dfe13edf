//! A small API server and the approver's view of it: the view lags behind, writes arrive late or never, responses get
//! lost. After each approval the simulation asserts that it is allowed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::LazyLock;

use jiff::Timestamp;
use rollcall_approver_core::{
    Change, Claim, Cluster, MachineUid, Policy, Request, Rules, Settlement, Standing, Verdict,
};
use rollcall_csr::{KeyHash, Signer};

use crate::fixtures::{at, machine, node, registered, request, request_uid};

/// The maximum number of requests; every other one has the same key.
pub(crate) const REQUESTS: usize = 3;

/// The requests when created, except for the time: signing each again would take most of the test's time.
static TEMPLATES: LazyLock<[Request; REQUESTS]> = LazyLock::new(|| {
    std::array::from_fn(|index| request(&name(index), "worker-0", index.checked_rem(2).unwrap()))
});

/// One event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The request is created.
    Create(usize),
    /// The watch shows the current state of the request.
    Deliver(usize),
    /// The watch shows a full list.
    Relist,
    /// Another client deletes the request.
    Delete(usize),
    /// Another client denies the request.
    DenyByAnother(usize),
    /// The approver judges the request.
    Judge(usize),
    /// A write to the request that is in progress, or whose response was lost, reaches the API server.
    Land(usize),
    /// The write in progress gets its response, or loses it.
    Answer { request: usize, lost: bool },
    /// The Machine appears or disappears in the approver's view.
    Machine(bool),
    /// The Node appears or disappears in the approver's view.
    Node(bool),
    /// The approver restarts, with its record.
    Record,
    /// Seconds pass.
    Wait(i64),
}

/// The result of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It may still reach the API server.
    Open,
    /// The request was approved.
    Landed,
    /// It can never have any effect.
    Dead,
}

#[derive(Debug)]
struct Approval {
    request: usize,
    key: KeyHash,
    given_at: Timestamp,
    end: End,
}

/// The API server's state, the approver's view, and every approval.
pub(crate) struct Simulation {
    max_issues: usize,
    seconds: i64,
    truth: BTreeMap<usize, Request>,
    made: BTreeSet<usize>,
    cluster: Cluster,
    in_flight: BTreeMap<usize, usize>,
    approvals: Vec<Approval>,
}

fn policy(max_issues: usize) -> Policy {
    let rules = Rules {
        max_issues,
        ..Rules::default()
    };
    Policy {
        rules,
        ..Policy::default()
    }
}

fn name(index: usize) -> String {
    format!("csr-{index}")
}

impl Simulation {
    /// The initial state.
    pub(crate) fn new(max_issues: usize) -> Self {
        Self {
            max_issues,
            seconds: 0,
            truth: BTreeMap::new(),
            made: BTreeSet::new(),
            cluster: Cluster::new(policy(max_issues), []),
            in_flight: BTreeMap::new(),
            approvals: Vec::new(),
        }
    }

    /// The number of approvals.
    pub(crate) fn approvals(&self) -> usize {
        self.approvals.len()
    }

    fn now(&self) -> Timestamp {
        at(self.seconds)
    }

    fn apply(&mut self, change: Change) {
        let now = self.now();
        self.cluster.apply(change, now);
    }

    /// Applies one event.
    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Create(index) => self.create(index),
            Step::Deliver(index) => self.deliver(index),
            Step::Relist => self.relist(),
            Step::Delete(index) => {
                self.can_no_longer_land(index);
                self.truth.remove(&index);
            }
            Step::DenyByAnother(index) => self.deny(index),
            Step::Judge(index) => self.judge(index),
            Step::Land(index) => self.land(index),
            Step::Answer { request, lost } => self.answer(request, lost),
            Step::Machine(true) => {
                self.apply(Change::Machine(Box::new(machine("m-0", "worker-0"))));
            }
            Step::Machine(false) => {
                self.apply(Change::MachineGone(MachineUid("m-0".to_owned())));
            }
            Step::Node(true) => self.apply(Change::Node(node("worker-0"), registered())),
            Step::Node(false) => self.apply(Change::NodeGone(node("worker-0"))),
            Step::Record => self.restart(),
            Step::Wait(seconds) => {
                self.seconds = self.seconds.saturating_add(seconds);
                self.cluster.due(at(self.seconds));
            }
        }
    }

    fn create(&mut self, index: usize) {
        // A deleted request does not return: another one has another uid.
        if self.made.insert(index) {
            let request = Request {
                created_at: self.now(),
                ..TEMPLATES.get(index).unwrap().clone()
            };
            self.truth.insert(index, request);
        }
    }

    fn deny(&mut self, index: usize) {
        self.can_no_longer_land(index);
        if let Some(request) = self.truth.get_mut(&index)
            && request.is_pending()
        {
            request.standing = Standing::Closed;
        }
    }

    /// The writes in progress to a request that is still pending will find it changed or deleted.
    fn can_no_longer_land(&mut self, index: usize) {
        if self.truth.get(&index).is_some_and(Request::is_pending) {
            let open = |one: &&mut Approval| one.request == index && one.end == End::Open;
            for approval in self.approvals.iter_mut().filter(open) {
                approval.end = End::Dead;
            }
        }
    }

    fn deliver(&mut self, index: usize) {
        match self.truth.get(&index) {
            Some(request) => self.apply(Change::Request(Box::new(request.clone()))),
            None => self.apply(Change::RequestGone(request_uid(&name(index)))),
        }
    }

    fn relist(&mut self) {
        for request in self.truth.clone().into_values() {
            self.apply(Change::Request(Box::new(request)));
        }
        let present: HashSet<_> = self.truth.values().map(|one| one.uid.clone()).collect();
        self.apply(Change::RequestList(
            Signer::KubeApiserverClientKubelet,
            present,
        ));
    }

    fn judge(&mut self, index: usize) {
        let now = self.now();
        let decision = self.cluster.judge(&request_uid(&name(index)), now);
        let Some(Verdict::Approve(Some(claim))) =
            decision.map(|decision| decision.verdict().clone())
        else {
            return;
        };
        self.assert_may_be_given(index, &claim);
        self.in_flight.insert(index, self.approvals.len());
        let pending = self.truth.get(&index).is_some_and(Request::is_pending);
        self.approvals.push(Approval {
            request: index,
            key: claim.key,
            given_at: now,
            end: if pending { End::Open } else { End::Dead },
        });
    }

    /// A key with a certificate may get it again; a new one must wait, and their number is limited.
    fn assert_may_be_given(&self, index: usize, claim: &Claim) {
        let effective = || self.approvals.iter().filter(|one| one.end != End::Dead);
        if effective().any(|one| one.key == claim.key) {
            return;
        }
        let keys: BTreeSet<KeyHash> = effective().map(|one| one.key).collect();
        assert!(
            keys.len() < self.max_issues,
            "request {index} is one too many: {:?}",
            self.approvals
        );
        for earlier in effective() {
            let passed = self.now().duration_since(earlier.given_at);
            assert!(
                passed >= policy(1).rules.reissue_after,
                "request {index} is approved {passed:#} after {earlier:?}"
            );
        }
    }

    /// The first write that reaches a pending request decides it; the guard on the resource version stops all others.
    fn land(&mut self, index: usize) {
        let now = self.now();
        let open = self
            .approvals
            .iter_mut()
            .find(|one| one.request == index && one.end == End::Open);
        if let (Some(approval), Some(request)) = (open, self.truth.get_mut(&index)) {
            if request.is_pending() {
                request.standing = Standing::Approved(now);
                approval.end = End::Landed;
            } else {
                approval.end = End::Dead;
            }
        }
    }

    fn answer(&mut self, index: usize, lost: bool) {
        let Some(position) = self.in_flight.remove(&index) else {
            return;
        };
        let approval = self.approvals.get_mut(position).unwrap();
        let settlement = match approval.end {
            _ if lost => Settlement::Unknown,
            End::Landed => Settlement::Written,
            End::Dead | End::Open => {
                // A response came and the write had not arrived: it was refused.
                approval.end = End::Dead;
                Settlement::Undone
            }
        };
        self.cluster.settle(&request_uid(&name(index)), settlement);
    }

    /// Everything in memory is lost, except the record of claims; then everything is listed again. Writes in progress
    /// end with the process, and approvals that are old or cleaned up are in the record.
    fn restart(&mut self) {
        for approval in self.approvals.iter_mut().filter(|one| one.end == End::Open) {
            approval.end = End::Dead;
        }
        self.in_flight.clear();
        self.cluster = Cluster::new(policy(self.max_issues), []);
        for approval in self.approvals.iter().filter(|one| one.end == End::Landed) {
            let gone = !self.truth.contains_key(&approval.request);
            if gone {
                let claim = Claim {
                    approved_at: approval.given_at,
                    key: approval.key,
                    machine: MachineUid("m-0".to_owned()),
                    request: request_uid(&name(approval.request)),
                };
                let now = at(self.seconds);
                self.cluster.apply(Change::Claimed(claim), now);
            }
        }
        self.relist();
    }
}
