//! The content of MachineHealthChecks, in each API and version.

use serde_json::json;

use super::*;
use crate::sources::cluster_api::ClusterApi;
use crate::sources::openshift::OpenShift;

fn check<A: HealthCheckApi>(spec: &Value) -> Result<HealthCheck, String> {
    let object = json!({"metadata": {"name": "mhc", "namespace": "n"}, "spec": spec});
    match read_value::<A>(object)? {
        Some(Change::HealthCheck(check)) => Ok(*check),
        other => Err(format!("{other:?}")),
    }
}

fn unhealthy(kind: &str, status: &str, seconds: i64) -> UnhealthyCondition {
    UnhealthyCondition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        timeout: SignedDuration::from_secs(seconds),
    }
}

#[test]
fn the_checks_of_openshift_are_read() {
    let full = check::<OpenShift>(&json!({
        "selector": {
            "matchLabels": {"role": "worker"},
            "matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["c"]}],
        },
        "unhealthyConditions": [{"type": "Ready", "status": "False", "timeout": "300s"}],
        "maxUnhealthy": "40%", "nodeStartupTimeout": "20m0s",
    }))
    .unwrap();
    assert_eq!(full.reference.to_string(), "n/mhc");
    assert_eq!(full.limit, Limit::Percent(40));
    assert_eq!(full.conditions, [unhealthy("Ready", "False", 300)]);
    assert_eq!(full.startup_timeout, Some(SignedDuration::from_mins(20)));
    assert_eq!(
        full.selector.0,
        [
            Requirement::In("role".to_owned(), vec!["worker".to_owned()]),
            Requirement::NotIn("zone".to_owned(), vec!["c".to_owned()]),
        ]
    );
    let bare = check::<OpenShift>(&json!({"selector": {}})).unwrap();
    assert_eq!(bare.limit, Limit::Percent(100));
    assert_eq!(bare.startup_timeout, Some(STARTUP_TIMEOUT));
    for zero in ["0", "0s"] {
        let spec = json!({"selector": {}, "maxUnhealthy": 2, "nodeStartupTimeout": zero});
        let endless = check::<OpenShift>(&spec).unwrap();
        assert_eq!(
            (endless.startup_timeout, endless.limit),
            (None, Limit::Count(2))
        );
    }
}

#[test]
fn the_checks_of_cluster_api_are_read_in_both_versions() {
    let selector = json!({"matchLabels": {"pool": "md-0"}});
    let old = json!({
        "clusterName": "c", "selector": selector, "maxUnhealthy": "40%", "nodeStartupTimeout": "5m",
        "unhealthyConditions": [{"type": "Ready", "status": "Unknown", "timeout": "5m0s"}],
    });
    let new = json!({
        "clusterName": "c", "selector": selector,
        "checks": {
            "nodeStartupTimeoutSeconds": 300,
            "unhealthyNodeConditions": [{"type": "Ready", "status": "Unknown", "timeoutSeconds": 300}],
            "unhealthyMachineConditions": [{"type": "Updating", "status": "True", "timeoutSeconds": 60}],
        },
        "remediation": {"triggerIf": {"unhealthyLessThanOrEqualTo": "40%"}},
    });
    let read = check::<ClusterApi>(&old).unwrap();
    assert_eq!(check::<ClusterApi>(&new).as_ref(), Ok(&read));
    assert_eq!(read.startup_timeout, Some(SignedDuration::from_mins(5)));
    assert_eq!(read.conditions, [unhealthy("Ready", "Unknown", 300)]);
    // Machines of other clusters in the same namespace do not matter to it.
    let cluster = "cluster.x-k8s.io/cluster-name".to_owned();
    assert!(
        read.selector
            .0
            .contains(&Requirement::In(cluster, vec!["c".to_owned()]))
    );
    for spec in [
        json!({"clusterName": "c", "selector": {}, "unhealthyRange": "[1-3]"}),
        json!({
            "clusterName": "c", "selector": {},
            "remediation": {"triggerIf": {"unhealthyInRange": "[1-3]"}},
        }),
    ] {
        assert_eq!(
            check::<ClusterApi>(&spec).unwrap().limit,
            Limit::Range(1, 3)
        );
    }
    let endless =
        json!({"clusterName": "c", "selector": {}, "checks": {"nodeStartupTimeoutSeconds": 0}});
    assert_eq!(check::<ClusterApi>(&endless).unwrap().startup_timeout, None);
}

#[test]
fn a_paused_check_says_nothing_and_a_broken_one_is_told() {
    let paused = json!({
        "metadata": {"name": "mhc", "namespace": "n", "annotations": {PAUSED: ""}}, "spec": {"selector": {}},
    });
    assert!(read_value::<OpenShift>(paused).unwrap().is_none());
    for (spec, words) in [
        (json!({"selector": {}, "maxUnhealthy": "many"}), "many"),
        (
            json!({"selector": {}, "nodeStartupTimeout": "soon"}),
            "soon",
        ),
        (
            json!({"selector": {}, "unhealthyConditions": [{"type": "Ready", "status": "False", "timeout": "later"}]}),
            "later",
        ),
        (
            json!({"selector": {}, "unhealthyConditions": [{"type": "Ready", "status": "False"}]}),
            "the condition Ready has no timeout",
        ),
        (
            json!({"selector": {"matchExpressions": [{"key": "k", "operator": "Like"}]}}),
            "Like",
        ),
        (
            json!({"selector": "all"}),
            "a field is not what its kind says",
        ),
        (json!(null), "spec"),
    ] {
        let error = check::<OpenShift>(&spec).unwrap_err();
        assert!(error.contains(words), "{spec}: {error}");
    }
}
