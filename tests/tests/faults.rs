//! What goes wrong around a running approver: it stands still, its calls are slow or get no answer, its watches are cut, its
//! Lease runs out, another replica takes over. No request is lost, and no Machine is given to two keys.
//!
//! Each test makes one run; `ROLLCALL_RUNS` asks for more, each with new machines.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::join_all;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::DeleteParams;
use rollcall_e2e::front::Front;
use rollcall_e2e::gate::Gate;
use rollcall_e2e::machines;
use rollcall_e2e::programs::{APPROVER, Program, config_with};
use rollcall_e2e::requests;
use rollcall_e2e::setting::{Setting, runs};
use rollcall_e2e::slow::{Fault, Rule};
use rollcall_e2e::{Authority, CertificateProfile, Credentials, wait};

/// Far more than anything here takes; only a failure waits that long.
const TIMEOUT: Duration = Duration::from_secs(90);
/// How long an approver, or its machine, stands still: longer than a holder trusts its Lease (10 s), shorter than it lasts
/// for others (13 s).
const PAUSE: Duration = Duration::from_secs(12);
/// The path of the Lease.
const LEASES: &str = "/leases";
/// The path of the record of claims.
const CLAIMS: &str = "/configmaps";

/// A configuration by which the newest of several keys wins, so that two leaders would choose different ones.
fn newest(setting: &Setting) -> String {
    config_with(&setting.control_plane, "bootstrap: {contested: newest}").unwrap()
}

#[tokio::test]
async fn nothing_is_lost_while_the_leader_stands_still_longer_than_it_trusts_its_lease() {
    let setting = Setting::new().await;
    let mut approver = setting.approver("one");
    approver.line(&["leading=true"], TIMEOUT).await.unwrap();
    for run in 0..runs() {
        setting
            .approved(&[setting.join(&format!("before-{run}")).await])
            .await;
        approver.pause();
        let nodes: Vec<String> = (0..5)
            .map(|number| format!("worker-{run}-{number}"))
            .collect();
        let names = join_all(nodes.iter().map(|node| setting.join(node))).await;
        tokio::time::sleep(PAUSE).await;
        approver.resume();
        let begin = Instant::now();
        setting.approved(&names).await;
        println!("run {run}: all approved {:?} later", begin.elapsed());
    }
    approver
        .line(&["not renewed in time"], TIMEOUT)
        .await
        .unwrap();
}

#[tokio::test]
async fn nothing_is_lost_while_calls_for_the_lease_take_almost_half_of_the_trust() {
    const SLOW: Duration = Duration::from_millis(4400);
    let setting = Setting::new().await;
    let (_slow, kubeconfig) = setting
        .slow("slow-lease", vec![Rule::on(LEASES, Fault::Slow(SLOW))])
        .await;
    let approver = setting.approver_with("one", &kubeconfig, &[]);
    approver.line(&["leading=true"], TIMEOUT).await.unwrap();
    for run in 0..runs() {
        let mut names = Vec::new();
        for number in 0..20 {
            names.push(setting.join(&format!("worker-{run}-{number}")).await);
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        setting.approved(&names).await;
    }
    // Half of the trust is enough for one call, and a renewal is one call: the hold was never interrupted.
    let log = approver.log();
    assert!(!log.contains("not renewed in time"), "{log}");
}

#[tokio::test]
async fn nothing_is_lost_while_the_api_server_stands_still() {
    let setting = Setting::new().await;
    let approver = setting.approver("one");
    approver.line(&["leading=true"], TIMEOUT).await.unwrap();
    for run in 0..runs() {
        let nodes: Vec<String> = (0..10)
            .map(|number| format!("worker-{run}-{number}"))
            .collect();
        for node in &nodes {
            setting.machine(node).await;
        }
        setting.control_plane.pause_api_server();
        let asked = join_all(nodes.iter().map(|node| setting.ask(node)));
        let resumed = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            setting.control_plane.resume_api_server();
        };
        let (names, ()) = tokio::join!(asked, resumed);
        let begin = Instant::now();
        setting.approved(&names).await;
        println!("run {run}: all approved {:?} later", begin.elapsed());
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_leader_of_two_stands_still_again_and_again() {
    // Once for shorter than it takes another replica to take over, and once for longer; all of it twice where more than one
    // run is asked for.
    const PAUSES: [u64; 2] = [11, 14];
    let times = if runs() > 1 { 2 } else { 1 };
    let machines = times * times * 50;
    let setting = Setting::new().await;
    let mut leader = setting.approver("one");
    leader.line(&["leading=true"], TIMEOUT).await.unwrap();
    let standby = setting.approver("two");
    standby.line(&["watching"], TIMEOUT).await.unwrap();
    for run in 0..runs() {
        let joins = async {
            let mut names = Vec::new();
            for number in 0..machines {
                names.push(setting.join(&format!("worker-{run}-{number}")).await);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            names
        };
        let pauses = async {
            for seconds in [PAUSES; 2].into_iter().take(times).flatten() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                leader.pause();
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                leader.resume();
            }
        };
        let (names, ()) = tokio::join!(joins, pauses);
        setting.approved(&names).await;
        println!("run {run}: all {machines} approved");
    }
}

#[tokio::test]
async fn what_was_deleted_while_the_watch_was_cut_gets_nothing_when_it_is_back() {
    const MACHINES: usize = 8;
    let setting = Setting::new().await;
    let (gate, management) = setting.gated("behind-the-gate").await;
    let config = config_with(&setting.control_plane, "maxStaleness: 5s").unwrap();
    let management = management.display().to_string();
    let flags = ["--config", &config, "--management-kubeconfig", &management];
    let approver = setting.approver_with("one", &setting.kubeconfig, &flags);
    for run in 0..runs() {
        setting
            .approved(&[setting.join(&format!("before-{run}")).await])
            .await;
        let nodes: Vec<String> = (0..MACHINES)
            .map(|number| format!("worker-{run}-{number}"))
            .collect();
        for node in &nodes {
            setting.machine(node).await;
        }
        let last = format!("kept-{run}");
        setting.machine(&last).await;
        // A Machine is known once something that comes after it is.
        setting.approved(&[setting.ask(&last).await]).await;
        gate.block();
        let before = approver.log().matches("the watch broke").count();
        let broke = async || {
            while approver.log().matches("the watch broke").count() == before {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, broke()).await.unwrap();
        let mut names = Vec::new();
        for node in &nodes {
            names.push(setting.ask(node).await);
        }
        for name in &names {
            requests::wait_event(&setting.admin, name, "FactsStale", TIMEOUT)
                .await
                .unwrap();
        }
        for node in &nodes {
            machines::delete(&setting.admin, node).await.unwrap();
            machines::finish_deletion(&setting.admin, node)
                .await
                .unwrap();
        }
        gate.unblock();
        // What comes now is judged by what is known now.
        setting
            .approved(&[setting.join(&format!("after-{run}")).await])
            .await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let names: Vec<&String> = names.iter().collect();
        assert_eq!(setting.are_approved(&names).await, 0, "{}", approver.log());
    }
}

#[tokio::test]
async fn while_the_claims_get_no_answer_requests_wait_with_a_reason() {
    let setting = Setting::new().await;
    let (slow, kubeconfig) = setting
        .slow("no-claims", vec![Rule::on(CLAIMS, Fault::Hang)])
        .await;
    let approver = setting.approver_with("one", &kubeconfig, &[]);
    let name = setting.join("worker-0").await;
    let event = requests::wait_event(&setting.admin, &name, "FactsStale", TIMEOUT).await;
    let note = event.unwrap().message.unwrap_or_default();
    assert!(note.contains("record of claims"), "{note}");
    approver
        .line(
            &["the record of claims cannot be read", "no answer"],
            TIMEOUT,
        )
        .await
        .unwrap();
    slow.answer();
    let begin = Instant::now();
    setting.approved(&[name]).await;
    let took = begin.elapsed();
    println!("approved {took:?} after the answer");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

/// A claim is to be written while the approver runs, and no call for the record is answered.
#[tokio::test]
async fn while_a_claim_is_not_written_nothing_more_is_approved_and_it_is_not_lost() {
    let setting = Setting::new().await;
    let (slow, kubeconfig) = setting.slow("unwritten", Vec::new()).await;
    let config = config_with(&setting.control_plane, "bootstrap: {maxIssues: 1}").unwrap();
    let flags = ["--config", config.as_str()];
    let approver = setting.approver_with("one", &kubeconfig, &flags);
    let first = setting.join("worker-0").await;
    setting.approved(std::slice::from_ref(&first)).await;
    slow.rule(vec![Rule::on(CLAIMS, Fault::Hang)]);
    requests::api(&setting.admin)
        .delete(&first, &DeleteParams::default())
        .await
        .unwrap();
    let told = ["claims could not be recorded", "no answer"];
    approver.line(&told, TIMEOUT).await.unwrap();
    let name = setting.join("worker-1").await;
    let message = setting.held(&name, "FactsStale").await;
    let why = "the record of claims could not be written";
    assert!(message.contains(why), "{message}");
    slow.answer();
    let begin = Instant::now();
    setting.approved(&[name]).await;
    let took = begin.elapsed();
    println!("approved {took:?} after the answer");
    assert!(took < Duration::from_secs(15), "{took:?}");
    approver.kill();
    let _approver = setting.approver_again("one", &flags);
    let second = setting.ask("worker-0").await;
    setting.held(&second, "AlreadyIssued").await;
}

/// The Lease is deleted, so that both replicas may take it.
#[tokio::test]
async fn a_lease_that_is_deleted_gives_no_machine_to_two_keys() {
    let setting = Setting::new().await;
    let newest = newest(&setting);
    let flags = ["--config", newest.as_str()];
    let replicas =
        ["one", "two"].map(|pod| setting.approver_with(pod, &setting.kubeconfig, &flags));
    for replica in &replicas {
        replica.line(&["watching"], TIMEOUT).await.unwrap();
    }
    let leases: Api<Lease> = Api::namespaced(setting.admin.clone(), APPROVER.0);
    for run in 0..runs() {
        let before = setting.join(&format!("before-{run}")).await;
        setting.approved(&[before]).await;
        let node = format!("worker-{run}");
        setting.machine(&node).await;
        leases
            .delete(APPROVER.1, &DeleteParams::default())
            .await
            .unwrap();
        let mut keys = Vec::new();
        for _ in 0..10 {
            keys.push(setting.ask(&node).await);
            // Requests are told apart by whole seconds, and the next look at the Lease comes every two.
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        let after = setting.join(&format!("after-{run}")).await;
        setting.approved(&[after]).await;
        let keys: Vec<&String> = keys.iter().collect();
        assert_eq!(setting.are_approved(&keys).await, 1, "run {run}");
    }
}

#[tokio::test]
async fn a_leader_whose_calls_are_refused_until_its_lease_is_over_writes_nothing_more() {
    let setting = Setting::new().await;
    let (slow, kubeconfig) = setting.slow("refused", Vec::new()).await;
    let newest = newest(&setting);
    let flags = ["--config", newest.as_str()];
    let leader = setting.approver_with("one", &kubeconfig, &flags);
    leader.line(&["leading=true"], TIMEOUT).await.unwrap();
    let standby = setting.approver_with("two", &setting.kubeconfig, &flags);
    standby.line(&["watching"], TIMEOUT).await.unwrap();
    slow.rule(vec![
        Rule::on(LEASES, Fault::Refused(429)),
        Rule::on("/approval", Fault::Refused(429)),
    ]);
    let first = setting.join("worker-0").await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    let second = setting.ask("worker-0").await;
    // Which key the next leader approves depends on when it took over: before the second one came, or after.
    let keys = [&first, &second];
    wait::poll("an approval of either key", TIMEOUT, || async {
        ensure!(setting.are_approved(&keys).await > 0, "none is approved");
        Ok(())
    })
    .await
    .unwrap();
    slow.answer();
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(setting.are_approved(&keys).await, 1);
}

/// The leader's calls are held back on their way, an approval among them, while it hears everything. They arrive when another
/// replica leads and has approved another key for the same Machine.
#[tokio::test]
async fn a_write_of_a_former_leader_that_arrives_late_gives_no_machine_to_a_second_key() {
    let setting = Setting::new().await;
    let (ways, kubeconfigs): (Vec<Gate>, Vec<PathBuf>) =
        join_all(["one", "two"].map(|pod| setting.gated(pod)))
            .await
            .into_iter()
            .unzip();
    let newest = newest(&setting);
    let flags = ["--config", newest.as_str()];
    let replicas: Vec<Program> = ["one", "two"]
        .iter()
        .zip(&kubeconfigs)
        .map(|(pod, kubeconfig)| setting.approver_with(pod, kubeconfig, &flags))
        .collect();
    for replica in &replicas {
        replica.line(&["watching"], TIMEOUT).await.unwrap();
    }
    let mut late = 0_usize;
    for run in 0..runs() {
        let node = format!("worker-{run}");
        setting
            .approved(&[setting.join(&format!("before-{run}")).await])
            .await;
        let leader = leader(&setting, &replicas).await;
        let way = ways.get(leader).unwrap();
        setting.machine(&node).await;
        // The watches are up to date; then all that the leader says is held back, for longer than its Lease lasts.
        tokio::time::sleep(Duration::from_millis(500)).await;
        way.block_calls();
        tokio::time::sleep(Duration::from_millis(7500)).await;
        let first = setting.ask(&node).await;
        // Requests are told apart by whole seconds.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let second = setting.ask(&node).await;
        let begin = Instant::now();
        let won = requests::wait_approved(&setting.admin, &second, TIMEOUT).await;
        won.unwrap();
        let took = begin.elapsed();
        way.unblock();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let approved = setting.are_approved(&[&first, &second]).await;
        println!("run {run}: {approved} approved, the second key after {took:?}");
        late = late.saturating_add(usize::from(approved == 1));
        assert_eq!(approved, 1, "run {run}");
    }
    println!(
        "exactly one key got the Machine in {late} of {} runs",
        runs()
    );
}

/// Which replica leads.
async fn leader(setting: &Setting, replicas: &[Program]) -> usize {
    let leases: Api<Lease> = Api::namespaced(setting.admin.clone(), APPROVER.0);
    let lease = leases.get(APPROVER.1).await.unwrap();
    let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap();
    let index = usize::from(holder != "one");
    assert!(index < replicas.len());
    index
}

#[tokio::test]
async fn a_leader_that_is_killed_or_stopped_is_replaced_in_time() {
    let setting = Setting::new().await;
    let mut leader = setting.approver("pod-0");
    leader.line(&["leading=true"], TIMEOUT).await.unwrap();
    let mut number = 0_usize;
    for run in 0..runs() {
        for (kill, limit) in [(true, 15), (false, 2)] {
            number = number.saturating_add(1);
            let standby = setting.approver(&format!("pod-{number}"));
            standby.line(&["watching"], TIMEOUT).await.unwrap();
            setting.machine(&format!("worker-{number}")).await;
            setting
                .approved(&[setting.join(&format!("before-{number}")).await])
                .await;
            let begin = Instant::now();
            let asked = async {
                let name = setting.ask(&format!("worker-{number}")).await;
                setting.approved(&[name]).await;
                begin.elapsed()
            };
            let ended = tokio::task::spawn_blocking(move || {
                if kill {
                    leader.kill();
                } else {
                    leader.stop();
                }
            });
            let (took, ended) = tokio::join!(asked, ended);
            ended.unwrap();
            println!("run {run}: killed {kill}: the next approval after {took:?}");
            assert!(took <= Duration::from_secs(limit), "{took:?}");
            leader = standby;
        }
    }
}

#[tokio::test]
async fn the_authority_of_the_api_server_may_be_replaced() {
    let setting = Setting::new().await;
    let (slow, _) = setting.slow("plain", Vec::new()).await;
    let (old, new) = (
        Authority::generate("old").unwrap(),
        Authority::generate("new").unwrap(),
    );
    let server = CertificateProfile::server("front", &[], &["127.0.0.1".parse().unwrap()]);
    let front = Front::start(&old.issue(&server).unwrap(), slow.address())
        .await
        .unwrap();
    let folder = setting.control_plane.dir();
    let ca = folder.join("front-ca.crt");
    std::fs::write(&ca, old.certificate_pem()).unwrap();
    let by_file = folder.join("by-file");
    let url = front.url();
    std::fs::write(
        &by_file,
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: '{url}', certificate-authority: front-ca.crt}}}}]\n\
             users: [{{name: u, user: {{token: none}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
        ),
    )
    .unwrap();
    let nobody = Credentials::Token("none".to_owned());
    let by_data = setting
        .control_plane
        .custom_kubeconfig("by-data", &url, old.certificate_pem(), &nobody)
        .unwrap();
    let approver = setting.approver_with("one", &by_file, &[]);
    let mut other = setting.approver_with("two", &by_data, &["--mode", "audit"]);
    approver.line(&["leading=true"], TIMEOUT).await.unwrap();
    other.line(&["watching"], TIMEOUT).await.unwrap();

    std::fs::write(&ca, new.certificate_pem()).unwrap();
    setting
        .control_plane
        .custom_kubeconfig("by-data", &url, new.certificate_pem(), &nobody)
        .unwrap();
    front.replace(&new.issue(&server).unwrap()).unwrap();
    let begin = Instant::now();
    setting.approved(&[setting.join("worker-0").await]).await;
    println!(
        "approved {:?} after the authority was replaced",
        begin.elapsed()
    );
    // What stands in the kubeconfig itself is read at a start only: so this one ends, to be started anew.
    let ended = other.end(Duration::from_secs(150)).await.unwrap();
    println!("the other ended {:?} after that", begin.elapsed());
    assert_eq!(ended.code(), Some(1), "{}", other.log());
    let log = other.log();
    assert!(log.contains("answers a new connection"), "{log}");
}
