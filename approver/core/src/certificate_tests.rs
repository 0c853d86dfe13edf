use std::collections::BTreeSet;

use rcgen::{DnType, IsCa, KeyPair, PublicKeyData as _, SanType};

use super::*;
use crate::fixtures::node;
use crate::issuing_fixtures::{Issuer, Leaf, midnight};

fn read(der: &[u8]) -> IssuedCertificate {
    IssuedCertificate::from_der(der).unwrap()
}

fn serving() -> Leaf {
    Leaf::serving("worker-0", &["Worker-0."], &["10.0.0.1", "fd00::1"])
}

/// Verifies a serving certificate on the 15th.
fn verify(der: &[u8], authorities: &[Authority]) -> Result<(), CertificateError> {
    read(der).verify(&[], authorities, Usage::ServerAuth, midnight(15))
}

#[test]
fn says_what_stands_in_it() {
    let key = KeyPair::generate().unwrap();
    let certificate = read(&Issuer::new("ca").issue_for(&serving(), &key));
    let names = ["fd00::1", "worker-0", "10.0.0.1"].map(|name| ServerName::read(name).unwrap());
    assert_eq!(certificate.names(), &BTreeSet::from(names));
    assert_eq!(certificate.subject().organization, "system:nodes");
    assert_eq!(certificate.node(), Some(node("worker-0")));
    assert_eq!(certificate.not_before(), midnight(10));
    assert_eq!(certificate.not_after(), midnight(20));
    assert_eq!(certificate.spki_der(), key.subject_public_key_info());
    assert_eq!(
        certificate.key(),
        KeyHash::of_spki(&key.subject_public_key_info())
    );

    let client = read(&Issuer::new("ca").issue(&Leaf::client("worker-0")));
    assert!(client.names().is_empty());
}

#[test]
fn is_good_only_for_its_authority_and_its_usage() {
    let (ca, other) = (Issuer::new("ca"), Issuer::new("other"));
    let same_name = Issuer::new("ca");
    let der = ca.issue(&serving());
    assert_eq!(verify(&der, &[ca.authority()]), Ok(()));
    for authorities in [
        vec![],
        vec![other.authority()],
        vec![same_name.authority()],
        vec![other.authority(), same_name.authority()],
    ] {
        assert_eq!(
            verify(&der, &authorities),
            Err(CertificateError::NotIssued),
            "{authorities:?}"
        );
    }
    let client = ca.issue(&Leaf::client("worker-0"));
    let wrong = |usage| Err(CertificateError::WrongUsage { usage });
    assert_eq!(verify(&client, &[ca.authority()]), wrong(Usage::ServerAuth));
    let verified = read(&der).verify(&[], &[ca.authority()], Usage::ClientAuth, midnight(15));
    assert_eq!(verified, wrong(Usage::ClientAuth));
    let mut for_nothing = serving();
    for_nothing.params.extended_key_usages.clear();
    let der = ca.issue(&for_nothing);
    assert_eq!(verify(&der, &[ca.authority()]), wrong(Usage::ServerAuth));
}

#[test]
fn a_bundle_holds_the_old_and_the_new_authority_during_a_rotation() {
    let (old, new) = (Issuer::new("kubelet-ca"), Issuer::new("kubelet-ca"));
    let bundle = [old.authority(), new.authority()];
    for ca in [&old, &new] {
        assert_eq!(verify(&ca.issue(&serving()), &bundle), Ok(()));
    }
}

#[test]
fn holds_between_its_ends_only() {
    let ca = Issuer::new("ca");
    let certificate = read(&ca.issue(&serving()));
    let verify = |at| certificate.verify(&[], &[ca.authority()], Usage::ServerAuth, at);
    let second = jiff::SignedDuration::from_secs(1);
    let (before, after) = (
        midnight(10).checked_sub(second).unwrap(),
        midnight(20).checked_add(second).unwrap(),
    );
    assert_eq!(verify(midnight(10)), Ok(()));
    assert_eq!(verify(midnight(20)), Ok(()));
    let early = CertificateError::NotYetValid {
        not_before: midnight(10),
        at: before,
    };
    assert_eq!(verify(before), Err(early));
    let late = CertificateError::Expired {
        not_after: midnight(20),
        at: after,
    };
    assert_eq!(verify(after), Err(late));
}

/// The check of path 4 on a certificate that expired while its node was off.
#[test]
fn an_expired_certificate_was_good_once_if_it_verifies_at_the_nearest_time() {
    let (ca, other) = (Issuer::new("ca"), Issuer::new("other"));
    let certificate = read(&ca.issue(&Leaf::client("worker-0")));
    let verify = |ca: &Issuer, at| {
        let at = certificate.nearest(at);
        certificate.verify(&[], &[ca.authority()], Usage::ClientAuth, at)
    };
    assert_eq!(certificate.nearest(midnight(28)), midnight(20));
    assert_eq!(certificate.nearest(midnight(2)), midnight(10));
    assert_eq!(certificate.nearest(midnight(12)), midnight(12));
    for day in [2, 12, 28] {
        assert_eq!(verify(&ca, midnight(day)), Ok(()));
        assert_eq!(
            verify(&other, midnight(day)),
            Err(CertificateError::NotIssued)
        );
    }
}

#[test]
fn an_authority_may_have_no_end() {
    let forever = Issuer::without_end("ca");
    let der = forever.issue(&serving());
    assert_eq!(verify(&der, &[forever.authority()]), Ok(()));
}

#[test]
fn an_authority_that_has_ended_or_not_begun_vouches_for_nothing() {
    for (first, last) in [(1, 14), (16, 29)] {
        let ca = Issuer::within("ca", first, last);
        assert_eq!(
            verify(&ca.issue(&serving()), &[ca.authority()]),
            Err(CertificateError::NotIssued)
        );
    }
}

#[test]
fn intermediates_lead_to_the_authority_whatever_their_order() {
    let root = Issuer::new("root");
    let middle = root.intermediate("middle");
    let low = middle.intermediate("low");
    let certificate = read(&low.issue(&serving()));
    let verify = |chain: &[Vec<u8>]| {
        certificate.verify(chain, &[root.authority()], Usage::ServerAuth, midnight(15))
    };
    assert_eq!(verify(&[low.der(), middle.der()]), Ok(()));
    assert_eq!(verify(&[middle.der(), low.der(), root.der()]), Ok(()));
    assert_eq!(verify(&[low.der()]), Err(CertificateError::NotIssued));
    assert_eq!(verify(&[]), Err(CertificateError::NotIssued));
    assert!(verify(&[b"no certificate".to_vec()]).is_err());
}

#[test]
fn a_leaf_issues_nothing_and_an_authority_is_no_leaf() {
    let ca = Issuer::new("ca");
    let mut leaf = serving();
    leaf.params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    assert_eq!(
        verify(&ca.issue(&leaf), &[ca.authority()]),
        Err(CertificateError::IsAnAuthority)
    );
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let mut leaf = serving();
        leaf.params.is_ca = is_ca;
        let error = Authority::from_der(&ca.issue(&leaf)).unwrap_err();
        assert!(
            matches!(&error, CertificateError::NotAnAuthority { subject } if subject.contains("worker-0")),
            "{error}"
        );
    }
}

#[test]
fn refuses_names_that_no_kubelet_has_in_its_certificate() {
    let foreign = |name: &str| CertificateError::ForeignName {
        name: name.to_owned(),
    };
    let other_name = rcgen::OtherNameValue::Utf8String("x".to_owned());
    let dropped = ParseError::UnsupportedGeneralName { form: "otherName" };
    for (name, error) in [
        (
            SanType::Rfc822Name("a@b".try_into().unwrap()),
            foreign("a@b"),
        ),
        (
            SanType::URI("https://a/".try_into().unwrap()),
            foreign("https://a/"),
        ),
        (SanType::DnsName("*.a".try_into().unwrap()), foreign("*.a")),
        (
            SanType::DnsName("10.0.0.1".try_into().unwrap()),
            foreign("10.0.0.1"),
        ),
        (
            SanType::OtherName((vec![1, 2, 3], other_name)),
            CertificateError::Names(dropped),
        ),
    ] {
        let mut leaf = serving();
        leaf.params.subject_alt_names.push(name);
        let read = IssuedCertificate::from_der(&Issuer::new("ca").issue(&leaf));
        assert_eq!(read, Err(error));
    }
}

#[test]
fn refuses_subjects_that_no_kubelet_has_in_its_certificate() {
    let mut unit = serving();
    let subject = &mut unit.params.distinguished_name;
    subject.push(DnType::OrganizationalUnitName, "x");
    let mut nobody = serving();
    nobody.params.distinguished_name.remove(DnType::CommonName);
    let oid = "2.5.4.11".to_owned();
    for (leaf, error) in [
        (unit, ParseError::ForeignSubjectAttribute { oid }),
        (nobody, ParseError::MissingCommonName),
    ] {
        let read = IssuedCertificate::from_der(&Issuer::new("ca").issue(&leaf));
        assert_eq!(read, Err(CertificateError::Subject(error)));
    }
}

#[test]
fn refuses_other_bytes() {
    let ca = Issuer::new("ca");
    let der = ca.issue(&serving());
    let longer = [der.as_slice(), &[0]].concat();
    let shorter = der.split_last().unwrap().1;
    for bytes in [&longer, shorter, b"", b"-----BEGIN CERTIFICATE-----"] {
        let error = IssuedCertificate::from_der(bytes).unwrap_err();
        let unreadable = matches!(error, CertificateError::Unreadable { .. });
        assert!(unreadable, "{error}");
        assert!(Authority::from_der(bytes).is_err());
    }
    // One bit of the signature.
    let mut changed = der;
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(
        verify(&changed, &[ca.authority()]),
        Err(CertificateError::NotIssued)
    );
}
