//! Claims: what was already approved for a Machine, so that it is spent once.
//!
//! The approved request is itself the claim while it exists, about an hour (Kubernetes: the request cleaner,
//! `pkg/controller/certificates/cleaner`). [`Claims`] holds those that have to outlive it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rollcall_csr::KeyHash;

use crate::{MachineUid, RequestUid};

/// One approval that spent a Machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// When it was approved.
    pub approved_at: Timestamp,
    /// The key that the certificate is for.
    pub key: KeyHash,
    /// The Machine that it spent.
    pub machine: MachineUid,
    /// The request that was approved.
    pub request: RequestUid,
}

/// Claims by Machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(BTreeMap<MachineUid, Vec<Claim>>);

impl Claims {
    /// Keeps a claim, once per request. Returns whether it is new.
    pub fn insert(&mut self, claim: Claim) -> bool {
        let claims = self.0.entry(claim.machine.clone()).or_default();
        let new = claims.iter().all(|known| known.request != claim.request);
        if new {
            claims.push(claim);
        }
        new
    }

    /// Takes back the claim of a request that was not approved after all.
    pub fn remove(&mut self, machine: &MachineUid, request: &RequestUid) {
        if let Some(claims) = self.0.get_mut(machine) {
            claims.retain(|claim| claim.request != *request);
            if claims.is_empty() {
                self.0.remove(machine);
            }
        }
    }

    /// Takes back whatever a request claims.
    pub fn remove_request(&mut self, request: &RequestUid) {
        for claims in self.0.values_mut() {
            claims.retain(|claim| claim.request != *request);
        }
        self.0.retain(|_, claims| !claims.is_empty());
    }

    /// Forgets Machines of which `keep` says that nothing can be claimed any more. Returns whether any was forgotten.
    pub fn retain(&mut self, keep: impl Fn(&MachineUid) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|machine, _| keep(machine));
        self.0.len() != before
    }

    /// The claims on one Machine, in the order in which they became known.
    pub fn of(&self, machine: &MachineUid) -> &[Claim] {
        self.0.get(machine).map_or(&[], Vec::as_slice)
    }

    /// All claims.
    pub fn iter(&self) -> impl Iterator<Item = &Claim> {
        self.0.values().flatten()
    }
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

    #[test]
    fn a_request_claims_once() {
        let mut claims = Claims::default();
        assert!(claims.insert(claim("a")));
        assert!(!claims.insert(claim("a")));
        assert!(claims.insert(claim("b")));
        let machine = MachineUid("m".to_owned());
        assert_eq!(claims.of(&machine).len(), 2);
        claims.remove(&machine, &RequestUid("a".to_owned()));
        claims.remove(&machine, &RequestUid("b".to_owned()));
        assert_eq!(claims, Claims::default());
    }

    #[test]
    fn gone_machines_are_forgotten() {
        let mut claims = Claims::default();
        claims.insert(claim("a"));
        assert!(!claims.retain(|_| true));
        assert!(claims.retain(|_| false));
        assert_eq!(claims.iter().count(), 0);
    }
}
