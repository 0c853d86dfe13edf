//! The requirements of a pending Machine or its pool, and the evidence that meets them.

use rcgen::PublicKeyData as _;

use Reason::*;

use super::*;
use crate::evidence_fixtures::{Holder, show};
use crate::fixtures::{World, at, claim, machine, reasons, request};
use crate::issuing_fixtures::midnight;
use crate::{Claim, Contested, Rules};

/// A first certificate of the 18th, for a Machine of the 9th in a pool that requires this.
fn world(evidence: Strength) -> (World, Holder) {
    let holder = Holder::new();
    let mut world = World::approvable();
    world.owner().created_at = midnight(9);
    world.policy.rules.join_window = SignedDuration::from_hours(24 * 20);
    let rules = Rules {
        evidence,
        ..world.policy.rules
    };
    world.policy.pools.insert("workers".to_owned(), rules);
    world.kubelet_ca = Some(holder.ca());
    (world, holder)
}

#[test]
fn a_record_that_pins_a_key_gives_nothing_to_others() {
    let (mut world, holder) = world(Strength::None);
    world.owner().join_key = Some(holder.pinned());
    assert_eq!(reasons(&world.decide()), [EvidenceMissing]);

    let statement = holder.join_key(&world.request);
    show(&mut world.request, 0, vec![statement]);
    assert_eq!(reasons(&world.decide()), [FirstCertificate]);

    let stranger = Holder::new();
    world.owner().join_key = Some(stranger.pinned());
    let decision = world.decide();
    assert_eq!(reasons(&decision), [EvidenceMissing]);
    let why = "it is of another key than the record pins";
    assert!(decision.message().contains(why), "{}", decision.message());

    world.owner().join_key = Some(JoinKey::Unreadable("it is not base64".to_owned()));
    let decision = world.decide();
    assert_eq!(reasons(&decision), [EvidenceMissing]);
    assert!(decision.message().contains("it is not base64"));
}

#[test]
fn a_pool_that_asks_for_evidence_takes_a_key_or_an_earlier_certificate() {
    for required in [Strength::Replayable, Strength::Bound] {
        let (mut world, holder) = world(required);
        assert_eq!(reasons(&world.decide()), [EvidenceMissing]);
        let previous = holder.previous(&world.request);
        show(&mut world.request, 0, vec![previous]);
        // It may have been issued to an earlier machine, which may still run and have renewed its own.
        let decision = world.decide();
        assert_eq!(reasons(&decision), [EvidenceMissing]);
        let why = "was not approved for Machine";
        assert!(decision.message().contains(why), "{}", decision.message());
        world.claims = vec![issued_to(&holder)];
        assert_eq!(reasons(&world.decide()), [FirstCertificate, Reissued]);
        world.claims.clear();

        // The rules of one pool do not apply to others.
        world.request = World::approvable().request;
        world.owner().pool = Some("others".to_owned());
        assert_eq!(reasons(&world.decide()), [FirstCertificate]);
        world.policy.rules.evidence = required;
        assert_eq!(reasons(&world.decide()), [EvidenceMissing]);
        world.owner().pool = None;
        assert_eq!(reasons(&world.decide()), [EvidenceMissing]);
    }
}

#[test]
fn an_earlier_machines_certificate_is_worth_nothing_and_harms_nobody() {
    let (mut world, holder) = world(Strength::None);
    world.owner().created_at = at(0);
    let previous = holder.previous(&world.request);
    show(&mut world.request, 0, vec![previous]);
    assert_eq!(reasons(&world.decide()), [FirstCertificate]);
    world.policy.pools.clear();
    world.policy.rules.evidence = Strength::Bound;
    let decision = world.decide();
    assert_eq!(reasons(&decision), [EvidenceMissing]);
    let why = "to an earlier machine of that name";
    assert!(decision.message().contains(why), "{}", decision.message());
}

#[test]
fn forged_evidence_speaks_against_a_request_that_needs_none() {
    let (mut world, holder) = world(Strength::None);
    let copied = holder.join_key(&request("csr-1", "worker-0", 1));
    show(&mut world.request, 0, vec![copied]);
    assert_eq!(reasons(&world.decide()), [EvidenceInvalid]);
}

#[test]
fn who_proves_to_hold_the_issued_key_may_have_a_new_one_within_the_same_limits() {
    let (mut world, holder) = world(Strength::None);
    let previous = holder.previous(&world.request);
    world.claims = vec![issued_to(&holder)];
    world.used = Some(world.now);
    assert_eq!(reasons(&world.decide()), [AlreadyIssued]);
    show(&mut world.request, 0, vec![previous]);
    assert_eq!(reasons(&world.decide()), [FirstCertificate, Reissued]);
    world.policy.pools.clear();
    world.policy.rules.max_issues = 1;
    assert_eq!(reasons(&world.decide()), [AlreadyIssued]);
    world.policy.rules.max_issues = 2;
    assert_eq!(reasons(&world.decide()), [FirstCertificate, Reissued]);
    world.claims = vec![Claim {
        approved_at: at(50),
        ..issued_to(&holder)
    }];
    assert_eq!(reasons(&world.decide()), [AlreadyIssued]);
}

/// The claim of an earlier approval for the key of a holder.
fn issued_to(holder: &Holder) -> Claim {
    Claim {
        key: KeyHash::of_spki(&holder.key.subject_public_key_info()),
        ..claim("csr-9", 1, at(-600))
    }
}

#[test]
fn a_rival_that_proves_nothing_stands_in_nobodys_way() {
    let (mut world, holder) = world(Strength::Bound);
    let rules = world.policy.pools.get_mut("workers").unwrap();
    rules.contested = Contested::Hold;
    world.owner().join_key = Some(holder.pinned());
    let statement = holder.join_key(&world.request);
    show(&mut world.request, 0, vec![statement]);
    let mut rival = Request {
        created_at: at(61),
        ..request("csr-1", "worker-0", 1)
    };
    world.rivals = vec![rival.clone()];
    assert_eq!(reasons(&world.decide()), [FirstCertificate]);
    let proof = holder.join_key(&rival);
    show(&mut rival, 1, vec![proof]);
    world.rivals = vec![rival];
    assert_eq!(reasons(&world.decide()), [Superseded]);
    // Another Machine's key is invalid here.
    world.owners = vec![machine("m-1", "worker-0")];
    assert_eq!(reasons(&world.decide()), [EvidenceMissing]);
}
