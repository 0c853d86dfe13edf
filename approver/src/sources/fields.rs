//! Fields that several Machine APIs have, and their conversion.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rollcall_approver_core::{self as core, JoinKey, Machine, NotALimit};
use rollcall_csr::NodeName;
use serde::Deserialize;

/// Labels of the machines of a control plane: of Cluster API and of Nodes (cluster-api, `api/core`; kubeadm).
const CONTROL_PLANE: [&str; 3] = [
    "cluster.x-k8s.io/control-plane",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];
/// The label with the role of an OpenShift Machine, and its value for the control plane (openshift/api, `machine/v1beta1`).
const ROLE: (&str, &str) = ("machine.openshift.io/cluster-api-machine-role", "master");
/// More addresses than any machine has: a record with more is rejected.
pub(super) const MAX_ADDRESSES: usize = 256;
/// The number of unreadable addresses kept of one record.
const MAX_UNREAD: usize = 8;
/// The number of characters kept of an unreadable address: the most that a DNS name has (RFC 1035 section 2.3.4).
const MAX_UNREAD_LENGTH: usize = 253;
/// The annotation that pins a Machine's public key: base64 of the DER of its SubjectPublicKeyInfo.
const JOIN_KEY: &str = "rollcall.dev/join-key";

/// The reasons why an object cannot be put on the roll.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotARecord {
    #[error("{0:?} is no duration")]
    Duration(String),
    #[error(transparent)]
    Limit(#[from] NotALimit),
    #[error("metadata.{0} is missing")]
    Missing(&'static str),
    #[error("spec is missing")]
    NoSpec,
    #[error("the condition {0} has no timeout")]
    NoTimeout(String),
    #[error("{0} names no node: {1}")]
    NodeReference(&'static str, String),
    #[error("the operator {0:?} of a selector means nothing")]
    Selector(String),
    #[error("status.addresses has {0} entries; more than {MAX_ADDRESSES} are not believed")]
    TooManyAddresses(usize),
}

/// One address (Kubernetes: `core/v1` `NodeAddress`).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Address {
    #[serde(rename = "type")]
    type_: String,
    address: String,
}

/// Adds the addresses of a record. A text that is neither a name nor an IP address cannot vouch for anything; it is kept
/// unchanged, so that a reason can show it.
pub(super) fn take_addresses(
    machine: &mut Machine,
    addresses: &[Address],
) -> Result<(), NotARecord> {
    if addresses.len() > MAX_ADDRESSES {
        return Err(NotARecord::TooManyAddresses(addresses.len()));
    }
    machine.addresses = addresses.iter().filter_map(to_address).collect();
    let unread = addresses.iter().filter(|one| to_address(one).is_none());
    machine.unread_addresses = unread_addresses(unread.map(|one| one.address.as_str()));
    Ok(())
}

/// The non-empty texts among invalid addresses, limited in number and length.
pub(super) fn unread_addresses<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    texts
        .filter(|text| !text.trim().is_empty())
        .take(MAX_UNREAD)
        .map(|text| text.chars().take(MAX_UNREAD_LENGTH).collect())
        .collect()
}

fn to_address(address: &Address) -> Option<core::Address> {
    let Address { type_, address } = address;
    let name = || NodeName::from_dns_name(address);
    // A text that is neither a name nor an address matches nothing: leaving it out fails closed.
    match type_.as_str() {
        "ExternalDNS" => name().ok().map(core::Address::ExternalDns),
        "ExternalIP" => address.parse().ok().map(core::Address::ExternalIp),
        "Hostname" => name().ok().map(core::Address::Hostname),
        "InternalDNS" => name().ok().map(core::Address::InternalDns),
        "InternalIP" => address.parse().ok().map(core::Address::InternalIp),
        _ => None,
    }
}

/// A reference to a Node (Kubernetes: `core/v1` `ObjectReference`).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeReference {
    name: Option<String>,
}

impl NodeReference {
    /// The Node. A Machine that is bound to an unreadable name must not count as unbound.
    pub(super) fn read(&self, field: &'static str) -> Result<NodeName, NotARecord> {
        node(self.name.as_deref().unwrap_or_default(), field)
    }
}

/// Parses the name of a Node in a field.
pub(super) fn node(name: &str, field: &'static str) -> Result<NodeName, NotARecord> {
    NodeName::from_dns_name(name)
        .map_err(|error| NotARecord::NodeReference(field, error.to_string()))
}

/// Returns true if these labels are those of a control-plane machine.
pub(super) fn is_control_plane(labels: &BTreeMap<String, String>) -> bool {
    let (role, value) = ROLE;
    let mut known = CONTROL_PLANE.into_iter();
    known.any(|label| labels.contains_key(label)) || labels.get(role).is_some_and(|is| is == value)
}

/// The key that an object's annotations pin, if there is one.
pub(super) fn join_key(annotations: &BTreeMap<String, String>) -> Option<JoinKey> {
    let text = annotations.get(JOIN_KEY)?.trim();
    Some(match BASE64_STANDARD.decode(text) {
        Ok(spki) if !spki.is_empty() => JoinKey::Spki(spki),
        Ok(_) => JoinKey::Unreadable(format!("the annotation {JOIN_KEY} is empty")),
        Err(error) => JoinKey::Unreadable(format!(
            "the annotation {JOIN_KEY} is not the base64 of a public key: {error}"
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_kept_as_it_is_and_what_is_blank_is_not() {
        let one = |text: &str| Address {
            type_: "InternalDNS".to_owned(),
            address: text.to_owned(),
        };
        let long = "ö".repeat(300);
        let texts = [
            "worker-0",
            "",
            " ",
            "worker-0 corp.example",
            "(none)",
            &long,
        ];
        let reference = core::MachineReference {
            namespace: String::new(),
            name: "m".to_owned(),
        };
        let uid = core::MachineUid("u".to_owned());
        let created_at = jiff::Timestamp::UNIX_EPOCH;
        let mut machine = Machine::new(core::Source::OpenShift, uid, reference, created_at);
        take_addresses(&mut machine, &texts.map(one)).unwrap();
        assert_eq!(machine.addresses.len(), 1);
        let cut = "ö".repeat(MAX_UNREAD_LENGTH);
        let kept = ["worker-0 corp.example", "(none)", cut.as_str()];
        assert_eq!(machine.unread_addresses, kept);
        take_addresses(&mut machine, &["a b"; 20].map(one)).unwrap();
        assert_eq!(machine.unread_addresses, ["a b"; MAX_UNREAD]);
    }

    #[test]
    fn the_control_plane_is_known_by_its_labels() {
        let known = |key: &str, value: &str| {
            is_control_plane(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        for (key, value, is) in [
            ("cluster.x-k8s.io/control-plane", "", true),
            ("node-role.kubernetes.io/master", "", true),
            ("node-role.kubernetes.io/control-plane", "true", true),
            (
                "machine.openshift.io/cluster-api-machine-role",
                "master",
                true,
            ),
            (
                "machine.openshift.io/cluster-api-machine-role",
                "worker",
                false,
            ),
            ("node-role.kubernetes.io/worker", "", false),
            ("cluster.x-k8s.io/control-plane-name", "cp", false),
        ] {
            assert_eq!(known(key, value), is, "{key}={value}");
        }
    }

    #[test]
    fn a_pinned_key_is_read_and_an_unreadable_one_is_not_forgotten() {
        let pinned = |text: &str| {
            let annotations = BTreeMap::from([(JOIN_KEY.to_owned(), text.to_owned())]);
            join_key(&annotations)
        };
        assert_eq!(join_key(&BTreeMap::new()), None);
        assert_eq!(pinned(" a2V5\n"), Some(JoinKey::Spki(b"key".to_vec())));
        for text in ["", "not base64!", "a2V5="] {
            let read = pinned(text);
            assert!(
                matches!(read, Some(JoinKey::Unreadable(_))),
                "{text}: {read:?}"
            );
        }
    }
}
