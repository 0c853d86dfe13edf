//! The configuration file: strict, so that a typing error stops the start instead of opening a door.

mod auto_scaling;
mod bootstrap;
mod limits;
mod requestor;
mod serving;
pub(crate) mod without_effect;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use jiff::SignedDuration;
use rollcall_approver_core::{DenyClass, Naming, Policy, Scope, Source, Vouching};
use serde::Deserialize;

pub(crate) use self::auto_scaling::AwsAutoScaling;
use self::bootstrap::Bootstrap;
use self::serving::Serving;
use crate::kubelets::Kubelets;
use crate::{mirror, sources};

/// What happens with a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Approvals and denials are written.
    #[default]
    Enforce,
    /// Nothing is approved or denied by itself; verdicts are shown and a person decides.
    Manual,
    /// Nothing is written at all.
    Audit,
}

/// What is wrong with the configuration or the way the program was called.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file's content is not a configuration.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Line, field and what was expected.
        message: String,
    },
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {name}: {message}")]
    Kubeconfig {
        /// Which kubeconfig.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// A configuration that was read and understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) mode: Mode,
    pub(crate) policy: Policy,
    /// Where the Machine records are.
    pub(crate) machines: Vec<Scope>,
    pub(crate) kubelets: Kubelets,
    pub(crate) auto_scaling: Vec<mirror::Settings>,
}

impl Default for Config {
    fn default() -> Self {
        Self::of(sources::default())
    }
}

impl Config {
    /// The defaults, with Machines of every source: what is read of a dump when nothing says what the approver reads.
    pub(crate) fn of_everything() -> Self {
        Self::of(sources::everything())
    }

    /// The defaults, with these sources of Machines.
    fn of(machines: Vec<Scope>) -> Self {
        Self {
            mode: Mode::default(),
            policy: Policy {
                vouching: Vouching::First(machines.clone()),
                ..Policy::default()
            },
            machines,
            kubelets: Kubelets::default(),
            auto_scaling: Vec::new(),
        }
    }

    /// Reads and checks a file; without one, the defaults hold.
    pub(crate) fn load_or_default(path: Option<&Path>) -> Result<Self, ConfigError> {
        path.map_or_else(|| Ok(Self::default()), Self::load)
    }

    /// Reads and checks a file.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::read(path, &text)
    }

    /// Checks the content of a file.
    pub(crate) fn read(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::parse(text).map_err(|message| ConfigError::Invalid {
            path: path.to_owned(),
            message,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let mut policy = Policy::default();
        let mut kubelets = Kubelets::default();
        let File {
            api_version: _,
            kind: _,
            mode,
            bootstrap,
            deny,
            machines,
            max_staleness,
            serving,
            vouching,
        } = file;
        let names_requestors = bootstrap.as_ref().is_some_and(Bootstrap::names_requestors);
        if let Some(bootstrap) = bootstrap {
            bootstrap.apply(&mut policy)?;
        }
        if let Some(serving) = serving {
            serving.apply(&mut policy.serving, &mut kubelets)?;
        }
        if let Some(classes) = deny {
            policy.deny = classes.into_iter().map(DenyClass::from).collect();
        }
        if let Some(Duration(limit)) = max_staleness {
            policy.max_staleness = limit;
        }
        let mut auto_scaling = Vec::new();
        let machines = match machines {
            Some(entries) => read_machines(entries, &mut policy, &mut auto_scaling)?,
            None => sources::default(),
        };
        policy.vouching = match vouching.unwrap_or_default() {
            Vouches::Any => Vouching::Any,
            Vouches::First => Vouching::First(machines.clone()),
        };
        if !names_requestors {
            bootstrap::keep_those_of(&machines, &mut policy.bootstrappers);
        }
        Ok(Self {
            mode: mode.unwrap_or_default(),
            policy,
            machines,
            kubelets,
            auto_scaling,
        })
    }
}

/// Where Machines are read; how they are matched goes into the policy.
fn read_machines(
    entries: Vec<sources::Entry>,
    policy: &mut Policy,
    auto_scaling: &mut Vec<mirror::Settings>,
) -> Result<Vec<Scope>, String> {
    if entries.is_empty() {
        return Err("machines: names no source, so no machine could join".to_owned());
    }
    let mut scopes: Vec<Scope> = Vec::new();
    for entry in entries {
        if let sources::Entry::AwsAutoScaling(groups) = entry {
            auto_scaling.push(groups.read()?);
            continue;
        }
        let sources::Reading {
            scope,
            naming,
            bootstrap_tokens,
        } = entry.read()?;
        if let Some(other) = scopes.iter().find(|other| overlap(other, &scope)) {
            return Err(format!(
                "machines: {other} and {scope} are the same Machines; each is to be named once"
            ));
        }
        if naming != Naming::of(scope.source) {
            policy.naming.insert(scope.clone(), naming);
        }
        if bootstrap_tokens {
            policy.bootstrap_tokens.insert(scope.clone());
        }
        scopes.push(scope);
    }
    let mirrored = Scope::new(Source::ExpectedMachine, "");
    if !auto_scaling.is_empty() && !scopes.contains(&mirrored) {
        scopes.push(mirrored);
    }
    Ok(scopes)
}

fn overlap(one: &Scope, other: &Scope) -> bool {
    let everywhere = one.namespace.is_empty() || other.namespace.is_empty();
    one.source == other.source && (everywhere || one.namespace == other.namespace)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "its type allows one value only")]
    api_version: ApiVersion,
    #[expect(dead_code, reason = "its type allows one value only")]
    kind: Kind,
    mode: Option<Mode>,
    bootstrap: Option<Bootstrap>,
    deny: Option<Vec<Deny>>,
    machines: Option<Vec<sources::Entry>>,
    #[serde(default, deserialize_with = "limits::max_staleness")]
    max_staleness: Option<Duration>,
    serving: Option<Serving>,
    vouching: Option<Vouches>,
}

#[derive(Deserialize)]
enum ApiVersion {
    #[serde(rename = "rollcall.dev/v1alpha1")]
    V1Alpha1,
}

#[derive(Deserialize)]
enum Kind {
    ApproverConfig,
}

/// Which records speak for a machine that several sources know.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Vouches {
    Any,
    #[default]
    First,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Deny {
    Malformed,
    Profile,
    Superseded,
}

impl From<Deny> for DenyClass {
    fn from(class: Deny) -> Self {
        match class {
            Deny::Malformed => Self::Malformed,
            Deny::Profile => Self::Profile,
            Deny::Superseded => Self::Superseded,
        }
    }
}

/// A length of time as Kubernetes writes it: `2h`, `1h30m`, `10s`. Never negative.
#[derive(Clone, Copy)]
struct Duration(SignedDuration);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration: SignedDuration = text.parse().map_err(|_| {
            serde::de::Error::custom(format!(
                "{text:?} is no duration; write it like 2h, 1h30m or 10s"
            ))
        })?;
        if duration.is_negative() {
            return Err(serde::de::Error::custom(format!("{text:?} is negative")));
        }
        Ok(Self(duration))
    }
}

#[cfg(test)]
mod machines_tests;
#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
