//! A source that may not be read, and one that does not answer: the others work, what only it could know waits and says for
//! what, and it is picked up by itself.

use rollcall_e2e::Credentials;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::published::KARPENTER_NODE_CLAIMS;
use rollcall_e2e::slow::SlowApi;

use crate::TIMEOUT;
use crate::site::{NodeClaims, Site, launched};

/// OpenShift's Machines, which are well, and NodeClaims, whose nodes are called as they are.
const SOURCES: &str = "- openshift: {}
- karpenter: {nodeNameTemplate: '{{ name }}', nameStrategies: [nodeReference, template]}
";

impl Site {
    /// Installs NodeClaims, and scales both sources up by one.
    async fn scale_up(&self) {
        let definition = KARPENTER_NODE_CLAIMS.text().unwrap();
        self.control_plane.apply(&definition).await.unwrap();
        let claims = NodeClaims::of(&self.admin);
        claims.create("worker-1").await;
        let status = launched(Some("aws:///eu-west-1a/i-0123"));
        claims.set_status("worker-1", &status).await;
        let status = MachineStatus::provisioned("worker-0", "192.0.2.9");
        machines::create_machine(&self.admin, "worker-0", &status)
            .await
            .unwrap();
    }

    /// The node of the well source joins, and that of the other waits. Returns the request that waits.
    async fn join_one_of_two(&self) -> String {
        let request = self.ask("worker-0").await;
        self.wait_issued(&request).await;
        let request = self.ask("worker-1").await;
        let message = self.wait_held(&request, "FactsStale").await;
        assert!(
            message.contains("the watch of machines (karpenter)"),
            "{message}"
        );
        request
    }
}

#[tokio::test]
async fn a_source_that_may_not_be_read_is_picked_up_when_the_right_is_given() {
    let site = Site::open_without().await;
    site.scale_up().await;
    let approver = site.approver(SOURCES, &[]);
    let request = site.join_one_of_two().await;
    for words in [
        ["ERROR", "a right is missing", "nodeclaims"],
        ["ERROR", "machines (karpenter)", "forbidden"],
    ] {
        approver.line(&words, TIMEOUT).await.unwrap();
    }

    site.give_rights("karpenter").await;
    site.wait_issued(&request).await;
    approver
        .line(&["the watch is back", "machines (karpenter)"], TIMEOUT)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_picked_up_when_it_does() {
    let site = Site::open("karpenter").await;
    site.scale_up().await;
    let slow = SlowApi::start(site.approver_client().await, "/nodeclaims")
        .await
        .unwrap();
    let nobody = Credentials::Token("none".to_owned());
    let ca = site.control_plane.ca_pem();
    let kubeconfig = site
        .control_plane
        .custom_kubeconfig("slow", &slow.url(), ca, &nobody)
        .unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let config = site.config_with_bootstrap(SOURCES, "contested: newest");
    let approver = site.start(&config, &["--management-kubeconfig", kubeconfig], &[]);
    let request = site.join_one_of_two().await;
    // It is given up, and asked again.
    approver
        .line(&["ERROR", "machines (karpenter)", "no answer"], TIMEOUT)
        .await
        .unwrap();
    let another = site.ask("worker-1").await;
    site.wait_held(&another, "FactsStale").await;

    slow.answer();
    // Of two keys for one Machine, the newest wins.
    site.wait_issued(&another).await;
    site.wait_held(&request, "AlreadyIssued").await;
    approver
        .line(&["the watch is back", "machines (karpenter)"], TIMEOUT)
        .await
        .unwrap();
}
