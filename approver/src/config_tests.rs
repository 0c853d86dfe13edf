//! What the configuration file takes, and what it says of everything else.

use rollcall_approver_core::{
    ExtraRange, RenewWithoutAddresses, RequestorRule, ServerName, ServingPolicy,
};

use super::*;

const HEAD: &str = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n";

pub(super) fn parse(body: &str) -> Result<Config, String> {
    Config::parse(&format!("{HEAD}{body}"))
}

/// Asserts that a configuration is refused with these words.
pub(super) fn assert_refused(body: &str, words: &[&str]) {
    let error = parse(body).unwrap_err();
    for word in words {
        assert!(error.contains(word), "{body:?}: {error}");
    }
}

#[test]
fn the_empty_configuration_is_the_default() {
    assert_eq!(parse(""), Ok(Config::default()));
}

#[test]
fn every_field_is_read() {
    let config = parse(
        "mode: manual
bootstrap:
  requestors:
  - username: u
  - group: g
  joinWindow: 1h30m
  clockSkew: 5s
deny: [malformed]
serving:
  enabled: false
  clusterDomain: Cluster.Example.
  apiServers: [API.example.com., 192.0.2.1]
  extraRanges:
  - {pool: workers, cidrs: [10.1.0.0/16, '2001:db8::/32']}
  renewWithoutAddresses: adopted
maxStaleness: 30s
machines:
- openshift: {namespace: elsewhere}
- openshift: {}
",
    )
    .unwrap();
    assert_eq!(config.mode, Mode::Manual);
    let scopes: Vec<String> = config.machines.iter().map(ToString::to_string).collect();
    assert_eq!(
        scopes,
        [
            "openshift in elsewhere",
            "openshift in openshift-machine-api"
        ]
    );
    let policy = config.policy;
    assert_eq!(
        policy.bootstrappers,
        [RequestorRule::username("u"), RequestorRule::group("g")]
    );
    assert_eq!(policy.rules.join_window, SignedDuration::from_mins(90));
    assert_eq!(policy.clock_skew, SignedDuration::from_secs(5));
    assert_eq!(policy.deny, [DenyClass::Malformed]);
    assert_eq!(policy.max_staleness, SignedDuration::from_secs(30));
    let names = ["api.example.com", "192.0.2.1"].map(|name| ServerName::read(name).unwrap());
    let expected = ServingPolicy {
        api_servers: names.into(),
        cluster_domain: "cluster.example".to_owned(),
        enabled: false,
        extra_ranges: vec![ExtraRange {
            pool: "workers".to_owned(),
            ranges: vec![
                "10.1.0.0/16".parse().unwrap(),
                "2001:db8::/32".parse().unwrap(),
            ],
            shared: false,
        }],
        renew_without_addresses: RenewWithoutAddresses::Adopted,
    };
    assert_eq!(policy.serving, expected);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (body, words) in [
        ("mod: enforce", &["mod", "line 3"][..]),
        ("mode: enforced", &["enforced", "line 3"]),
        ("bootstrap:\n  joinWindow: soon", &["soon", "line 4"]),
        ("bootstrap:\n  joinWindow: -1h", &["negative"]),
        ("bootstrap:\n  joinwindow: 1h", &["joinwindow"]),
        ("bootstrap:\n  maxIssues: 0", &["maxIssues"]),
        ("bootstrap:\n  maxIssues: -1", &["line 4"]),
        (
            "serving:\n  renewWithoutAddresses: off",
            &["renewWithoutAddresses", "line 4", "adopted"],
        ),
        (
            "bootstrap:\n  requestors:\n  - {}",
            &["bootstrap.requestors"],
        ),
        (
            "bootstrap:\n  requestors:\n  - username: ''",
            &["bootstrap.requestors"],
        ),
        ("deny: [everything]", &["everything"]),
        ("mode: manual\nmode: enforce", &["mode"]),
        ("serving:\n  enable: false", &["enable", "line 4"]),
        (
            "serving:\n  clusterDomain: '*'",
            &["serving.clusterDomain", "*"],
        ),
        (
            "serving:\n  apiServers: ['https://api']",
            &["serving.apiServers", "https://api"],
        ),
        (
            "serving:\n  extraRanges: [{pool: a, cidrs: [10.0.0.1/8]}]",
            &["serving.extraRanges", "10.0.0.1/8", "bits"],
        ),
        (
            "serving:\n  extraRanges: [{pool: a, cidrs: []}]",
            &["serving.extraRanges", "cidrs"],
        ),
        (
            "serving:\n  extraRanges: [{cidrs: [10.0.0.0/8]}]",
            &["pool"],
        ),
        ("mode: [", &["line"]),
    ] {
        assert_refused(body, words);
    }
}

#[test]
fn what_opens_a_door_is_refused() {
    for (body, words) in [
        (
            "serving:\n  extraRanges: [{pool: a, cidrs: [10.0.0.0/8, 0.0.0.0/0]}]",
            &["serving.extraRanges", "0.0.0.0/0", "pool a"][..],
        ),
        (
            "serving:\n  extraRanges: [{pool: a, cidrs: ['2000::/3']}]",
            &["serving.extraRanges", "2000::/3", "pool a"],
        ),
        (
            "serving:\n  extraRanges: [{pool: 'a*', cidrs: [10.0.0.0/8]}]",
            &["serving.extraRanges", "a*", "patterns"],
        ),
        (
            "bootstrap:\n  clockSkew: 10000h",
            &["clockSkew", "seconds", "line 4"],
        ),
        (
            "bootstrap:\n  joinWindow: 100000h",
            &["joinWindow", "windowFrom", "line 4"],
        ),
        ("maxStaleness: 24h", &["maxStaleness", "deleted", "line 3"]),
        ("bootstrap:\n  windowFrom: host", &["host", "line 4"]),
    ] {
        assert_refused(body, words);
    }
}

#[test]
fn how_kubelets_are_dialled_and_verified_is_read() {
    let text = "serving:\n  kubeletCA:
  - configMap: {namespace: n, name: m, key: k}
  - file: /etc/ca.pem
  port: 10251
";
    let kubelets = parse(text).unwrap().kubelets;
    let sources = ["ConfigMap n/m (key k)", "file /etc/ca.pem"];
    assert_eq!(kubelets.sources(), sources);
    assert_eq!(kubelets.port, 10251);
    for (body, words) in [
        ("port: 0", "line 4"),
        ("kubeletCA: [{}]", "serving.kubeletCA"),
        (
            "kubeletCA: [{file: a, configMap: {namespace: n, name: m, key: k}}]",
            "serving.kubeletCA: each entry is either",
        ),
        (
            "kubeletCA: [{configMap: {namespace: n, name: '', key: k}}]",
            "serving.kubeletCA",
        ),
        ("kubeletCA: [{configMap: {namespace: n, name: m}}]", "key"),
        ("kubeletCa: []", "kubeletCa"),
    ] {
        let error = parse(&format!("serving:\n  {body}")).unwrap_err();
        assert!(error.contains(words), "{body:?}: {error}");
    }
}

#[test]
fn another_kind_of_file_is_refused() {
    for text in [
        "",
        "{}",
        "apiVersion: v1\nkind: ConfigMap\n",
        "apiVersion: rollcall.dev/v1\nkind: ApproverConfig\n",
    ] {
        assert!(Config::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/approver.yaml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read /nonexistent/approver.yaml: No such file or directory (os error 2)"
    );
}

#[test]
fn the_configuration_that_is_deployed_states_the_defaults() {
    let manifest = include_str!("../../deploy/base/config.yaml");
    let config_map: k8s_openapi::api::core::v1::ConfigMap =
        serde_saphyr::from_str(manifest).unwrap();
    let data = config_map.data.unwrap();
    let files: Vec<&str> = data.keys().map(String::as_str).collect();
    // The Deployment names this file on its command line.
    assert_eq!(files, ["approver.yaml"]);
    let text = &data["approver.yaml"];
    assert_eq!(Config::parse(text), Ok(Config::default()));
    // It states each of them, so that a reader need not look anywhere else.
    let fields = [
        "mode:",
        "requestors:",
        "joinWindow:",
        "clockSkew:",
        "contested:",
        "reissueAfter:",
        "maxIssues:",
        "deny:",
        "maxStaleness:",
        "machines:",
        "serving:",
        "kubeletCA:",
        "port:",
    ];
    for field in fields {
        assert!(text.contains(field), "{field} is missing");
    }
}
