//! Rollcall's own records: `rollcall.dev/v1alpha1` ExpectedMachines.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rollcall_approver_core::{Address, JoinKey, Machine, Source};
use rollcall_csr::NodeName;

use super::fields::{MAX_ADDRESSES, NotARecord, node, unread_addresses};
use super::machines::MachineApi;
use crate::expected_machine::{
    ADOPTED_NODE, ExpectedMachineSpec, ExpectedMachineStatus, LAUNCHED_AT,
};
use crate::rights::{READ, Right, Scope};

const GROUP: &str = "rollcall.dev";

/// The source.
pub(super) struct ExpectedMachines;

impl MachineApi for ExpectedMachines {
    const SOURCE: Source = Source::ExpectedMachine;
    const GROUP: &'static str = GROUP;
    const VERSIONS: &'static [&'static str] = &["v1alpha1"];
    const KIND: &'static str = "ExpectedMachine";
    const PLURAL: &'static str = "expectedmachines";
    const NAMESPACED: bool = false;
    const RIGHTS: &'static [Right] = &[
        Right::required(Scope::Machines, GROUP, "expectedmachines", READ),
        Right {
            optional: true,
            ..Right::required(Scope::Machines, GROUP, "expectedmachines", &["get"])
        },
        Right {
            optional: true,
            ..Right::required(
                Scope::Machines,
                GROUP,
                "expectedmachines/status",
                &["patch"],
            )
        },
    ];
    type Spec = ExpectedMachineSpec;
    type Status = ExpectedMachineStatus;

    fn fill(
        machine: &mut Machine,
        metadata: &ObjectMeta,
        spec: ExpectedMachineSpec,
        status: ExpectedMachineStatus,
    ) -> Result<(), NotARecord> {
        let ExpectedMachineSpec {
            node_name,
            addresses,
            provider_id,
            join_by,
            join_key,
            machine_id,
            pool,
            system_uuid,
        } = spec;
        if addresses.len() > MAX_ADDRESSES {
            return Err(NotARecord::TooManyAddresses(addresses.len()));
        }
        // Only the node name owns a node. The other names may be in its serving certificate.
        let own = Address::Hostname(node(&node_name, "spec.nodeName")?);
        let others = addresses.iter().filter_map(|text| to_address(text));
        machine.addresses = std::iter::once(own).chain(others).collect();
        let unread = addresses.iter().map(String::as_str);
        machine.unread_addresses =
            unread_addresses(unread.filter(|text| to_address(text).is_none()));
        machine.adopted_node = annotation(metadata, ADOPTED_NODE).map(str::to_owned);
        machine.provider_id = provider_id;
        machine.join_by = join_by;
        machine.join_key = join_key
            .as_deref()
            .map(to_join_key)
            .or_else(|| machine.join_key.take());
        machine.pool = pool;
        (machine.system_uuid, machine.machine_id) = (system_uuid, machine_id);
        machine.phase = status.stage;
        machine.node_reference = status
            .node_ref
            .map(|reference| node(&reference.name, "status.nodeRef"))
            .transpose()?;
        if let Some(launched_at) = launched_at(metadata) {
            machine.created_at = machine.created_at.min(launched_at);
        }
        Ok(())
    }
}

/// A text that is neither a name nor an address matches nothing: leaving it out fails closed.
fn to_address(text: &str) -> Option<Address> {
    match text.parse() {
        Ok(ip) => Some(Address::InternalIp(ip)),
        Err(_) => NodeName::from_dns_name(text).ok().map(Address::ExternalDns),
    }
}

fn to_join_key(text: &str) -> JoinKey {
    match BASE64_STANDARD.decode(text) {
        Ok(spki) if !spki.is_empty() => JoinKey::Spki(spki),
        _ => JoinKey::Unreadable("spec.joinKey is not the base64 of a public key".to_owned()),
    }
}

/// The launch time of the instance: its requests are accepted from then on, although its record was created a little later.
fn launched_at(metadata: &ObjectMeta) -> Option<Timestamp> {
    annotation(metadata, LAUNCHED_AT)?.parse().ok()
}

fn annotation<'m>(metadata: &'m ObjectMeta, key: &str) -> Option<&'m str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sources::machines::read_value;

    fn read(spec: &Value, status: &Value) -> Result<Machine, String> {
        read_value::<ExpectedMachines>(json!({
            "apiVersion": "rollcall.dev/v1alpha1", "kind": "ExpectedMachine",
            "metadata": {"name": "rack-1", "uid": "u", "creationTimestamp": "2026-11-01T00:00:00Z"},
            "spec": spec, "status": status,
        }))
    }

    #[test]
    fn only_the_node_name_owns_a_node() {
        let machine = read(
            &json!({
                "nodeName": "worker-1", "addresses": ["10.0.0.1", "Rack-1.example.", "2001:db8::1", "*"],
                "providerID": "metal://rack-1", "joinBy": "2026-11-01T02:00:00Z", "pool": "metal",
            }),
            &json!({}),
        )
        .unwrap();
        let name = |text: &str| text.parse::<NodeName>().unwrap();
        assert_eq!(
            machine.addresses,
            [
                Address::Hostname(name("worker-1")),
                Address::InternalIp("10.0.0.1".parse().unwrap()),
                Address::ExternalDns(name("rack-1.example")),
                Address::InternalIp("2001:db8::1".parse().unwrap()),
            ]
        );
        let naming = rollcall_approver_core::Naming::of(Source::ExpectedMachine);
        assert_eq!(naming.names(&machine), [name("worker-1")].into());
        assert_eq!(machine.reference.to_string(), "rack-1");
        assert_eq!(machine.provider_id.as_deref(), Some("metal://rack-1"));
        assert_eq!(machine.pool.as_deref(), Some("metal"));
        assert_eq!(machine.join_by, "2026-11-01T02:00:00Z".parse().ok());
        assert_eq!((machine.join_key, machine.node_reference), (None, None));
    }

    #[test]
    fn keys_and_node_references_are_read_and_unreadable_ones_are_not_forgotten() {
        let pinned = |text: &str| {
            read(&json!({"nodeName": "a", "joinKey": text}), &json!(null))
                .unwrap()
                .join_key
        };
        assert_eq!(pinned("a2V5"), Some(JoinKey::Spki(b"key".to_vec())));
        assert!(matches!(pinned("?"), Some(JoinKey::Unreadable(_))));
        assert!(matches!(pinned(""), Some(JoinKey::Unreadable(_))));
        let status = json!({"stage": "Registered", "nodeRef": {"name": "worker-1", "uid": "n"}});
        let bound = read(&json!({"nodeName": "worker-1"}), &status).unwrap();
        assert_eq!(bound.node_reference, "worker-1".parse().ok());
        assert_eq!(bound.phase.as_deref(), Some("Registered"));
        let status = json!({"nodeRef": {"name": "a b", "uid": "n"}});
        read(&json!({"nodeName": "worker-1"}), &status).unwrap_err();
    }

    #[test]
    fn what_cannot_be_believed_is_no_record() {
        let many = vec!["10.0.0.1"; 2000];
        for spec in [
            json!(null),
            json!({}),
            json!({"nodeName": ""}),
            json!({"nodeName": "a b"}),
            json!({"nodeName": 1}),
            json!({"nodeName": "a", "addresses": "10.0.0.1"}),
            json!({"nodeName": "a", "joinBy": "soon"}),
            json!({"nodeName": "a", "addresses": many}),
        ] {
            assert!(read(&spec, &json!(null)).is_err(), "{spec}");
        }
    }

    #[test]
    fn a_record_says_which_node_it_was_made_for() {
        for (annotations, uid) in [(json!({ADOPTED_NODE: "n"}), Some("n")), (json!({}), None)] {
            let machine = read_value::<ExpectedMachines>(json!({
                "metadata": {"name": "a", "uid": "u", "creationTimestamp": "2026-11-01T00:00:00Z",
                             "annotations": annotations},
                "spec": {"nodeName": "a"},
            }));
            assert_eq!(machine.unwrap().adopted_node.as_deref(), uid);
        }
    }

    #[test]
    fn an_instance_is_expected_since_its_launch_and_never_later_than_its_record() {
        for (launched_at, since) in [
            ("2026-10-31T23:59:00Z", "2026-10-31T23:59:00Z"),
            ("2026-11-01T00:01:00Z", "2026-11-01T00:00:00Z"),
            ("yesterday", "2026-11-01T00:00:00Z"),
        ] {
            let machine = read_value::<ExpectedMachines>(json!({
                "metadata": {"name": "i-0", "uid": "u", "creationTimestamp": "2026-11-01T00:00:00Z",
                             "annotations": {LAUNCHED_AT: launched_at}},
                "spec": {"nodeName": "worker-1"},
            }));
            assert_eq!(machine.unwrap().created_at, since.parse().unwrap());
        }
    }
}
