//! The freshness of the facts: each watch is a feed that is starting, live or lost.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rollcall_csr::Signer;

use crate::{Finding, Machine, Reason, Scope};

/// A stream of facts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// The record of claims with deleted requests.
    Claims,
    /// One of the watches of the cluster's own names and addresses. Only the check of reserved names depends on it:
    /// serving certificates wait until it has synced once, or is unavailable.
    ClusterAddresses(String),
    /// The MachineHealthChecks of one source; no decision depends on them.
    HealthChecks(Scope),
    /// The cloud's data about the instances of one source. Only names that no record has depend on it.
    Instances(Scope),
    /// The KubeadmConfigs of one source, which assign bootstrap tokens to Machines. Only requests with a token depend on
    /// them.
    KubeadmConfigs(Scope),
    /// One of the sources of the kubelet CA. Only the checks of served certificates depend on it: nothing else becomes
    /// stale.
    KubeletCa(String),
    /// The Machines of one source, in one namespace or in all.
    Machines(Scope),
    /// The Nodes.
    Nodes,
    /// The requests to one signer.
    Requests(Signer),
}

impl fmt::Display for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims => f.write_str("claims"),
            Self::ClusterAddresses(what) => write!(f, "addresses of the cluster ({what})"),
            Self::HealthChecks(scope) => write!(f, "machine health checks ({scope})"),
            Self::Instances(scope) => write!(f, "instances ({scope})"),
            Self::KubeadmConfigs(scope) => write!(f, "kubeadm configs ({scope})"),
            Self::KubeletCa(source) => write!(f, "kubelet CA ({source})"),
            Self::Machines(scope) => write!(f, "machines ({scope})"),
            Self::Nodes => f.write_str("nodes"),
            Self::Requests(signer) => write!(f, "requests to {}", signer.name()),
        }
    }
}

/// A stale feed, with the time of its loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The feed.
    pub feed: Feed,
    /// The time of the loss; `None` if it has never synced.
    pub since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    Lost(Timestamp),
    /// It failed before it was synced: its kind may not exist yet.
    Missing,
    Starting,
}

impl State {
    /// Returns the time since which its facts are unusable, if they are; `Some(None)` if they never were usable.
    fn stale(self, max_staleness: SignedDuration, now: Timestamp) -> Option<Option<Timestamp>> {
        match self {
            Self::Live => None,
            Self::Lost(since) if now.duration_since(since) <= max_staleness => None,
            Self::Lost(since) => Some(Some(since)),
            Self::Missing | Self::Starting => Some(None),
        }
    }
}

/// The state of every feed that decisions depend on.
#[derive(Clone, Debug, Default)]
pub struct Freshness(BTreeMap<Feed, State>);

impl Freshness {
    /// Creates the state for these feeds, none of which has synced yet.
    pub fn new(feeds: impl IntoIterator<Item = Feed>) -> Self {
        Self(
            feeds
                .into_iter()
                .map(|feed| (feed, State::Starting))
                .collect(),
        )
    }

    /// Marks a feed as synced. Returns true if decisions depend on it and it was not synced before.
    pub fn live(&mut self, feed: Feed) -> bool {
        !matches!(feed, Feed::HealthChecks(_))
            && self.0.insert(feed, State::Live) != Some(State::Live)
    }

    /// Marks a feed as lost at this time; an earlier loss stays. Returns true if requests that waited for the feed must be
    /// judged again.
    pub fn lost(&mut self, feed: &Feed, at: Timestamp) -> bool {
        match (feed, self.0.get_mut(feed)) {
            (_, Some(state @ State::Live)) => {
                *state = State::Lost(at);
                return matches!(feed, Feed::Instances(_));
            }
            (
                Feed::ClusterAddresses(_)
                | Feed::Instances(_)
                | Feed::KubeadmConfigs(_)
                | Feed::Machines(_),
                Some(state @ State::Starting),
            ) => {
                *state = State::Missing;
                return true;
            }
            _ => {}
        }
        false
    }

    /// Returns true if decisions depend on such a feed.
    pub(crate) fn has(&self, asked: impl Fn(&Feed) -> bool) -> bool {
        self.0.keys().any(asked)
    }

    /// Adds a feed that decisions depend on.
    pub(crate) fn expect(&mut self, feed: Feed) {
        self.0.entry(feed).or_insert(State::Starting);
    }

    /// Requires a feed to sync again before decisions use it. Returns true if decisions depend on it.
    pub(crate) fn expect_anew(&mut self, feed: &Feed) -> bool {
        let known = self.0.get_mut(feed);
        known.map(|state| *state = State::Starting).is_some()
    }

    /// Adjusts the times of losses for a clock that was set back by this much.
    pub(crate) fn clock_set_back(&mut self, by: SignedDuration) {
        for state in self.0.values_mut() {
            if let State::Lost(since) = state {
                *since = since.checked_sub(by).unwrap_or(Timestamp::MIN);
            }
        }
    }

    /// Removes a feed that decisions no longer depend on.
    pub(crate) fn forget(&mut self, feed: &Feed) {
        self.0.remove(feed);
    }

    /// The scopes in which Machines are read.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &Scope> {
        self.0.keys().filter_map(|feed| match feed {
            Feed::Machines(scope) => Some(scope),
            Feed::Claims
            | Feed::ClusterAddresses(_)
            | Feed::HealthChecks(_)
            | Feed::Instances(_)
            | Feed::KubeadmConfigs(_)
            | Feed::KubeletCa(_)
            | Feed::Nodes
            | Feed::Requests(_) => None,
        })
    }

    /// The watches of the cluster's own names and addresses.
    pub(crate) fn cluster_addresses(&self) -> impl Iterator<Item = &Feed> {
        let all = self.0.keys();
        all.filter(|feed| matches!(feed, Feed::ClusterAddresses(_)))
    }

    /// Returns the feed as stale if it has never synced and still may.
    pub(crate) fn not_heard(&self, feed: &Feed) -> Option<Stale> {
        (self.0.get(feed) == Some(&State::Starting)).then(|| Stale {
            feed: feed.clone(),
            since: None,
        })
    }

    /// The first feed that every decision needs and that is stale, if any.
    pub fn stale(&self, max_staleness: SignedDuration, now: Timestamp) -> Option<Stale> {
        // A lost record of claims only holds requests that spend a Machine; an unread one holds all requests.
        let read = !matches!(self.0.get(&Feed::Claims), Some(State::Lost(_)));
        self.first(
            |feed| match feed {
                Feed::Claims => read,
                Feed::ClusterAddresses(_)
                | Feed::Instances(_)
                | Feed::KubeadmConfigs(_)
                | Feed::Machines(_) => false,
                Feed::HealthChecks(_) | Feed::KubeletCa(_) | Feed::Nodes | Feed::Requests(_) => {
                    true
                }
            },
            max_staleness,
            now,
        )
    }

    /// The record of claims, if the last write of it failed, so that no more claims may be made.
    pub(crate) fn stale_claims(
        &self,
        max_staleness: SignedDuration,
        now: Timestamp,
    ) -> Option<Stale> {
        self.first(|feed| *feed == Feed::Claims, max_staleness, now)
    }

    /// The first stale feed that assigns bootstrap tokens to Machines, if any.
    pub(crate) fn stale_tokens(
        &self,
        max_staleness: SignedDuration,
        now: Timestamp,
    ) -> Option<Stale> {
        let asked = |feed: &Feed| matches!(feed, Feed::KubeadmConfigs(_));
        self.first(asked, max_staleness, now)
    }

    /// The first stale source, if any: of those that a Machine is read from, or, without a Machine, of all sources and their
    /// instance look-ups.
    pub fn stale_source(
        &self,
        machine: Option<&Machine>,
        max_staleness: SignedDuration,
        now: Timestamp,
    ) -> Option<Stale> {
        let asked = |feed: &Feed| match (feed, machine) {
            (Feed::Machines(scope), Some(machine)) => scope.covers(machine),
            (Feed::Instances(_) | Feed::Machines(_), None) => true,
            _ => false,
        };
        self.first(asked, max_staleness, now)
    }

    fn first(
        &self,
        asked: impl Fn(&Feed) -> bool,
        max_staleness: SignedDuration,
        now: Timestamp,
    ) -> Option<Stale> {
        let mut asked = self.0.iter().filter(|(feed, _)| asked(feed));
        asked.find_map(|(feed, state)| {
            // A name that was not looked up is unknown, and a claim that was not written is not recorded: there is no old value
            // to use for a while.
            let limit = if matches!(feed, Feed::Claims | Feed::Instances(_)) {
                SignedDuration::MIN
            } else {
                max_staleness
            };
            state.stale(limit, now).map(|since| Stale {
                feed: feed.clone(),
                since,
            })
        })
    }

    /// Returns true if decisions can be made: every feed has synced once, or is an unavailable source.
    pub fn all_heard(&self) -> bool {
        self.starting().next().is_none()
    }

    /// The feeds that have never synced and still may.
    pub fn starting(&self) -> impl Iterator<Item = &Feed> {
        self.in_state(State::Starting)
    }

    /// The sources that failed before they were synced.
    pub fn missing(&self) -> impl Iterator<Item = &Feed> {
        self.in_state(State::Missing)
    }

    /// Returns true if the Machines of every source, and the names looked up for them, have synced once.
    pub(crate) fn knows_every_source(&self) -> bool {
        let mut unknown = self.starting().chain(self.missing());
        !unknown.any(|feed| matches!(feed, Feed::Instances(_) | Feed::Machines(_)))
    }

    fn in_state(&self, wanted: State) -> impl Iterator<Item = &Feed> {
        self.0
            .iter()
            .filter(move |(_, state)| **state == wanted)
            .map(|(feed, _)| feed)
    }
}

/// The finding against every request while facts are stale.
pub(crate) fn check_stale(stale: &Stale, now: Timestamp) -> Finding {
    let feed = &stale.feed;
    let (what, until) = match feed {
        Feed::Instances(_) => (
            "look-up",
            "for the names that only it tells, nothing is approved",
        ),
        Feed::ClusterAddresses(_) => ("watch", "no serving certificate is approved"),
        Feed::KubeadmConfigs(_) => ("watch", "whoever asks with a bootstrap token gets nothing"),
        Feed::Machines(_) => (
            "watch",
            "of the Machines that only it knows, nothing is approved",
        ),
        Feed::Claims
        | Feed::HealthChecks(_)
        | Feed::KubeletCa(_)
        | Feed::Nodes
        | Feed::Requests(_) => ("watch", "nothing is approved"),
    };
    let message = match stale.since {
        Some(since) if *feed == Feed::Claims => format!(
            "the record of claims could not be written for {} s (the log says why); until it can be, no first certificate is \
             approved, because nobody would know after a restart",
            now.duration_since(since).as_secs()
        ),
        Some(since) => {
            let seconds = now.duration_since(since).as_secs();
            format!("the {what} of {feed} was lost {seconds} s ago; {until} until it is back")
        }
        None if *feed == Feed::Claims => {
            "the record of claims has not been read since this replica leads; nothing is approved before".to_owned()
        }
        None => format!("the {what} of {feed} has not been complete yet; {until} before"),
    };
    Finding::new(Reason::FactsStale, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    #[test]
    fn a_lost_feed_is_trusted_for_a_while_and_again_when_it_is_back() {
        let start = Timestamp::UNIX_EPOCH;
        let limit = SignedDuration::from_secs(60);
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let mut freshness = Freshness::new([Feed::Nodes]);
        assert_eq!(
            freshness.stale(limit, start),
            Some(Stale {
                feed: Feed::Nodes,
                since: None
            })
        );
        assert!(freshness.live(Feed::Nodes));
        assert!(!freshness.live(Feed::Nodes));
        assert_eq!(freshness.stale(limit, at(1_000_000)), None);
        freshness.lost(&Feed::Nodes, at(10));
        freshness.lost(&Feed::Nodes, at(20));
        assert_eq!(freshness.stale(limit, at(70)), None);
        assert_eq!(
            freshness.stale(limit, at(71)),
            Some(Stale {
                feed: Feed::Nodes,
                since: Some(at(10))
            })
        );
        assert!(freshness.live(Feed::Nodes));
        assert_eq!(freshness.stale(limit, at(71)), None);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_fact_newer() {
        let limit = SignedDuration::from_secs(60);
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let mut freshness = Freshness::new([Feed::Nodes]);
        freshness.live(Feed::Nodes);
        freshness.lost(&Feed::Nodes, at(7200));
        freshness.clock_set_back(SignedDuration::from_hours(1));
        assert_eq!(freshness.stale(limit, at(3660)), None);
        let stale = freshness.stale(limit, at(3661)).unwrap();
        assert_eq!(stale.since, Some(at(3600)));
    }

    #[test]
    fn a_look_up_that_fails_is_told_at_once_and_only_of_names_that_nobody_knows() {
        let limit = SignedDuration::from_secs(60);
        let at = |secs| Timestamp::from_second(secs).unwrap();
        let scope = Scope {
            look_up: Some(crate::LookUp::Ec2 { region: None }),
            ..Scope::new(Source::Karpenter, "")
        };
        let mut freshness = Freshness::new(scope.feeds());
        freshness.live(Feed::Machines(scope.clone()));
        let look_up = Feed::Instances(scope);
        assert!(!freshness.all_heard());
        assert!(freshness.lost(&look_up, at(0)), "nobody waits for it");
        assert!(freshness.all_heard() && !freshness.knows_every_source());
        assert!(freshness.live(look_up.clone()));
        assert!(freshness.knows_every_source());
        assert!(freshness.lost(&look_up, at(10)));
        assert!(!freshness.lost(&look_up, at(11)), "that is no news");
        let stale = freshness.stale_source(None, limit, at(10)).unwrap();
        assert_eq!(stale.since, Some(at(10)));
        let message = check_stale(&stale, at(12)).message;
        let said = "the look-up of instances (karpenter) was lost 2 s ago; for the names";
        assert!(message.starts_with(said), "{message}");
        let machine = crate::fixtures::machine("m-0", "worker-0");
        assert_eq!(freshness.stale_source(Some(&machine), limit, at(10)), None);
        assert_eq!(freshness.stale(limit, at(1000)), None);
        assert!(freshness.live(look_up));
        assert_eq!(freshness.stale_source(None, limit, at(12)), None);
    }

    #[test]
    fn a_source_that_cannot_be_had_keeps_nobody_from_deciding() {
        let limit = SignedDuration::from_secs(60);
        let [one, other] =
            ["a", "b"].map(|name| Feed::Machines(Scope::new(Source::ClusterApi, name)));
        let now = Timestamp::UNIX_EPOCH;
        let mut freshness = Freshness::new([Feed::Nodes, one.clone(), other.clone()]);
        assert!(freshness.lost(&one, now));
        assert!(!freshness.lost(&one, now));
        assert!(!freshness.lost(&Feed::Nodes, now));
        assert!(!freshness.all_heard(), "Nodes are not known yet");
        freshness.live(Feed::Nodes);
        assert!(!freshness.all_heard(), "the other source may soon be known");
        freshness.live(other);
        assert!(freshness.all_heard());
        assert!(!freshness.knows_every_source());
        assert_eq!(freshness.missing().collect::<Vec<_>>(), [&one]);
        assert_eq!(freshness.stale(limit, now), None);
        let stale = freshness.stale_source(None, limit, now);
        assert_eq!(stale.map(|stale| stale.feed), Some(one.clone()));
        assert!(freshness.live(one));
        assert_eq!(freshness.stale_source(None, limit, now), None);
        assert!(freshness.knows_every_source());
    }
}
