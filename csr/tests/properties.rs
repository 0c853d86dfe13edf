//! Properties of requests that rcgen made, as node-agent makes them: they are read as intended, and no modification of
//! them is accepted.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::net::IpAddr;

use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData, SanType};
use rollcall_csr::{CertificationRequest, KeyHash, NODES_GROUP, NodeName, RequestedNames};

/// A request for this node with these names, as DER.
fn request(node: &NodeName, names: &RequestedNames, key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, NODES_GROUP);
    params
        .distinguished_name
        .push(DnType::CommonName, node.username());
    let text = |name: &String| Ia5String::try_from(name.as_str()).unwrap();
    params.subject_alt_names = names
        .dns
        .iter()
        .map(|name| SanType::DnsName(text(name)))
        .chain(names.ips.iter().copied().map(SanType::IpAddress))
        .chain(
            names
                .emails
                .iter()
                .map(|name| SanType::Rfc822Name(text(name))),
        )
        .chain(names.uris.iter().map(|name| SanType::URI(text(name))))
        .collect();
    params.serialize_request(key).unwrap().der().to_vec()
}

fn node_name() -> impl Strategy<Value = NodeName> {
    "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?){0,4}"
        .prop_map(|name| name.parse().unwrap())
}

fn names() -> impl Strategy<Value = RequestedNames> {
    let ip = any::<IpAddr>().prop_filter("IPv4 in IPv6 form is refused", |ip| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_none(),
    });
    let texts = |pattern| prop::collection::vec(pattern, 0..4);
    (
        texts("[!-~]{1,60}"),
        texts("[!-~]{1,60}"),
        prop::collection::vec(ip, 0..4),
        texts("[a-z][a-z0-9]{0,8}://[a-z0-9-]{1,20}(\\.[a-z0-9-]{1,20}){0,2}(/[A-Za-z0-9._~-]{0,9}){0,3}"),
    )
        .prop_map(|(dns, emails, ips, uris)| RequestedNames { dns, emails, ips, uris })
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_meant(node in node_name(), names in names()) {
        let key = KeyPair::generate().unwrap();
        let read = CertificationRequest::from_der(&request(&node, &names, &key)).unwrap();
        prop_assert_eq!(read.names(), &names);
        prop_assert_eq!(&read.subject().organization, NODES_GROUP);
        prop_assert_eq!(NodeName::from_username(&read.subject().common_name), Ok(node));
        prop_assert_eq!(read.public_key().spki_der(), key.subject_public_key_info());
        prop_assert_eq!(read.public_key().hash(), KeyHash::of_spki(&key.subject_public_key_info()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(CertificationRequest::from_pem(&bytes).is_err());
        prop_assert!(CertificationRequest::from_der(&bytes).is_err());
    }
}

/// Every bit counts: it belongs to the signed content, to the signature, or to the unique encoding of the frame.
#[test]
fn no_change_of_one_bit_is_taken() {
    let names = RequestedNames {
        dns: vec!["worker-0".to_owned()],
        ..RequestedNames::default()
    };
    let mut der = request(
        &"worker-0".parse().unwrap(),
        &names,
        &KeyPair::generate().unwrap(),
    );
    assert!(CertificationRequest::from_der(&der).is_ok());
    for index in 0..der.len() {
        for bit in 0..8 {
            *der.get_mut(index).unwrap() ^= 1 << bit;
            assert!(
                CertificationRequest::from_der(&der).is_err(),
                "bit {bit} of byte {index}"
            );
            *der.get_mut(index).unwrap() ^= 1 << bit;
        }
    }
}

#[test]
fn no_part_and_no_extension_of_a_request_is_taken() {
    let names = RequestedNames {
        ips: vec!["10.0.0.1".parse().unwrap()],
        ..RequestedNames::default()
    };
    let der = request(
        &"worker-0".parse().unwrap(),
        &names,
        &KeyPair::generate().unwrap(),
    );
    for length in 0..der.len() {
        assert!(
            CertificationRequest::from_der(der.get(..length).unwrap()).is_err(),
            "{length} bytes"
        );
        assert!(CertificationRequest::from_der(der.get(length.strict_add(1)..).unwrap()).is_err());
    }
    assert!(CertificationRequest::from_der(&[&der[..], &der].concat()).is_err());
}
