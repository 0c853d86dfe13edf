//! Bootstrap tokens in KubeadmConfigs: each is for its own Machine, and until they are known no request with a token is
//! approved.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

#[expect(dead_code, reason = "other tests use what this one does not")]
#[path = "../src/fixtures.rs"]
mod fixtures;

use std::collections::{BTreeSet, HashSet};

use fixtures::{NAMESPACE, at, machine, reasons, request, request_uid};
use rollcall_approver_core::{
    Change, Cluster, Feed, JoinToken, KubeadmConfig, Machine, MachineReference, Policy, Reason,
    Request, Requestor, Scope, Source,
};

const APPROVED: (&str, &[Reason]) = ("approve", &[Reason::FirstCertificate]);
const STALE: (&str, &[Reason]) = ("hold", &[Reason::FactsStale]);
const ANOTHERS: (&str, &[Reason]) = ("hold", &[Reason::TokenOfAnotherMachine]);

fn scope() -> Scope {
    Scope::new(Source::ClusterApi, NAMESPACE)
}

fn configs() -> Feed {
    Feed::KubeadmConfigs(scope())
}

fn policy(tokens: bool) -> Policy {
    Policy {
        bootstrap_tokens: tokens.then(scope).into_iter().collect(),
        ..Policy::default()
    }
}

/// A cluster in which the Machines `m-0` and `m-1` are known, but not their KubeadmConfigs.
fn cluster() -> Cluster {
    let feeds = [Feed::Nodes, Feed::Machines(scope()), configs()];
    let mut cluster = Cluster::new(policy(true), feeds);
    tell(&mut cluster, Change::Synced(Feed::Nodes));
    tell(&mut cluster, Change::Synced(Feed::Machines(scope())));
    for index in 0..2 {
        let name = format!("m-{index}");
        let record = Machine {
            source: Source::ClusterApi,
            provider_id: None,
            kubeadm_config: Some(name.clone()),
            ..machine(&name, &format!("worker-{index}"))
        };
        tell(&mut cluster, Change::Machine(Box::new(record)));
    }
    cluster
}

/// The same, with both KubeadmConfigs: `m-0` joins with `aaaaaa`, `m-1` with `bbbbbb`.
fn complete() -> Cluster {
    let mut cluster = cluster();
    for (name, id) in [("m-0", "aaaaaa"), ("m-1", "bbbbbb")] {
        tell(&mut cluster, config(name, JoinToken::Id(id.to_owned())));
    }
    tell(&mut cluster, Change::Synced(configs()));
    cluster
}

fn reference(name: &str) -> MachineReference {
    MachineReference {
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
    }
}

fn config(name: &str, token: JoinToken) -> Change {
    Change::KubeadmConfig(KubeadmConfig {
        reference: reference(name),
        token,
    })
}

fn tell(cluster: &mut Cluster, change: Change) -> Vec<String> {
    let woken = cluster.apply(change, at(60)).into_iter();
    woken.map(|uid| uid.0).collect()
}

/// A request with a bootstrap token.
fn ask(cluster: &mut Cluster, name: &str, node: &str, token: &str) {
    let request = Request {
        requestor: Requestor {
            username: format!("system:bootstrap:{token}"),
            groups: vec!["system:bootstrappers".to_owned()],
        },
        ..request(name, node, 0)
    };
    tell(cluster, Change::Request(Box::new(request)));
}

#[track_caller]
fn assert_seen(cluster: &Cluster, name: &str, seconds: i64, expected: (&str, &[Reason])) {
    let decision = cluster.preview(&request_uid(name), at(seconds)).unwrap();
    let seen = (decision.verdict().as_str(), reasons(&decision));
    let expected = (expected.0, expected.1.to_vec());
    assert_eq!(seen, expected, "{name}: {decision:?}");
}

#[test]
fn a_token_lets_its_own_machine_in_and_no_other() {
    let mut cluster = complete();
    ask(&mut cluster, "own", "worker-0", "aaaaaa");
    assert_seen(&cluster, "own", 62, APPROVED);
    ask(&mut cluster, "anothers", "worker-1", "aaaaaa");
    assert_seen(&cluster, "anothers", 62, ANOTHERS);
    // The Machine of that token is unknown.
    ask(&mut cluster, "nobodys", "worker-1", "cccccc");
    assert_seen(&cluster, "nobodys", 62, ANOTHERS);
}

#[test]
fn a_token_whose_machine_is_gone_is_nobodys_key_to_others() {
    let mut cluster = complete();
    ask(&mut cluster, "anothers", "worker-1", "aaaaaa");
    let uid = machine("m-0", "worker-0").uid;
    tell(&mut cluster, Change::MachineGone(uid));
    assert_seen(&cluster, "anothers", 62, ANOTHERS);
    let gone = Change::KubeadmConfigGone(reference("m-0"));
    tell(&mut cluster, gone);
    assert_seen(&cluster, "anothers", 62, ANOTHERS);
}

#[test]
fn until_they_are_complete_whoever_asks_waits_with_a_token_or_without() {
    let mut cluster = cluster();
    ask(&mut cluster, "with", "worker-0", "aaaaaa");
    let without = Change::Request(Box::new(request("without", "worker-1", 1)));
    tell(&mut cluster, without);
    assert!(!cluster.freshness().all_heard());
    assert_seen(&cluster, "with", 62, STALE);
    // Its Machine may have its own token.
    assert_seen(&cluster, "without", 62, STALE);
    // They are unavailable, as if the kind is not installed: the requests are woken at once, and decisions are not
    // blocked.
    let lost = Change::Lost(configs(), at(60));
    assert_eq!(tell(&mut cluster, lost), ["with", "without"]);
    assert!(cluster.freshness().all_heard());
    assert_seen(&cluster, "with", 62, STALE);
    let message = cluster.preview(&request_uid("with"), at(62)).unwrap();
    let message = message.message().to_owned();
    assert!(
        message.contains("kubeadm configs (clusterAPI in"),
        "{message}"
    );
    // They are synced, without the one of this Machine.
    assert_eq!(
        tell(&mut cluster, Change::Synced(configs())),
        ["with", "without"]
    );
    assert_seen(&cluster, "with", 62, STALE);
    assert_eq!(
        tell(&mut cluster, config("m-0", JoinToken::Awaited)),
        ["with"]
    );
    assert_seen(&cluster, "with", 62, STALE);
    let own = || config("m-0", JoinToken::Id("aaaaaa".to_owned()));
    assert_eq!(tell(&mut cluster, own()), ["with"]);
    assert!(tell(&mut cluster, own()).is_empty());
    assert_seen(&cluster, "with", 62, APPROVED);
}

#[test]
fn a_lost_watch_is_trusted_for_a_while() {
    let mut cluster = complete();
    ask(&mut cluster, "own", "worker-0", "aaaaaa");
    tell(&mut cluster, Change::Lost(configs(), at(60)));
    assert_seen(&cluster, "own", 120, APPROVED);
    assert_seen(&cluster, "own", 121, STALE);
}

#[test]
fn one_that_is_not_in_a_list_any_more_is_forgotten() {
    let mut cluster = complete();
    ask(&mut cluster, "own", "worker-0", "aaaaaa");
    let present = HashSet::from([reference("m-1")]);
    let list = Change::KubeadmConfigList(scope(), present);
    assert_eq!(tell(&mut cluster, list), ["own"]);
    assert_seen(&cluster, "own", 62, STALE);
    // A list of another scope does not affect them.
    let elsewhere = Scope::new(Source::ClusterApi, "elsewhere");
    let list = Change::KubeadmConfigList(elsewhere, HashSet::new());
    assert!(tell(&mut cluster, list).is_empty());
    ask(&mut cluster, "other", "worker-1", "bbbbbb");
    assert_seen(&cluster, "other", 62, APPROVED);
}

#[test]
fn the_other_record_of_a_machine_does_not_let_anothers_token_in() {
    let mut cluster = complete();
    let instance = Some("aws:///eu-west-1a/i-0".to_owned());
    let of = |source, uid: &str, kubeadm_config| Machine {
        source,
        provider_id: instance.clone(),
        kubeadm_config,
        ..machine(uid, "worker-0")
    };
    let own = of(Source::ClusterApi, "m-0", Some("m-0".to_owned()));
    for record in [own, of(Source::OpenShift, "o-0", None)] {
        tell(&mut cluster, Change::Machine(Box::new(record)));
    }
    ask(&mut cluster, "own", "worker-0", "aaaaaa");
    assert_seen(&cluster, "own", 62, APPROVED);
    ask(&mut cluster, "anothers", "worker-0", "cccccc");
    let reasons = [Reason::TokenOfAnotherMachine];
    assert_seen(&cluster, "anothers", 62, ("hold", &reasons));
}

#[test]
fn they_count_as_long_as_the_configuration_has_them_read() {
    let machines = BTreeSet::from([scope()]);
    let mut cluster = complete();
    ask(&mut cluster, "anothers", "worker-1", "aaaaaa");
    assert_seen(&cluster, "anothers", 62, ANOTHERS);
    cluster.reconfigure(policy(false), &machines);
    assert_seen(&cluster, "anothers", 62, APPROVED);
    // Their earlier content is forgotten: it may have changed since.
    cluster.reconfigure(policy(true), &machines);
    assert_seen(&cluster, "anothers", 62, STALE);
    tell(&mut cluster, Change::Synced(configs()));
    assert_seen(&cluster, "anothers", 62, STALE);
    tell(
        &mut cluster,
        config("m-1", JoinToken::Id("bbbbbb".to_owned())),
    );
    assert_seen(&cluster, "anothers", 62, ANOTHERS);
}
