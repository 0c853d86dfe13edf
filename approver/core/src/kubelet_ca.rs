//! The kubelet CA: the CA certificates that verify kubelets' certificates, from all sources.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::Authority;

/// The CA certificates of every source. All of them count: during a CA rotation, both the old and the new one issue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeletCa(BTreeMap<String, Known>);

/// The certificates of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    authorities: Vec<Authority>,
    /// The time since which the source is unreadable.
    lost: Option<Timestamp>,
}

impl KubeletCa {
    /// Creates the CA for these sources, such as `ConfigMap kube-system/a (key ca.crt)`, without certificates yet.
    pub fn new(sources: impl IntoIterator<Item = String>) -> Self {
        Self(
            sources
                .into_iter()
                .map(|source| (source, Known::default()))
                .collect(),
        )
    }

    /// Replaces the certificates of a source. Returns true if they changed.
    pub fn put(&mut self, source: String, authorities: Vec<Authority>) -> bool {
        let known = self.0.entry(source).or_default();
        let before = std::mem::replace(&mut known.authorities, authorities);
        before != known.authorities
    }

    /// Marks a source as unreadable since this time; an earlier loss stays.
    pub(crate) fn lost(&mut self, source: &str, at: Timestamp) {
        if let Some(known) = self.0.get_mut(source) {
            known.lost.get_or_insert(at);
        }
    }

    /// Marks a source as readable. Returns true if it was lost.
    pub(crate) fn live(&mut self, source: &str) -> bool {
        let known = self.0.get_mut(source);
        known.is_some_and(|known| known.lost.take().is_some())
    }

    /// The trusted certificates: those of a source that was lost longer ago than this are not.
    pub(crate) fn trusted(&self, max_staleness: SignedDuration, now: Timestamp) -> Vec<Authority> {
        let fresh = |known: &&Known| {
            known
                .lost
                .is_none_or(|since| now.duration_since(since) <= max_staleness)
        };
        self.0
            .values()
            .filter(fresh)
            .flat_map(|known| known.authorities.iter().cloned())
            .collect()
    }

    /// The names of the sources.
    pub(crate) fn sources(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::issuing_fixtures::{Issuer, midnight};

    #[test]
    fn all_sources_count_and_one_that_is_lost_does_for_a_while() {
        let (one, other) = (
            Issuer::new("one").authority(),
            Issuer::new("other").authority(),
        );
        let mut ca = KubeletCa::new(["a".to_owned(), "b".to_owned()]);
        let limit = SignedDuration::from_hours(24);
        assert_eq!(ca.trusted(limit, midnight(1)), []);
        assert!(ca.put("a".to_owned(), vec![one.clone()]));
        assert!(!ca.put("a".to_owned(), vec![one.clone()]));
        assert!(ca.put("b".to_owned(), vec![other.clone()]));
        assert_eq!(ca.trusted(limit, midnight(1)), [one.clone(), other.clone()]);
        ca.lost("a", midnight(2));
        ca.lost("a", midnight(3));
        assert_eq!(ca.trusted(limit, midnight(3)).len(), 2);
        assert_eq!(ca.trusted(limit, midnight(4)).len(), 1);
        assert!(ca.live("a"));
        assert!(!ca.live("a"));
        assert_eq!(ca.trusted(limit, midnight(4)), [one, other]);
        assert_eq!(ca.sources(), ["a", "b"]);
    }
}
