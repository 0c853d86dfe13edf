//! Facts that arrive late, on a simulated clock: the request is held while any is missing, and approved as soon as it
//! arrives. A missing fact never denies.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test may panic"
)]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/evidence_fixtures.rs"]
mod evidence_fixtures;
#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;
#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/issuing_fixtures.rs"]
mod issuing_fixtures;

use fixtures::{World, node, reasons};
use jiff::{SignedDuration, Timestamp};
use rollcall_approver_core::{Change, Cluster, Feed, Machine, Reason, Verdict};

/// The delay of a fact.
const LATE: [SignedDuration; 3] = [
    SignedDuration::from_secs(1),
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(10),
];

/// One change that a world needs, with the expected reason while it is missing.
struct Fact {
    what: &'static str,
    /// The change that arrives in time instead, such as the record without its addresses.
    before: Option<Change>,
    news: Change,
    missing: Reason,
}

/// A request that is approved once all of these are known.
struct Late {
    world: World,
    facts: Vec<Fact>,
    approved: Reason,
}

fn machine_news(machine: &Machine) -> Change {
    Change::Machine(Box::new(machine.clone()))
}

/// The record of the world's Machine, after a change.
fn before(machine: &Machine, change: fn(&mut Machine)) -> Option<Change> {
    let mut machine = machine.clone();
    change(&mut machine);
    Some(machine_news(&machine))
}

fn first_certificate() -> Late {
    let mut world = World::approvable();
    let machine = world.owner().clone();
    let fact = |what, before, missing| Fact {
        what,
        before,
        news: machine_news(&machine),
        missing,
    };
    Late {
        facts: vec![
            fact("the Machine", None, Reason::MachineNotFound),
            fact(
                "the Machine's addresses",
                before(&machine, |machine| machine.addresses.clear()),
                Reason::MachineNotFound,
            ),
        ],
        world,
        approved: Reason::FirstCertificate,
    }
}

fn of_a_node(world: World, approved: Reason) -> Late {
    let machine = world.bound.first().unwrap().clone();
    let registered = Change::Node(node("worker-0"), world.node.clone().unwrap());
    let mut facts = vec![
        Fact {
            what: "the Node",
            before: None,
            news: registered,
            missing: Reason::NodeNotFound,
        },
        Fact {
            what: "the Machine",
            before: None,
            news: machine_news(&machine),
            missing: Reason::MachineNotFound,
        },
        Fact {
            what: "the Machine's node reference",
            before: before(&machine, |machine| machine.node_reference = None),
            news: machine_news(&machine),
            missing: Reason::MachineNotBound,
        },
    ];
    if approved == Reason::ServingCertificate {
        facts.push(Fact {
            what: "an address of the Machine",
            before: before(&machine, |machine| {
                machine.addresses.pop();
            }),
            news: machine_news(&machine),
            missing: Reason::NameNotOwned,
        });
    }
    Late {
        world,
        facts,
        approved,
    }
}

fn resume() -> Late {
    let (world, holder) = World::resumable();
    let authorities = vec![holder.issuer.authority()];
    let ca = Fact {
        what: "the kubelet CA",
        before: None,
        news: Change::KubeletCa("a test".to_owned(), authorities),
        missing: Reason::KubeletCaMissing,
    };
    let mut late = of_a_node(world, Reason::Resume);
    // The Node of a returning machine may have been deleted; then it is not waited for.
    late.facts
        .retain(|fact| fact.missing != Reason::NodeNotFound);
    late.facts.push(ca);
    late
}

fn all() -> Vec<Late> {
    vec![
        first_certificate(),
        of_a_node(World::renewable(), Reason::Renewal),
        of_a_node(World::servable(), Reason::ServingCertificate),
        resume(),
    ]
}

/// The changes for all other facts of a world, before the request is made.
fn known(late: &Late, without: &Fact, now: Timestamp) -> Cluster {
    let mut cluster = Cluster::new(late.world.policy.clone(), [Feed::Nodes]);
    cluster.apply(Change::Synced(Feed::Nodes), now);
    if let Some(node_known) = &late.world.node {
        let news = Change::Node(node("worker-0"), node_known.clone());
        cluster.apply(news, now);
    }
    for fact in &late.facts {
        cluster.apply(fact.news.clone(), now);
    }
    let absent = match (&without.before, &without.news) {
        (Some(before), _) => before.clone(),
        (None, Change::Machine(machine)) => Change::MachineGone(machine.uid.clone()),
        (None, Change::Node(name, _)) => Change::NodeGone(name.clone()),
        (None, Change::KubeletCa(source, _)) => Change::KubeletCa(source.clone(), Vec::new()),
        (None, other) => panic!("{other:?}"),
    };
    cluster.apply(absent, now);
    cluster
}

#[test]
fn a_request_waits_for_what_is_late_and_is_approved_when_it_comes() {
    for late in all() {
        for fact in &late.facts {
            for wait in LATE {
                let asked = late.world.now;
                let what = format!("{}: {} comes {wait:#} late", late.approved, fact.what);
                let mut cluster = known(&late, fact, asked);
                let request = late.world.request.clone();
                let uid = request.uid.clone();
                cluster.apply(Change::Request(Box::new(request)), asked);
                let decision = cluster.judge(&uid, asked).unwrap();
                assert!(
                    matches!(decision.verdict(), Verdict::Hold(_)),
                    "{what}: {decision:?}"
                );
                assert!(
                    reasons(&decision).contains(&fact.missing),
                    "{what}: {decision:?}"
                );

                let comes = asked.checked_add(wait).unwrap();
                let woken = cluster.apply(fact.news.clone(), comes);
                assert!(woken.contains(&uid), "{what}: nobody is woken");
                let decision = cluster.judge(&uid, comes).unwrap();
                assert!(
                    matches!(decision.verdict(), Verdict::Approve(_)),
                    "{what}: {decision:?}"
                );
                assert_eq!(decision.reason(), late.approved, "{what}");
            }
        }
    }
}

/// Any of the facts may be missing together, and every feed too.
#[test]
fn what_is_missing_denies_nothing() {
    for late in all() {
        for missing in 0_usize..1 << late.facts.len() {
            let mut cluster = Cluster::new(late.world.policy.clone(), []);
            for (index, fact) in late.facts.iter().enumerate() {
                let news = match (missing >> index & 1, &fact.before) {
                    (0, _) => Some(fact.news.clone()),
                    (_, before) => before.clone(),
                };
                if let Some(news) = news {
                    cluster.apply(news, late.world.now);
                }
            }
            let request = late.world.request.clone();
            let uid = request.uid.clone();
            cluster.apply(Change::Request(Box::new(request)), late.world.now);
            let decision = cluster.preview(&uid, late.world.now).unwrap();
            assert!(
                !matches!(decision.verdict(), Verdict::Deny | Verdict::Ignore),
                "{}: {decision:?}",
                late.approved
            );
        }
    }
}
