//! The body of the fuzz target `decide` on a stable compiler: the worlds that fuzzing found, and random ones.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test may panic"
)]
#![expect(clippy::disallowed_methods, reason = "the corpus is files")]

#[path = "fuzzed/decide.rs"]
mod decide;

use std::collections::BTreeSet;
use std::path::Path;

use decide::decide;
use proptest::prelude::*;
use rollcall_approver_core::Reason;

#[test]
fn what_fuzzing_found_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/decide");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        replayed += decide(&std::fs::read(entry.unwrap().path()).unwrap()).len();
    }
    assert!(replayed > 0);
}

/// If the worlds are too ordinary or too unusual, fuzzing them shows nothing.
#[test]
fn worlds_by_chance_meet_every_reason() {
    let mut state = 1_u64;
    let mut byte = || {
        // Xorshift (Marsaglia 2003): the same numbers each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let mut seen = BTreeSet::new();
    for _ in 0..8000 {
        let bytes: Vec<u8> = (0..400).map(|_| byte()).collect();
        seen.extend(decide(&bytes));
    }
    // The reasons of manual decisions are unused here, nothing is dialled or proven, and the others are never the first
    // one.
    let never = [
        Reason::EvidenceInvalid,
        Reason::KubeletCaMissing,
        Reason::ManualApproval,
        Reason::ManualDenial,
        Reason::NameTooLong,
        Reason::Reissued,
        Reason::Resume,
        Reason::ServingMismatch,
        Reason::ServingRenewal,
        Reason::ServingUnreachable,
        Reason::WriteFailed,
    ];
    let missing: Vec<Reason> = Reason::ALL
        .into_iter()
        .filter(|reason| !seen.contains(reason) && !never.contains(reason))
        .collect();
    assert!(missing.is_empty(), "no world shows {missing:?}");
}

#[test]
fn without_bytes_everything_is_usual() {
    assert_eq!(decide(&[]), [Reason::FirstCertificate]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_has_its_grounds(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        decide(&bytes);
    }
}
