//! What a person is told.

use super::super::tests::args;
use super::node::tests::{object, read};
use super::*;

fn plan(fate: Fate) -> Plan {
    Plan {
        node: read(&object("worker-0", "10.0.0.1")),
        fate,
        origin: Origin::Nowhere,
        message: "why".to_owned(),
    }
}

#[test]
fn rows_say_what_would_be_done_and_then_what_was() {
    let plans = [
        plan(Fate::Known),
        plan(Fate::Bind("rack-1".to_owned())),
        plan(Fate::Left),
    ];
    let words = |rows: &[Row]| rows.iter().map(|row| row.outcome).collect::<Vec<_>>();
    assert_eq!(words(&rows(&plans, None)), ["bind", "left"]);
    let outcome = |word, trouble: Option<&str>| Outcome {
        word,
        trouble: trouble.map(str::to_owned),
    };
    let done = [
        outcome(None, None),
        outcome(Some("failed"), Some("no answer")),
        outcome(None, None),
    ];
    let rows = rows(&plans, Some(&done));
    assert_eq!(words(&rows), ["failed", "left"]);
    assert_eq!(
        (rows[0].message.as_str(), rows[1].message.as_str()),
        ("no answer", "why")
    );
    assert_eq!(
        serde_json::to_value(&rows[1]).unwrap(),
        serde_json::json!({
            "node": "worker-0", "ready": true, "providerID": "metal://worker-0", "name": null, "addresses": [],
            "addressesFrom": "-", "outcome": "left", "message": "why",
        })
    );
}

#[test]
fn flags_that_would_mean_nothing_are_refused() {
    for (flags, words) in [
        (&["--from=hosts.csv", "--node=worker-0"][..], "--node"),
        (&["--from=hosts.csv", "--yes"], "--yes"),
        (
            &["--from=hosts.csv", "--addresses=hosts.csv"],
            "--addresses",
        ),
        (&["--from-nodes", "--from=dump.yaml"], "--dry-run"),
    ] {
        let error = crate::cli::expect(&args(flags)).unwrap_err().to_string();
        assert!(error.contains(words), "{flags:?}: {error}");
    }
    for flags in [
        &["worker-0", "--from-nodes"][..],
        &["worker-0", "--node=worker-0"],
        &["--from-nodes", "--join-by=2h"],
        &["--from-nodes", "--group=workers"],
        &[],
    ] {
        let all = ["rollcall-approver", "expect"].iter().chain(flags);
        assert!(
            <crate::Args as clap::Parser>::try_parse_from(all).is_err(),
            "{flags:?}"
        );
    }
}

#[test]
fn a_configuration_without_expected_machines_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("approver.yaml");
    std::fs::write(
        &file,
        "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n",
    )
    .unwrap();
    let args = args(&["--from-nodes", "--config", file.to_str().unwrap()]);
    let error = adopt(&args).unwrap_err().to_string();
    assert!(error.contains("expectedMachines: {}"), "{error}");
}

#[test]
fn a_few_of_many_names_are_shown() {
    let names: Vec<String> = (0..12).map(|number| format!("n-{number}")).collect();
    assert!(some(&names).ends_with("n-9 and 2 more"));
    assert_eq!(some(&names[..1]), "n-0");
}
