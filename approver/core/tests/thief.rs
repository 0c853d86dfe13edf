//! The certificates that an attacker with a bootstrap credential gets: the table of SECURITY.md, each cell simulated.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a helper of a test may panic"
)]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;

use std::collections::{BTreeMap, BTreeSet};

use fixtures::{at, machine, node, registered, request, request_uid};
use jiff::SignedDuration;
use rollcall_approver_core::{
    Change, Claim, Cluster, Contested, Feed, Machine, MachineUid, Node, Policy, Reason, Request,
    RequestUid, Rules, Settlement, Standing, Strength, Verdict, machine_group,
};
use rollcall_csr::{KeyHash, Signer};

/// The key of the machine. The attacker has the others.
const OWN: usize = 0;

/// An event, at some seconds after the Machine was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The record gets the machine's name.
    Facts,
    /// A request with this key is made.
    Ask(usize),
}

/// The result of a scene: the number of the attacker's keys with a certificate, and the success of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    thief: usize,
    machine: bool,
}

const fn end(thief: usize, machine: bool) -> End {
    End { thief, machine }
}

/// The world, which applies the approver's decisions at once.
struct Scene {
    cluster: Cluster,
    now: i64,
    filed: usize,
    approved: BTreeSet<KeyHash>,
    own: KeyHash,
    /// True if the machine uses a token that was created for it, if that is required.
    own_token: bool,
    /// The time of the machine from its certificate to its Node.
    slow: i64,
    registers_at: Option<i64>,
}

impl Scene {
    fn new(policy: Policy, slow: i64) -> Self {
        Self {
            own_token: policy.rules.evidence == Strength::Replayable,
            cluster: Cluster::new(policy, []),
            now: 0,
            filed: 0,
            approved: BTreeSet::new(),
            own: request("any", "worker-0", OWN).key().unwrap(),
            slow,
            registers_at: None,
        }
    }

    fn happen(&mut self, event: Event) {
        let now = at(self.now);
        match event {
            Event::Facts => {
                let record = machine("m-0", "worker-0");
                self.cluster.apply(Change::Machine(Box::new(record)), now);
            }
            Event::Ask(key) => {
                self.filed = self.filed.saturating_add(1);
                let mut made = Request {
                    created_at: now,
                    ..request(&format!("csr-{:04}", self.filed), "worker-0", key)
                };
                if key == OWN && self.own_token {
                    let own = machine_group(&machine("m-0", "x").reference);
                    made.requestor.groups.push(own);
                }
                self.cluster.apply(Change::Request(Box::new(made)), now);
            }
        }
    }

    /// Judges all pending requests, and writes approvals, until there are no more.
    fn judge(&mut self) {
        let before = self.approved.len();
        self.judge_once();
        if self.approved.len() > before {
            self.judge();
        }
    }

    fn judge_once(&mut self) {
        let now = at(self.now);
        let waiting: BTreeSet<RequestUid> = self.cluster.pending().collect();
        for uid in waiting {
            let decision = self.cluster.judge(&uid, now).unwrap();
            let Verdict::Approve(Some(claim)) = decision.verdict() else {
                continue;
            };
            self.approved.insert(claim.key);
            if claim.key == self.own {
                self.registers_at = Some(self.now.saturating_add(self.slow));
            }
            let approved = Request {
                standing: Standing::Approved(now),
                ..self.cluster.request(&uid).unwrap().clone()
            };
            self.cluster.settle(&uid, Settlement::Written);
            self.cluster.apply(Change::Request(Box::new(approved)), now);
        }
    }

    fn register(&mut self) {
        let known = Node {
            created_at: at(self.now),
            ..registered()
        };
        self.cluster
            .apply(Change::Node(node("worker-0"), known), at(self.now));
    }

    /// Runs until the join window is over.
    fn play(mut self, script: &[(i64, Event)]) -> End {
        let mut script: BTreeMap<i64, Vec<Event>> =
            script
                .iter()
                .fold(BTreeMap::new(), |mut all, (when, event)| {
                    all.entry(*when).or_default().push(*event);
                    all
                });
        for now in 0..7300 {
            self.now = now;
            let events = script.remove(&now).unwrap_or_default();
            let registers = self.registers_at == Some(now);
            if registers {
                self.register();
            }
            let due = self.cluster.due(at(now));
            let news = !events.is_empty() || registers || !due.is_empty();
            for event in events {
                self.happen(event);
            }
            if news {
                self.judge();
            }
        }
        End {
            thief: self.approved.iter().filter(|key| **key != self.own).count(),
            machine: self.approved.contains(&self.own),
        }
    }
}

/// The attacker makes a request at this interval, each time with another of three keys.
fn refile(from: i64, to: i64, every: usize) -> impl Iterator<Item = (i64, Event)> {
    let times = (from..to).step_by(every);
    times
        .zip((1..=3).cycle())
        .map(|(when, key)| (when, Event::Ask(key)))
}

const FACTS: (i64, Event) = (0, Event::Facts);
const ASKS: (i64, Event) = (60, Event::Ask(OWN));

/// The columns of the table.
fn scripts() -> [Vec<(i64, Event)>; 6] {
    let first = vec![FACTS, (10, Event::Ask(1)), ASKS];
    let last = vec![FACTS, ASKS, (90, Event::Ask(1))];
    // All in one second, before the record is known.
    let many = (0..60).map(|number| (60, Event::Ask(1 + number % 3)));
    // Names decide between equal times, and requestors choose them.
    let many = std::iter::once(ASKS).chain(many);
    let many = many.chain([(61, Event::Facts)]).collect();
    let late = [ASKS, (300, Event::Facts)];
    let late_after = late.into_iter().chain(refile(65, 600, 30)).collect();
    let late_before = late.into_iter().chain(refile(31, 600, 30)).collect();
    let slow = [FACTS, ASKS]
        .into_iter()
        .chain(refile(70, 600, 30))
        .collect();
    [first, last, many, late_after, late_before, slow]
}

fn with(change: impl FnOnce(&mut Rules)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy.rules);
    policy
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, step by step")]
fn every_cell_of_the_table_in_security_md() {
    let strict = |rules: &mut Rules| rules.max_issues = 1;
    let hold = |rules: &mut Rules| rules.contested = Contested::Hold;
    let rows: [(&str, Policy, [End; 6]); 6] = [
        (
            "the defaults",
            Policy::default(),
            [
                end(1, true),
                end(0, true),
                end(0, false),
                end(0, true),
                end(3, false),
                end(0, true),
            ],
        ),
        (
            "maxIssues: 1",
            with(strict),
            [
                end(1, false),
                end(0, true),
                end(0, false),
                end(0, true),
                end(1, false),
                end(0, true),
            ],
        ),
        (
            "contested: hold",
            with(hold),
            [
                end(1, true),
                end(0, true),
                end(0, false),
                end(0, false),
                end(0, false),
                end(0, true),
            ],
        ),
        (
            "contested: hold, maxIssues: 1",
            with(|rules| {
                strict(rules);
                hold(rules);
            }),
            [
                end(1, false),
                end(0, true),
                end(0, false),
                end(0, false),
                end(0, false),
                end(0, true),
            ],
        ),
        (
            "contested: newest",
            with(|rules| rules.contested = Contested::Newest),
            [
                end(1, true),
                end(0, true),
                end(3, false),
                end(3, false),
                end(3, false),
                end(0, true),
            ],
        ),
        (
            "evidence: replayable, with a token for each machine",
            with(|rules| rules.evidence = Strength::Replayable),
            [end(0, true); 6],
        ),
    ];
    let mut wrong = Vec::new();
    for (row, policy, expected) in rows {
        let columns = [
            "first",
            "last",
            "many",
            "late",
            "late, and before it",
            "slow",
        ];
        for ((column, script), expected) in columns.into_iter().zip(scripts()).zip(expected) {
            // The machine registers at once, or, if it is slow, after two minutes.
            let slow = if column == "slow" { 120 } else { 1 };
            let seen = Scene::new(policy.clone(), slow).play(&script);
            if seen != expected {
                wrong.push(format!("{row}, {column}: {seen:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_thief_who_only_ever_refiles_gets_nothing_and_a_machine_that_loses_its_keys_joins_in_time() {
    // While the window is open.
    let late = [ASKS, (300, Event::Facts)];
    let script: Vec<_> = late.into_iter().chain(refile(30, 7300, 235)).collect();
    assert_eq!(
        Scene::new(Policy::default(), 1).play(&script),
        end(0, false)
    );
    // A machine that has a new key every five minutes, and none of the earlier ones any more. Its record is eleven
    // minutes late; it has the key of the third start, which made the last request.
    let keys = [(0, 1), (300, 2), (600, OWN)];
    let mut script: Vec<_> = keys.map(|(when, key)| (when, Event::Ask(key))).into();
    script.push((660, Event::Facts));
    let policy = Policy::default();
    let bound = policy.rules.settle_after + policy.rules.reissue_after;
    let scene = Scene::new(policy, 1);
    let last = 660 + bound.as_secs();
    script.push((last + 1, Event::Ask(2)));
    assert!(
        scene.play(&script).machine,
        "not within {bound:#} of its record"
    );
}

/// One key, very many requests: one live approval and one claim, so that a decision examines no more than before.
#[test]
fn one_key_has_one_approval_and_one_claim_however_often_it_asks() {
    let mut cluster = Cluster::new(Policy::default(), []);
    let record = machine("m-0", "worker-0");
    cluster.apply(Change::Machine(Box::new(record)), at(0));
    let template = request("any", "worker-0", 1);
    let mut judged = |number: i64, when| {
        let made = Request {
            uid: RequestUid(number.to_string()),
            name: number.to_string(),
            ..template.clone()
        };
        cluster.apply(Change::Request(Box::new(made.clone())), at(61));
        let decision = cluster.judge(&made.uid, at(when)).unwrap();
        // Another client approves it.
        let approved = Request {
            standing: Standing::Approved(at(when)),
            ..made.clone()
        };
        cluster.settle(&made.uid, Settlement::Written);
        cluster.apply(Change::Request(Box::new(approved)), at(when));
        decision.reason()
    };
    assert_eq!(judged(0, 61), Reason::FirstCertificate);
    for number in 1..2000 {
        assert_eq!(judged(number, 62), Reason::AlreadyIssued);
    }
    assert_eq!(cluster.claims_to_record(at(1_000_000)).len(), 1);
}

/// Twenty thousand Machines, each issued to one credential under the strict rule; then the requests are deleted, and the
/// approver restarts with only the record.
#[test]
fn twenty_thousand_approvals_survive_a_restart() {
    const MACHINES: usize = 20_000;
    let strict = || with(|rules| rules.max_issues = 1);
    let templates = [1, 2].map(|key| request("any", "worker-0", key));
    let machines: Vec<Machine> = (0..MACHINES)
        .map(|number| Machine {
            provider_id: None,
            ..machine(&format!("m-{number}"), "worker-0")
        })
        .collect();
    // Each Machine in turn has the name, so that requests need not be signed again.
    let approved = |cluster: &mut Cluster, machine: &Machine, key: usize| {
        cluster.apply(Change::Machine(Box::new(machine.clone())), at(0));
        let uid = request_uid(&format!("{}-{key}", machine.uid.0));
        let made = Request {
            uid: uid.clone(),
            ..templates.get(key - 1).unwrap().clone()
        };
        cluster.apply(Change::Request(Box::new(made)), at(61));
        let decision = cluster.judge(&uid, at(61)).unwrap();
        cluster.settle(&uid, Settlement::Written);
        cluster.apply(Change::RequestGone(uid), at(62));
        decision.reason()
    };
    let mut cluster = Cluster::new(strict(), [Feed::Claims]);
    cluster.apply(Change::Synced(Feed::Claims), at(0));
    let mut record: Vec<Claim> = Vec::new();
    for machine in &machines {
        assert_eq!(approved(&mut cluster, machine, 1), Reason::FirstCertificate);
        record.extend(cluster.claims_to_record(at(62)));
        cluster.apply(Change::MachineGone(machine.uid.clone()), at(63));
    }
    assert_eq!(record.len(), MACHINES);
    let mut cluster = Cluster::new(strict(), [Feed::Claims]);
    for claim in record {
        cluster.apply(Change::Claimed(claim), at(7000));
    }
    cluster.apply(Change::Synced(Feed::Claims), at(7000));
    for machine in machines.iter().step_by(10) {
        assert_eq!(approved(&mut cluster, machine, 2), Reason::AlreadyIssued);
        cluster.apply(Change::MachineGone(machine.uid.clone()), at(63));
    }
}

#[test]
fn while_claims_cannot_be_recorded_no_first_certificate_is_approved() {
    let mut cluster = Cluster::new(Policy::default(), [Feed::Claims]);
    cluster.apply(Change::Synced(Feed::Claims), at(0));
    cluster.apply(Change::Machine(Box::new(machine("m-0", "worker-0"))), at(0));
    cluster.apply(Change::Lost(Feed::Claims, at(60)), at(60));
    let made = request("csr-0", "worker-0", 1);
    cluster.apply(Change::Request(Box::new(made.clone())), at(60));
    let held = cluster.judge(&made.uid, at(61)).unwrap();
    assert_eq!(held.reason(), Reason::FactsStale);
    let why = "the record of claims could not be written for 1 s";
    assert!(held.message().contains(why), "{}", held.message());
    let woken = cluster.apply(Change::Synced(Feed::Claims), at(62));
    assert!(woken.contains(&made.uid));
    let approved = cluster.judge(&made.uid, at(62)).unwrap();
    assert_eq!(approved.reason(), Reason::FirstCertificate);
}

/// The first holder used its certificate: a request of the node itself shows it, whatever its result.
#[test]
fn nobody_else_has_a_machine_whose_certificate_is_in_use() {
    let mut cluster = Cluster::new(Policy::default(), []);
    cluster.apply(Change::Machine(Box::new(machine("m-0", "worker-0"))), at(0));
    cluster.apply(
        Change::Claimed(Claim {
            approved_at: at(0),
            key: request("any", "worker-0", OWN).key().unwrap(),
            machine: MachineUid("m-0".to_owned()),
            request: request_uid("csr-9"),
        }),
        at(0),
    );
    let long_after = SignedDuration::from_mins(20).as_secs();
    let other = Request {
        created_at: at(long_after),
        ..request("csr-1", "worker-0", 1)
    };
    cluster.apply(Change::Request(Box::new(other.clone())), at(long_after));
    let decision = cluster.preview(&other.uid, at(long_after)).unwrap();
    let reasons: Vec<Reason> = decision.findings().map(|finding| finding.reason).collect();
    assert_eq!(reasons, [Reason::FirstCertificate, Reason::Reissued]);
    let mut serving = request("csr-2", "worker-0", OWN);
    serving.signer = Signer::KubeletServing;
    serving.requestor.username = node("worker-0").username();
    serving.requestor.groups = vec!["system:nodes".to_owned()];
    cluster.apply(Change::Request(Box::new(serving.clone())), at(61));
    cluster.apply(Change::RequestGone(serving.uid), at(62));
    let decision = cluster.preview(&other.uid, at(long_after)).unwrap();
    assert_eq!(decision.reason(), Reason::AlreadyIssued);
    assert!(decision.message().contains("has used the certificate"));
}
