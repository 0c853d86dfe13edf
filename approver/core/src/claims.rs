//! Claims: the approvals for each Machine, so that it is spent once.
//!
//! An approved request is itself the claim while it exists, about an hour (Kubernetes: the request cleaner,
//! `pkg/controller/certificates/cleaner`). [`Claims`] holds those that must outlive it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use rollcall_csr::KeyHash;

use crate::{MachineUid, RequestUid};

/// One approval that spent a Machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The time of the approval.
    pub approved_at: Timestamp,
    /// The key in the certificate.
    pub key: KeyHash,
    /// The spent Machine.
    pub machine: MachineUid,
    /// The approved request.
    pub request: RequestUid,
}

/// The maximum number of claims that can be recorded (ConfigMaps hold 1 MiB each, and the roles name eight of them).
pub const MOST_CLAIMS: usize = 40_000;

/// The number of approved requests that are remembered per claim: the oldest, and the latest ones. A key has at most
/// one approved request at a time, so there are rarely more than two.
const REMEMBERED: usize = 4;

/// The claims on Machines: one for each Machine and key, with the time of its latest approval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    held: BTreeMap<MachineUid, BTreeMap<KeyHash, BTreeMap<RequestUid, Timestamp>>>,
    by_request: HashMap<RequestUid, BTreeSet<MachineUid>>,
    /// The number of claims.
    count: usize,
}

impl Claims {
    /// Adds a claim, once per request. Returns true if it is new.
    pub fn insert(&mut self, claim: Claim) -> bool {
        let Claim {
            approved_at,
            key,
            machine,
            request,
        } = claim;
        let keys = self.held.entry(machine.clone()).or_default();
        let requests = keys.entry(key).or_default();
        self.count = self.count.saturating_add(usize::from(requests.is_empty()));
        if requests.contains_key(&request) {
            return false;
        }
        requests.insert(request.clone(), approved_at);
        let dropped = (requests.len() > REMEMBERED).then(|| {
            let mut by_age: Vec<(Timestamp, RequestUid)> = requests
                .iter()
                .map(|(request, at)| (*at, request.clone()))
                .collect();
            by_age.sort();
            by_age.into_iter().nth(1)
        });
        let machines = self.by_request.entry(request).or_default();
        machines.insert(machine.clone());
        if let Some((_, second)) = dropped.flatten() {
            self.remove(&machine, &second);
        }
        true
    }

    /// Removes the claim of a request that was not approved after all. Claims of other approvals for the same key stay.
    pub fn remove(&mut self, machine: &MachineUid, request: &RequestUid) {
        if let Some(keys) = self.held.get_mut(machine) {
            for requests in keys.values_mut() {
                requests.remove(request);
            }
            let before = keys.len();
            keys.retain(|_, requests| !requests.is_empty());
            self.count = self.count.saturating_sub(before.saturating_sub(keys.len()));
            if keys.is_empty() {
                self.held.remove(machine);
            }
        }
        if let Some(machines) = self.by_request.get_mut(request) {
            machines.remove(machine);
            if machines.is_empty() {
                self.by_request.remove(request);
            }
        }
    }

    /// Removes all claims of a request.
    pub fn remove_request(&mut self, request: &RequestUid) {
        let machines = self.by_request.get(request).cloned();
        for machine in machines.into_iter().flatten() {
            self.remove(&machine, request);
        }
    }

    /// Removes the claims of Machines that `keep` rejects. Returns true if any was removed.
    pub fn retain(&mut self, keep: impl Fn(&MachineUid) -> bool) -> bool {
        let before = self.held.len();
        self.held.retain(|machine, _| keep(machine));
        self.count = self.held.values().map(BTreeMap::len).sum();
        let held = &self.held;
        self.by_request.retain(|_, machines| {
            machines.retain(|machine| held.contains_key(machine));
            !machines.is_empty()
        });
        held.len() != before
    }

    /// Every remembered approval for one Machine; several can have the same key.
    pub(crate) fn approvals(&self, machine: &MachineUid) -> impl Iterator<Item = Claim> {
        let keys = self.held.get(machine).into_iter().flatten();
        keys.flat_map(move |(key, requests)| {
            requests.iter().map(move |(request, approved_at)| Claim {
                approved_at: *approved_at,
                key: *key,
                machine: machine.clone(),
                request: request.clone(),
            })
        })
    }

    /// The claims on one Machine.
    pub fn of(&self, machine: &MachineUid) -> Vec<Claim> {
        latest(self.approvals(machine))
    }

    /// Returns true if the Machine has a claim.
    pub fn is_claimed(&self, machine: &MachineUid) -> bool {
        self.held.contains_key(machine)
    }

    /// The number of claims.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns true if there are no claims.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// Returns the latest approval for each key.
pub(crate) fn latest(approvals: impl IntoIterator<Item = Claim>) -> Vec<Claim> {
    let mut latest: BTreeMap<KeyHash, Claim> = BTreeMap::new();
    for claim in approvals {
        match latest.get_mut(&claim.key) {
            Some(known) if known.approved_at >= claim.approved_at => {}
            Some(known) => *known = claim,
            None => {
                latest.insert(claim.key, claim);
            }
        }
    }
    latest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(request: &str) -> Claim {
        Claim {
            approved_at: Timestamp::UNIX_EPOCH,
            key: KeyHash::of_spki(b"key"),
            machine: MachineUid("m".to_owned()),
            request: RequestUid(request.to_owned()),
        }
    }

    fn machine() -> MachineUid {
        MachineUid("m".to_owned())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_key_claims_a_machine_once_with_the_time_of_its_latest_approval() {
        let mut claims = Claims::default();
        assert!(claims.insert(claim("a")));
        assert!(!claims.insert(claim("a")));
        let later = Claim {
            approved_at: at(9),
            ..claim("b")
        };
        assert!(claims.insert(later.clone()));
        assert_eq!(claims.of(&machine()), [later]);
        claims.remove(&machine(), &RequestUid("b".to_owned()));
        assert_eq!(claims.of(&machine()), [claim("a")]);
        claims.remove_request(&RequestUid("a".to_owned()));
        assert_eq!(claims, Claims::default());
    }

    #[test]
    fn of_very_many_approvals_of_one_key_few_are_remembered() {
        let mut claims = Claims::default();
        for second in 0..20_000 {
            claims.insert(Claim {
                approved_at: at(second),
                ..claim(&second.to_string())
            });
        }
        assert_eq!((claims.len(), claims.by_request.len()), (1, REMEMBERED));
        let known = claims.of(&machine());
        assert_eq!(
            known.first().map(|claim| claim.approved_at),
            Some(at(19_999))
        );
        // The oldest approval stays, whatever happens to the latest ones.
        for second in 1..20_000 {
            claims.remove_request(&RequestUid(second.to_string()));
        }
        assert_eq!(
            claims.of(&machine()),
            [Claim {
                approved_at: at(0),
                ..claim("0")
            }]
        );
    }

    #[test]
    fn gone_machines_are_forgotten() {
        let mut claims = Claims::default();
        claims.insert(claim("a"));
        assert!(!claims.retain(|_| true));
        assert!(claims.retain(|_| false));
        assert_eq!(claims, Claims::default());
    }
}
