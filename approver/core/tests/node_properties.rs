//! What holds for every node that asks for itself: it gets nothing that its one Machine does not vouch for.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;

use fixtures::{Asked, World, at, machine, node, registered};
use proptest::prelude::*;
use rollcall_approver_core::{
    Address, Change, Cluster, ExtraRange, Machine, MachineUid, Policy, Verdict,
};

/// Names and addresses of which a request asks for some and Machines have some.
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
            let allowed = own.contains(*name) || (pool && **name == "10.1.0.1");
            allowed && !reserved && !others.contains(*name)
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
