//! Several sources of Machines: one that is down does not delay the others, and a machine with records in two of them is
//! one machine, which is spent once.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;

use std::collections::HashSet;

use fixtures::{World, at, claim, machine, node, reasons, registered, request, request_uid};
use jiff::Timestamp;
use rollcall_approver_core::{
    Address, Change, Claim, Cluster, Feed, JoinKey, Machine, MachineUid, Policy, Reason, Request,
    Scope, Settlement, Source, Standing, Vouching,
};

const APPROVED: (&str, &[Reason]) = ("approve", &[Reason::FirstCertificate]);

fn feed(source: Source) -> Feed {
    Feed::Machines(Scope::new(source, ""))
}

/// A cluster with two sources, of which only OpenShift is live; all other feeds are.
fn cluster() -> Cluster {
    let feeds = [
        Feed::Nodes,
        feed(Source::OpenShift),
        feed(Source::ClusterApi),
    ];
    let mut cluster = Cluster::new(Policy::default(), feeds);
    tell(&mut cluster, Change::Synced(Feed::Nodes), 0);
    tell(&mut cluster, Change::Synced(feed(Source::OpenShift)), 0);
    cluster
}

/// The same, with Cluster API live too and records of the machine `worker-0` in both.
fn mirrored() -> Cluster {
    let mut cluster = cluster();
    tell(&mut cluster, Change::Synced(feed(Source::ClusterApi)), 0);
    put(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, of_cluster_api("c-0", "worker-0"));
    cluster
}

fn tell(cluster: &mut Cluster, change: Change, seconds: i64) -> Vec<String> {
    let woken = cluster.apply(change, at(seconds)).into_iter();
    woken.map(|uid| uid.0).collect()
}

fn put(cluster: &mut Cluster, machine: Machine) -> Vec<String> {
    tell(cluster, Change::Machine(Box::new(machine)), 60)
}

fn ask(cluster: &mut Cluster, request: Request) -> Vec<String> {
    tell(cluster, Change::Request(Box::new(request)), 60)
}

/// A Machine of Cluster API, with the same instance as every Machine of the fixtures.
fn of_cluster_api(uid: &str, internal_dns: &str) -> Machine {
    Machine {
        source: Source::ClusterApi,
        ..machine(uid, internal_dns)
    }
}

#[track_caller]
fn assert_judged(cluster: &mut Cluster, name: &str, now: Timestamp, expected: (&str, &[Reason])) {
    let decision = cluster.judge(&request_uid(name), now).unwrap();
    let seen = (decision.verdict().as_str(), reasons(&decision));
    let expected = (expected.0, expected.1.to_vec());
    assert_eq!(seen, expected, "{name} at {now}: {decision:?}");
}

#[test]
fn a_source_that_was_never_there_holds_only_what_it_alone_could_vouch_for() {
    let mut cluster = cluster();
    let other = Machine {
        provider_id: None,
        ..of_cluster_api("c-1", "worker-1")
    };
    ask(&mut cluster, request("csr-0", "worker-0", 0));
    ask(&mut cluster, request("csr-1", "worker-1", 1));
    // Pending requests are woken at once, and only once, when the source is unavailable.
    let lost = || Change::Lost(feed(Source::ClusterApi), at(60));
    assert_eq!(tell(&mut cluster, lost(), 60), ["csr-0", "csr-1"]);
    assert!(tell(&mut cluster, lost(), 61).is_empty());
    put(&mut cluster, machine("m-0", "worker-0"));
    assert_judged(&mut cluster, "csr-0", at(62), APPROVED);
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    let unknown = ("hold", &[Reason::FactsStale, Reason::MachineNotFound][..]);
    assert_judged(&mut cluster, "csr-1", at(62), unknown);
    let decision = cluster.preview(&request_uid("csr-1"), at(62)).unwrap();
    assert!(decision.message().contains("machines (clusterAPI)"));
    // It becomes available: the requests that waited for it are judged again.
    put(&mut cluster, other);
    let woken = tell(&mut cluster, Change::Synced(feed(Source::ClusterApi)), 63);
    assert_eq!(woken, ["csr-1"]);
    assert_judged(&mut cluster, "csr-1", at(63), APPROVED);
}

#[test]
fn a_source_that_was_lost_vouches_no_longer_and_is_still_remembered() {
    let mut cluster = mirrored();
    let apart = |uid: &str, name: &str| Machine {
        provider_id: Some(format!("aws:///eu-west-1a/{uid}")),
        ..of_cluster_api(uid, name)
    };
    put(&mut cluster, apart("c-1", "worker-1"));
    put(&mut cluster, apart("c-2", "worker-2"));
    let another = Machine {
        provider_id: None,
        ..machine("m-2", "worker-2")
    };
    put(&mut cluster, another);
    tell(
        &mut cluster,
        Change::Lost(feed(Source::ClusterApi), at(60)),
        60,
    );
    for index in 0..4 {
        let name = format!("worker-{index}");
        ask(&mut cluster, request(&format!("csr-{index}"), &name, index));
    }
    // Facts still count for a while.
    let preview = |cluster: &Cluster, name: &str, now| {
        let decision = cluster.preview(&request_uid(name), at(now)).unwrap();
        (decision.verdict().as_str(), reasons(&decision))
    };
    assert_eq!(preview(&cluster, "csr-1", 120).0, "approve");
    // Then: the live source still vouches for its own Machines; Machines that only the lost one knows are held; a
    // conflict is still found.
    assert_eq!(preview(&cluster, "csr-0", 121).0, "approve");
    assert_eq!(
        preview(&cluster, "csr-1", 121),
        ("hold", vec![Reason::FactsStale])
    );
    let (verdict, seen) = preview(&cluster, "csr-2", 121);
    assert!(verdict == "hold" && seen.contains(&Reason::MachineAmbiguous));
    assert_eq!(
        preview(&cluster, "csr-3", 121),
        ("hold", vec![Reason::FactsStale, Reason::MachineNotFound])
    );
}

#[test]
fn claims_outlive_a_source_that_is_down_after_a_restart() {
    let mut cluster = cluster();
    let spent = Claim {
        machine: MachineUid("c-0".to_owned()),
        ..claim("csr-9", 1, at(60))
    };
    tell(&mut cluster, Change::Claimed(spent), 60);
    tell(
        &mut cluster,
        Change::Lost(feed(Source::ClusterApi), at(60)),
        60,
    );
    cluster.forget_claims_of_gone_machines();
    put(&mut cluster, of_cluster_api("c-0", "worker-0"));
    tell(&mut cluster, Change::Synced(feed(Source::ClusterApi)), 61);
    ask(&mut cluster, request("csr-0", "worker-0", 0));
    assert_judged(
        &mut cluster,
        "csr-0",
        at(62),
        ("hold", &[Reason::AlreadyIssued]),
    );
}

#[test]
fn one_machine_known_to_two_sources_is_no_ambiguity() {
    let mut cluster = mirrored();
    assert_eq!(
        ask(&mut cluster, request("csr-0", "worker-0", 0)),
        ["csr-0"]
    );
    assert_judged(&mut cluster, "csr-0", at(62), APPROVED);
}

#[test]
fn two_machines_that_claim_one_name_are_ambiguous() {
    let elsewhere = Some("aws:///eu-west-1a/i-1".to_owned());
    for other in [
        // Another instance, no instance at all, and another record of the same source.
        Machine {
            provider_id: elsewhere,
            ..of_cluster_api("c-1", "worker-1")
        },
        Machine {
            provider_id: None,
            ..of_cluster_api("c-1", "worker-1")
        },
        machine("m-2", "worker-1"),
    ] {
        let mut cluster = mirrored();
        put(&mut cluster, machine("m-1", "worker-1"));
        put(&mut cluster, other);
        ask(&mut cluster, request("csr-0", "worker-1", 0));
        assert_judged(
            &mut cluster,
            "csr-0",
            at(62),
            ("hold", &[Reason::MachineAmbiguous]),
        );
    }
}

#[test]
fn a_machine_is_spent_whichever_record_of_it_was() {
    let mut cluster = mirrored();
    // The other source has another name for it.
    put(&mut cluster, of_cluster_api("c-0", "worker-0.example.com"));
    ask(&mut cluster, request("csr-0", "worker-0", 0));
    ask(&mut cluster, request("csr-1", "worker-0.example.com", 1));
    assert_judged(&mut cluster, "csr-0", at(62), APPROVED);
    let spent = ("hold", &[Reason::AlreadyIssued][..]);
    assert_judged(&mut cluster, "csr-1", at(62), spent);
    cluster.settle(&request_uid("csr-0"), Settlement::Written);
    assert_judged(&mut cluster, "csr-1", at(62), spent);
    // Recorded claims count whichever source is synced first after a restart.
    let recorded = cluster.claims_to_record(at(1000)).into_iter();
    let recorded: HashSet<MachineUid> = recorded.map(|claim| claim.machine).collect();
    let both = ["c-0", "m-0"].map(|uid| MachineUid(uid.to_owned()));
    assert_eq!(recorded, both.into());
}

#[test]
fn each_record_of_a_machine_speaks_against_it_and_one_is_enough_to_expect_it() {
    type Case = (fn(&mut Machine), (&'static str, &'static [Reason]));
    let cases: [Case; 5] = [
        (
            |record| record.deleting = true,
            ("hold", &[Reason::MachineDeleting]),
        ),
        (
            |record| record.failed = true,
            ("hold", &[Reason::MachineFailed]),
        ),
        (
            |record| record.node_reference = Some(node("worker-0")),
            ("hold", &[Reason::MachineBound]),
        ),
        (
            |record| record.join_key = Some(JoinKey::Spki(vec![1])),
            ("hold", &[Reason::EvidenceMissing]),
        ),
        (|record| record.created_at = at(3600), APPROVED),
    ];
    for (change, expected) in cases {
        let mut cluster = mirrored();
        ask(&mut cluster, request("csr-0", "worker-0", 0));
        let mut record = of_cluster_api("c-0", "worker-0");
        change(&mut record);
        assert_eq!(put(&mut cluster, record), ["csr-0"]);
        assert_judged(&mut cluster, "csr-0", at(62), expected);
    }
}

#[test]
fn what_one_source_says_wakes_the_requests_for_the_names_of_another() {
    let mut cluster = mirrored();
    put(&mut cluster, of_cluster_api("c-0", "worker-0.example.com"));
    ask(&mut cluster, request("csr-0", "worker-0", 0));
    let mut record = of_cluster_api("c-0", "worker-0.example.com");
    record.deleting = true;
    assert_eq!(put(&mut cluster, record), ["csr-0"]);
    let gone = Change::MachineGone(MachineUid("c-0".to_owned()));
    assert_eq!(tell(&mut cluster, gone, 61), ["csr-0"]);
    assert_judged(&mut cluster, "csr-0", at(62), APPROVED);
}

#[test]
fn a_node_of_two_records_renews_and_serves_what_either_vouches_for() {
    let mut cluster = mirrored();
    for (mut record, ip) in [
        (machine("m-0", "worker-0"), "10.0.0.1"),
        (of_cluster_api("c-0", "worker-0"), "10.0.0.2"),
    ] {
        record.node_reference = Some(node("worker-0"));
        record.provider_id = None;
        let ip = Address::InternalIp(ip.parse().unwrap());
        record.addresses.push(ip);
        put(&mut cluster, record);
    }
    tell(
        &mut cluster,
        Change::Node(node("worker-0"), registered()),
        61,
    );
    let renewal = World::renewable().request;
    ask(&mut cluster, renewal);
    assert_judged(
        &mut cluster,
        "csr-0",
        at(62),
        ("approve", &[Reason::Renewal]),
    );
    let mut serving = World::servable();
    serving.ask_for(&["worker-0"], &["10.0.0.1", "10.0.0.2"]);
    let serving = Request {
        uid: request_uid("csr-1"),
        name: "csr-1".to_owned(),
        standing: Standing::Pending,
        ..serving.request
    };
    ask(&mut cluster, serving);
    let served = ("approve", &[Reason::ServingCertificate][..]);
    assert_judged(&mut cluster, "csr-1", at(62), served);
}

/// A cluster in which OpenShift's records have precedence over those of Cluster API, and both have one of a machine.
fn ranked(internal_dns: &str) -> Cluster {
    let sources = [Source::OpenShift, Source::ClusterApi];
    let sources = sources.map(|source| Scope::new(source, ""));
    let policy = Policy {
        vouching: Vouching::First(sources.to_vec()),
        ..Policy::default()
    };
    let feeds = [
        Feed::Nodes,
        feed(Source::OpenShift),
        feed(Source::ClusterApi),
    ];
    let mut cluster = Cluster::new(policy, feeds.clone());
    for feed in feeds {
        tell(&mut cluster, Change::Synced(feed), 0);
    }
    put(&mut cluster, machine("m-0", "worker-0"));
    put(&mut cluster, of_cluster_api("c-0", internal_dns));
    cluster
}

#[test]
fn a_record_that_may_not_vouch_owns_no_name_and_still_speaks_against_its_machine() {
    let mut cluster = ranked("worker-9");
    ask(&mut cluster, request("csr-9", "worker-9", 1));
    ask(&mut cluster, request("csr-0", "worker-0", 0));
    let none: (&str, &[Reason]) = ("hold", &[Reason::MachineNotFound]);
    assert_judged(&mut cluster, "csr-9", at(61), none);
    let mut failed = of_cluster_api("c-0", "worker-9");
    failed.failed = true;
    put(&mut cluster, failed);
    let failed: (&str, &[Reason]) = ("hold", &[Reason::MachineFailed]);
    assert_judged(&mut cluster, "csr-0", at(61), failed);
    put(&mut cluster, of_cluster_api("c-0", "worker-9"));
    assert_judged(&mut cluster, "csr-0", at(61), APPROVED);
}

#[test]
fn a_record_that_may_not_vouch_replaces_no_source_that_is_lost() {
    let mut cluster = ranked("worker-0");
    ask(&mut cluster, request("csr-0", "worker-0", 0));
    let lost = Change::Lost(feed(Source::OpenShift), at(60));
    tell(&mut cluster, lost, 60);
    let stale: (&str, &[Reason]) = ("hold", &[Reason::FactsStale]);
    assert_judged(&mut cluster, "csr-0", at(121), stale);
}
