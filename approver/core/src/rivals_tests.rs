//! Several requests for one pending Machine, and the one that wins.

use Reason::*;
use rcgen::SanType;

use super::*;
use crate::fixtures::{Asked, Case, World, at, check, check_from, claim, request};
use crate::{Contested as WhenContested, DenyClass, Standing};

/// A rival that is equal to the request, created this many seconds after the Machine.
pub(super) fn rival(made: i64, key: usize) -> Request {
    Request {
        created_at: at(made),
        ..request("csr-1", "worker-0", key)
    }
}

pub(super) const RIVALS: &[Case] = &[
    (
        "a newer one",
        |world| world.rivals = vec![rival(61, 1)],
        "hold",
        &[Superseded],
    ),
    (
        "a newer one where superseded requests are denied",
        |world| {
            world.policy.deny.push(DenyClass::Superseded);
            world.rivals = vec![rival(61, 1)];
        },
        "deny",
        &[Superseded],
    ),
    (
        "older ones with the same key, the oldest of a crowd left out",
        |world| {
            world.rivals = vec![rival(59, 0)];
            world.crowded = true;
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "older ones with the same key, the oldest of a crowd left out, where all have to wait",
        |world| {
            world.policy.rules.contested = WhenContested::Hold;
            world.rivals = vec![rival(59, 0)];
            world.crowded = true;
        },
        "hold",
        &[Contested],
    ),
    (
        "a newer one with the same key",
        |world| world.rivals = vec![rival(61, 0)],
        "hold",
        &[Superseded],
    ),
    (
        "an older one",
        |world| world.rivals = vec![rival(59, 1)],
        "approve",
        &[FirstCertificate, Contested],
    ),
    (
        "an older one with the same key",
        |world| world.rivals = vec![rival(59, 0)],
        "approve",
        &[FirstCertificate],
    ),
    (
        "an older one where all have to wait",
        |world| {
            world.policy.rules.contested = WhenContested::Hold;
            world.rivals = vec![rival(59, 1)];
        },
        "hold",
        &[Contested],
    ),
    (
        "a newer one where all have to wait",
        |world| {
            world.policy.rules.contested = WhenContested::Hold;
            world.rivals = vec![rival(61, 1)];
        },
        "hold",
        &[Superseded],
    ),
    (
        "an older one with the same key where all have to wait",
        |world| {
            world.policy.rules.contested = WhenContested::Hold;
            world.rivals = vec![rival(59, 0)];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "made in the same second, later by name",
        |world| world.rivals = vec![rival(60, 1)],
        "hold",
        &[Superseded],
    ),
    (
        "made in the same second, earlier by name",
        |world| {
            world.request.name = "csr-2".to_owned();
            world.rivals = vec![rival(60, 1)];
        },
        "approve",
        &[FirstCertificate, Contested],
    ),
    (
        "a newer one by somebody else",
        |world| {
            let mut rival = rival(61, 1);
            rival.requestor.username = "mallory".to_owned();
            world.rivals = vec![rival];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "a newer one with a usage too many",
        |world| {
            let mut rival = rival(61, 1);
            rival.usages.push("server auth".to_owned());
            world.rivals = vec![rival];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "a newer one that asks for names",
        |world| {
            let mut asked = Asked::of_kubelet("worker-0", 1);
            asked.names = vec![SanType::DnsName("kubernetes".try_into().unwrap())];
            world.rivals = vec![Request {
                content: asked.content(),
                ..rival(61, 1)
            }];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "a newer one outside the window",
        |world| world.rivals = vec![rival(2 * 3600, 1)],
        "approve",
        &[FirstCertificate],
    ),
    (
        "a newer one that a claim of this request's own key blocks",
        |world| {
            world.claims = vec![claim("csr-9", 0, at(60))];
            world.rivals = vec![rival(61, 1)];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "a newer one that was decided",
        |world| {
            world.rivals = vec![Request {
                standing: Standing::Closed,
                ..rival(61, 1)
            }]
        },
        "approve",
        &[FirstCertificate],
    ),
];

fn newest() -> World {
    let mut world = World::approvable();
    world.policy.rules.contested = WhenContested::Newest;
    world
}

#[test]
fn of_several_plausible_requests_the_newest_wins() {
    check_from(newest, RIVALS);
}

/// The default: no key wins because it came last. The request itself was created at 60 s, with key 0; it is 61 s.
const SETTLE: &[Case] = &[
    (
        "a newer one",
        |world| world.rivals = vec![rival(61, 1)],
        "hold",
        &[Contested],
    ),
    (
        "an older one",
        |world| world.rivals = vec![rival(59, 1)],
        "hold",
        &[Contested],
    ),
    (
        "a newer one with the same key",
        |world| world.rivals = vec![rival(61, 0)],
        "hold",
        &[Superseded],
    ),
    (
        "an older one with the same key",
        |world| world.rivals = vec![rival(59, 0)],
        "approve",
        &[FirstCertificate],
    ),
    (
        "a newer one, a second before all is quiet",
        |world| {
            world.rivals = vec![rival(61, 1)];
            world.now = at(61 + 239);
        },
        "hold",
        &[Contested],
    ),
    (
        "a newer one, and all is quiet: the first has its chance",
        |world| {
            world.rivals = vec![rival(61, 1)];
            world.now = at(61 + 240);
        },
        "approve",
        &[FirstCertificate, Contested],
    ),
    (
        "an older one, and all is quiet: it has its chance",
        |world| {
            world.rivals = vec![rival(59, 1)];
            world.now = at(60 + 240);
        },
        "hold",
        &[Contested],
    ),
    (
        "one of the same second, whose name its maker chose, for ever",
        |world| {
            world.rivals = vec![rival(60, 1)];
            world.now = at(3600);
        },
        "hold",
        &[Contested],
    ),
    (
        "an older one that asked with this key first",
        |world| {
            world.rivals = vec![rival(59, 1), rival(58, 0)];
            world.now = at(60 + 240);
        },
        "approve",
        &[FirstCertificate, Contested],
    ),
    (
        "the first did not use its chance: the last has it",
        |world| {
            world.claims = vec![claim("csr-9", 2, at(0))];
            world.rivals = vec![rival(59, 1)];
            world.now = at(300);
        },
        "approve",
        &[FirstCertificate, Reissued, Contested],
    ),
    (
        "the first did not use its chance: not the one before the last",
        |world| {
            world.claims = vec![claim("csr-9", 2, at(0))];
            world.rivals = vec![rival(61, 1)];
            world.now = at(301);
        },
        "hold",
        &[Contested],
    ),
    (
        "one whose key was approved before",
        |world| {
            world.claims = vec![claim("csr-9", 1, at(-600))];
            world.rivals = vec![rival(59, 1)];
            world.now = at(3600);
        },
        "hold",
        &[Contested],
    ),
    (
        "this key was approved before",
        |world| {
            world.claims = vec![claim("csr-9", 0, at(60))];
            world.rivals = vec![rival(61, 1)];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "a crowd with this key, and what is left out of it may have another",
        |world| {
            world.rivals = vec![rival(59, 0)];
            world.crowded = true;
        },
        "hold",
        &[Contested],
    ),
];

#[test]
fn no_key_wins_because_it_came_last() {
    check(SETTLE);
}

#[test]
fn what_proves_more_comes_first() {
    let machine = crate::fixtures::machine("m-0", "worker-0");
    for (own, expected) in [
        (true, &[FirstCertificate, Contested][..]),
        (false, &[Contested]),
    ] {
        let mut world = World::approvable();
        let mut other = rival(if own { 61 } else { 59 }, 1);
        let proves = if own { &mut world.request } else { &mut other };
        let group = crate::machine_group(&machine.reference);
        proves.requestor.groups.push(group);
        world.rivals = vec![other];
        assert_eq!(crate::fixtures::reasons(&world.decide()), expected, "{own}");
    }
}
