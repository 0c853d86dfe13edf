//! The manifests in `deploy/components` that are about ExpectedMachines: their roles give the rights that the code names,
//! all of them and no more.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rollcall_approver::rights::{AUTO_SCALING, RIGHTS, Right, Scope, of_source};
use rollcall_approver_core::Source;
use serde_json::Value;

/// The components that are compared.
const COMPONENTS: &[&str] = &["expected-machines", "aws-auto-scaling"];

/// API group, resource and verb.
type Single = (String, String, String);

fn folder(component: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/components")
        .join(component)
}

/// The documents that a component adds.
fn documents(component: &str) -> Vec<Value> {
    let read = |file: &str| -> Value {
        let text = std::fs::read_to_string(folder(component).join(file)).unwrap();
        serde_saphyr::from_str(&text).unwrap()
    };
    let kustomization = read("kustomization.yaml");
    texts(&kustomization["resources"])
        .iter()
        .map(|file| read(file))
        .collect()
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

fn given(component: &str) -> BTreeSet<Single> {
    let mut given = BTreeSet::new();
    for role in documents(component) {
        if role["kind"] != "ClusterRole" {
            continue;
        }
        for rule in role["rules"].as_array().unwrap() {
            assert_eq!(rule.as_object().unwrap().len(), 3, "{rule}");
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        given.insert((group.clone(), resource.clone(), verb));
                    }
                }
            }
        }
    }
    given
}

fn used<'r>(rights: impl IntoIterator<Item = &'r Right>) -> BTreeSet<Single> {
    let mut used = BTreeSet::new();
    for right in rights {
        assert!(matches!(right.scope, Scope::Cluster | Scope::Machines));
        assert!(right.names.is_empty());
        for &verb in right.verbs {
            used.insert((
                right.group.to_owned(),
                right.resource.to_owned(),
                verb.to_owned(),
            ));
        }
    }
    used
}

#[test]
fn the_roles_give_what_the_code_uses_and_no_more() {
    // The records may be kept in a cluster where deploy/base is not applied.
    let of_machines = RIGHTS.iter().filter(|right| right.scope == Scope::Machines);
    assert_eq!(
        given("expected-machines"),
        used(of_source(Source::ExpectedMachine).iter().chain(of_machines))
    );
    assert_eq!(given("aws-auto-scaling"), used(AUTO_SCALING));
}

#[test]
fn every_role_is_bound_to_the_approver() {
    for component in COMPONENTS {
        let documents = documents(component);
        let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind);
        let (role, binding) = (
            of("ClusterRole").unwrap(),
            of("ClusterRoleBinding").unwrap(),
        );
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        let subject = &binding["subjects"][0];
        assert_eq!(subject["kind"], "ServiceAccount");
        assert_eq!(subject["name"], "rollcall-approver");
        assert_eq!(subject["namespace"], "rollcall");
    }
}
