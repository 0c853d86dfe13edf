//! Several requests for one pending Machine: which of them wins.

use Reason::*;
use rcgen::SanType;

use super::*;
use crate::fixtures::{Asked, Case, at, check, claim, request};
use crate::{Contested as WhenContested, DenyClass, Standing};

/// A rival that is as good as the request itself, made so many seconds after the Machine.
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

#[test]
fn of_several_plausible_requests_the_newest_wins() {
    check(RIVALS);
}
