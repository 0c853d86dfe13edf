//! The choice of requests to decide, and the profile of kubelets: each rule on both sides of its boundary.

use std::collections::BTreeSet;

use Reason::*;
use rcgen::SanType;
use rollcall_csr::ParseError;

use super::first_certificate_tests::{CLAIMS, MACHINE};
use super::rivals_tests::RIVALS;
use super::*;
use crate::fixtures::{Case, World, at, check};
use crate::renewal::tests::RENEWAL;
use crate::resume::tests::PROOFS;
use crate::served::tests::SERVED;
use crate::serving::tests::SERVING;
use crate::{DenyClass, RequestorRule, Standing};

const REQUESTOR: &[Case] = &[
    ("as it is", |_| {}, "approve", &[FirstCertificate]),
    (
        "somebody else",
        |world| world.request.requestor.username = "mallory".to_owned(),
        "ignore",
        &[RequestorNotAllowed],
    ),
    (
        "a user that is called like a node",
        |world| world.request.requestor.username = "system:node:worker-0".to_owned(),
        "ignore",
        &[RequestorNotAllowed],
    ),
    (
        "a member of an allowed group",
        |world| {
            world.request.requestor.username = "system:bootstrap:abcdef".to_owned();
            world.request.requestor.groups = vec!["system:bootstrappers".to_owned()];
        },
        "approve",
        &[FirstCertificate],
    ),
    (
        "a group that only begins like the allowed one",
        |world| {
            world.request.requestor.username = "system:bootstrap:abcdef".to_owned();
            world.request.requestor.groups =
                vec!["system:bootstrappers:kubeadm:default-node-token".to_owned()];
        },
        "ignore",
        &[RequestorNotAllowed],
    ),
    (
        "nobody is allowed",
        |world| world.policy.bootstrappers.clear(),
        "ignore",
        &[RequestorNotAllowed],
    ),
    (
        "a rule with two parts of which one holds",
        |world| {
            world.policy.bootstrappers = vec![RequestorRule {
                group: Some("system:bootstrappers".to_owned()),
                ..RequestorRule::username(&world.request.requestor.username)
            }];
        },
        "ignore",
        &[RequestorNotAllowed],
    ),
    (
        "approved before",
        |world| world.request.standing = Standing::Approved(at(60)),
        "ignore",
        &[AlreadyDecided],
    ),
    (
        "denied before",
        |world| world.request.standing = Standing::Closed,
        "ignore",
        &[AlreadyDecided],
    ),
    (
        "a bootstrapper for a serving certificate",
        |world| world.request.signer = Signer::KubeletServing,
        "ignore",
        &[RequestorNotAllowed],
    ),
];

#[test]
fn a_first_certificate_is_asked_for_by_a_bootstrapper() {
    check(REQUESTOR);
}

const PROFILE: &[Case] = &[
    (
        "key encipherment too",
        |world| world.request.usages.push("key encipherment".to_owned()),
        "approve",
        &[FirstCertificate],
    ),
    (
        "usages in another order",
        |world| world.request.usages.reverse(),
        "approve",
        &[FirstCertificate],
    ),
    (
        "a usage too many",
        |world| world.request.usages.push("server auth".to_owned()),
        "deny",
        &[UsagesNotAllowed],
    ),
    (
        "a usage twice",
        |world| world.request.usages.push("client auth".to_owned()),
        "deny",
        &[UsagesNotAllowed],
    ),
    (
        "no usage",
        |world| world.request.usages.clear(),
        "deny",
        &[UsagesNotAllowed],
    ),
    (
        "another organization",
        |world| world.ask(|asked| asked.organization = "system:masters".to_owned()),
        "deny",
        &[OrganizationNotNodes],
    ),
    (
        "a user's common name",
        |world| world.ask(|asked| asked.common_name = "admin".to_owned()),
        "deny",
        &[CommonNameNotANode],
    ),
    (
        "a node name in upper case, which no Node can have",
        |world| world.ask(|asked| asked.common_name = "system:node:Worker-0".to_owned()),
        "deny",
        &[CommonNameNotANode],
    ),
    (
        "a node name with a trailing dot, which no Node can have",
        |world| world.ask(|asked| asked.common_name = "system:node:worker-0.".to_owned()),
        "deny",
        &[CommonNameNotANode],
    ),
    (
        "a DNS name",
        |world| {
            world.ask(|asked| asked.names = vec![SanType::DnsName("worker-0".try_into().unwrap())]);
        },
        "deny",
        &[NamesNotAllowed],
    ),
    (
        "an IP address",
        |world| {
            world.ask(|asked| asked.names = vec![SanType::IpAddress("10.0.0.1".parse().unwrap())]);
        },
        "deny",
        &[NamesNotAllowed],
    ),
    (
        "an e-mail address",
        |world| {
            world.ask(|asked| {
                asked.names = vec![SanType::Rfc822Name("a@example.com".try_into().unwrap())];
            });
        },
        "deny",
        &[NamesNotAllowed],
    ),
    (
        "a URI",
        |world| {
            world.ask(|asked| {
                asked.names = vec![SanType::URI("spiffe://example.com/a".try_into().unwrap())];
            });
        },
        "deny",
        &[NamesNotAllowed],
    ),
    (
        "unreadable",
        |world| world.request.content = Err(ParseError::NotPem),
        "deny",
        &[RequestMalformed],
    ),
    (
        "unreadable, with wrong usages",
        |world| {
            world.request.content = Err(ParseError::BadSignature);
            world.request.usages.clear();
        },
        "deny",
        &[RequestMalformed, UsagesNotAllowed],
    ),
    (
        "nothing in it is right",
        |world| {
            world.request.usages.clear();
            world.ask(|asked| {
                asked.organization = "system:masters".to_owned();
                asked.common_name = "admin".to_owned();
                asked.names = vec![SanType::DnsName("kubernetes".try_into().unwrap())];
            });
        },
        "deny",
        &[
            UsagesNotAllowed,
            OrganizationNotNodes,
            CommonNameNotANode,
            NamesNotAllowed,
        ],
    ),
    (
        "wrong for ever and nothing known of the machine",
        |world| {
            world.request.usages.clear();
            world.owners.clear();
        },
        "deny",
        &[UsagesNotAllowed, MachineNotFound],
    ),
    (
        "wrong, but this class is not denied",
        |world| {
            world.policy.deny = vec![DenyClass::Malformed];
            world.request.usages.clear();
        },
        "hold",
        &[UsagesNotAllowed],
    ),
    (
        "unreadable, but this class is not denied",
        |world| {
            world.policy.deny = vec![DenyClass::Profile];
            world.request.content = Err(ParseError::NotPem);
        },
        "hold",
        &[RequestMalformed],
    ),
];

#[test]
fn a_request_that_no_kubelet_makes_is_denied_where_the_policy_says_so() {
    check(PROFILE);
}

#[test]
fn a_malformed_request_names_what_is_wrong_with_it() {
    let mut world = World::approvable();
    world.request.content = Err(ParseError::SeveralCommonNames);
    assert_eq!(
        world.decide().message(),
        "the subject has more than one common name (CN) (SeveralCommonNames)"
    );
}

#[test]
fn every_reason_occurs_in_these_tables() {
    let tables = [
        REQUESTOR, PROFILE, MACHINE, CLAIMS, RIVALS, RENEWAL, SERVING, SERVED,
    ];
    let mut seen: BTreeSet<Reason> = tables
        .into_iter()
        .flatten()
        .flat_map(|(_, _, _, reasons)| reasons.iter().copied())
        .collect();
    // Used for a manual decision, or a failed write: no decision of the core has them.
    let outside = [ManualApproval, ManualDenial, WriteFailed];
    assert!(seen.is_disjoint(&BTreeSet::from(outside)));
    seen.extend(outside);
    let resumes = PROOFS.iter();
    seen.extend(resumes.flat_map(|(_, _, _, reasons)| reasons.iter().copied()));
    // Their boundaries have separate tests.
    seen.extend([NameReserved, NameTooLong, OutsideJoinWindow]);
    assert_eq!(seen, BTreeSet::from(Reason::ALL));
}
