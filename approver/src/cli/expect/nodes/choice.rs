//! Which Nodes a person means: by name, by labels, by what an audit found.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::node::Running;
use crate::AdoptionArgs;
use crate::cli::flag::{self, FlagError};

/// Which Nodes are meant.
#[derive(Debug)]
pub(super) struct Choice {
    /// Only these, where there are any.
    named: BTreeSet<String>,
    excluded: BTreeSet<String>,
    requirements: Vec<Requirement>,
    /// The nodes of an audit.
    audited: Option<BTreeSet<String>>,
}

/// One part of a label selector.
#[derive(Debug, PartialEq, Eq)]
enum Requirement {
    Absent(String),
    Equal(String, String),
    Present(String),
    Unequal(String, String),
}

/// What the approver serves under `/audit`; what else stands in it is not asked for.
#[derive(Deserialize)]
struct Report {
    unknown: Vec<Unknown>,
}

/// A node that others let in while no Machine knew it.
#[derive(Deserialize)]
struct Unknown {
    node: String,
}

impl Choice {
    /// Reads the flags, and the report of an audit if there is one.
    pub(super) fn read(args: &AdoptionArgs) -> Result<Self, FlagError> {
        let audited = match &args.from_audit {
            None => None,
            Some(path) => {
                let text = flag::read_text("--from-audit", path)?;
                let report: Report = serde_json::from_str(&text).map_err(|error| {
                    let message = format!(
                        "is not what the approver serves under /audit in mode audit (curl -s http://ROLLCALL:8080/audit): {error}"
                    );
                    FlagError::file("--from-audit", path, message)
                })?;
                Some(report.unknown.into_iter().map(|one| one.node).collect())
            }
        };
        let parts = args.selector.iter().flat_map(|text| text.split(','));
        let requirements = parts.map(requirement).collect::<Result<_, _>>();
        Ok(Self {
            named: args.nodes.iter().cloned().collect(),
            excluded: args.exclude.iter().cloned().collect(),
            requirements: requirements.map_err(|error| FlagError::new("--selector", error))?,
            audited,
        })
    }

    /// The Nodes that are meant, in the order of their names.
    ///
    /// # Errors
    /// If a Node is named that there is not.
    pub(super) fn of(&self, all: &[Running]) -> Result<Vec<Running>, FlagError> {
        let there: BTreeSet<&str> = all.iter().map(|node| node.name.as_str()).collect();
        for (flag, names) in [("--node", &self.named), ("--exclude", &self.excluded)] {
            let mut missing = names.iter().filter(|name| !there.contains(name.as_str()));
            if let Some(missing) = missing.next() {
                return Err(FlagError::new(
                    flag,
                    format!("there is no Node {missing:?}"),
                ));
            }
        }
        let mut chosen: Vec<Running> = all
            .iter()
            .filter(|node| self.takes(node))
            .cloned()
            .collect();
        chosen.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(chosen)
    }

    /// The nodes of an audit that are no Nodes any more, or not yet.
    pub(super) fn gone(&self, all: &[Running]) -> Vec<String> {
        let there: BTreeSet<&str> = all.iter().map(|node| node.name.as_str()).collect();
        let audited = self.audited.iter().flatten();
        let gone = audited.filter(|name| !there.contains(name.as_str()));
        gone.cloned().collect()
    }

    fn takes(&self, node: &Running) -> bool {
        let name = node.name.as_str();
        let of_audit = |names: &BTreeSet<String>| names.contains(name);
        (self.named.is_empty() || self.named.contains(name))
            && !self.excluded.contains(name)
            && self.audited.as_ref().is_none_or(of_audit)
            && self.requirements.iter().all(|one| one.holds(&node.labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Absent(key) => !labels.contains_key(key),
            Self::Equal(key, value) => labels.get(key) == Some(value),
            Self::Present(key) => labels.contains_key(key),
            Self::Unequal(key, value) => labels.get(key) != Some(value),
        }
    }
}

/// Reads one part of a label selector (Kubernetes: labels and selectors, equality-based requirements).
fn requirement(text: &str) -> Result<Requirement, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not one of KEY, !KEY, KEY=VALUE and KEY!=VALUE");
    let word = |word: &str| {
        let word = word.trim();
        let known = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
        let good = word.chars().all(known);
        good.then(|| word.to_owned()).ok_or_else(wrong)
    };
    let key = |text: &str| {
        word(text).and_then(|key| {
            if key.is_empty() {
                Err(wrong())
            } else {
                Ok(key)
            }
        })
    };
    if let Some((left, right)) = text.split_once("!=") {
        return Ok(Requirement::Unequal(key(left)?, word(right)?));
    }
    if let Some((left, right)) = text.split_once('=') {
        let right = right.strip_prefix('=').unwrap_or(right);
        return Ok(Requirement::Equal(key(left)?, word(right)?));
    }
    match text.strip_prefix('!') {
        Some(rest) => Ok(Requirement::Absent(key(rest)?)),
        None => Ok(Requirement::Present(key(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::args;
    use super::super::node::tests::{object, read};
    use super::*;

    fn nodes() -> Vec<Running> {
        ["worker-1", "worker-0", "master-0"]
            .map(|name| {
                let mut object = object(name, "10.0.0.1");
                let role = name.split('-').next().unwrap();
                object["metadata"]["labels"] =
                    serde_json::json!({"role": role, format!("is-{role}"): ""});
                read(&object)
            })
            .to_vec()
    }

    fn chosen(flags: &[&str]) -> Result<Vec<String>, String> {
        let flags = [&["--from-nodes"], flags].concat();
        let choice = Choice::read(&args(&flags).adoption).map_err(|error| error.to_string())?;
        let chosen = choice.of(&nodes()).map_err(|error| error.to_string())?;
        Ok(chosen.iter().map(|node| node.name.to_string()).collect())
    }

    #[test]
    fn nodes_are_chosen_by_name_and_label() {
        for (flags, expected) in [
            (&[][..], &["master-0", "worker-0", "worker-1"][..]),
            (&["--node=worker-1"], &["worker-1"]),
            (&["--exclude=worker-1", "--exclude=master-0"], &["worker-0"]),
            (&["--selector=role=worker"], &["worker-0", "worker-1"]),
            (
                &["-l", "role==worker, is-worker"],
                &["worker-0", "worker-1"],
            ),
            (&["-l", "role!=worker"], &["master-0"]),
            (&["-l", "!is-master"], &["worker-0", "worker-1"]),
            (&["-l", "is-master="], &["master-0"]),
            (
                &["-l", "zone!=a,role=worker", "--exclude=worker-0"],
                &["worker-1"],
            ),
            (&["-l", "zone"], &[]),
        ] {
            assert_eq!(chosen(flags).unwrap(), expected, "{flags:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (flags, word) in [
            (
                &["--node=worker-2"][..],
                "--node: there is no Node \"worker-2\"",
            ),
            (
                &["--exclude=worker2"],
                "--exclude: there is no Node \"worker2\"",
            ),
            (&["-l", "role in (a,b)"], "\"role in (a\""),
            (&["-l", ""], "\"\""),
            (&["-l", "=a"], "\"=a\""),
        ] {
            let error = chosen(flags).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn an_audit_names_nodes_and_those_that_are_gone_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("audit.json");
        let report = r#"{"since": "x", "last": [], "unknown": [{"node": "worker-1", "csr": "c"}, {"node": "gone"}]}"#;
        std::fs::write(&file, report).unwrap();
        let args = args(&["--from-audit", file.to_str().unwrap()]);
        let choice = Choice::read(&args.adoption).unwrap();
        let chosen = choice.of(&nodes()).unwrap();
        assert_eq!(chosen.len(), 1);
        assert_eq!(choice.gone(&nodes()), ["gone"]);
        std::fs::write(&file, "{}").unwrap();
        let error = Choice::read(&args.adoption).unwrap_err().to_string();
        assert!(error.contains("/audit"), "{error}");
    }
}
