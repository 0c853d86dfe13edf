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
}

/// Carries out `list`.
pub(crate) fn list(args: &ListArgs) -> anyhow::Result<()> {
    let config = Config::load_or_default(args.look.cluster.config.as_deref())?;
    let scene = block_on(live::open(&args.look, config))?.scene;
    let now = Timestamp::now();
    let rows: Vec<Row> = scene
        .entries
        .iter()
        .filter(|entry| entry.known.is_some() && (args.all || entry.past.is_none()))
        .map(|entry| row(&scene, entry, now))
        .collect();
    answer(args.output, &rows, || table(&rows))
}

fn row(scene: &Scene, entry: &Entry, now: Timestamp) -> Row {
    let opinion = scene.opinion(entry, now);
    let (decision, reason, message) = match &entry.past {
        Some(past) => (past.word, past.reason.clone(), past.message.clone()),
        None => (opinion.verdict, opinion.reason.to_owned(), opinion.message),
    };
    Row {
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
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["CSR", "AGE", "NODE", "MACHINE", "DECISION", "REASON"]);
    for row in rows {
        let cells = vec![
            Cell::name(&row.csr),
            Cell::word(&age(SignedDuration::from_secs(row.age_seconds))),
            Cell::name(&row.node),
            Cell::name(&machine_cell(row.machine.as_ref())),
            Cell::verdict(&row.decision),
            Cell::name(&row.reason),
        ];
        table.row(cells, None);
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
