//! Whatever dies in the middle of a join and comes back: the join completes, with one certificate in use, and nothing
//! that others could read or that is left over.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{ListParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client};
use rollcall_e2e::agent::{Host, issued_keys};
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::paced::PacedRun;
use rollcall_e2e::programs::{Program, approver_kubeconfig};
use rollcall_e2e::requests::{self, NodeRequest};
use rollcall_e2e::{ControlPlane, wait};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A control plane with the approver's rights, and who asks.
struct Setting {
    admin: Client,
    bootstrap: PathBuf,
    kubeconfig: PathBuf,
    control_plane: ControlPlane,
}

impl Setting {
    async fn new() -> Self {
        let control_plane = ControlPlane::start().await.unwrap();
        Self {
            admin: control_plane.admin(),
            bootstrap: control_plane.bootstrap_kubeconfig().await.unwrap(),
            kubeconfig: approver_kubeconfig(&control_plane).await.unwrap(),
            control_plane,
        }
    }

    fn approver(&self) -> Program {
        Program::approver_as(&self.control_plane, &self.kubeconfig, &[]).unwrap()
    }

    fn host(&self, node: &str) -> Host {
        Host::create(&self.control_plane, node).unwrap()
    }

    fn agent(&self, host: &Host) -> Program {
        host.start(&self.bootstrap, &[]).unwrap()
    }

    async fn create_machine(&self, name: &str) {
        let status = MachineStatus::provisioned(name, "192.0.2.10");
        machines::create_machine(&self.admin, name, &status)
            .await
            .unwrap();
    }

    /// Waits for the end of the agent, and looks at everything a join must leave, and must not leave, behind.
    async fn assert_joins(&self, host: &Host, agent: &mut Program, what: &str) {
        let ended = agent.end(TIMEOUT).await;
        let ended = ended.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let log = agent.log();
        assert_eq!(ended.code(), Some(0), "{what}:\n{log}");
        let link = std::fs::read_link(host.current()).unwrap();
        let certificate = link.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            host.files().unwrap(),
            [
                "kubelet.conf".to_owned(),
                format!("pki/{certificate}"),
                "pki/kubelet-client-current.pem".to_owned(),
            ],
            "{what}:\n{log}"
        );
        assert_eq!(host.exposed().unwrap(), Vec::<String>::new(), "{what}");
        let issued = issued_keys(&self.admin, host.node()).await.unwrap();
        assert!(
            issued == [host.public_key().unwrap()],
            "{what}: {} certificates were issued\n{log}",
            issued.len()
        );
        let kubelet = self.control_plane.client_from(&host.kubeconfig()).await;
        let reviews: Api<SelfSubjectReview> = Api::all(kubelet.unwrap());
        let review = SelfSubjectReview::default();
        let review = reviews.create(&PostParams::default(), &review).await;
        let user = review.unwrap().status.and_then(|status| status.user_info);
        let user = user.and_then(|user| user.username);
        assert_eq!(user, Some(format!("system:node:{}", host.node())), "{what}");
    }
}

#[tokio::test]
async fn node_agent_may_be_killed_after_any_of_its_lines() {
    let setting = Setting::new().await;
    let approver = setting.approver();
    let mut tried = Vec::new();
    // At once after the line, and after a pause in which it gets as far as it can without a reader.
    for pause in [Duration::ZERO, Duration::from_millis(50)] {
        for lines in 1.. {
            let host = setting.host(&format!("worker-{}-{lines}", pause.as_millis()));
            setting.create_machine(host.node()).await;
            let Some(last) = killed_after(&setting, &host, lines, pause).await else {
                break;
            };
            assert_eq!(host.exposed().unwrap(), Vec::<String>::new(), "{last}");
            let what = format!("killed {pause:?} after line {lines}: {last}");
            println!("{what}\n  left {:?}", host.files().unwrap());
            let mut agent = setting.agent(&host);
            setting.assert_joins(&host, &mut agent, &what).await;
            tried.push(last);
        }
    }
    // No step was missed: each of these words begins a line of the whole way.
    for step in [
        "identity ",
        "bootstrap ",
        "key ",
        "request ",
        "waiting ",
        "cert ",
        "install ",
        "done ",
    ] {
        let hit = tried.iter().any(|line| line.contains(&format!("] {step}")));
        assert!(hit, "never killed at {step:?}: {tried:#?}");
    }
    assert!(!approver.log().contains("ERROR"), "{}", approver.log());
}

/// Lets the agent say so many lines and kills it. Returns the last line; none if it said fewer.
async fn killed_after(
    setting: &Setting,
    host: &Host,
    lines: usize,
    pause: Duration,
) -> Option<String> {
    let mut run = PacedRun::start(host, &setting.bootstrap, TIMEOUT).unwrap();
    let mut last = None;
    for _ in 0..lines {
        last = run.line(TIMEOUT).await.unwrap();
        last.as_ref()?;
    }
    tokio::time::sleep(pause).await;
    run.kill().await.unwrap();
    last
}

#[tokio::test]
async fn node_agent_may_be_killed_at_any_time() {
    /// About the time of a whole join here.
    const JOIN: u64 = 80;
    const HOSTS: usize = 16;
    let setting = Setting::new().await;
    let _approver = setting.approver();
    for number in 0..HOSTS {
        let host = setting.host(&format!("worker-{number}"));
        setting.create_machine(host.node()).await;
        let mut kills = Vec::new();
        for _ in 0..3 {
            let after = Duration::from_millis(RandomState::new().hash_one(number) % JOIN);
            let agent = setting.agent(&host);
            tokio::time::sleep(after).await;
            agent.kill();
            assert_eq!(host.exposed().unwrap(), Vec::<String>::new(), "{after:?}");
            kills.push(after);
        }
        let mut agent = setting.agent(&host);
        setting
            .assert_joins(&host, &mut agent, &format!("killed after {kills:?}"))
            .await;
    }
}

#[tokio::test]
async fn the_approver_may_be_killed_before_and_between_approvals() {
    const MACHINES: usize = 40;
    let setting = Setting::new().await;
    setting.approver().kill();
    // Requested while nobody is there to approve.
    let host = setting.host("worker-0");
    setting.create_machine(host.node()).await;
    let mut agent = setting.agent(&host);
    agent.line(&["is pending"], TIMEOUT).await.unwrap();
    let bootstrapper = setting.control_plane.client_from(&setting.bootstrap).await;
    let bootstrapper = bootstrapper.unwrap();
    let mut names = Vec::new();
    for number in 1..=MACHINES {
        let node = format!("worker-{number}");
        setting.create_machine(&node).await;
        let request = NodeRequest::client(&node).unwrap();
        names.push(request.submit(&bootstrapper).await.unwrap());
    }
    // Killed as soon as it has approved anything, again and again.
    for round in 0..3 {
        let before = approved(&setting.admin).await;
        let approver = setting.approver();
        if before <= MACHINES {
            wait_for_more(&setting.admin, before).await;
        }
        approver.kill();
        println!(
            "round {round}: {before} approved before, {} after the kill",
            approved(&setting.admin).await
        );
    }
    let approver = setting.approver();
    setting
        .assert_joins(&host, &mut agent, "approver killed")
        .await;
    let certificates = names
        .iter()
        .map(|name| requests::wait_certificate(&setting.admin, name, TIMEOUT));
    for certificate in join_all(certificates).await {
        certificate.unwrap_or_else(|error| panic!("{error:?}\n{}", approver.log()));
    }
}

async fn approved(admin: &Client) -> usize {
    let all = requests::api(admin).list(&ListParams::default()).await;
    let all = all.unwrap().items;
    let approved = |request: &&_| requests::condition(request, "Approved").is_some();
    all.iter().filter(approved).count()
}

async fn wait_for_more(admin: &Client, before: usize) {
    let mut seen = 0_usize;
    let config = watcher::Config::default();
    let what = "one more approval";
    wait::any(&requests::api(admin), config, what, TIMEOUT, |request| {
        let approved = requests::condition(request, "Approved").is_some();
        seen = seen.saturating_add(usize::from(approved));
        seen > before
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_api_server_may_restart_while_node_agent_waits() {
    let setting = Setting::new().await;
    let mut approver = setting.approver();
    let host = setting.host("worker-0");
    machines::create_machine(&setting.admin, host.node(), &MachineStatus::provisioning())
        .await
        .unwrap();
    let mut agent = setting.agent(&host);
    agent.line(&["is pending"], TIMEOUT).await.unwrap();

    setting.control_plane.restart_api_server().await.unwrap();
    setting.control_plane.kill_api_server();
    // Only now does the agent have to notice: a watch that is cut off is opened again.
    agent.line(&["cannot be reached"], TIMEOUT).await.unwrap();
    setting.control_plane.start_api_server().await.unwrap();
    agent.line(&["answers again"], TIMEOUT).await.unwrap();
    let status = MachineStatus::provisioned(host.node(), "192.0.2.10");
    machines::set_status(&setting.admin, host.node(), &status)
        .await
        .unwrap();

    setting
        .assert_joins(&host, &mut agent, "API server restarted")
        .await;
    assert_eq!(approver.ended(), None, "{}", approver.log());
}

#[tokio::test]
async fn the_api_server_may_die_while_the_approver_is_about_to_approve() {
    let setting = Setting::new().await;
    let mut approver = setting.approver();
    approver.line(&["deciding"], TIMEOUT).await.unwrap();
    for delay in [0, 10, 25].map(Duration::from_millis) {
        let what = format!("API server killed {delay:?} after the Machine appeared");
        let host = setting.host(&format!("worker-{}", delay.as_millis()));
        let mut agent = setting.agent(&host);
        agent.line(&["is pending"], TIMEOUT).await.unwrap();
        setting.create_machine(host.node()).await;
        tokio::time::sleep(delay).await;
        setting.control_plane.kill_api_server();
        setting.control_plane.start_api_server().await.unwrap();
        setting.assert_joins(&host, &mut agent, &what).await;
    }
    assert_eq!(approver.ended(), None, "{}", approver.log());
}
