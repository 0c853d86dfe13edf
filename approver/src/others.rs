//! Detection of other approvers: kube-controller-manager approves requests of users with a right on a sub-resource of
//! requests (`pkg/controller/certificates/approver`). Then Rollcall's holds have no effect, and a Machine that is no longer
//! expected still renews. The API server is asked once, at the start, if the approver has the right to ask.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_approver_core::RequestorRule;
use rollcall_csr::NODES_GROUP;
use tracing::{debug, info, warn};

use crate::errors::{Failure, classify, describe};

/// The sub-resource for a client certificate of any node, and that of a node for itself.
const FIRST: &str = "nodeclient";
const RENEWAL: &str = "selfnodeclient";

/// Checks each requestor of first certificates, and nodes that renew theirs.
pub(crate) async fn check(client: Client, bootstrappers: Vec<RequestorRule>) {
    let nodes = RequestorRule::group(NODES_GROUP);
    let first = bootstrappers.iter().map(|rule| (rule, FIRST));
    for (rule, subresource) in first.chain([(&nodes, RENEWAL)]) {
        match ask(&client, rule, subresource).await {
            Ok(status) if status.allowed => tell(rule, subresource, &status),
            Ok(_) => {}
            Err(error) if classify(&error) == Failure::Forbidden => {
                // This right is optional, so the log line has no words of an error.
                info!(
                    "who else approves is not checked; the component of deploy/ called other-approvers gives the right to"
                );
                return;
            }
            Err(error) => debug!(error = describe(&error), "who else approves is not known"),
        }
    }
}

async fn ask(
    client: &Client,
    rule: &RequestorRule,
    subresource: &str,
) -> kube::Result<SubjectAccessReviewStatus> {
    let groups = rule.group.iter().cloned();
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: rule.username.clone(),
            groups: Some(groups.chain(["system:authenticated".to_owned()]).collect()),
            resource_attributes: Some(ResourceAttributes {
                group: Some("certificates.k8s.io".to_owned()),
                resource: Some("certificatesigningrequests".to_owned()),
                subresource: Some(subresource.to_owned()),
                verb: Some("create".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.unwrap_or_default())
}

/// Names the binding if the API server reports it, and its name in a kubeadm cluster.
fn tell(rule: &RequestorRule, subresource: &str, status: &SubjectAccessReviewStatus) {
    let who = rule.username.as_ref().or(rule.group.as_ref());
    let (consequence, usual) = if subresource == FIRST {
        (
            "approves every first certificate of theirs by itself, before Rollcall can judge it",
            "kubeadm:node-autoapprove-bootstrap",
        )
    } else {
        (
            "approves every renewal by itself, so that a node whose Machine is gone keeps its identity",
            "kubeadm:node-autoapprove-certificate-rotation",
        )
    };
    warn!(
        requestor = who.map(String::as_str).unwrap_or_default(),
        right = format!("create certificatesigningrequests/{subresource}"),
        by = status.reason.as_deref().unwrap_or_default(),
        "kube-controller-manager {consequence}; delete the binding, which is {usual} on a kubeadm cluster"
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures::{Lines, server};

    const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

    /// The log for these answers of the API server.
    async fn told(answer: impl Fn(&Value) -> Option<Value>) -> String {
        let lines = Lines::default();
        let _guard = lines.subscribe();
        let (client, mut server) = server();
        let rules = vec![RequestorRule::group("system:bootstrappers")];
        let answers = async {
            while let Ok(Some(call)) =
                tokio::time::timeout(Duration::from_secs(5), server.next()).await
            {
                assert_eq!((call.method.as_str(), &*call.path), ("POST", REVIEWS));
                let Some(status) = answer(&call.body["spec"]) else {
                    call.fail(403, "cannot create resource \"subjectaccessreviews\"");
                    continue;
                };
                let mut review = call.body.clone();
                review["status"] = status;
                call.answer(&review);
            }
        };
        tokio::join!(check(client, rules), answers);
        lines.text()
    }

    #[tokio::test(start_paused = true)]
    async fn who_else_approves_is_told_with_the_binding() {
        let text = told(|spec| {
            let renewal = spec["resourceAttributes"]["subresource"] == "selfnodeclient";
            assert_eq!(spec["groups"].as_array().unwrap().len(), 2);
            Some(json!({"allowed": renewal, "reason": "ClusterRoleBinding \"rotation\""}))
        })
        .await;
        assert_eq!(text.matches("WARN").count(), 1, "{text}");
        for part in [
            "approves every renewal by itself",
            "kubeadm:node-autoapprove-certificate-rotation",
            "ClusterRoleBinding \\\"rotation\\\"",
            "system:nodes",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_right_to_ask_it_says_so_once() {
        let text = told(|_| None).await;
        assert!(!text.contains("WARN"), "{text}");
        assert_eq!(text.matches("other-approvers").count(), 1, "{text}");
    }
}
