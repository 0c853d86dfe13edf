//! `explain`: what would be decided of requests, and why.

use std::collections::HashSet;

use anyhow::bail;
use jiff::Timestamp;

use super::input::InputError;
use super::opinion::{Opinion, machine_cell};
use super::print::{answer, complain};
use super::scene::Scene;
use super::serving::ServingFacts;
use super::table::{Cell, Table};
use super::{block_on, dump, live};
use crate::ExplainArgs;
use crate::config::Config;

/// Carries out `explain`.
pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<()> {
    let at = args.at.unwrap_or_else(Timestamp::now);
    let offline = !args.from.is_empty();
    let mut config = Config::load_or_default(args.look.cluster.config.as_deref())?;
    if offline && args.look.cluster.config.is_none() {
        // Whoever hands in Machines of a source and no configuration means those.
        config = Config::of_everything();
    }
    let serving = ServingFacts::read(args.kubelet_ca.as_deref(), args.serving_certs.as_deref())?;
    let (mut scene, useless) = if offline {
        let dump = dump::read(&args.from, config, at)?;
        (dump.scene, dump.useless)
    } else {
        (block_on(live::open(&args.look, config))?.scene, None)
    };
    serving.tell(&mut scene.cluster, at);
    let opinions = judge(&scene, &args.requests, at);
    answer(args.output, &opinions, || table(&opinions))?;
    let missing = missing(&scene, &args.requests);
    let mut missing = missing.into_iter();
    if let Some(first) = missing.next() {
        for name in missing {
            complain("error", &InputError::NotThere(name.to_owned()).to_string());
        }
        if offline {
            bail!(InputError::NotThere(first.to_owned()));
        }
        bail!("there is no readable CertificateSigningRequest {first} in the cluster");
    }
    match useless {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Judges all requests, or those with these names, in the order of the input.
fn judge(scene: &Scene, names: &[String], at: Timestamp) -> Vec<Opinion> {
    let names: HashSet<&str> = names.iter().map(String::as_str).collect();
    scene
        .entries
        .iter()
        .filter(|entry| names.is_empty() || names.contains(entry.name.as_str()))
        .map(|entry| scene.opinion(entry, at))
        .collect()
}

fn missing<'a>(scene: &Scene, names: &'a [String]) -> Vec<&'a str> {
    names
        .iter()
        .filter(|name| scene.entry(name).is_none())
        .map(String::as_str)
        .collect()
}

fn table(opinions: &[Opinion]) -> Table {
    let mut table = Table::new(&["CSR", "NODE", "VERDICT", "REASON", "MACHINE"]);
    for opinion in opinions {
        let cells = vec![
            Cell::name(&opinion.csr),
            Cell::name(&opinion.node),
            Cell::verdict(opinion.verdict),
            Cell::word(opinion.reason),
            Cell::name(&machine_cell(opinion.machine.as_ref())),
        ];
        // An approval with more than its own reason has a warning.
        let told = opinion.verdict != "approve" || opinion.reasons.len() > 1;
        let note = told.then_some(opinion.message.as_str());
        table.row(cells, note);
    }
    table
}
