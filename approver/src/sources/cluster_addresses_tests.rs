//! The cluster's own addresses in each kind, and objects without any.

use serde_json::json;

use super::*;

/// The content of an object, as text: names, endpoints, ranges and domains.
fn read(object: &Value) -> [Vec<String>; 4] {
    let (api_version, kind) = (
        object["apiVersion"].as_str().unwrap(),
        object["kind"].as_str().unwrap(),
    );
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = find(group, version, kind).unwrap();
    let Some(said) = kind.read(object) else {
        return [const { Vec::new() }; 4];
    };
    let ClusterAddresses {
        object: _,
        cluster: _,
        names,
        endpoints,
        services,
        domains,
        ingress,
    } = said;
    let domains = domains.iter().chain(&ingress);
    [
        names.iter().map(ToString::to_string).collect(),
        endpoints.iter().map(ToString::to_string).collect(),
        services.iter().map(ToString::to_string).collect(),
        domains.map(ToString::to_string).collect(),
    ]
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_kind_says_what_it_knows() {
    let kubeadm = "apiVersion: kubeadm.k8s.io/v1beta4\ncontrolPlaneEndpoint: api.prod.example:6443\nnetworking:\n  dnsDomain: \
                   prod.local\n  serviceSubnet: 10.96.0.0/12,fd00:1::/112\n";
    let named = |name: &str, namespace: &str| json!({"name": name, "namespace": namespace});
    for (object, expected) in [
        (
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": named("kubernetes", "default"),
                "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00:1::1"]},
            }),
            ["10.96.0.1 fd00:1::1", "", "", ""],
        ),
        (
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": named("kubernetes", "default"),
                "endpoints": [{"addresses": ["192.0.2.11"]}, {"addresses": ["192.0.2.12"]}, {}],
            }),
            ["", "192.0.2.11 192.0.2.12", "", ""],
        ),
        (
            json!({
                "apiVersion": "v1", "kind": "Endpoints", "metadata": named("kubernetes", "default"),
                "subsets": [{"addresses": [{"ip": "192.0.2.11"}], "notReadyAddresses": [{"ip": "192.0.2.12"}]}],
            }),
            ["", "192.0.2.11 192.0.2.12", "", ""],
        ),
        (
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"},
                "spec": {"cidrs": ["10.96.0.0/12", "broken"]},
            }),
            ["", "", "10.96.0.0/12", ""],
        ),
        (
            json!({
                "apiVersion": "config.openshift.io/v1", "kind": "Infrastructure", "metadata": {"name": "cluster"},
                "status": {
                    "apiServerURL": "https://api.ocp.example:6443", "apiServerInternalURI": "https://api-int.ocp.example:6443",
                    "platformStatus": {"type": "VSphere", "vsphere": {
                        "apiServerInternalIP": "192.0.2.5", "apiServerInternalIPs": ["192.0.2.5", "2001:db8::5"],
                        "ingressIP": "192.0.2.6", "ingressIPs": ["192.0.2.6"],
                    }},
                },
            }),
            [
                "api-int.ocp.example api.ocp.example 192.0.2.5 192.0.2.6 2001:db8::5",
                "",
                "",
                "apps.ocp.example",
            ],
        ),
        (
            json!({
                "apiVersion": "config.openshift.io/v1", "kind": "Network", "metadata": {"name": "cluster"},
                "status": {"serviceNetwork": ["172.30.0.0/16"]},
            }),
            ["", "", "172.30.0.0/16", ""],
        ),
        (
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": named("kubeadm-config", "kube-system"),
                "data": {"ClusterConfiguration": kubeadm},
            }),
            [
                "api.prod.example",
                "",
                "10.96.0.0/12 fd00:1::/112",
                "prod.local",
            ],
        ),
        (
            json!({
                "apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster", "metadata": named("prod", "fleet"),
                "spec": {
                    "controlPlaneEndpoint": {"host": "192.0.2.7", "port": 6443},
                    "clusterNetwork": {"services": {"cidrBlocks": ["10.128.0.0/12"]}, "serviceDomain": "prod.local"},
                },
            }),
            ["192.0.2.7", "", "10.128.0.0/12", "prod.local"],
        ),
    ] {
        let read = read(&object).map(|texts| texts.join(" "));
        assert_eq!(read, expected.map(str::to_owned), "{object}");
    }
}

#[test]
fn what_is_not_the_clusters_or_cannot_be_read_says_nothing() {
    let nothing = || [const { Vec::<String>::new() }; 4];
    for object in [
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "tenant"},
            "spec": {"clusterIP": "10.96.0.1"},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "dashboard", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.1"},
        }),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default"}}),
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIP": "None", "clusterIPs": "10.96.0.1"},
        }),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubeadm-config", "namespace": "kube-system"},
            "data": {"ClusterConfiguration": "{a: ["},
        }),
        json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster", "metadata": {"name": "new", "namespace": "fleet"},
            "spec": {"controlPlaneEndpoint": {"host": "", "port": 0}},
        }),
    ] {
        let mut read = read(&object);
        // `None` is a name, but not of a machine.
        let [names, ..] = &mut read;
        names.retain(|name| name != "none");
        assert_eq!(read, nothing(), "{object}");
    }
}

#[test]
fn names_are_read_with_and_without_a_port() {
    let mut said = ClusterAddresses::default();
    take_names(
        &mut said,
        [
            "https://api.example:6443/",
            "192.0.2.1:6443",
            "[2001:db8::1]:6443",
            "2001:db8::2",
            "api-int.example.",
            "not a name",
            "",
        ],
    );
    let names: Vec<String> = said.names.iter().map(ToString::to_string).collect();
    let expected = [
        "api-int.example",
        "api.example",
        "192.0.2.1",
        "2001:db8::1",
        "2001:db8::2",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_watch_tells_all_that_it_knows_and_forgets_what_is_gone() {
    let scope = Scope {
        label: Some((CLUSTER_LABEL.to_owned(), "prod".to_owned())),
        ..Scope::new(rollcall_approver_core::Source::ClusterApi, "fleet")
    };
    let watch = Watch::of_scope(scope.clone());
    assert_eq!(watch.fields().as_deref(), Some("metadata.name=prod"));
    assert!(scope.feeds().any(|feed| feed == watch.feed()));
    let object = |name: &str, host: &str| -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "fleet"},
            "spec": {"controlPlaneEndpoint": {"host": host}},
        }))
        .unwrap()
    };
    let told = |change: Change| {
        let Change::ClusterAddresses(_, said) = change else {
            panic!("{change:?}");
        };
        said.iter()
            .flat_map(|said| said.names.iter().map(ToString::to_string))
            .collect::<Vec<String>>()
    };
    let mut memory = Memory::default();
    watch.put(&mut memory, object("prod", "192.0.2.1"));
    let (_, input) = watch.put(&mut memory, object("test", "192.0.2.2")).unwrap();
    let Input::Change(change) = input else {
        panic!("no change");
    };
    assert_eq!(told(change), ["192.0.2.1", "192.0.2.2"]);
    let gone = watch
        .gone(&mut memory, &object("prod", "192.0.2.1"))
        .unwrap();
    assert_eq!(told(gone), ["192.0.2.2"]);
    assert_eq!(told(watch.all(&mut memory, HashSet::new())), [""; 0]);
}
