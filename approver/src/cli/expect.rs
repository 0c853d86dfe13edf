//! `expect`: puts machines on the roll of a cluster that has no Machine API.

mod apply;
mod draft;
mod files;
mod inventory;
mod nodes;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::{Api, ResourceExt as _};
use serde::Serialize;

use self::draft::{Draft, Given, Wrong};
use super::block_on;
use super::flag::FlagError;
use super::input::InputError;
use super::print::{answer, complain, write};
use super::table::{Cell, Table};
use crate::connect::Connection;
use crate::expected_machine::ExpectedMachine;
use crate::{ExpectArgs, Output};

/// What became of one machine. Names and order of the fields are a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    node_name: String,
    join_by: Option<String>,
    /// `created`, `changed`, `unchanged` or `failed`.
    outcome: &'static str,
    message: String,
}

/// Carries out `expect`.
pub(crate) fn expect(args: &ExpectArgs) -> anyhow::Result<()> {
    if let Some(flag) = args.adoption.idle() {
        let message = "means something only with --from-nodes or --from-audit";
        return Err(FlagError::new(flag, message).into());
    }
    if args.adoption.is_wanted() {
        return nodes::adopt(args);
    }
    let now = Timestamp::now();
    let drafts = match &args.name {
        Some(name) => vec![Draft::of_arguments(name, args)?],
        None => files::read(&args.from, args)?,
    };
    let all = drafts.len();
    let (machines, wrong) = check(drafts, now);
    for one in &wrong {
        complain("error", &one.to_string());
    }
    // One machine may have several things wrong with it.
    let wrong = all.saturating_sub(machines.len());
    if wrong > 0 && !args.keep_going {
        return Err(InputError::Machines { wrong, all }.into());
    }
    let failed = if args.dry_run {
        show(args.output, &machines)?;
        0
    } else {
        let rows = block_on(async {
            let management = args.management_kubeconfig.as_deref();
            let kubeconfig = management.or(args.kubeconfig.as_deref());
            let client = Connection::open(kubeconfig).await?.client;
            apply::all(&Api::all(client), machines, args.keep_going).await
        })?;
        answer(args.output, &rows, || table(&rows))?;
        rows.iter().filter(|row| row.outcome == "failed").count()
    };
    match failed.saturating_add(wrong) {
        0 => Ok(()),
        failed => bail!("{failed} of {all} machines are not expected"),
    }
}

/// Checks every draft, and that no two are the same.
fn check(drafts: Vec<Draft>, now: Timestamp) -> (Vec<ExpectedMachine>, Vec<Wrong>) {
    let (mut machines, mut wrong) = (Vec::new(), Vec::new());
    let mut seen: HashMap<(&str, String), String> = HashMap::new();
    for draft in drafts {
        let place = draft.place();
        let machine = match draft.check(now) {
            Ok(machine) => machine,
            Err(mut errors) => {
                wrong.append(&mut errors);
                continue;
            }
        };
        let keys = [
            ("name", machine.name_any()),
            ("nodeName", machine.spec.node_name.clone()),
        ];
        let twice = keys.iter().find_map(|key| Some((key, seen.get(key)?)));
        if let Some(((field, value), first)) = twice {
            let given = Given::at(&place, value);
            wrong.push(given.wrong(field, format!("{value:?} is there already, in {first}")));
            continue;
        }
        seen.extend(keys.map(|key| (key, place.clone())));
        machines.push(machine);
    }
    (machines, wrong)
}

/// What would be applied, ready for `kubectl apply -f`.
fn show(output: Output, machines: &[ExpectedMachine]) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => {
            let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": machines});
            let json = serde_json::to_string_pretty(&list);
            format!("{}\n", json.context("cannot write JSON")?)
        }
        Output::Table | Output::Yaml => {
            let mut text = String::new();
            for machine in machines {
                let yaml = serde_saphyr::to_string(machine).context("cannot write YAML")?;
                text.push_str(&format!("---\n{}\n", yaml.trim_end()));
            }
            text
        }
    };
    write(text.as_bytes())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["NAME", "NODE", "JOIN BY", "OUTCOME"]);
    for row in rows {
        let cells = vec![
            Cell::name(&row.name),
            Cell::name(&row.node_name),
            Cell::name(row.join_by.as_deref().unwrap_or_default()),
            Cell::verdict(row.outcome),
        ];
        let note = Some(row.message.as_str()).filter(|note| !note.is_empty());
        table.row(cells, note);
    }
    table
}
