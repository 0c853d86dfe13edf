//! Rounds of the mirror against a pretended AWS and a pretended API server.

use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::Mode;
use crate::aws::Selection;
use crate::aws::testing::{FakeAws, Reply};
use crate::fixtures::{Server, server};
use crate::lease::Leadership;

const RECORDS: &str = "/apis/rollcall.dev/v1alpha1/expectedmachines";

fn groups(members: &str) -> Reply {
    Reply::ok(&format!(
        "<R><DescribeAutoScalingGroupsResult><AutoScalingGroups><member>\
         <AutoScalingGroupName>workers</AutoScalingGroupName><Instances>{members}</Instances>\
         <Tags><member><Key>k</Key></member></Tags></member></AutoScalingGroups></DescribeAutoScalingGroupsResult></R>"
    ))
}

fn member(id: &str, state: &str) -> String {
    format!(
        "<member><InstanceId>{id}</InstanceId><LifecycleState>{state}</LifecycleState></member>"
    )
}

fn instances(instances: &[(&str, &str)]) -> Reply {
    let instance = |(id, state): &(&str, &str)| {
        format!(
            "<item><instanceId>{id}</instanceId><instanceState><name>{state}</name></instanceState>\
             <privateDnsName>{id}.internal</privateDnsName><launchTime>2026-11-24T18:00:00.000Z</launchTime>\
             <placement><availabilityZone>eu-west-1a</availabilityZone></placement></item>"
        )
    };
    let instances: String = instances.iter().map(instance).collect();
    Reply::ok(&format!(
        "<R><reservationSet><item><instancesSet>{instances}</instancesSet></item></reservationSet></R>"
    ))
}

/// A record as this controller made it for an instance of this region.
fn record(id: &str, region: &str) -> Value {
    json!({
        "apiVersion": "rollcall.dev/v1alpha1", "kind": "ExpectedMachine",
        "metadata": {
            "name": id, "uid": format!("uid-of-{id}"), "resourceVersion": "1",
            "labels": {
                "app.kubernetes.io/managed-by": "rollcall-aws-auto-scaling",
                "topology.kubernetes.io/region": region,
            },
            "annotations": {plan::GROUP: "workers"},
        },
        "spec": {
            "nodeName": format!("{id}.internal"), "addresses": [format!("{id}.internal")],
            "providerID": format!("aws:///eu-west-1a/{id}"),
        },
    })
}

fn list(records: &[Value]) -> Value {
    json!({
        "apiVersion": "rollcall.dev/v1alpha1", "kind": "ExpectedMachineList",
        "metadata": {"resourceVersion": "1"}, "items": records,
    })
}

struct Scene {
    aws: FakeAws,
    server: Server,
    mirror: Mirror,
    leadership: watch::Sender<Leadership>,
}

async fn scene(replies: Vec<Reply>) -> Scene {
    let aws = FakeAws::start(replies).await;
    let environment = Environment::of(&[
        ("AWS_ENDPOINT_URL", &aws.url),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    let (client, server) = server();
    let (leadership, leads) = watch::channel(Leadership::forever());
    let (_, mode) = watch::channel(Mode::Enforce);
    let settings = Settings {
        selection: Selection {
            tag: Some("k".to_owned()),
            names: Vec::new(),
        },
        region: Some("eu-west-1".to_owned()),
        node_name: NodeNameFrom::PrivateDnsName,
        poll_interval: Duration::from_secs(10),
    };
    Scene {
        aws,
        server,
        mirror: Mirror {
            settings,
            windows: JoinWindows::of(&rollcall_approver_core::Policy::default()),
            nodes: Api::all(client.clone()),
            client,
            environment,
            turn: Turn::new(leads, mode),
            metrics: Metrics::new(),
            connected: None,
            left_alone: BTreeSet::new(),
            seen: Seen::default(),
        },
        leadership,
    }
}

#[tokio::test]
async fn what_came_is_created_and_what_went_is_deleted() {
    let members = member("i-1", "InService") + &member("i-2", "Pending");
    let mut scene = scene(vec![
        groups(&members),
        instances(&[
            ("i-1", "running"),
            ("i-2", "pending"),
            ("i-3", "terminated"),
        ]),
    ])
    .await;
    let (mirror, server) = (&mut scene.mirror, &mut scene.server);
    let answers = async {
        let call = server.expect("GET", RECORDS).await;
        let selector = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Drollcall-aws-auto-scaling%2C\
                        topology.kubernetes.io%2Fregion%3Deu-west-1";
        assert!(call.query.contains(selector), "{}", call.query);
        // A record that is not ours is never touched, even if the API server gave it.
        let foreign = json!({
            "metadata": {"name": "i-9", "uid": "9"}, "spec": {"nodeName": "i-9.internal"},
        });
        let all = [
            record("i-1", "eu-west-1"),
            record("i-3", "eu-west-1"),
            record("i-4", "us-east-1"),
            foreign,
        ];
        call.answer(&list(&all));
        let call = server.expect("DELETE", &format!("{RECORDS}/i-3")).await;
        assert_eq!(call.body["preconditions"], json!({"uid": "uid-of-i-3"}));
        call.answer(&record("i-3", "eu-west-1"));
        let call = server.expect("POST", RECORDS).await;
        let made: ExpectedMachine = serde_json::from_value(call.body.clone()).unwrap();
        assert_eq!(
            (made.name_any().as_str(), made.spec.node_name.as_str()),
            ("i-2", "i-2.internal")
        );
        assert_eq!(made.labels().len(), 2);
        let body = call.body.clone();
        call.answer(&body);
        let call = server.expect("GET", "/api/v1/nodes/i-2.internal").await;
        call.fail(404, "there is no such Node");
    };
    let (outcome, ()) = tokio::join!(mirror.round(), answers);
    outcome.unwrap();
    assert_eq!(mirror.metrics.auto_scaling.instances.get(), 2);
    assert!(mirror.metrics.auto_scaling.last_success.get() > 0);
    let asked = scene.aws.asked().pop().unwrap().body;
    assert!(asked.contains("Filter.1.Value.3=i-3"), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn while_aws_does_not_answer_nothing_is_changed() {
    for replies in [
        vec![Reply::status(503, "<R/>"); 9],
        vec![groups(""), Reply::ok("<R/>")],
        vec![groups(""), Reply::status(403, "no")],
        vec![Reply::ok("<R><DescribeAutoScalingGroupsResult/></R>")],
    ] {
        let mut scene = scene(replies).await;
        let (mirror, server) = (&mut scene.mirror, &mut scene.server);
        let answers = async {
            let call = server.expect("GET", RECORDS).await;
            call.answer(&list(&[record("i-1", "eu-west-1")]));
        };
        let (outcome, ()) = tokio::join!(mirror.round(), answers);
        outcome.unwrap_err();
        server.expect_none(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_record_of_that_name_that_somebody_else_made_is_left_alone() {
    let members = member("i-1", "InService");
    let running = || instances(&[("i-1", "running")]);
    let mut scene = scene(vec![
        groups(&members),
        running(),
        groups(&members),
        running(),
    ])
    .await;
    let (mirror, server) = (&mut scene.mirror, &mut scene.server);
    for _ in 0..2 {
        let answers = async {
            server.expect("GET", RECORDS).await.answer(&list(&[]));
            server.expect("POST", RECORDS).await.fail(409, "it exists");
        };
        let (outcome, ()) = tokio::join!(mirror.round(), answers);
        outcome.unwrap();
    }
    assert_eq!(mirror.left_alone.len(), 1, "it is told once");
}

#[tokio::test]
async fn a_replica_that_lost_the_lease_meanwhile_writes_nothing() {
    let mut scene = scene(vec![
        groups(&member("i-1", "InService")),
        instances(&[("i-1", "running")]),
    ])
    .await;
    scene.leadership.send_replace(Leadership::default());
    let (mirror, server) = (&mut scene.mirror, &mut scene.server);
    let answers = async { server.expect("GET", RECORDS).await.answer(&list(&[])) };
    let (outcome, ()) = tokio::join!(mirror.round(), answers);
    outcome.unwrap();
    server.expect_none(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn an_instance_that_is_a_node_already_is_bound_to_it() {
    let mut scene = scene(vec![
        groups(&member("i-1", "InService")),
        instances(&[("i-1", "running")]),
    ])
    .await;
    let (mirror, server) = (&mut scene.mirror, &mut scene.server);
    let answers = async {
        server.expect("GET", RECORDS).await.answer(&list(&[]));
        let call = server.expect("POST", RECORDS).await;
        let mut created = call.body.clone();
        created["metadata"]["uid"] = json!("u");
        call.answer(&created);
        let call = server.expect("GET", "/api/v1/nodes/i-1.internal").await;
        call.answer(&json!({
            "metadata": {"name": "i-1.internal", "uid": "n", "creationTimestamp": "2026-11-24T18:01:00Z"},
            "spec": {"providerID": "aws:///eu-west-1a/i-1"},
        }));
        let status = format!("{RECORDS}/i-1/status");
        let call = server.expect("PATCH", &status).await;
        let node = json!({"name": "i-1.internal", "uid": "n"});
        assert_eq!(
            call.body,
            json!({"metadata": {"uid": "u"}, "status": {"nodeRef": node}})
        );
        call.answer(&created);
    };
    let (outcome, ()) = tokio::join!(mirror.round(), answers);
    outcome.unwrap();
}

#[tokio::test]
async fn a_record_that_is_refused_keeps_no_other_from_being_made() {
    let members = member("i-1", "InService") + &member("i-2", "InService");
    let mut scene = scene(vec![
        groups(&members),
        instances(&[("i-1", "running"), ("i-2", "running")]),
    ])
    .await;
    let (mirror, server) = (&mut scene.mirror, &mut scene.server);
    let answers = async {
        server.expect("GET", RECORDS).await.answer(&list(&[]));
        server.expect("POST", RECORDS).await.fail(422, "too many");
        let call = server.expect("POST", RECORDS).await;
        assert_eq!(call.body["metadata"]["name"], "i-2");
        let created = call.body.clone();
        call.answer(&created);
        let call = server.expect("GET", "/api/v1/nodes/i-2.internal").await;
        call.fail(404, "there is no such Node");
    };
    let (outcome, ()) = tokio::join!(mirror.round(), answers);
    outcome.unwrap();
    assert_eq!(mirror.left_alone.len(), 1);
    assert_eq!(mirror.metrics.auto_scaling.failures.get(), 1);
}
