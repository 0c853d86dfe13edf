//! Names under which no node may serve, and names that are merely similar.

use Reason::*;
use rollcall_csr::NodeName;

use super::*;
use crate::fixtures::{World, node};
use crate::{Address, ClusterAddresses, Verdict};

fn name(text: &str) -> ServerName {
    ServerName::read(text).unwrap()
}

/// The result for requested names, to check that they are reserved.
fn verdict_of(dns: &[&str], ips: &[&str], own: &[Address]) -> (&'static str, Vec<Reason>) {
    let mut world = World::servable();
    world.policy.serving.api_servers = [name("api.example.com"), name("192.0.2.100")].into();
    world.bound().addresses = own.to_vec();
    world.ask_for(dns, ips);
    let decision = world.decide();
    let reasons = decision.findings().map(|finding| finding.reason).collect();
    (decision.verdict().as_str(), reasons)
}

#[test]
fn reserved_names_are_denied_even_when_the_machine_has_them() {
    for text in [
        "kubernetes",
        "Kubernetes.",
        "kubernetes.default",
        "kubernetes.default.svc",
        "localhost",
        "a.localhost",
        "localhost.localdomain",
        "cluster.local",
        "a.b.svc.Cluster.Local.",
        "webhook.ns.svc",
    ] {
        let own = NodeName::from_dns_name(text).unwrap();
        let seen = verdict_of(&[text], &[], &[Address::Hostname(own)]);
        assert_eq!(seen, ("deny", vec![NameReserved]), "{text}");
    }
    for text in [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
    ] {
        let own = Address::InternalIp(text.parse().unwrap());
        let seen = verdict_of(&[], &[text], &[own]);
        assert_eq!(seen, ("deny", vec![NameReserved]), "{text}");
    }
    // No Machine can have these, so they are also not the Machine's.
    for text in ["*", "*.example.com", "a.*.com"] {
        let seen = verdict_of(&[text], &[], &[]);
        assert_eq!(seen, ("deny", vec![NameReserved, NameNotOwned]), "{text}");
    }
}

#[test]
fn names_that_only_look_like_reserved_ones_are_not() {
    for text in [
        "kubernetes-0.example.com",
        "my.kubernetes.example.com",
        "notlocalhost",
        "localhost.example.com",
        "xcluster.local",
        "cluster.local.example.com",
        "svc.example.com",
        "xapi.example.com",
        "a.api.example.com",
    ] {
        let own = Address::Hostname(node(text));
        let seen = verdict_of(&[text], &[], &[own]);
        assert_eq!(seen, ("approve", vec![ServingCertificate]), "{text}");
    }
    for text in [
        "128.0.0.1",
        "2001:db8::2",
        "192.0.2.101",
        "172.18.0.2",
        "172.31.16.1",
    ] {
        let own = Address::InternalIp(text.parse().unwrap());
        let seen = verdict_of(&[], &[text], &[own]);
        assert_eq!(seen, ("approve", vec![ServingCertificate]), "{text}");
    }
}

#[test]
fn addresses_of_every_machine_are_held_whoever_lists_them() {
    for text in [
        "169.254.0.7",
        "fe80::1",
        "169.254.169.254",
        "fd00:ec2::254",
        "168.63.129.16",
        "172.17.0.1",
        "10.88.0.1",
        "192.168.122.1",
        "::10.0.0.1",
        "64:ff9b::a9fe:a9fe",
    ] {
        let own = Address::InternalIp(text.parse().unwrap());
        for own in [vec![own], Vec::new()] {
            let seen = verdict_of(&[], &[text], &own);
            assert_eq!(seen, ("hold", vec![NameShared]), "{text}");
        }
    }
    for text in ["vault.default", "dashboard.kube-system", "a.kube-public."] {
        let own = NodeName::from_dns_name(text).unwrap();
        let seen = verdict_of(&[text], &[], &[Address::InternalDns(own)]);
        assert_eq!(seen, ("hold", vec![NameShared]), "{text}");
    }
}

#[test]
fn names_that_any_machine_may_have_are_no_machines() {
    for text in ["ubuntu", "debian.lan", "0123456789abcdef0123456789abcdef"] {
        let own = Address::Hostname(node(text));
        let seen = verdict_of(&[text], &[], &[own]);
        assert_eq!(seen, ("hold", vec![NameNotOwned]), "{text}");
    }
}

/// The cluster's own addresses: a virtual address, a name, Services, and the endpoints of two API servers.
fn said() -> ClusterAddresses {
    ClusterAddresses {
        object: "Cluster fleet/prod".to_owned(),
        names: [name("192.0.2.200"), name("api.prod.example")].into(),
        endpoints: ["192.0.2.11", "192.0.2.12"]
            .map(|ip| ip.parse().unwrap())
            .into(),
        services: vec!["10.96.0.0/12".parse().unwrap()],
        domains: ["prod.local".parse().unwrap()].into(),
        ..ClusterAddresses::default()
    }
}

/// A world with these addresses in the Machine's record and in the request.
fn of_cluster(own: &[&str]) -> World {
    let mut world = World::servable();
    world.cluster_addresses = vec![said()];
    let (ips, dns): (Vec<&str>, Vec<&str>) = own
        .iter()
        .partition(|text| text.parse::<std::net::IpAddr>().is_ok());
    let ip = |text: &&str| Address::InternalIp(text.parse().unwrap());
    let dns_name = |text: &&str| Address::InternalDns(node(text));
    world.bound().addresses = ips.iter().map(ip).chain(dns.iter().map(dns_name)).collect();
    world.ask_for(&dns, &ips);
    world
}

#[test]
fn what_the_cluster_is_reached_by_is_held_and_never_denied() {
    for text in [
        "192.0.2.200",
        "api.prod.example",
        "10.96.0.1",
        "10.111.255.254",
        "a.ns.prod.local",
        "192.0.2.11",
        "192.0.2.100",
        "api.example.com",
    ] {
        let mut world = of_cluster(&[text]);
        let names = [name("192.0.2.100"), name("api.example.com")];
        world.policy.serving.api_servers = names.into();
        let decision = world.decide();
        assert_eq!(decision.verdict().as_str(), "hold", "{text}");
        assert_eq!(decision.reason(), NameShared, "{text}");
        // An adjacent address is the machine's own.
        world.cluster_addresses.clear();
        world.policy.serving.api_servers.clear();
        assert_eq!(world.decide().verdict(), &Verdict::Approve(None), "{text}");
    }
    let message = of_cluster(&["192.0.2.200"]).decide().message().to_owned();
    let said =
        "192.0.2.200 is what the API server or the ingress is reached by (Cluster fleet/prod)";
    assert!(message.contains(said), "{message}");
}

#[test]
fn a_control_plane_machine_serves_where_its_own_api_server_listens() {
    let approved = |own: &[&str], change: fn(&mut World)| {
        let mut world = of_cluster(own);
        world.bound().control_plane = true;
        change(&mut world);
        *world.decide().verdict() == Verdict::Approve(None)
    };
    // The endpoints of `kubernetes.default` are the own addresses of several machines.
    assert!(approved(&["192.0.2.11"], |_| {}));
    assert!(approved(&["192.0.2.11", "10.0.0.9"], |_| {}));
    // The Node's label suffices if the record has none, but a worker may not have the address.
    assert!(approved(&["192.0.2.11"], |world| {
        world.bound().control_plane = false;
        world.node.as_mut().unwrap().control_plane = true;
    }));
    assert!(!approved(&["192.0.2.11"], |world| {
        world.bound().control_plane = false;
    }));
    // Another record or another Node has it too.
    assert!(!approved(&["192.0.2.11"], |world| {
        let reference = world.bound().reference.clone();
        world.elsewhere.push((name("192.0.2.11"), reference));
    }));
    assert!(!approved(&["192.0.2.11"], |world| {
        world.stated.push((name("192.0.2.11"), node("worker-9")));
    }));
    // The record does not list it.
    assert!(!approved(&["192.0.2.11"], |world| world
        .bound()
        .addresses
        .clear()));
    // A virtual address is listed next to the own address of its current holder.
    assert!(!approved(&["192.0.2.11", "192.0.2.200"], |_| {}));
    // The single machine of a control plane is reached at its own, and only, address.
    assert!(approved(&["192.0.2.200"], |_| {}));
    assert!(approved(&["192.0.2.200"], |world| {
        let second = Address::InternalIp("2001:db8::1".parse().unwrap());
        let link = Address::InternalIp("169.254.0.3".parse().unwrap());
        world.bound().addresses.extend([second, link]);
    }));
    assert!(approved(&["api.prod.example"], |_| {}));
    // Addresses of Services are never a machine's.
    assert!(!approved(&["10.96.0.1"], |_| {}));
    assert!(!approved(&["a.ns.prod.local"], |_| {}));
}

#[test]
fn a_setting_allows_shared_addresses_for_a_pool() {
    let seen = |text: &str, pool: &str, range: &str, shared| {
        let mut world = of_cluster(&[text]);
        world.policy.serving.extra_ranges = vec![crate::ExtraRange {
            pool: pool.to_owned(),
            ranges: vec![range.parse().unwrap()],
            shared,
        }];
        world.decide().verdict().as_str()
    };
    for (text, range) in [
        ("169.254.0.7", "169.254.0.0/16"),
        ("fe80::1", "fe80::/10"),
        ("172.17.0.1", "172.17.0.1/32"),
        ("192.0.2.200", "192.0.2.200/32"),
        ("10.96.0.10", "10.96.0.0/16"),
        ("127.0.0.1", "127.0.0.0/8"),
    ] {
        assert_eq!(seen(text, "workers", range, true), "approve", "{text}");
        assert_ne!(seen(text, "workers", range, false), "approve", "{text}");
        assert_ne!(seen(text, "others", range, true), "approve", "{text}");
    }
    assert_eq!(
        seen("169.254.0.7", "workers", "169.254.1.0/24", true),
        "hold"
    );
}
