//! Names under which no node may serve, and names that only look like them.

use Reason::*;
use rollcall_csr::NodeName;

use super::*;
use crate::Address;
use crate::fixtures::{World, node};

fn name(text: &str) -> ServerName {
    ServerName::read(text).unwrap()
}

/// What a request asks for, and whether that is reserved.
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
        "api.example.com",
        "API.example.com.",
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
        "192.0.2.100",
    ] {
        let own = Address::InternalIp(text.parse().unwrap());
        let seen = verdict_of(&[], &[text], &[own]);
        assert_eq!(seen, ("deny", vec![NameReserved]), "{text}");
    }
    // No Machine can have these, so they are not the Machine's either.
    for text in ["*", "*.example.com", "a.*.com", "192.0.2.100"] {
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
    for text in ["128.0.0.1", "::2", "192.0.2.101", "fe80::1"] {
        let own = Address::InternalIp(text.parse().unwrap());
        let seen = verdict_of(&[], &[text], &[own]);
        assert_eq!(seen, ("approve", vec![ServingCertificate]), "{text}");
    }
}
