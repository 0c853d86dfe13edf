//! Vouching: the records that count for a machine with records in several sources. Each record may count against it.

use crate::{Machine, Scope};

/// The records of one machine that vouch for its names, its addresses and its join window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vouching {
    /// All of them.
    Any,
    /// Those of the source that comes first in this list, among the sources with the data in question. OpenShift's two
    /// records of one machine count as one source: the same controllers and administrators write both.
    First(Vec<Scope>),
}

/// Sources are equal unless an order is configured.
impl Default for Vouching {
    fn default() -> Self {
        Self::First(Vec::new())
    }
}

impl Vouching {
    /// Returns true if one record of a machine prevents another one from vouching, if both have data.
    pub(crate) fn outranks(&self, one: &Machine, other: &Machine) -> bool {
        match self {
            Self::Any => false,
            Self::First(sources) => {
                let place = |record| {
                    let mut sources = sources.iter();
                    let place = sources.position(|scope| scope.covers(record));
                    place.unwrap_or(usize::MAX)
                };
                place(one) < place(other) && !one.is_mirror_of(other)
            }
        }
    }

    /// Of the records of one machine, those that vouch: they have data, and no other record outranks them.
    pub(crate) fn speakers<'a>(
        &self,
        records: &[&'a Machine],
        says: impl Fn(&Machine) -> bool,
    ) -> Vec<&'a Machine> {
        let saying: Vec<&Machine> = records.iter().copied().filter(|one| says(one)).collect();
        let outranked = |record: &&Machine| saying.iter().any(|one| self.outranks(one, record));
        let speakers = saying.iter().copied();
        speakers.filter(|record| !outranked(record)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::machine;
    use crate::{MachineReference, Source};

    fn record(source: Source, namespace: &str, says: bool) -> Machine {
        let mut record = machine("m-0", "worker-0");
        record.source = source;
        record.reference = MachineReference {
            namespace: namespace.to_owned(),
            name: "m-0".to_owned(),
        };
        if !says {
            record.addresses.clear();
        }
        record
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn the_source_that_is_listed_first_and_says_something_vouches() {
        use Source::{ClusterApi, ExpectedMachine, Gardener, OpenShift};
        let openshift = || Scope::new(OpenShift, "openshift-machine-api");
        let cluster_api = || Scope::new(ClusterApi, "");
        let expected = || Scope::new(ExpectedMachine, "");
        let mapi = (OpenShift, "openshift-machine-api", true);
        let silent = (OpenShift, "openshift-machine-api", false);
        let mirror = (ClusterApi, "openshift-cluster-api", true);
        let capi = (ClusterApi, "fleet", true);
        let hand = (ExpectedMachine, "", true);
        let gardener = (Gardener, "shoot", true);
        let first = Vouching::First;
        let cases = [
            (
                first(vec![openshift(), expected()]),
                vec![mapi, hand],
                vec![0],
            ),
            (
                first(vec![openshift(), expected()]),
                vec![hand, mapi],
                vec![1],
            ),
            (
                first(vec![expected(), openshift()]),
                vec![mapi, hand],
                vec![1],
            ),
            (
                first(vec![openshift(), expected()]),
                vec![silent, hand],
                vec![1],
            ),
            (first(vec![openshift(), expected()]), vec![silent], vec![]),
            (
                first(vec![openshift(), cluster_api()]),
                vec![mapi, mirror],
                vec![0, 1],
            ),
            (
                first(vec![openshift(), cluster_api()]),
                vec![mapi, capi],
                vec![0],
            ),
            (first(vec![expected()]), vec![gardener, hand], vec![1]),
            (first(vec![]), vec![gardener, hand], vec![0, 1]),
            (Vouching::Any, vec![mapi, hand], vec![0, 1]),
        ];
        for (vouching, records, expected) in cases {
            let records: Vec<Machine> = records
                .into_iter()
                .map(|(source, namespace, says)| record(source, namespace, says))
                .collect();
            let records: Vec<&Machine> = records.iter().collect();
            let speakers = vouching.speakers(&records, |record| !record.addresses.is_empty());
            let expected: Vec<&Machine> = expected
                .into_iter()
                .map(|place: usize| records[place])
                .collect();
            assert_eq!(speakers, expected, "{vouching:?} of {records:?}");
        }
    }
}
