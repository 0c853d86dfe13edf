//! Bootstrap tokens of Cluster API: each for the Machine that it was made for.

use std::time::Duration;

use kube::Client;
use kube::config::Kubeconfig;
use rollcall_e2e::published::{CLUSTER_API_KUBEADM_CONFIGS, CLUSTER_API_MACHINES};
use rollcall_e2e::records::Records;
use rollcall_e2e::requests::NodeRequest;
use serde_json::json;

use crate::site::Site;
use crate::{NAMESPACE, cluster_api, scale_up};

/// A bootstrap token: what it is, and whoever holds it.
struct Token {
    text: String,
    holder: Client,
}

impl Token {
    async fn make(site: &Site) -> Self {
        let hour = Duration::from_secs(3600);
        let path = site.control_plane.bootstrap_token_kubeconfig(hour).await;
        let path = path.unwrap();
        let kubeconfig = serde_json::to_value(Kubeconfig::read_from(&path).unwrap()).unwrap();
        let text = kubeconfig.pointer("/users/0/user/token");
        Self {
            text: text.unwrap().as_str().unwrap().to_owned(),
            holder: site.control_plane.client_from(&path).await.unwrap(),
        }
    }

    /// Asks with it for the certificate of a node.
    async fn ask(&self, node: &str) -> String {
        let request = NodeRequest::client(node).unwrap();
        request.submit(&self.holder).await.unwrap()
    }

    /// Names it where Cluster API's bootstrap provider does.
    async fn record(&self, configs: &Records, name: &str) {
        let discovery =
            json!({"bootstrapToken": {"token": self.text, "apiServerEndpoint": "192.0.2.1:6443"}});
        let spec = json!({"joinConfiguration": {"discovery": discovery}});
        let labels = json!({"cluster.x-k8s.io/cluster-name": "c"});
        configs.create(name, &labels, &spec).await.unwrap();
    }
}

#[tokio::test]
async fn a_bootstrap_token_of_cluster_api_lets_its_own_machine_in_and_no_other() {
    let site = Site::open("cluster-api").await;
    site.give_rights("cluster-api-bootstrap-tokens").await;
    let machines = CLUSTER_API_MACHINES.text().unwrap();
    site.control_plane.apply(&machines).await.unwrap();
    let source = format!(
        "- clusterAPI: {{namespace: {NAMESPACE}, clusterName: c, bootstrapTokens: true}}\n"
    );
    let approver = site.approver(&source, &[]);
    let machines = cluster_api(site.admin.clone());
    scale_up(&machines, "md-0-a", "worker-0").await;
    scale_up(&machines, "md-0-b", "worker-1").await;
    let (a, b) = (Token::make(&site).await, Token::make(&site).await);

    // Nobody knows yet whose a token is.
    let own = a.ask("worker-0").await;
    let message = site.wait_held(&own, "FactsStale").await;
    assert!(message.contains("kubeadm configs (clusterAPI"), "{message}");
    let definition = CLUSTER_API_KUBEADM_CONFIGS.text().unwrap();
    site.control_plane.apply(&definition).await.unwrap();
    let configs = Records::new(
        site.admin.clone(),
        "bootstrap.cluster.x-k8s.io/v1beta2",
        "KubeadmConfig",
        "kubeadmconfigs",
        Some(NAMESPACE),
    )
    .unwrap();
    b.record(&configs, "md-0-b").await;
    a.record(&configs, "md-0-a").await;
    site.wait_issued(&own).await;

    let anothers = a.ask("worker-1").await;
    let message = site.wait_held(&anothers, "TokenOfAnotherMachine").await;
    assert!(
        message.contains("made for Machine fleet/md-0-a, not for Machine fleet/md-0-b"),
        "{message}"
    );
    // Nor may somebody come in who is a bootstrapper without any token.
    let groups = ["system:bootstrappers"];
    let other = site.control_plane.client_as("somebody", &groups).await;
    let other = Token {
        text: String::new(),
        holder: other.unwrap(),
    };
    let without = other.ask("worker-1").await;
    let message = site.wait_held(&without, "TokenOfAnotherMachine").await;
    assert!(message.contains("\"somebody\" uses none"), "{message}");
    let own = b.ask("worker-1").await;
    site.wait_issued(&own).await;
    let secrets = [&a, &b].map(|token| token.text.split_once('.').unwrap().1);
    let log = approver.log();
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "{log}");
}
