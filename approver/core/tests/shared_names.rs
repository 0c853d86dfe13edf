//! For any Machines and Nodes: no certificate is approved for a name or an address that is not a single machine's.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;

use std::net::IpAddr;

use fixtures::{World, at, machine, node, registered, request, request_uid};
use proptest::prelude::*;
use rollcall_approver_core::{
    Address, Change, Cluster, ClusterAddresses, Feed, Machine, NameStrategy, Naming, Policy,
    ServerName, Source, Verdict,
};

/// Names that any machine may have, and some that identify one.
const GENERIC: [&str; 8] = [
    "localhost",
    "localhost.localdomain",
    "localhost6",
    "ubuntu",
    "debian.lan",
    "unassigned",
    "10.0.0.7",
    "0123456789abcdef0123456789abcdef",
];
/// Addresses that are not a single machine's, by themselves or by the cluster's own addresses.
const SHARED: [&str; 12] = [
    "169.254.0.7",
    "fe80::7",
    "169.254.169.254",
    "fd00:ec2::254",
    "168.63.129.16",
    "172.17.0.1",
    "192.168.122.1",
    "::10.0.0.1",
    "64:ff9b::7f00:1",
    "10.96.0.9",
    "192.0.2.100",
    "api.prod.example",
];
const ORDINARY: [&str; 3] = ["worker-0", "worker-1", "10.0.0.1"];
const SOURCES: [Source; 4] = [
    Source::ClusterApi,
    Source::Gardener,
    Source::Karpenter,
    Source::OpenShift,
];

fn address(kind: usize, text: &str) -> Address {
    let name = || node(text);
    match (text.parse::<IpAddr>(), kind) {
        (Ok(ip), 0) => Address::InternalIp(ip),
        (Ok(ip), 1) => Address::ExternalIp(ip),
        (Ok(_), _) if text.contains(':') => Address::InternalIp(text.parse().unwrap()),
        (_, 0) => Address::InternalDns(name()),
        (_, 1) => Address::ExternalDns(name()),
        (_, _) => Address::Hostname(name()),
    }
}

fn any_name() -> impl Strategy<Value = &'static str> {
    let all = GENERIC.iter().chain(&SHARED).chain(&ORDINARY);
    prop::sample::select(all.copied().collect::<Vec<_>>())
}

prop_compose! {
    /// A Machine with any of these names and addresses, bound or not.
    fn any_machine(index: usize)(
        source in prop::sample::select(SOURCES.to_vec()),
        listed in prop::collection::vec((0_usize..3, any_name()), 0..6),
        // A record's own 32-digit name, or an address as its name, is not shared.
        called in prop::option::of(prop::sample::select(GENERIC.into_iter().take(6).collect::<Vec<_>>())),
        bound in any::<bool>(),
        control_plane in any::<bool>(),
    ) -> Machine {
        let name = called.map_or_else(|| format!("m-{index}"), str::to_owned);
        let mut record = machine(&name, "unused");
        record.uid.0 = format!("u-{index}");
        record.source = source;
        record.provider_id = Some(format!("metal://{name}"));
        record.addresses = listed.iter().map(|(kind, one)| address(*kind, one)).collect();
        record.node_reference = bound.then(|| node("worker-0"));
        // In a control plane, the only address may be its own.
        record.control_plane = control_plane && index > 0;
        record
    }
}

/// A cluster with its own addresses.
fn cluster(machines: &[Machine]) -> Cluster {
    let mut policy = Policy::default();
    let strategies = vec![
        NameStrategy::InternalDns,
        NameStrategy::Hostname,
        NameStrategy::Template,
        NameStrategy::MachineName,
        NameStrategy::ProviderId,
    ];
    for source in SOURCES {
        let naming = Naming {
            strategies: strategies.clone(),
            templates: ["{{ instance }}", "{{ host }}"]
                .map(|template| template.parse().unwrap())
                .into(),
            guess: None,
        };
        let scope = rollcall_approver_core::Scope::new(source, "");
        policy.naming.insert(scope, naming);
    }
    let mut cluster = Cluster::new(policy, [Feed::Nodes]);
    let names = ["192.0.2.100", "api.prod.example"].map(|name| ServerName::read(name).unwrap());
    let said = ClusterAddresses {
        names: names.into(),
        services: vec!["10.96.0.0/12".parse().unwrap()],
        ..ClusterAddresses::default()
    };
    for news in [
        Change::Synced(Feed::Nodes),
        Change::ClusterAddresses("a test".to_owned(), vec![said]),
        Change::Node(node("worker-0"), registered()),
    ] {
        cluster.apply(news, at(61));
    }
    for machine in machines {
        cluster.apply(Change::Machine(Box::new(machine.clone())), at(61));
    }
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_first_certificate_is_for_a_name_of_any_machine(
        machines in (any_machine(0), any_machine(1), any_machine(2)),
        name in prop::sample::select(GENERIC.to_vec()),
    ) {
        let (a, b, c) = machines;
        let mut cluster = cluster(&[a, b, c]);
        cluster.apply(Change::Request(Box::new(request("csr-0", name, 0))), at(61));
        let decision = cluster.preview(&request_uid("csr-0"), at(61)).unwrap();
        prop_assert!(!matches!(decision.verdict(), Verdict::Approve(_)), "{:?}", decision);
    }

    #[test]
    fn no_serving_certificate_holds_what_is_no_single_machines(
        machines in (any_machine(0), any_machine(1), any_machine(2)),
        shared in prop::sample::select(SHARED.iter().chain(&GENERIC).copied().collect::<Vec<_>>()),
        ordinary in prop::sample::subsequence(ORDINARY.to_vec(), 0..=3),
    ) {
        let (mut bound, b, c) = machines;
        bound.node_reference = Some(node("worker-0"));
        let asked: Vec<&str> = ordinary.into_iter().chain([shared]).collect();
        // Its record lists all of them.
        bound.addresses.extend(asked.iter().map(|text| address(2, text)));
        let mut cluster = cluster(&[bound, b, c]);
        let (ips, dns): (Vec<&str>, Vec<&str>) =
            asked.iter().partition(|text| text.parse::<IpAddr>().is_ok());
        // The text of an ordinary address is an address, which a machine may have.
        prop_assume!(shared != "10.0.0.7");
        let mut world = World::servable();
        world.ask_for(&dns, &ips);
        cluster.apply(Change::Request(Box::new(world.request)), at(61));
        let decision = cluster.preview(&request_uid("csr-0"), at(61)).unwrap();
        prop_assert!(!matches!(decision.verdict(), Verdict::Approve(_)), "{:?}", decision);
    }

    /// A shared name does not affect others.
    #[test]
    fn shared_addresses_make_no_machine_ambiguous(
        shared in prop::sample::subsequence(SHARED.to_vec(), 0..=6),
        others in prop::sample::subsequence(SHARED.to_vec(), 0..=6),
    ) {
        let listed = |some: &[&str]| some.iter().map(|one| address(2, one)).collect();
        let (mut own, mut other) = (machine("m-0", "worker-0"), machine("m-1", "worker-1"));
        own.addresses = listed(&shared);
        own.addresses.push(Address::InternalDns(node("worker-0")));
        own.addresses.push(Address::InternalIp("10.0.0.1".parse().unwrap()));
        own.node_reference = Some(node("worker-0"));
        other.addresses = listed(&others);
        other.addresses.push(Address::InternalDns(node("worker-1")));
        let mut cluster = cluster(&[own, other]);
        cluster.apply(Change::Request(Box::new(request("csr-1", "worker-1", 1))), at(61));
        cluster.apply(Change::Request(Box::new(World::servable().request)), at(61));
        for uid in ["csr-0", "csr-1"] {
            let decision = cluster.preview(&request_uid(uid), at(61)).unwrap();
            prop_assert!(matches!(decision.verdict(), Verdict::Approve(_)), "{:?}", decision);
        }
    }
}
