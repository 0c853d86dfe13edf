//! Properties of every node that makes requests for itself: it gets nothing that its one Machine does not vouch for.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    reason = "a helper of a test may panic"
)]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;

use fixtures::{Asked, World, at, machine, node, registered};
use proptest::prelude::*;
use rollcall_approver_core::{
    Address, Change, Cluster, ExtraRange, Machine, MachineUid, Node, Policy, Source, Verdict,
};

/// Names and addresses, some of which are requested and some belong to Machines.
const NAMES: [&str; 7] = [
    "worker-0",
    "worker-1",
    "kubernetes.default",
    "10.0.0.1",
    "10.0.0.2",
    "10.1.0.1",
    "127.0.0.1",
];

fn some_names() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len())
}

fn addresses(names: &[&str]) -> Vec<Address> {
    let address = |name: &&str| match name.parse() {
        Ok(ip) => Address::InternalIp(ip),
        Err(_) => Address::InternalDns(node(name)),
    };
    names.iter().map(address).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_served_name_belongs_to_the_one_machine_and_to_no_other(
        asked in some_names(),
        own in some_names(),
        others in some_names(),
        pool in any::<bool>(),
    ) {
        let mut policy = Policy::default();
        policy.serving.extra_ranges = vec![ExtraRange {
            pool: if pool { "workers" } else { "others" }.to_owned(),
            ranges: vec!["10.1.0.0/16".parse().unwrap()],
            shared: false,
        }];
        let mut world = World::servable();
        let (ips, dns): (Vec<&str>, Vec<&str>) =
            asked.iter().partition(|name| name.parse::<std::net::IpAddr>().is_ok());
        world.ask_for(&dns, &ips);
        let mut record = machine("m-0", "worker-0");
        record.addresses = addresses(&own);
        record.node_reference = Some(node("worker-0"));
        let mut other = machine("m-1", "worker-1");
        other.addresses = addresses(&others);
        let mut cluster = Cluster::new(policy, []);
        for news in [
            Change::Node(node("worker-0"), registered()),
            Change::Machine(Box::new(record)),
            Change::Machine(Box::new(other)),
            Change::Request(Box::new(world.request)),
        ] {
            cluster.apply(news, at(61));
        }
        let decision = cluster.preview(&fixtures::request_uid("csr-0"), at(61)).unwrap();
        let good = |name: &&&str| {
            let reserved = ["kubernetes.default", "127.0.0.1"].contains(*name);
            // The Node's own name is its own, regardless of its Machine's addresses; in a range of the pool, machines
            // may share an address.
            let in_range = pool && **name == "10.1.0.1";
            let own = own.contains(*name) || **name == "worker-0";
            let others = others.contains(*name);
            !reserved && ((own && !others) || (in_range && (own || !others)))
        };
        let all_good = !asked.is_empty() && asked.iter().filter(good).count() == asked.len();
        prop_assert_eq!(*decision.verdict() == Verdict::Approve(None), all_good, "{:?}", decision);
    }

    #[test]
    fn a_renewal_has_all_of_its_grounds(
        subject in 0_usize..2, requestor in 0_usize..2, bound in prop::option::of(0_usize..2),
        registered_too in any::<bool>(), deleting in any::<bool>(), failed in any::<bool>(),
        member in any::<bool>(), twice in any::<bool>(),
    ) {
        let name = |index: usize| if index == 0 { "worker-0" } else { "worker-1" };
        let mut world = World::renewable();
        world.request.content = Asked::of_kubelet(name(subject), 0).content();
        world.request.requestor.username = node(name(requestor)).username();
        if !member {
            world.request.requestor.groups.clear();
        }
        let mut record = machine("m-0", "worker-0");
        record.node_reference = bound.map(|index| node(name(index)));
        record.deleting = deleting;
        record.failed = failed;
        let mut cluster = Cluster::new(Policy::default(), []);
        if twice {
            let other = Machine { uid: MachineUid("m-1".to_owned()), ..record.clone() };
            cluster.apply(Change::Machine(Box::new(other)), at(61));
        }
        cluster.apply(Change::Machine(Box::new(record)), at(61));
        if registered_too {
            cluster.apply(Change::Node(node(name(subject)), registered()), at(61));
        }
        cluster.apply(Change::Request(Box::new(world.request)), at(61));
        let decision = cluster.preview(&fixtures::request_uid("csr-0"), at(61)).unwrap();
        let good = subject == requestor && bound == Some(subject) && registered_too && member
            && !deleting && !failed && !twice;
        prop_assert_eq!(*decision.verdict() == Verdict::Approve(None), good, "{:?}", decision);
    }
}

/// Signs of life of a Node, each this many seconds ago.
#[derive(Clone, Copy, Debug)]
struct Signs {
    ready: bool,
    since: Option<i64>,
    heartbeat: Option<i64>,
    lease: Option<i64>,
}

fn signs() -> impl Strategy<Value = Signs> {
    let ago = || prop::option::of(prop_oneof![0..660_i64, 590..610_i64, 3_000..9_000_i64]);
    (any::<bool>(), ago(), ago(), ago()).prop_map(|(ready, since, heartbeat, lease)| Signs {
        ready,
        since,
        heartbeat,
        lease,
    })
}

/// A Machine with this name, or another one.
#[derive(Clone, Copy, Debug)]
struct Record {
    source: usize,
    instance: Option<usize>,
    name: usize,
    bound: bool,
    made: i64,
    gets_nothing: bool,
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (
        0..3_usize,
        prop::option::of(0..3_usize),
        0..2_usize,
        prop::bool::weighted(0.2),
        prop_oneof![Just(0_i64), Just(-50_000_i64)],
        prop::bool::weighted(0.2),
    );
    let record = record.prop_map(
        |(source, instance, name, bound, made, gets_nothing)| Record {
            source,
            instance,
            name,
            bound,
            made,
            gets_nothing,
        },
    );
    prop::collection::vec(record, 1..4)
}

const SOURCES: [Source; 3] = [
    Source::OpenShift,
    Source::ClusterApi,
    Source::ExpectedMachine,
];

fn instance(number: usize) -> String {
    format!("aws:///eu-west-1a/i-{number}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn nobody_becomes_a_node_that_was_alive_within_minutes(
        signs in signs(),
        node_instance in prop::option::of(0..3_usize),
        records in records(),
    ) {
        const NOW: i64 = 61;
        let ago = |seconds: Option<i64>| seconds.map(|seconds| at(NOW - seconds));
        let policy = Policy { replace_leftover_nodes: true, ..Policy::default() };
        let mut cluster = Cluster::new(policy, []).with_node_leases();
        let left = Node {
            created_at: at(-10_000),
            ready: signs.ready,
            ready_since: ago(signs.since),
            last_heartbeat: ago(signs.heartbeat),
            provider_id: node_instance.map(instance),
            ..registered()
        };
        cluster.apply(Change::Node(node("worker-0"), left), at(0));
        for (number, record) in records.iter().enumerate() {
            let mut machine = machine(&format!("m-{number}"), &format!("worker-{}", record.name));
            machine.source = SOURCES[record.source];
            machine.provider_id = record.instance.map(instance);
            machine.created_at = at(record.made);
            machine.failed = record.gets_nothing;
            machine.node_reference = record.bound.then(|| node("worker-0"));
            cluster.apply(Change::Machine(Box::new(machine)), at(0));
        }
        let request = World::approvable().request;
        cluster.apply(Change::Request(Box::new(request)), at(NOW));
        let lease = Change::NodeLease(node("worker-0"), Ok(ago(signs.lease)));
        cluster.apply(lease, at(NOW));
        let decision = cluster.preview(&fixtures::request_uid("csr-0"), at(NOW)).unwrap();
        let approved = matches!(decision.verdict(), Verdict::Approve(_));
        let lately = |seconds: Option<i64>| seconds.is_some_and(|seconds| seconds < 600);
        let alive = signs.ready || lately(signs.since) || lately(signs.heartbeat) || lately(signs.lease);
        prop_assert!(!(approved && alive), "{:?}", decision);
        // It is a record's own Node, for any requestor.
        let own = records.iter().any(|record| record.bound || (record.instance.is_some() && record.instance == node_instance));
        prop_assert!(!(approved && own), "{:?}", decision);
    }
}
