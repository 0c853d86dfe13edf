//! Who may talk to a control plane of the harness, and as whom.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, PostParams};
use rollcall_e2e::{Authority, CertificateProfile, ControlPlane, Credentials};
use serde_json::json;

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn each_identity_may_do_what_it_is_for_and_no_more() {
    let control_plane = ControlPlane::start().await.unwrap();

    let path = control_plane
        .service_account_kubeconfig("rollcall", "approver")
        .await
        .unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let approver = control_plane.client_from(&path).await.unwrap();
    assert!(
        !may_list_nodes(&approver).await,
        "RBAC lets a ServiceAccount without a binding list Nodes"
    );
    let subject = json!({"kind": "ServiceAccount", "namespace": "rollcall", "name": "approver"});
    control_plane
        .bind_cluster_role("rollcall-view", "system:node-reader-for-test", &subject)
        .await
        .unwrap();
    control_plane.apply(NODE_READER).await.unwrap();
    rollcall_e2e::wait::poll("RBAC to follow", TIMEOUT, || async {
        if may_list_nodes(&approver).await {
            Ok(())
        } else {
            anyhow::bail!("listing Nodes is still forbidden")
        }
    })
    .await
    .unwrap();

    let visitor = control_plane
        .client_as("visitor", &["guests", "others"])
        .await
        .unwrap();
    assert!(!may_list_nodes(&visitor).await);
    let root = control_plane
        .client_as("root", &["system:masters"])
        .await
        .unwrap();
    assert!(may_list_nodes(&root).await);
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_another_time_is_refused() {
    let control_plane = ControlPlane::start().await.unwrap();
    let stranger = Authority::generate("somebody else").unwrap();
    let now = SystemTime::now();
    let profile = CertificateProfile::client("root", &["system:masters"]);
    let past = (
        now - Duration::from_secs(7200),
        now - Duration::from_secs(3600),
    );
    let wrong = [
        stranger.issue(&profile).unwrap(),
        control_plane
            .issue_certificate(&profile.valid(past.0, past.1))
            .unwrap(),
    ];
    for certificate in wrong {
        let credentials = Credentials::Certificate(certificate);
        let path = control_plane
            .custom_kubeconfig(
                "wrong",
                &control_plane.server(),
                control_plane.ca_pem(),
                &credentials,
            )
            .unwrap();
        let client = control_plane.client_from(&path).await.unwrap();
        let error = Api::<Node>::all(client)
            .list(&ListParams::default())
            .await
            .unwrap_err();
        let kube::Error::Api(status) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(status.code, 401, "{error}");
    }
}

/// A ClusterRole that one test binds.
const NODE_READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:node-reader-for-test}
rules:
- {apiGroups: [''], resources: [nodes], verbs: [list]}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: from-a-list}
";

async fn may_list_nodes(client: &kube::Client) -> bool {
    let attributes = json!({"resourceAttributes": {"resource": "nodes", "verb": "list"}});
    let spec: SelfSubjectAccessReviewSpec = serde_json::from_value(attributes).unwrap();
    let review = SelfSubjectAccessReview {
        spec,
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let allowed = reviews
        .create(&PostParams::default(), &review)
        .await
        .unwrap()
        .status
        .unwrap()
        .allowed;
    assert_eq!(
        allowed,
        Api::<Node>::all(client.clone())
            .list(&ListParams::default())
            .await
            .is_ok()
    );
    allowed
}
