//! A Machine is spent once: across restarts of the approver, the deletion of the approved request, and two replicas.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DeleteParams;
use kube::{Api, Client};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::programs::{APPROVER, Program, approver_kubeconfig};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::{ControlPlane, wait};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A control plane with the approver's rights, and who asks.
struct Setting {
    admin: Client,
    bootstrapper: Client,
    kubeconfig: PathBuf,
    control_plane: ControlPlane,
}

impl Setting {
    async fn new() -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        let bootstrap = control_plane.bootstrap_kubeconfig().await.unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrapper: control_plane.client_from(&bootstrap).await.unwrap(),
            kubeconfig: approver_kubeconfig(&control_plane).await.unwrap(),
            control_plane,
        }
    }

    /// Starts the approver of a pod. Each start logs to a folder of its own.
    fn approver(&self, pod: &str, start: &str) -> Program {
        let logs = self.control_plane.logs_dir().join(format!("{pod}-{start}"));
        Program::approver_in(pod, &logs, &self.kubeconfig, &[]).unwrap()
    }

    async fn create_machine(&self, name: &str) -> String {
        let status = MachineStatus::provisioned(name, "192.0.2.10");
        let machine = machines::create_machine(&self.admin, name, &status).await;
        machines::uid(&machine.unwrap())
    }

    async fn submit(&self, node: &str) -> String {
        let request = NodeRequest::client(node).unwrap();
        request.submit(&self.bootstrapper).await.unwrap()
    }

    async fn approved(&self, name: &str) {
        requests::wait_approved(&self.admin, name, TIMEOUT)
            .await
            .unwrap();
    }

    /// A request with a new key waits because the Machine is spent.
    async fn assert_spent(&self, node: &str) {
        let second = self.submit(node).await;
        requests::wait_event(&self.admin, &second, "AlreadyIssued", TIMEOUT)
            .await
            .unwrap();
        let request = requests::api(&self.admin).get(&second).await.unwrap();
        assert!(requests::is_pending(&request), "{request:?}");
    }
}

#[tokio::test]
async fn a_machine_is_spent_once_across_restarts_and_the_deletion_of_its_request() {
    let setting = Setting::new().await;
    let first = setting.approver("one", "first");
    setting.create_machine("worker-0").await;
    let uid = setting.create_machine("worker-1").await;
    let (kept, deleted) = (
        setting.submit("worker-0").await,
        setting.submit("worker-1").await,
    );
    setting.approved(&kept).await;
    setting.approved(&deleted).await;

    // The cleaner of kube-controller-manager deletes an approved request in this way after an hour.
    requests::api(&setting.admin)
        .delete(&deleted, &DeleteParams::default())
        .await
        .unwrap();
    let records: Api<ConfigMap> = Api::namespaced(setting.admin.clone(), APPROVER.0);
    let begin = Instant::now();
    let recorded = |record: &ConfigMap| {
        let data = record.data.iter().flatten();
        data.into_iter().any(|(key, _)| key.starts_with(&uid))
    };
    let what = "the claim";
    wait::object(&records, "rollcall-claims", what, TIMEOUT, recorded)
        .await
        .unwrap();
    println!("recorded {:?} after the deletion", begin.elapsed());

    first.kill();
    let second = setting.approver("one", "second");
    setting.assert_spent("worker-0").await;
    setting.assert_spent("worker-1").await;
    // The approver decides: what is not spent is approved.
    setting.create_machine("worker-2").await;
    let other = setting.submit("worker-2").await;
    setting.approved(&other).await;
    assert!(!second.log().contains("ERROR"), "{}", second.log());
}

#[tokio::test]
async fn of_two_replicas_one_writes_and_the_other_takes_over() {
    /// The last renewal is seen up to 2 s late, the Lease lasts 15 s from then, and the next look is up to 2 s later.
    const TAKE_OVER: Duration = Duration::from_secs(20);
    let setting = Setting::new().await;
    let leader = setting.approver("one", "first");
    leader.line(&["leading=true"], TIMEOUT).await.unwrap();
    let standby = setting.approver("two", "first");
    standby.line(&["watching"], TIMEOUT).await.unwrap();
    setting.create_machine("worker-0").await;
    let name = setting.submit("worker-0").await;
    setting.approved(&name).await;
    assert_eq!(holder(&setting.admin).await, "one");
    for (replica, writes) in [(&leader, true), (&standby, false)] {
        let log = replica.log();
        let approved = log.lines().any(|line| {
            line.contains(&name) && line.contains("approved") && line.contains("FirstCertificate")
        });
        assert_eq!(approved, writes, "{log}");
    }

    setting.create_machine("worker-1").await;
    let begin = Instant::now();
    leader.kill();
    let orphan = setting.submit("worker-1").await;
    let took_over = requests::wait_approved(&setting.admin, &orphan, TIMEOUT).await;
    took_over.unwrap_or_else(|error| panic!("{error:?}\n{}", standby.log()));
    let took = begin.elapsed();
    println!("the second replica took over after {took:?}");
    assert!(took < TAKE_OVER, "only after {took:?}");
    assert_eq!(holder(&setting.admin).await, "two");
    // The new leader knows what the old one approved.
    setting.assert_spent("worker-0").await;
}

async fn holder(admin: &Client) -> String {
    let leases: Api<Lease> = Api::namespaced(admin.clone(), APPROVER.0);
    let lease = leases.get(APPROVER.1).await.unwrap();
    lease
        .spec
        .and_then(|spec| spec.holder_identity)
        .unwrap_or_default()
}
