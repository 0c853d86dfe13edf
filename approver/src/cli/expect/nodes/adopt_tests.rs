//! What is asked of the API server, and what is made of its answers.

use std::collections::HashMap;

use kube::Client;
use serde_json::Value;

use super::super::addresses::Origin;
use super::super::node::tests::{object, read};
use super::*;
use crate::expected_machine::ExpectedMachineSpec;
use crate::fixtures::{Server, server};

const RECORDS: &str = "/apis/rollcall.dev/v1alpha1/expectedmachines";

fn plan(name: &str, fate: Fate) -> Plan {
    Plan {
        node: read(&object(name, "10.0.0.1")),
        fate,
        origin: Origin::Nowhere,
        message: String::new(),
    }
}

fn new(name: &str) -> Plan {
    let spec = ExpectedMachineSpec {
        node_name: name.to_owned(),
        ..ExpectedMachineSpec::default()
    };
    plan(
        name,
        Fate::Adopt(Box::new(ExpectedMachine::new(name, spec))),
    )
}

fn made(name: &str, status: &Value) -> Value {
    json!({
        "apiVersion": "rollcall.dev/v1alpha1", "kind": "ExpectedMachine",
        "metadata": {"name": name, "uid": format!("record-{name}")}, "spec": {"nodeName": name}, "status": status,
    })
}

/// Carries out plans against a server that answers each call by its method and path; what was asked comes back, too.
async fn carried_out(
    plans: Vec<Plan>,
    keep_going: bool,
    answers: HashMap<String, Result<Value, (u16, &'static str)>>,
) -> (anyhow::Result<Vec<Outcome>>, Vec<String>) {
    let (client, server): (Client, Server) = server();
    let asked = tokio::spawn(serve(server, answers));
    let outcomes = all(&Api::all(client), &plans, keep_going).await;
    (outcomes, asked.await.unwrap())
}

async fn serve(
    mut server: Server,
    answers: HashMap<String, Result<Value, (u16, &'static str)>>,
) -> Vec<String> {
    let mut asked = Vec::new();
    while let Some(call) = server.next().await {
        let rehearsal = if call.query.contains("dryRun=All") {
            "rehearsed "
        } else {
            ""
        };
        let what = format!("{rehearsal}{} {}", call.method, call.path);
        asked.push(format!(
            "{what} {}",
            call.body
                .pointer("/status/nodeRef/uid")
                .unwrap_or(&Value::Null)
        ));
        match answers.get(&what) {
            Some(Ok(object)) => call.answer(object),
            Some(Err((code, message))) => call.fail(*code, message),
            None => {
                let name = call.body["metadata"]["name"]
                    .as_str()
                    .unwrap_or("worker-0")
                    .to_owned();
                call.answer(&made(&name, &json!({})));
            }
        }
    }
    asked
}

#[tokio::test]
async fn a_record_is_rehearsed_made_and_bound() {
    let plans = vec![
        new("worker-0"),
        plan("known", Fate::Known),
        plan("left", Fate::Left),
    ];
    let (outcomes, asked) = carried_out(plans, false, HashMap::new()).await;
    let words: Vec<_> = outcomes
        .unwrap()
        .iter()
        .map(|outcome| outcome.word)
        .collect();
    assert_eq!(words, [Some("created"), None, None]);
    assert_eq!(
        asked,
        [
            format!("rehearsed POST {RECORDS} null"),
            format!("POST {RECORDS} null"),
            format!("PATCH {RECORDS}/worker-0/status \"uid-worker-0\""),
        ]
    );
}

#[tokio::test]
async fn nothing_is_made_when_one_record_would_be_refused() {
    let refused = Err((
        403,
        "expectedmachines.rollcall.dev is forbidden: User \"u\" cannot create",
    ));
    let answers = HashMap::from([(format!("rehearsed POST {RECORDS}"), refused)]);
    let (outcomes, asked) =
        carried_out(vec![new("worker-0"), new("worker-1")], false, answers).await;
    let error = outcomes.err().unwrap().to_string();
    assert!(error.contains("2 records, so nothing was done"), "{error}");
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[tokio::test]
async fn a_record_that_cannot_be_bound_says_so_and_the_others_are() {
    let refused = Err((
        403,
        "expectedmachines.rollcall.dev \"worker-0\" is forbidden: User \"u\" cannot patch",
    ));
    let answers = HashMap::from([(format!("PATCH {RECORDS}/worker-0/status"), refused)]);
    let (outcomes, _) = carried_out(vec![new("worker-0"), new("worker-1")], true, answers).await;
    let outcomes = outcomes.unwrap();
    assert_eq!(outcomes[0].word, Some("failed"));
    let trouble = outcomes[0].trouble.clone().unwrap();
    assert!(
        trouble.contains("created, but not bound") && trouble.contains("a right is missing"),
        "{trouble}"
    );
    assert_eq!(outcomes[1].word, Some("created"));
}

#[tokio::test]
async fn a_record_that_another_person_made_meanwhile_is_not_taken_over() {
    let there = Err((
        409,
        "expectedmachines.rollcall.dev \"worker-0\" already exists",
    ));
    let answers = HashMap::from([(format!("POST {RECORDS}"), there)]);
    let (outcomes, asked) = carried_out(vec![new("worker-0")], true, answers).await;
    assert_eq!(outcomes.unwrap()[0].word, Some("failed"));
    assert!(
        asked.iter().all(|call| !call.starts_with("PATCH")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_record_that_is_there_is_bound_unless_it_has_changed() {
    let get = format!("GET {RECORDS}/rack-1");
    for (name, status, word) in [
        ("worker-0", json!({}), "bound"),
        ("another", json!({}), "failed"),
        (
            "worker-0",
            json!({"nodeRef": {"name": "worker-0", "uid": "other"}}),
            "failed",
        ),
    ] {
        let mut object = made("rack-1", &status);
        object["spec"]["nodeName"] = json!(name);
        let answers = HashMap::from([(get.clone(), Ok(object))]);
        let plans = vec![plan("worker-0", Fate::Bind("rack-1".to_owned()))];
        let (outcomes, asked) = carried_out(plans, false, answers).await;
        assert_eq!(outcomes.unwrap()[0].word, Some(word), "{name} {status}");
        let bound = asked
            .iter()
            .any(|call| *call == format!("PATCH {RECORDS}/rack-1/status \"uid-worker-0\""));
        assert_eq!(bound, word == "bound", "{asked:?}");
    }
}
