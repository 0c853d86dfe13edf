//! MachineHealthChecks: when a Machine that has not joined is deleted and replaced, and when that is held back because too
//! many are unhealthy at once.
//!
//! What a Machine record and the conditions of its Node tell is counted here. The conditions of Machines, which Cluster API's
//! checks may name too, are not read, so that a check may see more unhealthy Machines than are counted, never fewer.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::{Machine, MachineReference, Node, Scope, Source};

/// One MachineHealthCheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The API that it belongs to: it selects Machines of the same one.
    pub source: Source,
    /// Where to find it; it selects Machines of its own namespace.
    pub reference: MachineReference,
    /// Which Machines it selects.
    pub selector: Selector,
    /// How long a Machine may take until it has a Node; without it, a Machine may take for ever.
    pub startup_timeout: Option<SignedDuration>,
    /// What makes a Node unhealthy.
    pub conditions: Vec<UnhealthyCondition>,
    /// How many of the selected Machines may be unhealthy before nothing is remediated any more.
    pub limit: Limit,
}

/// A status of a Node's condition that makes it unhealthy when it has had it for this long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnhealthyCondition {
    /// Which condition, such as `Ready`.
    pub kind: String,
    /// Which status of it.
    pub status: String,
    /// For how long.
    pub timeout: SignedDuration,
}

impl HealthCheck {
    /// Whether it looks after a Machine.
    pub fn selects(&self, machine: &Machine) -> bool {
        Scope::new(self.source, &self.reference.namespace).covers(machine)
            && self.selector.matches(&machine.labels)
    }

    /// When a Machine that has no Node will count as unhealthy.
    fn due(&self, machine: &Machine) -> Option<Timestamp> {
        let from = machine
            .startup_from
            .filter(|_| machine.node_reference.is_none())?;
        from.checked_add(self.startup_timeout?).ok()
    }

    /// When a Node will count as unhealthy, as it is now.
    fn sickens(&self, node: &Node) -> Option<Timestamp> {
        let ends = node.conditions.iter().flat_map(|condition| {
            let named = self.conditions.iter().filter(|unhealthy| {
                unhealthy.kind == condition.kind && unhealthy.status == condition.status
            });
            named.filter_map(|unhealthy| condition.since.checked_add(unhealthy.timeout).ok())
        });
        ends.min()
    }

    /// What it makes of the Machines that it selects: which will be remediated, when, and whether that is allowed now. `node`
    /// finds the Node that a Machine has become, if it still exists.
    pub(crate) fn look<'a, 'n>(
        &self,
        machines: impl Iterator<Item = &'a Machine>,
        node: impl Fn(&Machine) -> Option<&'n Node>,
        now: Timestamp,
    ) -> Vec<(&'a Machine, Remediation)> {
        let (mut selected, mut healthy, mut due) = (0_usize, 0_usize, Vec::new());
        for machine in machines.filter(|machine| self.selects(machine)) {
            selected = selected.saturating_add(1);
            let node = node(machine);
            let lost = machine.node_reference.is_some() && node.is_none();
            let at = match node {
                _ if machine.failed || lost => Some(now),
                Some(node) => self.sickens(node),
                None => self.due(machine),
            };
            let sick = at.is_some_and(|at| at <= now);
            if node.is_some() && !sick && !machine.deleting {
                healthy = healthy.saturating_add(1);
            }
            due.extend(at.map(|at| (machine, at)));
        }
        let unhealthy = selected.saturating_sub(healthy);
        let remediation = |at| Remediation {
            check: self.reference.clone(),
            at,
            unhealthy,
            selected,
            allowed: self.limit.allowed(selected),
            held_back: !self.limit.allows(unhealthy, selected),
        };
        due.into_iter()
            .filter(|(machine, _)| !machine.deleting)
            .map(|(machine, at)| (machine, remediation(at)))
            .collect()
    }
}

/// What a MachineHealthCheck will do with a Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remediation {
    /// Which one.
    pub check: MachineReference,
    /// When the Machine counts as unhealthy; a time that has passed means that it does.
    pub at: Timestamp,
    /// How many of the selected Machines are unhealthy or have not joined.
    pub unhealthy: usize,
    /// How many Machines are selected.
    pub selected: usize,
    /// How many may be unhealthy.
    pub allowed: usize,
    /// Whether nothing is remediated because more are.
    pub held_back: bool,
}

impl Remediation {
    /// What is to be told of it: when, by whom, or why not.
    pub fn describe(&self, now: Timestamp) -> String {
        let Self {
            check,
            at,
            unhealthy,
            selected,
            allowed,
            held_back,
        } = self;
        if *held_back {
            return format!(
                "MachineHealthCheck {check} remediates nothing: {unhealthy} of {selected} Machines have no healthy Node, \
                 {allowed} may"
            );
        }
        // Whole seconds are enough, and a part of one still to come counts as one.
        let left = at.as_second().saturating_sub(now.as_second());
        if left <= 0 {
            format!("MachineHealthCheck {check} remediates it now")
        } else {
            // As kubectl and Go write a duration: 3m20s.
            let left = format!("{:#}", SignedDuration::from_secs(left)).replace(' ', "");
            format!("will be remediated in {left} by MachineHealthCheck {check}")
        }
    }
}

/// How many Machines may be unhealthy at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many.
    Count(usize),
    /// So many of a hundred, rounded down.
    Percent(u32),
    /// Only when so many are, both ends included.
    Range(usize, usize),
}

impl Limit {
    /// The most that may be unhealthy among so many.
    pub fn allowed(self, selected: usize) -> usize {
        match self {
            Self::Count(count) | Self::Range(_, count) => count,
            Self::Percent(percent) => {
                let percent = usize::try_from(percent).unwrap_or(usize::MAX);
                selected.saturating_mul(percent).div_euclid(100)
            }
        }
    }

    fn allows(self, unhealthy: usize, selected: usize) -> bool {
        let least = match self {
            Self::Range(least, _) => least,
            Self::Count(_) | Self::Percent(_) => 0,
        };
        least <= unhealthy && unhealthy <= self.allowed(selected)
    }
}

/// A text that is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number, percentage or range")]
pub struct NotALimit(String);

/// `3`, `40%` or `[1-3]`. A negative number counts as none (machine-api-operator, `machinehealthcheck`).
impl FromStr for Limit {
    type Err = NotALimit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || NotALimit(text.to_owned());
        if let Some(range) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let (least, most) = range.split_once('-').ok_or_else(bad)?;
            let number = |text: &str| text.parse().map_err(|_| bad());
            return Ok(Self::Range(number(least)?, number(most)?));
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: i64 = percent.parse().map_err(|_| bad())?;
            return Ok(Self::Percent(
                u32::try_from(percent.max(0)).map_err(|_| bad())?,
            ));
        }
        let count: i64 = text.parse().map_err(|_| bad())?;
        Ok(Self::Count(
            usize::try_from(count.max(0)).map_err(|_| bad())?,
        ))
    }
}

/// Which labels select a Machine (Kubernetes: `meta/v1` `LabelSelector`). Without any requirement, all are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// One requirement of a [`Selector`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The label is not there.
    Absent(String),
    /// The label is there and has one of these values.
    In(String, Vec<String>),
    /// The label is not there, or has none of these values.
    NotIn(String, Vec<String>),
    /// The label is there.
    Present(String),
}

impl Selector {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Absent(key) => !labels.contains_key(key),
            Requirement::In(key, values) => {
                labels.get(key).is_some_and(|value| values.contains(value))
            }
            Requirement::NotIn(key, values) => {
                labels.get(key).is_none_or(|value| !values.contains(value))
            }
            Requirement::Present(key) => labels.contains_key(key),
        })
    }
}

#[cfg(test)]
#[path = "health_check_tests.rs"]
mod tests;
