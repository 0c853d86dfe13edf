//! Properties of statements that rcgen signed, as node-agent makes them: they verify only for the request they were
//! made for, and no modification of them verifies.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::sync::LazyLock;

use proptest::prelude::*;
use rcgen::{
    CertificateParams, CertifiedIssuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PublicKeyData as _, SigningKey as _,
};
use rollcall_csr::{
    Binding, CertificationRequest, ClusterId, Evidence, EvidenceError, KeyHash, MAX_REQUEST_SIZE,
    MAX_STATEMENTS, Statement,
};

fn binding() -> Binding {
    Binding {
        request_key: KeyHash::of_spki(b"new key"),
        node: "worker-0".parse().unwrap(),
        cluster: ClusterId::of_ca(b"CA"),
    }
}

/// A certificate of this key, signed by a CA created for it.
fn certificate(key: &KeyPair) -> Vec<u8> {
    let ca =
        CertifiedIssuer::self_signed(CertificateParams::default(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(["worker-0".to_owned()]).unwrap();
    params.signed_by(key, &ca.unwrap()).unwrap().der().to_vec()
}

fn sign(key: &KeyPair) -> impl FnOnce(&[u8]) -> Result<Vec<u8>, EvidenceError> {
    |message| Ok(key.sign(message).unwrap())
}

fn previous_certificate(key: &KeyPair, binding: &Binding) -> Statement {
    Statement::previous_certificate(&certificate(key), binding, sign(key)).unwrap()
}

fn join_key(key: &KeyPair, binding: &Binding) -> Statement {
    Statement::join_key(&key.subject_public_key_info(), binding, sign(key)).unwrap()
}

fn verify(statement: &Statement, binding: &Binding) -> Result<(), EvidenceError> {
    match statement {
        Statement::PreviousCertificate(previous) => previous.verify(binding),
        Statement::JoinKey(join_key) => join_key.verify(binding),
        Statement::Other(_) => Err(EvidenceError::BadSignature),
    }
}

/// A value in DER, of less than 64 KiB.
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(contents.len()).unwrap().to_be_bytes();
    let header = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&header, contents].concat()
}

/// A key of every kind that rcgen generates; RSA is among the vectors, because generating it is slow.
fn keys() -> Vec<KeyPair> {
    [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ]
    .map(|algorithm| KeyPair::generate_for(algorithm).unwrap())
    .into()
}

/// One statement of each kind by a key of each kind.
fn statements() -> Vec<Statement> {
    static STATEMENTS: LazyLock<Vec<Statement>> = LazyLock::new(make_statements);
    STATEMENTS.clone()
}

fn make_statements() -> Vec<Statement> {
    keys()
        .iter()
        .flat_map(|key| {
            [
                previous_certificate(key, &binding()),
                join_key(key, &binding()),
            ]
        })
        .collect()
}

#[test]
fn statements_come_back_as_they_were_made() {
    let evidence = Evidence::new(statements()).unwrap();
    let read = Evidence::from_der(&evidence.to_der()).unwrap();
    assert_eq!(read, evidence);
    for statement in read.statements() {
        assert_eq!(verify(statement, &binding()), Ok(()), "{statement:?}");
    }
}

#[test]
fn a_request_carries_evidence() {
    let mut request = include_str!("../../tests/cases/csr/client-p256.pem").to_owned();
    let mut previous = 0;
    let mut statements = statements();
    // A request shows one certificate at most.
    statements.retain(|statement| {
        previous += usize::from(matches!(statement, Statement::PreviousCertificate(_)));
        previous <= 1 || !matches!(statement, Statement::PreviousCertificate(_))
    });
    let evidence = Evidence::new(statements).unwrap();
    // With and without a line break at the end of the request's own block.
    for _ in 0..2 {
        let text = evidence.append_to(&request).unwrap();
        let read = CertificationRequest::from_pem(text.as_bytes()).unwrap();
        assert_eq!(read.evidence(), Ok(evidence.statements()));
        request = request.trim_end().to_owned();
    }
}

#[test]
fn evidence_is_never_longer_than_a_request_may_be() {
    let evidence = Evidence::new(statements()).unwrap();
    let room = MAX_REQUEST_SIZE.strict_sub(evidence.to_pem().len());
    let fits = "\n".repeat(room);
    assert_eq!(evidence.append_to(&fits).unwrap().len(), MAX_REQUEST_SIZE);
    let error = evidence.append_to(&format!("{fits}\n")).unwrap_err();
    assert_eq!(error.as_str(), "TooLarge");
}

#[test]
fn a_list_has_1_to_8_statements() {
    let statement = join_key(&KeyPair::generate().unwrap(), &binding());
    let list = |count| Evidence::new(vec![statement.clone(); count]);
    assert_eq!(list(0), Err(EvidenceError::NoStatements));
    assert!(list(MAX_STATEMENTS).is_ok());
    let too_many = MAX_STATEMENTS.strict_add(1);
    assert_eq!(list(too_many), Err(EvidenceError::TooManyStatements));
}

/// A client with a certificate but without its key cannot even create the statement.
#[test]
fn nobody_speaks_for_another_key() {
    let [own, other] = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
    let previous = Statement::previous_certificate(&certificate(&other), &binding(), sign(&own));
    let joining = Statement::join_key(&other.subject_public_key_info(), &binding(), sign(&own));
    for made in [previous, joining] {
        assert_eq!(made, Err(EvidenceError::BadSignature));
    }
}

#[test]
fn a_statement_is_worth_nothing_for_another_request_node_or_cluster() {
    let other_key = Binding {
        request_key: KeyHash::of_spki(b"another key"),
        ..binding()
    };
    let other_node = Binding {
        node: "worker-1".parse().unwrap(),
        ..binding()
    };
    let other_cluster = Binding {
        cluster: ClusterId::of_ca(b"another CA"),
        ..binding()
    };
    for statement in statements() {
        for (other, error) in [
            (&other_key, EvidenceError::BadSignature),
            (&other_node, EvidenceError::BadSignature),
            (&other_cluster, EvidenceError::AnotherCluster),
        ] {
            assert_eq!(verify(&statement, other), Err(error), "{statement:?}");
        }
    }
}

/// Every byte counts, also in a certificate, whose own signature does not cover all of them.
#[test]
fn no_change_of_one_bit_is_believed() {
    for statement in statements() {
        let mut der = Evidence::new(vec![statement]).unwrap().to_der();
        for index in 0..der.len() {
            let bit = 1 << (index % 8);
            *der.get_mut(index).unwrap() ^= bit;
            assert!(!is_believed(&der), "byte {index}");
            *der.get_mut(index).unwrap() ^= bit;
        }
        assert!(is_believed(&der));
    }
}

#[test]
fn no_part_of_evidence_is_read() {
    let der = Evidence::new(statements()).unwrap().to_der();
    for length in 0..der.len() {
        assert!(
            Evidence::from_der(der.get(..length).unwrap()).is_err(),
            "{length} bytes"
        );
    }
}

fn is_believed(der: &[u8]) -> bool {
    Evidence::from_der(der).is_ok_and(|evidence| {
        let mut statements = evidence.statements().iter();
        statements.any(|statement| verify(statement, &binding()).is_ok())
    })
}

proptest! {
    #[test]
    fn no_change_of_a_byte_is_believed(kind in 0_usize..6, at in any::<prop::sample::Index>(), byte: u8) {
        let statement = statements().swap_remove(kind);
        let mut der = Evidence::new(vec![statement]).unwrap().to_der();
        let place = at.index(der.len());
        let old = std::mem::replace(der.get_mut(place).unwrap(), byte);
        prop_assert_eq!(is_believed(&der), old == byte);
    }

    #[test]
    fn statements_are_believed_for_what_they_were_made_for(
        request: [u8; 8],
        node in "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        ca: [u8; 8],
    ) {
        let binding = Binding {
            request_key: KeyHash::of_spki(&request),
            node: node.parse().unwrap(),
            cluster: ClusterId::of_ca(&ca),
        };
        let key = KeyPair::generate().unwrap();
        let made = vec![previous_certificate(&key, &binding), join_key(&key, &binding)];
        let evidence = Evidence::new(made).unwrap();
        let read = Evidence::from_der(&evidence.to_der()).unwrap();
        prop_assert_eq!(&read, &evidence);
        for statement in read.statements() {
            prop_assert_eq!(statement.cluster(), binding.cluster);
            prop_assert_eq!(verify(statement, &binding), Ok(()));
        }
    }

    /// Unknown kinds are preserved by name.
    #[test]
    fn unknown_kinds_are_kept(kind in "[a-z0-9./-]{1,63}", body in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assume!(!["join-key", "previous-certificate"].contains(&kind.as_str()));
        let fields = [tlv(0x0c, kind.as_bytes()), tlv(0x04, &[7; 32]), tlv(0x04, &body)];
        let list = tlv(0x30, &tlv(0x30, &fields.concat()));
        let der = tlv(0x30, &[&[2, 1, 1][..], &list].concat());
        let read = Evidence::from_der(&der).unwrap();
        prop_assert_eq!(read.to_der(), der);
        let kinds: Vec<&str> = read.statements().iter().map(Statement::kind).collect();
        prop_assert_eq!(kinds, [kind.as_str()]);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Evidence::from_der(&bytes).is_err());
    }
}
