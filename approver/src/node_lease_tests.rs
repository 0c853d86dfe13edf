//! The calls to the API server for the Lease of a Node.

use serde_json::json;

use super::*;
use crate::fixtures::{Server, server};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/worker-0";

fn start() -> (
    mpsc::UnboundedSender<NodeName>,
    mpsc::Receiver<Input>,
    Server,
) {
    let (client, server) = server();
    let (wanted, asked) = mpsc::unbounded_channel();
    let (news, inbox) = mpsc::channel(8);
    tokio::spawn(run(client, asked, news));
    (wanted, inbox, server)
}

async fn told(inbox: &mut mpsc::Receiver<Input>) -> Result<Option<Timestamp>, String> {
    match inbox.recv().await {
        Some(Input::Change(Change::NodeLease(node, renewed))) if node.as_str() == "worker-0" => {
            renewed
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_asked_for_once_at_a_time_and_what_it_says_is_told() {
    let (wanted, mut inbox, mut server) = start();
    let node: NodeName = "worker-0".parse().unwrap();
    wanted.send(node.clone()).unwrap();
    let call = server.expect("GET", LEASE).await;
    wanted.send(node.clone()).unwrap();
    server.expect_none(Duration::from_secs(1)).await;
    call.answer(&json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "worker-0"},
        "spec": {"holderIdentity": "worker-0", "renewTime": "2026-11-01T00:00:10.000000Z"},
    }));
    let renewed = "2026-11-01T00:00:10Z".parse().unwrap();
    assert_eq!(told(&mut inbox).await, Ok(Some(renewed)));
    wanted.send(node).unwrap();
    server.expect("GET", LEASE).await.fail(404, "not found");
    assert_eq!(told(&mut inbox).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_and_a_call_that_never_ends_are_told() {
    let (wanted, mut inbox, mut server) = start();
    let node: NodeName = "worker-0".parse().unwrap();
    wanted.send(node.clone()).unwrap();
    let message = "leases.coordination.k8s.io is forbidden";
    server.expect("GET", LEASE).await.fail(403, message);
    let why = told(&mut inbox).await.unwrap_err();
    assert!(why.contains(message), "{why}");
    wanted.send(node).unwrap();
    let _unanswered = server.expect("GET", LEASE).await;
    let why = told(&mut inbox).await.unwrap_err();
    assert_eq!(why, "no answer for 5 s");
}
