//! The metrics of feeds: for each kind, if it is complete and up to date, and when it last was.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rollcall_approver_core::{Change, Feed, Scope};

use super::Metrics;

/// Numbers of feeds.
#[derive(Clone, Debug, Default)]
pub(super) struct FeedNumbers {
    heard: Family<FeedLabels, Gauge>,
    synced: Family<FeedLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FeedLabels {
    feed: &'static str,
}

impl FeedNumbers {
    /// Exports all of them.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "feed_heard_timestamp_seconds",
            "When all feeds of a kind were last known to be up to date, in seconds since 1970",
            self.heard.clone(),
        );
        registry.register(
            "feed_synced",
            "Whether all feeds of a kind are complete and up to date",
            self.synced.clone(),
        );
    }
}

/// The state of each feed.
#[derive(Debug, Default)]
pub(crate) struct Feeds(BTreeMap<Feed, State>);

#[derive(Clone, Copy, Debug)]
struct State {
    synced: bool,
    heard: Timestamp,
}

impl Feeds {
    /// Records that a feed is up to date, or lost.
    pub(crate) fn note(&mut self, change: &Change, now: Timestamp, metrics: &Metrics) {
        let state = |synced, heard| State { synced, heard };
        let (feed, state) = if let Change::Synced(feed) = change {
            (feed, state(true, now))
        } else if let Change::Lost(feed, heard) = change {
            (feed, state(false, *heard))
        } else {
            return;
        };
        self.0.insert(feed.clone(), state);
        self.tell(kind(feed), &metrics.feeds);
    }

    /// Forgets feeds of Machines that the configuration no longer names.
    pub(crate) fn retain(&mut self, machines: &BTreeSet<Scope>, metrics: &Metrics) {
        let gone = |feed: &Feed| scope(feed).is_some_and(|scope| !machines.contains(scope));
        let kinds: BTreeSet<&str> = self
            .0
            .keys()
            .filter(|feed| gone(feed))
            .filter_map(kind)
            .collect();
        self.0.retain(|feed, _| !gone(feed));
        for one in kinds {
            self.tell(Some(one), &metrics.feeds);
        }
    }

    fn tell(&self, told: Option<&'static str>, numbers: &FeedNumbers) {
        let Some(feed) = told else { return };
        let labels = FeedLabels { feed };
        let states = || {
            let of_kind = self.0.iter().filter(|(feed, _)| kind(feed) == told);
            of_kind.map(|(_, state)| state)
        };
        let Some(heard) = states().map(|state| state.heard).min() else {
            numbers.heard.remove(&labels);
            numbers.synced.remove(&labels);
            return;
        };
        let synced = states().all(|state| state.synced);
        numbers.heard.get_or_create(&labels).set(heard.as_second());
        numbers.synced.get_or_create(&labels).set(i64::from(synced));
    }
}

/// The kind of a feed that is watched.
fn kind(feed: &Feed) -> Option<&'static str> {
    match feed {
        // Claims are read once, not watched; not every cluster has all objects that state its own addresses.
        Feed::Claims | Feed::ClusterAddresses(_) => None,
        Feed::HealthChecks(_) => Some("health_checks"),
        Feed::Instances(_) => Some("instances"),
        Feed::KubeadmConfigs(_) => Some("kubeadm_configs"),
        Feed::KubeletCa(_) => Some("kubelet_ca"),
        Feed::Machines(_) => Some("machines"),
        Feed::Nodes => Some("nodes"),
        Feed::Requests(_) => Some("requests"),
    }
}

/// The place of Machines that a feed is about.
fn scope(feed: &Feed) -> Option<&Scope> {
    match feed {
        Feed::HealthChecks(scope)
        | Feed::Instances(scope)
        | Feed::KubeadmConfigs(scope)
        | Feed::Machines(scope) => Some(scope),
        Feed::Claims
        | Feed::ClusterAddresses(_)
        | Feed::KubeletCa(_)
        | Feed::Nodes
        | Feed::Requests(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rollcall_approver_core::Source;

    use super::*;

    #[test]
    fn a_kind_is_up_to_date_when_all_its_feeds_are() {
        let (metrics, mut feeds) = (Metrics::new(), Feeds::default());
        let scope = |namespace: &str| Scope::new(Source::OpenShift, namespace);
        let machines = |namespace| Feed::Machines(scope(namespace));
        let at = |second| Timestamp::from_second(second).unwrap();
        let told = |line: &str| metrics.text().unwrap().contains(line);
        feeds.note(&Change::Synced(machines("a")), at(10), &metrics);
        assert!(told("rollcall_feed_synced{feed=\"machines\"} 1"));
        feeds.note(&Change::Lost(machines("b"), at(5)), at(11), &metrics);
        feeds.note(&Change::Synced(machines("a")), at(12), &metrics);
        assert!(told("rollcall_feed_synced{feed=\"machines\"} 0"));
        assert!(told(
            "rollcall_feed_heard_timestamp_seconds{feed=\"machines\"} 5"
        ));
        feeds.retain(&BTreeSet::from([scope("a")]), &metrics);
        assert!(told("rollcall_feed_synced{feed=\"machines\"} 1"));
        feeds.retain(&BTreeSet::new(), &metrics);
        assert!(!told("feed=\"machines\""));
        feeds.note(&Change::Synced(Feed::Claims), at(12), &metrics);
        assert!(!told("claims\""));
    }
}
