//! How far the facts can be trusted: each watch is a feed that is starting, live or lost.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rollcall_csr::Signer;

use crate::{Finding, Reason, Scope};

/// A stream of facts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feed {
    /// The record of claims whose requests are gone.
    Claims,
    /// One of the sources of the kubelet CA. Only what nodes serve is judged by it: it makes nothing else stale.
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
            Self::KubeletCa(source) => write!(f, "kubelet CA ({source})"),
            Self::Machines(scope) => write!(f, "machines ({scope})"),
            Self::Nodes => f.write_str("nodes"),
            Self::Requests(signer) => write!(f, "requests to {}", signer.name()),
        }
    }
}

/// Since when a feed's facts are old; `None` while it has never been complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Which feed.
    pub feed: Feed,
    /// When it was lost.
    pub since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    Lost(Timestamp),
    Starting,
}

/// The state of every feed that decisions rest on.
#[derive(Clone, Debug, Default)]
pub struct Freshness(BTreeMap<Feed, State>);

impl Freshness {
    /// Decisions rest on these feeds, and none of them has been heard yet.
    pub fn new(feeds: impl IntoIterator<Item = Feed>) -> Self {
        Self(
            feeds
                .into_iter()
                .map(|feed| (feed, State::Starting))
                .collect(),
        )
    }

    /// The feed is complete and up to date. Returns whether it was not before.
    pub fn live(&mut self, feed: Feed) -> bool {
        self.0.insert(feed, State::Live) != Some(State::Live)
    }

    /// The feed broke at this time; an earlier loss stands.
    pub fn lost(&mut self, feed: &Feed, at: Timestamp) {
        if let Some(state @ State::Live) = self.0.get_mut(feed) {
            *state = State::Lost(at);
        }
    }

    /// Decisions rest on this feed too from now on.
    pub(crate) fn expect(&mut self, feed: Feed) {
        self.0.entry(feed).or_insert(State::Starting);
    }

    /// Decisions no longer rest on this feed.
    pub(crate) fn forget(&mut self, feed: &Feed) {
        self.0.remove(feed);
    }

    /// Where Machines are read.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &Scope> {
        self.0.keys().filter_map(|feed| match feed {
            Feed::Machines(scope) => Some(scope),
            Feed::Claims | Feed::KubeletCa(_) | Feed::Nodes | Feed::Requests(_) => None,
        })
    }

    /// The first feed whose facts may no longer be used, if there is one.
    pub fn stale(&self, max_staleness: SignedDuration, now: Timestamp) -> Option<Stale> {
        self.0.iter().find_map(|(feed, state)| match *state {
            State::Live => None,
            State::Lost(since) if now.duration_since(since) <= max_staleness => None,
            State::Lost(since) => Some(Stale {
                feed: feed.clone(),
                since: Some(since),
            }),
            State::Starting => Some(Stale {
                feed: feed.clone(),
                since: None,
            }),
        })
    }

    /// Whether every feed has been complete at least once.
    pub fn all_heard(&self) -> bool {
        self.starting().next().is_none()
    }

    /// The feeds that have never been complete.
    pub fn starting(&self) -> impl Iterator<Item = &Feed> {
        self.0
            .iter()
            .filter(|(_, state)| **state == State::Starting)
            .map(|(feed, _)| feed)
    }
}

/// What speaks against every request while facts may not be used.
pub(crate) fn check_stale(stale: &Stale, now: Timestamp) -> Finding {
    let message = match stale.since {
        Some(since) => {
            let seconds = now.duration_since(since).as_secs();
            format!(
                "the watch of {} was lost {seconds} s ago; nothing is approved until it is back",
                stale.feed
            )
        }
        None => format!(
            "the watch of {} has not been complete yet; nothing is approved before",
            stale.feed
        ),
    };
    Finding::new(Reason::FactsStale, message)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
