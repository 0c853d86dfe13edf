//! The inputs to the engine, and the reports about a cloud, against a simulated AWS.

use std::collections::HashSet;

use rollcall_approver_core::{Address, MachineReference, MachineUid, Source};

use super::*;
use crate::aws::testing::{Asked as Heard, FakeAws, Reply};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn scope() -> Scope {
    Scope {
        look_up: Some(look_up()),
        ..Scope::new(Source::Karpenter, "")
    }
}

fn look_up() -> LookUp {
    let region = Some("eu-west-1".to_owned());
    LookUp::Ec2 { region }
}

fn cloud(aws: &FakeAws) -> Cloud {
    let environment = Environment::of(&[
        ("AWS_ENDPOINT_URL", &aws.url),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    Cloud::new(look_up(), environment)
}

fn record(name: &str, instance: &str) -> Machine {
    let reference = MachineReference {
        namespace: String::new(),
        name: name.to_owned(),
    };
    let uid = MachineUid(name.to_owned());
    Machine {
        provider_id: Some(format!("aws:///eu-west-1a/{instance}")),
        ..Machine::new(Source::Karpenter, uid, reference, Timestamp::UNIX_EPOCH)
    }
}

/// An answer of EC2 with these running instances, named by their ids.
fn instances(ids: &[&str]) -> Reply {
    let instance = |id: &&str| {
        format!(
            "<item><instanceId>{id}</instanceId><instanceState><name>running</name></instanceState>\
             <privateDnsName>ip-of-{id}.internal</privateDnsName><launchTime>2026-11-24T18:00:00.000Z</launchTime></item>"
        )
    };
    let instances: String = ids.iter().map(instance).collect();
    Reply::ok(&format!(
        "<R><reservationSet><item><instancesSet>{instances}</instancesSet></item></reservationSet></R>"
    ))
}

/// The task between a feed and the engine.
struct Running {
    aws: FakeAws,
    feed: mpsc::Sender<Input>,
    engine: mpsc::Receiver<Input>,
    metrics: Metrics,
}

impl Running {
    async fn start(replies: Vec<Reply>) -> Self {
        let aws = FakeAws::start(replies).await;
        let ((feed, told), (sink, engine)) = (mpsc::channel(10), mpsc::channel(10));
        let metrics = Metrics::new();
        tokio::spawn(run(scope(), cloud(&aws), told, sink, metrics.clone()));
        Self {
            aws,
            feed,
            engine,
            metrics,
        }
    }

    async fn tell(&self, change: Change) {
        self.feed.send(Input::Change(change)).await.unwrap();
    }

    async fn next(&mut self) -> Change {
        let next = timeout(PATIENCE, self.engine.recv()).await;
        match next.expect("something has to be told") {
            Some(Input::Change(change)) => change,
            other => panic!("no change: {other:?}"),
        }
    }

    /// The next input, which has to be a Machine with this number of names.
    async fn expect_machine(&mut self, name: &str, private_dns_names: usize) {
        let change = self.next().await;
        let Change::Machine(machine) = change else {
            panic!("no Machine: {change:?}")
        };
        assert_eq!(machine.reference.name, name);
        let private = machine.addresses.iter().filter(
            |address| matches!(address, Address::InternalDns(name) if name.as_str().starts_with("ip-of-")),
        );
        assert_eq!(private.count(), private_dns_names, "{machine:?}");
    }

    async fn expect_live(&mut self) {
        let change = self.next().await;
        assert!(
            matches!(&change, Change::Synced(Feed::Instances(looked_up)) if *looked_up == scope()),
            "{change:?}"
        );
    }

    async fn expect_lost(&mut self) {
        let change = self.next().await;
        assert!(
            matches!(&change, Change::Lost(Feed::Instances(looked_up), _) if *looked_up == scope()),
            "{change:?}"
        );
    }

    /// Ends the first list of the feed.
    async fn list(&mut self) {
        self.tell(Change::Synced(Feed::Machines(scope()))).await;
        let change = self.next().await;
        assert!(
            matches!(change, Change::Synced(Feed::Machines(_))),
            "{change:?}"
        );
    }
}

fn bodies(asked: Vec<Heard>) -> Vec<String> {
    asked.into_iter().map(|asked| asked.body).collect()
}

#[tokio::test]
async fn news_goes_through_at_once_and_names_come_later() {
    let mut running = Running::start(vec![instances(&["i-0a"])]).await;
    running
        .tell(Change::Machine(Box::new(record("a", "i-0a"))))
        .await;
    running.expect_machine("a", 0).await;
    running.expect_machine("a", 1).await;
    running.list().await;
    running.expect_live().await;
    // Its source sends it again: it keeps its name, without a query.
    let bound = Machine {
        node_reference: Some("ip-of-i-0a.internal".parse().unwrap()),
        ..record("a", "i-0a")
    };
    running.tell(Change::Machine(Box::new(bound))).await;
    running.expect_machine("a", 1).await;
    running
        .tell(Change::MachineGone(MachineUid("a".to_owned())))
        .await;
    assert!(matches!(running.next().await, Change::MachineGone(_)));
    assert_eq!(running.aws.asked().len(), 1);
}

#[tokio::test]
async fn with_nobody_to_ask_about_nothing_is_missing_and_nobody_is_asked() {
    let mut running = Running::start(Vec::new()).await;
    running.list().await;
    running.expect_live().await;
    let gone = Change::MachineList(scope(), HashSet::new());
    running.tell(gone).await;
    assert!(matches!(running.next().await, Change::MachineList(_, _)));
    assert!(running.aws.asked().is_empty());
}

#[tokio::test]
async fn while_the_cloud_refuses_that_is_told_and_everything_else_goes_through() {
    let mut running = Running::start(vec![
        Reply::status(403, "<R><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></R>"),
        instances(&["i-0a"]),
    ])
    .await;
    running
        .tell(Change::Machine(Box::new(record("a", "i-0a"))))
        .await;
    running.expect_machine("a", 0).await;
    running.expect_lost().await;
    assert_eq!(running.metrics.look_up_failures.get(), 1);
    running.list().await;
    // It is queried again automatically.
    running.expect_machine("a", 1).await;
    running.expect_live().await;
    assert_eq!(running.aws.asked().len(), 2);
}

#[tokio::test]
async fn once_nobody_is_to_be_asked_about_a_failure_is_over() {
    let mut running = Running::start(vec![Reply::status(403, "no")]).await;
    running
        .tell(Change::Machine(Box::new(record("a", "i-0a"))))
        .await;
    running.expect_machine("a", 0).await;
    running.expect_lost().await;
    running.list().await;
    running
        .tell(Change::MachineGone(MachineUid("a".to_owned())))
        .await;
    assert!(matches!(running.next().await, Change::MachineGone(_)));
    running.expect_live().await;
}

#[tokio::test]
async fn those_that_come_during_a_question_are_asked_about_together() {
    let mut running = Running::start(vec![
        instances(&["i-0a"]).after(Duration::from_millis(200)),
        instances(&["i-0b", "i-0c"]),
    ])
    .await;
    running
        .tell(Change::Machine(Box::new(record("a", "i-0a"))))
        .await;
    running.expect_machine("a", 0).await;
    while running.aws.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    for (name, id) in [("b", "i-0b"), ("c", "i-0c")] {
        running
            .tell(Change::Machine(Box::new(record(name, id))))
            .await;
        running.expect_machine(name, 0).await;
    }
    running.expect_machine("a", 1).await;
    let told = [running.next().await, running.next().await];
    let is_named = |change: &Change| matches!(change, Change::Machine(machine) if !machine.addresses.is_empty());
    assert!(told.iter().all(is_named), "{told:?}");
    let bodies = bodies(running.aws.asked());
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(
        bodies[1].contains("Filter.1.Value.1=i-0b&Filter.1.Value.2=i-0c"),
        "{bodies:?}"
    );
}

#[tokio::test]
async fn a_provider_id_of_another_cloud_is_passed_on_and_asks_nobody() {
    let mut running = Running::start(Vec::new()).await;
    let azure = Machine {
        provider_id: Some("azure:///subscriptions/s/virtualMachines/vm-0".to_owned()),
        ..record("a", "")
    };
    running.tell(Change::Machine(Box::new(azure))).await;
    running.expect_machine("a", 0).await;
    running.list().await;
    running.expect_live().await;
    assert!(running.aws.asked().is_empty());
}

#[tokio::test]
async fn commands_ask_once_and_say_what_went_wrong() {
    let told = [
        Change::Machine(Box::new(record("a", "i-0a"))),
        Change::Machine(Box::new(record("b", "i-0b"))),
        Change::Synced(Feed::Machines(scope())),
    ];
    let aws = FakeAws::start([instances(&["i-0a"]), Reply::status(403, "no")]).await;
    let changes = complete(&scope(), &cloud(&aws), &told).await.unwrap();
    let [Change::Machine(machine), Change::Synced(Feed::Instances(_))] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(machine.reference.name, "a");
    complete(&scope(), &cloud(&aws), &told).await.unwrap_err();
    assert_eq!(aws.asked().len(), 2, "nothing is asked about twice");
}
