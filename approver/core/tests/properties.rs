//! Properties of every world: nothing is approved without meeting all conditions, and no Machine is spent twice.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;
#[path = "properties/simulation.rs"]
mod simulation;

use fixtures::{Asked, World, at, claim, machine, node, registered, request};
use jiff::SignedDuration;
use proptest::prelude::*;
use rcgen::SanType;
use rollcall_approver_core::{
    Contested, Feed, Reason, Request, RequestorRule, Stale, Standing, Verdict,
};
use rollcall_csr::{NODES_GROUP, NodeName, ParseError, Signer};
use simulation::{Simulation, Step};

/// One change of a world, with a word for it in failures.
type Change = (&'static str, fn(&mut World));

/// Changes after which nothing may be approved, regardless of all others.
const FATAL: &[Change] = &[
    ("approved before", |world| {
        world.request.standing = Standing::Approved(at(60));
    }),
    ("closed", |world| {
        world.request.standing = Standing::Closed;
    }),
    ("another signer", |world| {
        world.request.signer = Signer::KubeletServing;
    }),
    ("another requestor", |world| {
        world.request.requestor.username.push('x');
    }),
    ("a node as requestor", |world| {
        world.request.requestor.username = "system:node:worker-0".to_owned();
        world.request.requestor.groups = vec![NODES_GROUP.to_owned()];
    }),
    ("no bootstrapper", |world| {
        world.policy.bootstrappers.clear()
    }),
    ("a usage more", |world| {
        world.request.usages.push("server auth".to_owned());
    }),
    ("a usage less", |world| {
        world.request.usages.pop();
    }),
    ("a usage in capitals", |world| {
        world.request.usages = vec!["Digital Signature".to_owned(), "client auth".to_owned()];
    }),
    ("unreadable", |world| {
        world.request.content = Err(ParseError::BadSignature);
    }),
    ("another organization", |world| {
        world.ask(|asked| asked.organization = "system:masters".to_owned());
    }),
    ("no node", |world| {
        world.ask(|asked| asked.common_name = "worker-0".to_owned());
    }),
    ("a name in capitals", |world| {
        world.ask(|asked| asked.common_name = "system:node:WORKER-0".to_owned());
    }),
    ("a DNS name", |world| {
        world.ask(|asked| asked.names = vec![SanType::DnsName("worker-0".try_into().unwrap())]);
    }),
    ("an address", |world| {
        world.ask(|asked| asked.names = vec![SanType::IpAddress("10.0.0.1".parse().unwrap())]);
    }),
    ("made too early", |world| {
        world.request.created_at = at(-10);
    }),
    ("made too late", |world| {
        world.request.created_at = at(7200);
    }),
    ("no Machine", |world| world.owners.clear()),
    ("two Machines", |world| {
        world.owners.push(machine("m-1", "worker-0"));
    }),
    ("a bound Machine", |world| {
        world.owner().node_reference = Some(node("worker-0"));
    }),
    ("a deleting Machine", |world| world.owner().deleting = true),
    ("a failed Machine", |world| world.owner().failed = true),
    ("a Machine made later", |world| {
        world.owner().created_at = at(70);
    }),
    ("a Machine made long before", |world| {
        world.owner().created_at = at(60 - 7200);
    }),
    ("a Node", |world| world.node = Some(registered())),
    ("spent", |world| {
        world.claims = vec![claim("csr-9", 1, at(60))];
    }),
    ("a newer request", |world| {
        world.rivals = vec![Request {
            created_at: at(61),
            ..request("csr-1", "worker-0", 1)
        }];
    }),
    ("contested", |world| {
        world.policy.rules.contested = Contested::Hold;
        world.rivals = vec![Request {
            created_at: at(59),
            ..request("csr-1", "worker-0", 1)
        }];
    }),
    ("much later", |world| world.now = at(1_000_000)),
    ("an older request", |world| {
        world.policy.rules.contested = Contested::Settle;
        world.rivals = vec![Request {
            created_at: at(59),
            ..request("csr-1", "worker-0", 1)
        }];
    }),
    ("no window", |world| {
        world.policy.rules.join_window = SignedDuration::ZERO;
    }),
    ("stale", |world| {
        world.stale = Some(Stale {
            feed: Feed::Nodes,
            since: None,
        });
    }),
];

/// Changes that do not prevent an approval.
const HARMLESS: &[Change] = &[
    ("key encipherment", |world| {
        world.request.usages.push("key encipherment".to_owned());
    }),
    ("usages in another order", |world| {
        world.request.usages.reverse();
    }),
    ("another key", |world| world.ask(|asked| asked.key = 2)),
    ("another name of the object", |world| {
        world.request.name = "node-csr".to_owned();
    }),
    ("the requestor in more groups", |world| {
        world.request.requestor.groups.push("more".to_owned());
    }),
    ("no instance yet", |world| world.owner().provider_id = None),
    ("another phase", |world| world.owner().phase = None),
    ("no pool", |world| world.owner().pool = None),
    ("later", |world| world.now = at(3600)),
    ("the key once more", |world| {
        world.claims = vec![claim("csr-9", 0, at(60))];
    }),
    ("an older request, where the newest wins", |world| {
        world.policy.rules.contested = Contested::Newest;
        world.rivals = vec![Request {
            created_at: at(59),
            ..request("csr-1", "worker-0", 1)
        }];
    }),
    ("somebody else's newer request", |world| {
        let mut rival = request("csr-1", "worker-0", 1);
        rival.created_at = at(61);
        rival.requestor.username = "mallory".to_owned();
        world.rivals = vec![rival];
    }),
];

fn is_approved(world: &World) -> bool {
    matches!(world.decide().verdict(), Verdict::Approve(_))
}

#[test]
fn an_approvable_world_stands_no_fatal_change_and_every_harmless_one() {
    assert!(is_approved(&World::approvable()));
    for (label, change) in FATAL {
        let mut world = World::approvable();
        change(&mut world);
        assert!(!is_approved(&world), "{label}: {:?}", world.decide());
    }
    for (label, change) in HARMLESS {
        let mut world = World::approvable();
        change(&mut world);
        assert!(is_approved(&world), "{label}: {:?}", world.decide());
    }
}

fn changes(from: &'static [Change], most: usize) -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(prop::sample::select(from), 0..=most)
}

/// The conditions of an approval, restated independently of the code.
fn assert_grounds(world: &World) {
    let request = &world.request;
    assert_eq!(request.standing, Standing::Pending);
    assert_eq!(request.signer, Signer::KubeApiserverClientKubelet);
    let requestor = &request.requestor;
    let allowed = |rule: &RequestorRule| {
        rule.username
            .as_ref()
            .is_none_or(|name| *name == requestor.username)
            && rule
                .group
                .as_ref()
                .is_none_or(|group| requestor.groups.contains(group))
    };
    assert!(world.policy.bootstrappers.iter().any(allowed));
    let mut usages: Vec<&str> = request.usages.iter().map(String::as_str).collect();
    usages.sort_unstable();
    usages.retain(|usage| *usage != "key encipherment");
    assert_eq!(usages, ["client auth", "digital signature"]);
    let content = request.content.as_ref().unwrap();
    assert_eq!(content.subject().organization, NODES_GROUP);
    assert!(NodeName::from_username(&content.subject().common_name).is_ok());
    assert!(content.names().is_empty());
    assert_eq!(world.owners.len(), 1);
    let machine = world.owners.first().unwrap();
    assert_eq!(machine.node_reference, None);
    assert!(!machine.deleting && !machine.failed);
    let earliest = machine.created_at.checked_sub(world.policy.clock_skew);
    let latest = machine
        .created_at
        .checked_add(world.policy.rules.join_window);
    assert!(earliest.unwrap() < request.created_at && request.created_at < latest.unwrap());
    assert_eq!((&world.node, &world.stale), (&None, &None));
    let key = content.public_key().hash();
    let recent = |seconds| world.now.duration_since(seconds) < world.policy.rules.reissue_after;
    assert!(
        world.claims.iter().any(|claim| claim.key == key)
            || world.claims.iter().all(|claim| !recent(claim.approved_at))
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_approved_has_all_of_its_grounds(
        fatal in changes(FATAL, 2),
        harmless in changes(HARMLESS, 4),
        fatal_first in any::<bool>(),
    ) {
        let mut world = World::approvable();
        let order = if fatal_first { [&fatal, &harmless] } else { [&harmless, &fatal] };
        for (_, change) in order.into_iter().flatten() {
            change(&mut world);
        }
        let decision = world.decide();
        prop_assert!(decision.findings().count() > 0);
        match decision.verdict() {
            Verdict::Approve(Some(claim)) => {
                assert_grounds(&world);
                prop_assert_eq!(decision.reason(), Reason::FirstCertificate);
                prop_assert_eq!(&claim.machine, &world.owners.first().unwrap().uid);
                prop_assert_eq!(Some(claim.key), world.request.key());
            }
            Verdict::Approve(None) | Verdict::Deny | Verdict::Hold(_) | Verdict::Ignore => {
                let words: Vec<&str> = fatal.iter().chain(&harmless).map(|(word, _)| *word).collect();
                prop_assert!(decision.reason() != Reason::FirstCertificate, "{:?}", words);
            }
        }
    }

    #[test]
    fn only_a_finding_that_no_fact_takes_away_denies(
        fatal in changes(FATAL, 3),
        harmless in changes(HARMLESS, 2),
    ) {
        let mut world = World::approvable();
        for (_, change) in harmless.iter().chain(&fatal) {
            change(&mut world);
        }
        let final_ones = [
            Reason::CommonNameNotANode,
            Reason::NameReserved,
            Reason::NamesMissing,
            Reason::NamesNotAllowed,
            Reason::OrganizationNotNodes,
            Reason::RequestMalformed,
            Reason::RequestorNotSubject,
            Reason::UsagesNotAllowed,
        ];
        let decision = world.decide();
        if *decision.verdict() == Verdict::Deny {
            prop_assert!(decision.findings().any(|finding| final_ones.contains(&finding.reason)));
        }
        world.policy.deny.clear();
        prop_assert!(*world.decide().verdict() != Verdict::Deny);
    }

    #[test]
    fn requests_for_any_name_are_approved_for_its_owner(
        name in "[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?){0,3}",
        key in 0_usize..4,
    ) {
        let mut world = World::approvable();
        world.request.content = Asked::of_kubelet(&name, key).content();
        world.owners = vec![machine("m-0", &name)];
        prop_assert!(is_approved(&world));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_spends_a_machine_twice(
        steps in prop::collection::vec(any_step(), 20..60),
        max_issues in 1_usize..4,
    ) {
        let mut simulation = Simulation::new(max_issues);
        for step in steps {
            simulation.take(step);
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let request = 0_usize..simulation::REQUESTS;
    prop_oneof![
        3 => request.clone().prop_map(Step::Create),
        4 => request.clone().prop_map(Step::Deliver),
        1 => Just(Step::Relist),
        1 => request.clone().prop_map(Step::Delete),
        1 => request.clone().prop_map(Step::DenyByAnother),
        6 => request.clone().prop_map(Step::Judge),
        3 => request.clone().prop_map(Step::Land),
        4 => (request, any::<bool>()).prop_map(|(request, lost)| Step::Answer { request, lost }),
        2 => any::<bool>().prop_map(Step::Machine),
        1 => any::<bool>().prop_map(Step::Node),
        1 => Just(Step::Record),
        2 => (1_i64..200).prop_map(Step::Wait),
    ]
}

#[test]
fn the_simulation_does_approve_and_reissue() {
    let mut simulation = Simulation::new(2);
    for step in [
        Step::Machine(true),
        Step::Create(0),
        Step::Deliver(0),
        Step::Judge(0),
        Step::Land(0),
        Step::Answer {
            request: 0,
            lost: false,
        },
        Step::Wait(300),
        Step::Create(1),
        Step::Deliver(1),
        Step::Judge(1),
    ] {
        simulation.take(step);
    }
    assert_eq!(simulation.approvals(), 2);
}

#[test]
fn a_request_that_goes_before_its_machine_is_known_has_spent_it() {
    let mut simulation = Simulation::new(1);
    for step in [
        Step::Machine(true),
        Step::Create(0),
        Step::Deliver(0),
        Step::Judge(0),
        Step::Land(0),
        Step::Create(1),
        Step::Record,
        Step::Delete(0),
        Step::Deliver(0),
        Step::Machine(true),
        Step::Judge(1),
    ] {
        simulation.take(step);
    }
    assert_eq!(simulation.approvals(), 1);
}
