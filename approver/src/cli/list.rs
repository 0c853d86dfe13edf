//! `list`: the nodes' requests, and how they stand.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::opinion::{MachineName, machine_cell};
use super::print::answer;
use super::scene::{Entry, Scene};
use super::table::{Cell, Table};
use super::{block_on, live};
use crate::ListArgs;
use crate::config::Config;

/// One request of a node. Names and order of the fields are a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    csr: String,
    signer: String,
    requestor: String,
    node: String,
    created: String,
    age_seconds: i64,
    /// What would be decided (`approve`, `hold`, `deny`, `ignore`), or was (`approved`, `denied`, `failed`).
    decision: String,
    reason: String,
    message: String,
    machine: Option<MachineName>,
    policy: Policy,
    /// What the table says below the row; the message says it too.
    #[serde(skip)]
    note: Option<String>,
}

/// What policy says of a request; of one that was decided, what it would have said then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Policy {
    verdict: &'static str,
    reason: &'static str,
    message: String,
}

/// Carries out `list`.
pub(crate) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let config = Config::load_or_default(args.look.cluster.config.as_deref())?;
    let scene = block_on(live::open(&args.look, config))?.scene;
    let now = Timestamp::now();
    let rows: Vec<Row> = scene
        .entries
        .iter()
        .filter(|entry| args.all || entry.past.is_none())
        .filter_map(|entry| row(&scene, entry, now))
        .collect();
    answer(args.output, &rows, || table(&rows, args.all))
}

/// One row; nothing for the signers of others.
fn row(scene: &Scene, entry: &Entry, now: Timestamp) -> Option<Row> {
    let opinion = scene.opinion(entry, now);
    let judged = scene.policy(entry, now)?;
    let policy = Policy {
        verdict: judged.verdict().as_str(),
        reason: judged.reason().as_str(),
        message: judged.explanation(),
    };
    let note = scene.remediation(entry, now);
    let (decision, reason, message) = match &entry.past {
        Some(past) => (past.word, past.reason.clone(), past.message.clone()),
        None => {
            let note = note.iter().map(|note| format!("; {note}"));
            let message = std::iter::once(policy.message.clone()).chain(note);
            (policy.verdict, policy.reason.to_owned(), message.collect())
        }
    };
    Some(Row {
        csr: opinion.csr,
        signer: opinion.signer,
        requestor: opinion.requestor,
        node: opinion.node,
        created: entry.created_at.to_string(),
        age_seconds: now.duration_since(entry.created_at).as_secs(),
        decision: decision.to_owned(),
        reason,
        message,
        machine: scene.machine(entry).map(MachineName::from),
        policy,
        note,
    })
}

/// The table; with what was decided, also what policy says.
fn table(rows: &[Row], all: bool) -> Table {
    let mut headings = vec!["CSR", "AGE", "NODE", "MACHINE", "DECISION", "REASON"];
    headings.extend(all.then_some("POLICY"));
    let mut table = Table::new(&headings);
    for row in rows {
        let mut cells = vec![
            Cell::name(&row.csr),
            Cell::word(&age(SignedDuration::from_secs(row.age_seconds))),
            Cell::name(&row.node),
            Cell::name(&machine_cell(row.machine.as_ref())),
            Cell::verdict(&row.decision),
            Cell::name(&row.reason),
        ];
        cells.extend(all.then(|| Cell::verdict(row.policy.verdict)));
        table.row(cells, row.note.as_deref());
    }
    table
}

/// An age in its largest unit, as kubectl shows it.
fn age(age: SignedDuration) -> String {
    match (age.as_hours(), age.as_mins(), age.as_secs()) {
        (hours, _, _) if hours >= 48 => format!("{}d", hours.wrapping_div(24)),
        (hours, _, _) if hours >= 3 => format!("{hours}h"),
        (_, minutes, _) if minutes >= 3 => format!("{minutes}m"),
        (_, _, seconds) => format!("{}s", seconds.max(0)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::cli::dump;

    /// The rows that `list` shows of what a case of `explain` holds, and the parts of their messages that are expected there.
    fn rows(case: &str) -> (Vec<Row>, Vec<String>) {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/explain");
        let folder = cases.join(case);
        let text = std::fs::read(folder.join("case.json")).unwrap();
        let case: Value = serde_json::from_slice(&text).unwrap();
        let at: Timestamp = case["at"].as_str().unwrap().parse().unwrap();
        let scene = dump::read(&[folder.join("dump.yaml")], Config::default(), at)
            .unwrap()
            .scene;
        let rows = scene.entries.iter();
        let rows = rows.filter_map(|entry| row(&scene, entry, at)).collect();
        let expected = case["output"].as_array().unwrap().iter();
        let message = |answer: &Value| answer["message"].as_str().unwrap().to_owned();
        (rows, expected.map(message).collect())
    }

    #[test]
    fn what_a_health_check_will_do_is_told_below_the_row_and_in_the_message() {
        for (case, words) in [
            ("health-check", "will be remediated in 3m20s"),
            (
                "health-check-held-back",
                "1 of 1 Machines have no healthy Node, 0 may",
            ),
            ("health-check-rounded-down", "will be remediated in 3m20s"),
            (
                "health-check-conditions",
                "3 of 6 Machines have no healthy Node, 2 may",
            ),
        ] {
            let (rows, expected) = rows(case);
            let ([row], [message]) = (rows.as_slice(), expected.as_slice()) else {
                panic!("{case}: {rows:?}");
            };
            assert!(message.contains(words), "{case}: {message}");
            assert!(row.message.contains(message), "{case}: {}", row.message);
            let shown = table(&rows, false).render(false);
            // A note is wrapped.
            let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            let note = message.trim_start_matches("; ");
            assert!(shown.contains(note), "{case}: {shown}");
        }
    }

    #[test]
    fn a_machine_that_no_check_looks_after_has_no_note() {
        let (rows, _) = rows("approve");
        assert!(!rows.is_empty());
        assert!(rows.iter().all(|row| row.note.is_none()), "{rows:?}");
    }
}
