//! `expect --from-nodes`: adopts Nodes that were there before Rollcall. A record is made for each that no Machine knows, and
//! bound to it.

mod addresses;
mod adopt;
mod choice;
mod look;
mod node;
mod plan;

use std::collections::HashMap;
use std::io::{BufRead as _, IsTerminal as _};

use anyhow::bail;
use jiff::Timestamp;
use kube::{Api, Client};
use rollcall_approver_core::{Scope, Source};
use serde::Serialize;

use self::addresses::{Origin, Served};
use self::adopt::Outcome;
use self::choice::Choice;
use self::look::Seen;
use self::node::Running;
use self::plan::{Fate, Plan, Wishes, plan};
use super::draft::Draft;
use super::{files, show};
use crate::cli::block_on;
use crate::cli::flag::FlagError;
use crate::cli::print::{answer, complain};
use crate::cli::table::{Cell, Table};
use crate::config::Config;
use crate::connect::Connection;
use crate::expected_machine::ExpectedMachine;
use crate::{ExpectArgs, Output};

/// What became of one Node, or would. Names and order of the fields are a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    node: String,
    ready: bool,
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
    /// The ExpectedMachine.
    name: Option<String>,
    addresses: Vec<String>,
    /// `file`, `cloud`, `certificate`, `kubelet` or `-`.
    addresses_from: &'static str,
    /// `create` or `bind` before, `created`, `bound` or `failed` afterwards; `known`, `left`.
    outcome: &'static str,
    message: String,
}

/// Carries out `expect --from-nodes`.
pub(super) fn adopt(args: &ExpectArgs) -> anyhow::Result<()> {
    let adoption = &args.adoption;
    let offline = !args.from.is_empty();
    if offline && !args.dry_run {
        let message = "a dump is only looked at; add --dry-run";
        return Err(FlagError::new("--from", message).into());
    }
    let mut config = Config::load_or_default(adoption.config.as_deref())?;
    if offline && adoption.config.is_none() {
        config = Config::of_everything();
    }
    let own = Scope::new(Source::ExpectedMachine, "");
    if !config.machines.contains(&own) {
        let message = "the configuration reads no ExpectedMachines, so that records would count for nothing; name the one \
                       that the approver runs with, and have it say machines: [{expectedMachines: {}}]";
        return Err(FlagError::new("--config", message).into());
    }
    let choice = Choice::read(adoption)?;
    let file = given(args)?;
    if offline {
        let seen = look::dump(&args.from, &config)?;
        let plans = Survey::new(args, &config, &choice, file).of(&seen, &Served::new())?;
        return preview(args, &plans);
    }
    block_on(async {
        let client = Connection::open(args.kubeconfig.as_deref()).await?.client;
        let management = match args.management_kubeconfig.as_deref() {
            Some(path) => Connection::open(Some(path)).await?.client,
            None => client.clone(),
        };
        let seen = look::cluster(&client, &management, &config).await?;
        let survey = Survey::new(args, &config, &choice, file);
        let mut plans = survey.of(&seen, &Served::new())?;
        if adoption.dial {
            let served = look::served(unvouched(&plans), &client, &config).await?;
            plans = survey.of(&seen, &served)?;
        }
        carry_out(args, &plans, management).await
    })
}

/// What a file says of nodes, by the names of their Nodes.
fn given(args: &ExpectArgs) -> anyhow::Result<HashMap<String, Draft>> {
    let path = args.adoption.addresses_file.clone();
    if path.is_none() {
        return Ok(HashMap::new());
    }
    let paths: Vec<_> = path.into_iter().collect();
    let drafts = files::read(&paths, args)?;
    let mut by_name = HashMap::new();
    for draft in drafts {
        let name = draft.node_text().to_owned();
        let place = draft.place();
        if let Some(first) = by_name.insert(name.clone(), draft) {
            let message = format!("{place}: {name:?} is there already, in {}", first.place());
            return Err(FlagError::new("--addresses", message).into());
        }
    }
    Ok(by_name)
}

/// What is wanted, and by which rules.
struct Survey<'a> {
    choice: &'a Choice,
    wishes: Wishes<'a>,
}

impl<'a> Survey<'a> {
    fn new(
        args: &'a ExpectArgs,
        config: &Config,
        choice: &'a Choice,
        file: HashMap<String, Draft>,
    ) -> Self {
        let wishes = Wishes {
            args,
            file,
            join_window: config.policy.rules.join_window,
            now: Timestamp::now(),
        };
        Self { choice, wishes }
    }

    fn of(&self, seen: &Seen, served: &Served) -> anyhow::Result<Vec<Plan>> {
        let chosen = self.choice.of(&seen.nodes)?;
        let roll = seen.cluster.roll();
        let plans = plan(&chosen, &seen.nodes, roll, served, &self.wishes);
        let gone = self.choice.gone(&seen.nodes);
        if !gone.is_empty() {
            let message = format!(
                "{} nodes of the audit are no Nodes now: {}; machines that are still to join are expected one by one \
                 (expect NAME)",
                gone.len(),
                some(&gone)
            );
            complain("note", &message);
        }
        Ok(plans)
    }
}

/// A few of many names.
fn some(names: &[String]) -> String {
    /// How many are named.
    const SHOWN: usize = 10;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let rest = names.len().saturating_sub(shown.len());
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

/// The Nodes for which nobody but their kubelets says addresses.
fn unvouched(plans: &[Plan]) -> Vec<Running> {
    let unvouched = plans.iter().filter(|plan| {
        let adopted = matches!(plan.fate, Fate::Adopt(_));
        adopted && matches!(plan.origin, Origin::Kubelet | Origin::Nowhere)
    });
    unvouched.map(|plan| plan.node.clone()).collect()
}

async fn carry_out(args: &ExpectArgs, plans: &[Plan], management: Client) -> anyhow::Result<()> {
    let todo = plans.iter().filter(|plan| is_work(plan)).count();
    if args.dry_run || todo == 0 {
        return preview(args, plans);
    }
    if !args.adoption.yes {
        // The table is for the person who is asked.
        let rows = rows(plans, None);
        answer(Output::Table, &rows, || table(&rows))?;
        advise(plans);
        if !is_confirmed(todo)? {
            bail!("nothing was done");
        }
    }
    let outcomes = adopt::all(&Api::all(management), plans, args.keep_going).await?;
    let rows = rows(plans, Some(&outcomes));
    answer(args.output, &rows, || table(&rows))?;
    if args.adoption.yes {
        advise(plans);
    }
    match rows.iter().filter(|row| row.outcome == "failed").count() {
        0 => Ok(()),
        failed => bail!("{failed} of {todo} Nodes are not adopted"),
    }
}

/// Shows what would be done: a table, or the records for `kubectl apply -f`.
fn preview(args: &ExpectArgs, plans: &[Plan]) -> anyhow::Result<()> {
    let records = args.dry_run && args.output != Output::Table;
    if records {
        show(args.output, &new_records(plans))?;
    } else {
        let rows = rows(plans, None);
        answer(args.output, &rows, || table(&rows))?;
    }
    advise(plans);
    Ok(())
}

fn new_records(plans: &[Plan]) -> Vec<ExpectedMachine> {
    let records = plans.iter().filter_map(|plan| match &plan.fate {
        Fate::Adopt(record) => Some((**record).clone()),
        Fate::Bind(_) | Fate::Known | Fate::Left => None,
    });
    records.collect()
}

fn is_work(plan: &Plan) -> bool {
    match plan.fate {
        Fate::Adopt(_) | Fate::Bind(_) => true,
        Fate::Known | Fate::Left => false,
    }
}

/// Asks a person who has seen the table.
fn is_confirmed(todo: usize) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let message = "is needed where there is no terminal to ask at; nothing was done. --dry-run only shows";
        return Err(FlagError::new("--yes", message).into());
    }
    let question = format!("these {todo} Nodes would be adopted; type yes to go on");
    complain("question", &question);
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()))
}

/// Says how many Nodes are known, and what to do about those of which nobody says addresses.
fn advise(plans: &[Plan]) {
    let count = |test: fn(&Plan) -> bool| plans.iter().filter(|plan| test(plan)).count();
    let known = count(|plan| plan.fate == Fate::Known);
    if known > 0 {
        complain(
            "note",
            &format!("{known} Nodes are bound to Machines already"),
        );
    }
    if count(is_work) == 0 {
        complain("note", "there is no Node to adopt");
    }
    let nowhere =
        count(|plan| matches!(plan.fate, Fate::Adopt(_)) && plan.origin == Origin::Nowhere);
    if nowhere > 0 {
        let message = format!(
            "for {nowhere} Nodes nobody but their own kubelets says addresses: their client certificates are renewed, but \
             serving certificates only for the node's own name. Give addresses by --addresses FILE, look at what they serve \
             with --dial, believe the kubelets with --kubelet-addresses, or set serving.renewWithoutAddresses: adopted \
             (docs/expected-machines.md)"
        );
        complain("note", &message);
    }
    if count(|plan| plan.origin == Origin::Kubelet) > 0 {
        let message = "addresses that only kubelets state are proven by nothing: a node that states another machine's \
                       address may serve under it from now on";
        complain("warning", message);
    }
}

/// What is shown of each Node that is not simply known.
fn rows(plans: &[Plan], outcomes: Option<&[Outcome]>) -> Vec<Row> {
    let outcome_of = |index: usize| outcomes.and_then(|all| all.get(index));
    let rows = plans.iter().enumerate();
    let rows = rows.filter(|(_, plan)| plan.fate != Fate::Known);
    rows.map(|(index, plan)| row(plan, outcome_of(index)))
        .collect()
}

fn row(plan: &Plan, outcome: Option<&Outcome>) -> Row {
    let (before, name, addresses) = match &plan.fate {
        Fate::Adopt(record) => {
            let spec = &record.spec;
            (
                "create",
                record.metadata.name.clone(),
                spec.addresses.clone(),
            )
        }
        Fate::Bind(name) => ("bind", Some(name.clone()), Vec::new()),
        Fate::Known => ("known", None, Vec::new()),
        Fate::Left => ("left", None, Vec::new()),
    };
    let trouble = outcome.and_then(|outcome| outcome.trouble.clone());
    Row {
        node: plan.node.name.to_string(),
        ready: plan.node.ready,
        provider_id: plan.node.provider_id.clone(),
        name,
        addresses,
        addresses_from: plan.origin.as_str(),
        outcome: outcome.and_then(|outcome| outcome.word).unwrap_or(before),
        message: trouble.unwrap_or_else(|| plan.message.clone()),
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["NODE", "READY", "PROVIDER ID", "ADDRESSES FROM", "OUTCOME"]);
    for row in rows {
        let cells = vec![
            Cell::name(&row.node),
            Cell::word(if row.ready { "yes" } else { "no" }),
            Cell::name(row.provider_id.as_deref().unwrap_or_default()),
            Cell::word(row.addresses_from),
            Cell::verdict(row.outcome),
        ];
        table.row(cells, Some(row.message.as_str()));
    }
    table
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
