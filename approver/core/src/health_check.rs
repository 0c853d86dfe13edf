//! MachineHealthChecks: when they delete and replace a Machine that has not joined, and when too many unhealthy Machines
//! prevent that.
//!
//! Only the Machine records and the conditions of their Nodes are evaluated. The conditions of Machines, which Cluster API's
//! checks may also name, are not read, so a check may count more unhealthy Machines than this code, never fewer.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::{Machine, MachineReference, Node, Scope, Source};

/// One MachineHealthCheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The API of the check: it selects Machines of the same one.
    pub source: Source,
    /// The name and namespace; it selects Machines of its own namespace.
    pub reference: MachineReference,
    /// The labels of the Machines that it selects.
    pub selector: Selector,
    /// The time that a Machine may take until it has a Node; `None` for no limit.
    pub startup_timeout: Option<SignedDuration>,
    /// The conditions that make a Node unhealthy.
    pub conditions: Vec<UnhealthyCondition>,
    /// The number of selected Machines that may be unhealthy before remediation stops.
    pub limit: Limit,
}

/// A status of a Node's condition that makes it unhealthy after this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnhealthyCondition {
    /// The type of the condition, such as `Ready`.
    pub kind: String,
    /// The status.
    pub status: String,
    /// The time.
    pub timeout: SignedDuration,
}

impl HealthCheck {
    /// Returns true if it selects the Machine.
    pub fn selects(&self, machine: &Machine) -> bool {
        Scope::new(self.source, &self.reference.namespace).covers(machine)
            && self.selector.matches(&machine.labels)
    }

    /// The time at which a Machine without a Node becomes unhealthy.
    fn due(&self, machine: &Machine) -> Option<Timestamp> {
        let from = machine
            .startup_from
            .filter(|_| machine.node_reference.is_none())?;
        from.checked_add(self.startup_timeout?).ok()
    }

    /// The time at which a Node becomes unhealthy, in its current state.
    fn sickens(&self, node: &Node) -> Option<Timestamp> {
        let ends = node.conditions.iter().flat_map(|condition| {
            let named = self.conditions.iter().filter(|unhealthy| {
                unhealthy.kind == condition.kind && unhealthy.status == condition.status
            });
            named.filter_map(|unhealthy| condition.since.checked_add(unhealthy.timeout).ok())
        });
        ends.min()
    }

    /// Evaluates the Machines that it selects: the ones to remediate, when, and if that is allowed now. `node` returns the
    /// Node of a Machine, if it still exists.
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

/// The planned action of a MachineHealthCheck on a Machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remediation {
    /// The MachineHealthCheck.
    pub check: MachineReference,
    /// The time at which the Machine becomes or became unhealthy.
    pub at: Timestamp,
    /// The number of selected Machines that are unhealthy or have not joined.
    pub unhealthy: usize,
    /// The number of selected Machines.
    pub selected: usize,
    /// The number that may be unhealthy.
    pub allowed: usize,
    /// True if more are unhealthy, so that nothing is remediated.
    pub held_back: bool,
}

impl Remediation {
    /// Describes the remediation for users: when, by which check, or why not.
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
        // In whole seconds; a started second counts as one.
        let left = at.as_second().saturating_sub(now.as_second());
        if left <= 0 {
            format!("MachineHealthCheck {check} remediates it now")
        } else {
            // Durations in the format of kubectl and Go: 3m20s.
            let left = format!("{:#}", SignedDuration::from_secs(left)).replace(' ', "");
            format!("will be remediated in {left} by MachineHealthCheck {check}")
        }
    }
}

/// The limit on unhealthy Machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// A number.
    Count(usize),
    /// A percentage, rounded down.
    Percent(u32),
    /// A range, inclusive: remediates only if the number is in it.
    Range(usize, usize),
}

impl Limit {
    /// The maximum number of unhealthy Machines among this many.
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

/// The error for a text that is not a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number, percentage or range")]
pub struct NotALimit(String);

/// Parses `3`, `40%` or `[1-3]`. A negative number counts as none (machine-api-operator, `machinehealthcheck`).
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

/// A label selector (Kubernetes: `meta/v1` `LabelSelector`). Without any requirement, it selects all Machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// One requirement of a [`Selector`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The label is missing.
    Absent(String),
    /// The label exists and has one of these values.
    In(String, Vec<String>),
    /// The label is missing, or has none of these values.
    NotIn(String, Vec<String>),
    /// The label exists.
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
