//! A dump to a scene: what `kubectl get -o yaml`, a support dump or a text editor made, judged without a cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use jiff::Timestamp;
use rollcall_approver_core::{Change, Cluster, Feed, Scope};

use super::documents::{Found, Object, Origin, parse};
use super::input::{self, InputError};
use super::kinds::{Identity, Kind, News};
use super::parallel;
use super::print::complain;
use super::scene::Scene;
use crate::config::Config;

/// What was read, and the first input that was of no use, if there was one.
#[derive(Debug)]
pub(super) struct Dump {
    pub(super) scene: Scene,
    pub(super) useless: Option<InputError>,
}

/// Reads a dump. What cannot be read is told on standard error, and the rest counts.
///
/// # Errors
/// If a file or directory cannot be read, or holds nothing to judge.
pub(super) fn read(sources: &[PathBuf], config: Config, at: Timestamp) -> Result<Dump, InputError> {
    let Found {
        objects,
        broken,
        strangers,
        useless,
    } = parse(input::read(sources)?);
    for sentence in broken {
        complain("error", &sentence);
    }
    let mut others = Others::default();
    others.count("no Kubernetes object", strangers);
    let objects = parallel::map(objects, understand);
    let mut latest = Latest::default();
    for object in objects {
        match object {
            Understood::News(told) => latest.take(*told),
            Understood::Other(kind) => others.count(&kind, 1),
            Understood::Unreadable(sentence) => complain("error", &sentence),
        }
    }
    others.tell();
    let mut useless = useless.into_iter();
    let first = useless.next().map(InputError::NoObjects);
    for file in useless {
        complain("error", &InputError::NoObjects(file).to_string());
    }
    let scene = assemble(latest, config, at);
    if scene.entries.is_empty() {
        return Err(first.unwrap_or(InputError::NothingToJudge));
    }
    Ok(Dump {
        scene,
        useless: first,
    })
}

/// One object that says something.
#[derive(Debug)]
struct Told {
    origin: Origin,
    kind: Kind,
    identity: Identity,
    news: News,
}

enum Understood {
    News(Box<Told>),
    Other(String),
    Unreadable(String),
}

fn understand(object: Object) -> Understood {
    let Object {
        origin,
        api_version,
        kind,
        value,
    } = object;
    let Some(known) = Kind::find(&api_version, &kind) else {
        return Understood::Other(format!("{kind} ({api_version})"));
    };
    let name = value
        .pointer("/metadata/name")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("(no name)")
        .to_owned();
    match known.read(value) {
        Ok((identity, news)) => Understood::News(Box::new(Told {
            origin,
            kind: known,
            identity,
            news,
        })),
        Err(message) => Understood::Unreadable(format!(
            "{origin}: {kind} {name} cannot be read and is left out: {message}"
        )),
    }
}

/// Kinds that mean nothing here, counted.
#[derive(Debug, Default)]
struct Others(BTreeMap<String, usize>);

impl Others {
    fn count(&mut self, kind: &str, times: usize) {
        if times > 0 {
            let count = self.0.entry(kind.to_owned()).or_default();
            *count = count.saturating_add(times);
        }
    }

    fn tell(&self) {
        if self.0.is_empty() {
            return;
        }
        let counts: Vec<String> = self
            .0
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        let counts = counts.join(", ");
        complain(
            "warning",
            &format!("documents of other kinds were passed over: {counts}"),
        );
    }
}

/// An API group and a kind in it.
type Family = (&'static str, &'static str);

/// Of objects that are there twice, the later one.
#[derive(Debug, Default)]
struct Latest {
    told: Vec<Option<Told>>,
    by_name: HashMap<(Family, String, String), usize>,
    by_uid: HashMap<(Family, String), usize>,
}

impl Latest {
    fn take(&mut self, told: Told) {
        let Identity {
            namespace,
            name,
            uid,
        } = told.identity.clone();
        let (index, family) = (self.told.len(), (told.kind.group, told.kind.kind));
        let earlier = [
            self.by_name.insert((family, namespace, name), index),
            self.by_uid.insert((family, uid), index),
        ];
        for earlier in earlier.into_iter().flatten() {
            if let Some(earlier) = self.told.get_mut(earlier).and_then(Option::take) {
                complain("warning", &twice(&earlier, &told));
            }
        }
        self.told.push(Some(told));
    }
}

fn twice(earlier: &Told, later: &Told) -> String {
    format!(
        "{}: {} {} is there already ({}); the later one counts",
        later.origin, later.kind.kind, later.identity.name, earlier.origin
    )
}

/// Puts together what is known. A dump is as it was when it was made: nothing in it is stale. What was never in it, because the
/// approver asks a cloud, is missing.
fn assemble(latest: Latest, config: Config, at: Timestamp) -> Scene {
    let mut elsewhere: BTreeMap<String, usize> = BTreeMap::new();
    let look_ups = config.machines.iter().flat_map(Scope::feeds);
    let look_ups = look_ups.filter(|feed| matches!(feed, Feed::Instances(_)));
    let look_ups: Vec<Feed> = look_ups.collect();
    for feed in &look_ups {
        let sentence = format!("{feed} are not looked up offline, so that names are missing here");
        complain("warning", &sentence);
    }
    let mut unread = 0_usize;
    let tokens = config.policy.bootstrap_tokens.clone();
    let mut scene = Scene::new(Cluster::new(config.policy, look_ups));
    let mut entries = Vec::new();
    for told in latest.told.into_iter().flatten() {
        match told.news {
            News::Request(entry) => entries.push(*entry),
            News::Fact(None) => {}
            News::Fact(Some(change)) if !reads(&change, &tokens) => {
                unread = unread.saturating_add(1);
            }
            News::Fact(Some(change)) => match stranger(&change, &config.machines) {
                Some(place) => {
                    if let Change::Machine(machine) = *change {
                        scene.cluster.leave_out(*machine);
                    }
                    let count = elsewhere.entry(place).or_default();
                    *count = count.saturating_add(1);
                }
                None => {
                    scene.cluster.apply(*change, at);
                }
            },
        }
    }
    // Requests last, so that each meets all the facts at once.
    for entry in entries {
        scene.add(entry, at);
    }
    if unread > 0 {
        complain(
            "warning",
            &format!(
                "{unread} KubeadmConfigs were passed over: by the configuration, it is not read whose the bootstrap tokens \
                 are (machines: clusterAPI: bootstrapTokens); see --config"
            ),
        );
    }
    for (place, count) in elsewhere {
        let read: Vec<String> = config.machines.iter().map(ToString::to_string).collect();
        let read = read.join(", ");
        complain(
            "warning",
            &format!(
                "{count} Machines ({place}) are not on the roll: by the configuration, only these are read: {read}; see \
                 --config"
            ),
        );
    }
    scene
}

/// Whether the configuration has it read what a KubeadmConfig says. Written by hand, it may leave out its namespace.
fn reads(change: &Change, tokens: &BTreeSet<Scope>) -> bool {
    let Change::KubeadmConfig(config) = change else {
        return true;
    };
    let own = &config.reference.namespace;
    let known = |scope: &Scope| scope.namespace.is_empty() || *own == scope.namespace;
    !tokens.is_empty() && (own.is_empty() || tokens.iter().any(known))
}

/// Where a Machine comes from that the configuration does not name. Written by hand, it may leave out its namespace.
fn stranger(change: &Change, scopes: &[Scope]) -> Option<String> {
    let Change::Machine(machine) = change else {
        return None;
    };
    let namespace = &machine.reference.namespace;
    let by_hand = |scope: &Scope| scope.source == machine.source && namespace.is_empty();
    let known = |scope: &Scope| scope.covers(machine) || by_hand(scope);
    (!scopes.iter().any(known)).then(|| Scope::new(machine.source, namespace).to_string())
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
