//! The manifests in `deploy/`: the roles give the rights that the code names, all of them and no more.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rollcall_approver::rights::{OTHER_APPROVERS, RIGHTS, Right, Scope, of_source, of_tokens};
use rollcall_approver_core::Source;
use serde_json::{Value, json};

/// One verb on one resource, somewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Single {
    namespace: Option<String>,
    group: String,
    resource: String,
    name: Option<String>,
    verb: String,
}

/// The namespace that only OpenShift has.
const OPENSHIFT: &str = "openshift-config-managed";

fn read(path: &Path) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The documents that `kubectl apply -k` applies of a folder of `deploy`.
fn documents(folder: &str) -> Vec<Value> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    documents_of(&deploy.join(folder))
}

fn documents_of(folder: &Path) -> Vec<Value> {
    let resources = texts(&read(&folder.join("kustomization.yaml"))["resources"]);
    let paths = resources.iter().map(|resource| folder.join(resource));
    let documents = |path: PathBuf| {
        if path.is_dir() {
            documents_of(&path)
        } else {
            vec![read(&path)]
        }
    };
    paths.flat_map(documents).collect()
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

/// Each name on its own; no names at all mean every object.
fn each(names: Vec<String>) -> Vec<Option<String>> {
    if names.is_empty() {
        vec![None]
    } else {
        names.into_iter().map(Some).collect()
    }
}

/// What the roles of a folder give.
fn given(folder: &str) -> BTreeSet<Single> {
    let mut given = BTreeSet::new();
    for role in documents(folder) {
        let namespace = role["metadata"]["namespace"].as_str();
        for rule in role["rules"].as_array().into_iter().flatten() {
            given.extend(singles(namespace, rule));
        }
    }
    given
}

fn singles(namespace: Option<&str>, rule: &Value) -> Vec<Single> {
    let compared = ["apiGroups", "resources", "resourceNames", "verbs"];
    for field in rule.as_object().unwrap().keys() {
        assert!(compared.contains(&field.as_str()), "{field} in {rule}");
    }
    let mut singles = Vec::new();
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for name in each(texts(&rule["resourceNames"])) {
                for verb in texts(&rule["verbs"]) {
                    singles.push(Single {
                        namespace: namespace.map(str::to_owned),
                        group: group.clone(),
                        resource: resource.clone(),
                        name: name.clone(),
                        verb,
                    });
                }
            }
        }
    }
    singles
}

/// What these rights are; those on Machines in this namespace, or in all.
fn used<'a>(
    rights: impl IntoIterator<Item = &'a Right>,
    machines: Option<&str>,
) -> BTreeSet<Single> {
    let mut used = BTreeSet::new();
    for right in rights {
        let namespace = match right.scope {
            Scope::Cluster => None,
            Scope::Default => Some("default"),
            Scope::Addresses(namespace) | Scope::KubeletCa(namespace) => Some(namespace),
            Scope::Machines => machines,
            Scope::NodeLeases => Some("kube-node-lease"),
            Scope::Own => Some("rollcall"),
        };
        for name in each(right.names.iter().map(|&name| name.to_owned()).collect()) {
            used.extend(right.verbs.iter().map(|&verb| Single {
                namespace: namespace.map(str::to_owned),
                group: right.group.to_owned(),
                resource: right.resource.to_owned(),
                name: name.clone(),
                verb: verb.to_owned(),
            }));
        }
    }
    used
}

#[track_caller]
fn assert_same(folder: &str, used: &BTreeSet<Single>) {
    let given = given(folder);
    let missing: Vec<&Single> = used.difference(&given).collect();
    let extra: Vec<&Single> = given.difference(used).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing in deploy/{folder}: {missing:#?}\nnot in the code: {extra:#?}"
    );
}

#[test]
fn the_roles_give_what_the_code_uses_and_no_more() {
    let rights = RIGHTS.iter().chain(of_source(Source::OpenShift));
    assert_same("openshift", &used(rights, Some("openshift-machine-api")));
}

#[test]
fn each_component_gives_what_its_source_needs_and_no_more() {
    for (folder, source) in [
        ("components/cluster-api", Source::ClusterApi),
        ("components/gardener", Source::Gardener),
        ("components/karpenter", Source::Karpenter),
    ] {
        let on_all = RIGHTS.iter().filter(|right| right.scope == Scope::Machines);
        let rights = of_source(source).iter().chain(on_all);
        assert_same(folder, &used(rights, None));
        assert_all_bound(folder);
    }
}

/// KubeadmConfigs hold secrets, so that the right to read them is one of its own.
#[test]
fn only_the_component_for_bootstrap_tokens_gives_the_right_to_read_them() {
    let folder = "components/cluster-api-bootstrap-tokens";
    let rights = of_tokens(Source::ClusterApi);
    assert!(!rights.is_empty());
    assert_same(folder, &used(rights, None));
    assert_all_bound(folder);
}

#[test]
fn the_component_for_other_approvers_gives_the_right_to_ask_who_they_are() {
    let folder = "components/other-approvers";
    assert_same(folder, &used(OTHER_APPROVERS, None));
    assert_all_bound(folder);
}

#[test]
fn probes_are_apart_from_metrics_and_only_prometheus_reaches_those() {
    let documents = documents("base");
    let of = |kind: &str| {
        documents
            .iter()
            .find(|document| document["kind"] == kind)
            .unwrap()
    };
    let container = &of("Deployment")["spec"]["template"]["spec"]["containers"][0];
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "probes", "{probe}");
    }
    let arguments = texts(&container["args"]);
    assert!(arguments.contains(&"--probe-addr=0.0.0.0:8081".to_owned()));
    for rule in of("NetworkPolicy")["spec"]["ingress"].as_array().unwrap() {
        assert!(rule["from"].as_array().is_some_and(|from| !from.is_empty()));
        assert_eq!(rule["ports"], json!([{"port": "metrics"}]));
    }
}

#[test]
fn every_role_is_bound_to_the_service_account_that_the_pod_runs_as() {
    let documents = documents("openshift");
    let of = |kind: &str| {
        documents
            .iter()
            .find(|document| document["kind"] == kind)
            .unwrap()
    };
    let account = &of("ServiceAccount")["metadata"];
    let pod = &of("Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["name"]);
    assert_eq!(
        (&account["name"], &account["namespace"]),
        (&json!("rollcall-approver"), &json!("rollcall"))
    );
    assert_all_bound("openshift");
}

#[track_caller]
fn assert_all_bound(folder: &str) {
    let documents = documents(folder);
    let of = |kinds: &[&str]| -> Vec<&Value> {
        let kinds = |document: &&Value| kinds.contains(&document["kind"].as_str().unwrap());
        documents.iter().filter(kinds).collect()
    };
    let roles = of(&["Role", "ClusterRole"]);
    let bindings = of(&["RoleBinding", "ClusterRoleBinding"]);
    assert_eq!(roles.len(), bindings.len());
    for role in roles {
        let binding = bindings.iter().find(|binding| {
            binding["roleRef"]["kind"] == role["kind"]
                && binding["roleRef"]["name"] == role["metadata"]["name"]
                && binding["metadata"]["namespace"] == role["metadata"]["namespace"]
        });
        assert!(binding.is_some(), "nobody has {}", role["metadata"]);
        let subject = &binding.unwrap()["subjects"][0];
        assert_eq!(subject["kind"], "ServiceAccount");
        assert_eq!(subject["name"], "rollcall-approver");
        assert_eq!(subject["namespace"], "rollcall");
    }
}

/// Where a namespace does not exist, `kubectl apply` fails.
#[test]
fn the_base_needs_no_namespace_that_only_openshift_has() {
    let inside = |folder: &str| {
        let documents = documents(folder);
        let inside = documents
            .iter()
            .filter(|document| document["metadata"]["namespace"] == OPENSHIFT);
        inside.count()
    };
    assert_eq!((inside("base"), inside("openshift")), (0, 2));
}
