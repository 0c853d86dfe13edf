//! Bootstrap tokens of individual Machines: the holder of one may request that Machine and no other.
//!
//! The Machine of a token is known in one of two ways. Either the record lists its own tokens (Gardener; Cluster API in the
//! Machine's KubeadmConfig), or the token itself has a group that the API server adds to each of its requests
//! ([`machine_group`]): then no Secret must be read.

use crate::{Facts, Finding, JoinToken, Machine, MachineReference, Reason, Request};

/// The prefix of the group of a token for one Machine. The API server accepts only groups of tokens below
/// `system:bootstrappers:` (Kubernetes: `staging/src/k8s.io/cluster-bootstrap/token/api`, `BootstrapGroupPattern`).
const MACHINE_GROUP: &str = "system:bootstrappers:rollcall-machine:";

/// The group that binds a bootstrap token to one Machine (`auth-extra-groups` of its Secret): namespace and name,
/// separated by a colon. A group must not contain dots, so each dot of the name is written as two colons.
pub fn machine_group(machine: &MachineReference) -> String {
    let MachineReference { namespace, name } = machine;
    format!("{MACHINE_GROUP}{namespace}:{}", name.replace('.', "::"))
}

/// Checks that the bootstrap token may be used for this Machine: one that was created for specific Machines is not valid
/// for others.
pub(crate) fn check_token<'a>(
    request: &Request,
    machine: &'a Machine,
    facts: &Facts<'a>,
) -> Option<Finding> {
    match bound_to(request, facts) {
        Bound::ToNone => None,
        _ if is_of(request, machine, facts) => None,
        Bound::To(others) => Some(Finding::new(
            Reason::TokenOfAnotherMachine,
            format!(
                "the bootstrap token {} was made for Machine {}, not for Machine {}",
                request
                    .requestor
                    .bootstrap_token()
                    .unwrap_or(&request.requestor.username),
                others.join(", "),
                machine.reference
            ),
        )),
    }
}

/// Returns true if the token was created for this Machine.
pub(crate) fn is_of<'a>(request: &Request, machine: &'a Machine, facts: &Facts<'a>) -> bool {
    let requestor = &request.requestor;
    let by_record = requestor
        .bootstrap_token()
        .and_then(|id| facts.tokens.get(id));
    let mut records = facts.records(machine);
    records.any(|record| {
        let recorded = |made_for: &Vec<&Machine>| made_for.iter().any(|own| own.uid == record.uid);
        by_record.is_some_and(recorded)
            || requestor.groups.contains(&machine_group(&record.reference))
    })
}

/// Checks that the bootstrap token may be used for a Machine's first certificate. A Machine with its own token requires it:
/// so a token of a deleted Machine, or an unknown one, cannot be used to impersonate it.
pub(crate) fn check_first_token<'a>(
    request: &Request,
    machine: &'a Machine,
    facts: &Facts<'a>,
) -> Option<Finding> {
    check_token(request, machine, facts).or_else(|| check_own_token(request, machine, facts))
}

/// Checks that a Machine with its own token is requested with it, not with another token or none.
fn check_own_token<'a>(
    request: &Request,
    machine: &'a Machine,
    facts: &Facts<'a>,
) -> Option<Finding> {
    if is_of(request, machine, facts) {
        return None;
    }
    let reference = &machine.reference;
    let used = match request.requestor.bootstrap_token() {
        Some(id) => format!("{id} is another one"),
        None => format!("{:?} uses none", request.requestor.username),
    };
    let mut records = facts.records(machine);
    if records.any(|record| !record.bootstrap_tokens.is_empty()) {
        return Some(Finding::new(
            Reason::TokenOfAnotherMachine,
            format!("Machine {reference} joins with a bootstrap token of its own, and {used}"),
        ));
    }
    let mut configs = facts.kubeadm_configs.iter();
    configs.find_map(|config| match config.token {
        JoinToken::Awaited if facts.stale.is_some() => None,
        JoinToken::Awaited => Some(Finding::new(
            Reason::FactsStale,
            format!(
                "Machine {reference} joins with a bootstrap token of its own, and KubeadmConfig {}, which names it, is not \
                 there or names none yet",
                config.reference
            ),
        )),
        JoinToken::Id(_) => Some(Finding::new(
            Reason::TokenOfAnotherMachine,
            format!(
                "Machine {reference} joins with a bootstrap token of its own (KubeadmConfig {}), and {used}",
                config.reference
            ),
        )),
        JoinToken::Unused => None,
    })
}

/// The Machines that a token was created for.
enum Bound {
    /// No specific Machine.
    ToNone,
    /// These, for messages.
    To(Vec<String>),
}

fn bound_to(request: &Request, facts: &Facts<'_>) -> Bound {
    let requestor = &request.requestor;
    let id = requestor.bootstrap_token();
    let recorded = id.and_then(|id| facts.tokens.get(id)).into_iter().flatten();
    let recorded = recorded.map(|machine| machine.reference.to_string());
    let groups = requestor.groups.iter();
    let said = groups.filter_map(|group| group.strip_prefix(MACHINE_GROUP));
    let said = said.map(|place| place.replace("::", ".").replacen(':', "/", 1));
    let all: Vec<String> = recorded.chain(said).collect();
    if all.is_empty() {
        Bound::ToNone
    } else {
        Bound::To(all)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use Reason::*;

    use super::*;
    use crate::fixtures::{NAMESPACE, World, machine, reasons};
    use crate::{KubeadmConfig, Requestor, Rules, Strength};

    /// A request with a token that was made for this Machine.
    fn with_token(name: &str) -> World {
        let mut world = World::approvable();
        let made_for = MachineReference {
            namespace: NAMESPACE.to_owned(),
            name: name.to_owned(),
        };
        world.request.requestor = Requestor {
            username: "system:bootstrap:abcdef".to_owned(),
            groups: vec!["system:bootstrappers".to_owned(), machine_group(&made_for)],
        };
        world
    }

    #[test]
    fn a_token_made_for_one_machine_is_for_no_other() {
        assert_eq!(reasons(&with_token("m-0").decide()), [FirstCertificate]);
        for other in ["m-1", "m-0.x", "m", "m-00"] {
            let decision = with_token(other).decide();
            assert_eq!(reasons(&decision), [TokenOfAnotherMachine], "{other}");
            let words = format!("was made for Machine {NAMESPACE}/{other}, not for");
            assert!(decision.message().contains(&words), "{decision:?}");
        }
        let mut elsewhere = with_token("m-0");
        elsewhere.owner().reference.namespace = "another".to_owned();
        assert_eq!(reasons(&elsewhere.decide()), [TokenOfAnotherMachine]);
    }

    /// A request with the token `abcdef`, for a Machine whose KubeadmConfig says this.
    fn with_config(token: JoinToken) -> World {
        let mut world = World::approvable();
        world.request.requestor = Requestor {
            username: "system:bootstrap:abcdef".to_owned(),
            groups: vec!["system:bootstrappers".to_owned()],
        };
        let owner = world.owner();
        let (own, reference) = (owner.clone(), owner.reference.clone());
        let id = match &token {
            JoinToken::Id(id) if id == "abcdef" => Some("abcdef"),
            JoinToken::Awaited | JoinToken::Id(_) | JoinToken::Unused => None,
        };
        world.tokens.extend(id.map(|id| (id, vec![own])));
        world.kubeadm_configs = vec![KubeadmConfig { reference, token }];
        world
    }

    #[test]
    fn a_machine_that_has_a_token_of_its_own_gets_nothing_for_another() {
        let id = |id: &str| JoinToken::Id(id.to_owned());
        for (token, expected) in [
            (id("abcdef"), FirstCertificate),
            (id("fedcba"), TokenOfAnotherMachine),
            (JoinToken::Awaited, FactsStale),
            (JoinToken::Unused, FirstCertificate),
        ] {
            let world = with_config(token.clone());
            assert_eq!(reasons(&world.decide()), [expected], "{token:?}");
        }
        let decision = with_config(id("fedcba")).decide();
        assert!(decision.message().contains("abcdef is another one"));
        let decision = with_config(JoinToken::Awaited).decide();
        let words = format!("KubeadmConfig {NAMESPACE}/m-0, which names it");
        assert!(decision.message().contains(&words), "{decision:?}");
    }

    #[test]
    fn who_comes_without_a_token_gets_no_machine_that_has_one_of_its_own() {
        let without = World::approvable().request.requestor;
        for (token, expected) in [
            (JoinToken::Id("fedcba".to_owned()), TokenOfAnotherMachine),
            (JoinToken::Awaited, FactsStale),
            (JoinToken::Unused, FirstCertificate),
        ] {
            let mut world = with_config(token.clone());
            world.request.requestor = without.clone();
            assert_eq!(reasons(&world.decide()), [expected], "{token:?}");
        }
        // Gardener's records name their tokens themselves.
        let mut world = with_token("m-0");
        world.owner().bootstrap_tokens = BTreeSet::from(["fedcba".to_owned()]);
        assert_eq!(reasons(&world.decide()), [FirstCertificate]);
        for requestor in [
            without,
            Requestor {
                username: "system:bootstrap:abcdef".to_owned(),
                groups: vec!["system:bootstrappers".to_owned()],
            },
        ] {
            world.request.requestor = requestor;
            assert_eq!(reasons(&world.decide()), [TokenOfAnotherMachine]);
        }
    }

    #[test]
    fn who_comes_with_a_token_that_says_whose_it_is_needs_no_kubeadm_config() {
        let mut world = with_config(JoinToken::Awaited);
        let own = machine_group(&machine("m-0", "x").reference);
        world.request.requestor.groups.push(own);
        assert_eq!(reasons(&world.decide()), [FirstCertificate]);
    }

    #[test]
    fn a_rival_with_anothers_token_stands_in_nobodys_way() {
        let mut world = World::approvable();
        let mut rival = with_token("m-1").request;
        rival.name = "csr-1".to_owned();
        rival.created_at = world.now;
        world.rivals = vec![rival];
        assert_eq!(reasons(&world.decide()), [FirstCertificate]);
    }

    #[test]
    fn a_token_of_its_own_shows_which_machine_it_is_and_can_be_shown_again() {
        for (required, reason) in [
            (Strength::Replayable, FirstCertificate),
            (Strength::Bound, EvidenceMissing),
        ] {
            let mut world = with_token("m-0");
            world.policy.rules = Rules {
                evidence: required,
                ..Rules::default()
            };
            assert_eq!(world.decide().reason(), reason);
            world.request.requestor.groups.pop();
            assert_eq!(world.decide().reason(), EvidenceMissing);
        }
    }

    #[test]
    fn every_machine_has_a_group_of_its_own_in_the_letters_that_groups_may_have() {
        let machines = [
            ("", "a.b"),
            ("a", "b"),
            ("", "a-b"),
            ("a-b", "c.d"),
            ("a", "b.c"),
        ];
        let groups: Vec<String> = machines
            .map(|(namespace, name)| MachineReference {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            })
            .iter()
            .map(machine_group)
            .collect();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ":-".contains(c);
        assert!(
            groups.iter().all(|group| group.chars().all(allowed)),
            "{groups:?}"
        );
        let mut unique = groups.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), groups.len(), "{groups:?}");
        assert_eq!(
            machine("m-0", "x").reference.to_string(),
            format!("{NAMESPACE}/m-0")
        );
    }
}
