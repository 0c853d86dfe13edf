//! The evaluation of a request's evidence for one Machine: the requestor has the key that its record pins, or the key of
//! a certificate that was issued to it before, or a bootstrap token that was created for it.
//!
//! Statements bind themselves to the request's key and node ([`rollcall_csr::CertificationRequest::proofs`]); this module
//! compares them with the roll. Forged evidence counts against a request. Valid evidence that does not concern this
//! Machine is ignored: a reinstalled machine may still hold the certificate of an earlier one.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rollcall_csr::{ClusterId, EvidenceError, KeyHash, PreviousCertificate, Statement};

use crate::{
    Authority, Facts, Finding, IssuedCertificate, JoinKey, Machine, Policy, Reason, Request,
    Strength, node_activity, token, verified,
};

/// The time by which certificates are backdated (Kubernetes: `pkg/controller/certificates/authority`, 5 minutes).
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// The facts that a request proves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Proven {
    /// True if the requestor has the key that the Machine's record pins.
    pub(crate) join_key: bool,
    /// A certificate that was issued to the Machine before.
    pub(crate) previous: Option<Previous>,
    /// True if the bootstrap token was created for the Machine.
    pub(crate) token: bool,
    /// The reasons why some evidence proves nothing.
    pub(crate) worthless: Vec<String>,
    /// The findings about forged evidence.
    pub(crate) forged: Vec<Finding>,
}

/// A certificate with a key that the machine holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    /// Its key.
    pub(crate) key: KeyHash,
    /// The latest time at which it can have been issued.
    pub(crate) issued_by: Timestamp,
    /// The end of the validity period.
    pub(crate) not_after: Timestamp,
}

impl Proven {
    /// Evaluates the evidence of a request for a Machine.
    pub(crate) fn of(
        request: &Request,
        machine: &Machine,
        facts: &Facts<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let mut proven = Self {
            token: token::is_of(request, machine, facts),
            ..Self::default()
        };
        // An unreadable request already has its own finding.
        let Ok(content) = &request.content else {
            return proven;
        };
        let statements = match content.evidence() {
            Ok([]) => return proven,
            Ok(statements) => statements,
            // A later version is for later approvers.
            Err(error @ EvidenceError::UnsupportedVersion) => {
                proven.worthless.push(error.to_string());
                return proven;
            }
            Err(error) => {
                proven.forged.push(invalid(&error.to_string()));
                return proven;
            }
        };
        let view = View::new(machine, facts, policy, now);
        for (statement, proof) in statements.iter().zip(content.proofs()) {
            match proof {
                Some(Ok(())) | None => proven.take(statement, request, &view),
                Some(Err(error)) => proven.forged.push(invalid(&format!(
                    "the statement {}: {error}",
                    statement.kind()
                ))),
            }
        }
        proven
    }

    /// The strength of the evidence.
    pub(crate) fn strength(&self) -> Strength {
        if self.join_key || self.previous.is_some() {
            Strength::Bound
        } else if self.token {
            Strength::Replayable
        } else {
            Strength::None
        }
    }

    fn take(&mut self, statement: &Statement, request: &Request, view: &View<'_>) {
        let taken = match statement {
            Statement::JoinKey(join_key) => view
                .knows(join_key.cluster())
                .and_then(|()| view.pins(join_key.key().spki_der()))
                .map(|()| self.join_key = true),
            Statement::PreviousCertificate(previous) => view
                .knows(previous.cluster())
                .and_then(|()| view.issued(previous, request))
                .map(|previous| self.previous = Some(previous)),
            Statement::Other(_) => Err("its kind is not known here".to_owned()),
        };
        if let Err(why) = taken {
            self.worthless
                .push(format!("the statement {}: {why}", statement.kind()));
        }
    }
}

fn invalid(what: &str) -> Finding {
    Finding::new(
        Reason::EvidenceInvalid,
        format!("the evidence of the request is not to be believed: {what}"),
    )
}

/// The context in which statements are evaluated.
struct View<'a> {
    machine: &'a Machine,
    facts: &'a Facts<'a>,
    /// The earliest time at which a certificate with this name may be the machine's.
    known_from: Timestamp,
    /// True if the Node with this name is the machine's, by its instance or hardware id.
    is_node: bool,
    authorities: Vec<Authority>,
    clusters: BTreeSet<ClusterId>,
    policy: &'a Policy,
    now: Timestamp,
}

impl<'a> View<'a> {
    fn new(machine: &'a Machine, facts: &'a Facts<'_>, policy: &'a Policy, now: Timestamp) -> Self {
        let trusted = facts
            .kubelet_ca
            .map(|ca| ca.trusted(policy.max_staleness, now));
        let authorities = trusted.unwrap_or_default();
        let own = policy.clusters.iter().copied();
        let clusters = own.chain(authorities.iter().map(Authority::id)).collect();
        // A recreated record is younger than its machine. The instance id shows that the Node is its own.
        let own = facts
            .node
            .filter(|node| machine.is_of_node(node) == Some(true));
        let registered = own.map(|node| node_activity::first_issued_from(node.created_at));
        let known_from = registered.map_or(machine.created_at, |at| at.min(machine.created_at));
        Self {
            machine,
            facts,
            known_from,
            is_node: own.is_some(),
            authorities,
            clusters,
            policy,
            now,
        }
    }

    fn knows(&self, cluster: ClusterId) -> Result<(), String> {
        if self.clusters.contains(&cluster) {
            return Ok(());
        }
        Err(format!(
            "it is for the cluster with the CA certificate {cluster}, which is none of this one's"
        ))
    }

    fn pins(&self, spki_der: &[u8]) -> Result<(), String> {
        match &self.machine.join_key {
            Some(JoinKey::Spki(pinned)) if pinned == spki_der => Ok(()),
            Some(JoinKey::Spki(_)) => Err("it is of another key than the record pins".to_owned()),
            Some(JoinKey::Unreadable(why)) => Err(format!("what the record pins is no key: {why}")),
            None => Err("the record pins no key".to_owned()),
        }
    }

    /// Checks that this cluster issued a certificate to this Machine, for the node of the request.
    fn issued(
        &self,
        previous: &PreviousCertificate,
        request: &Request,
    ) -> Result<Previous, String> {
        let content = request.content.as_ref().map_err(ToString::to_string)?;
        if self.authorities.is_empty() {
            return Err("there is no kubelet CA to verify the certificate by".to_owned());
        }
        let (der, authorities) = (previous.certificate_der(), &self.authorities);
        let certificate = match self.facts.verified {
            Some(verified) => verified.client(der, authorities, self.now),
            None => verified::verify(der, authorities, self.now),
        }?;
        if certificate.subject() != content.subject() {
            let subject = certificate.subject();
            return Err(format!(
                "the certificate is that of {:?} in {:?}",
                subject.common_name, subject.organization
            ));
        }
        self.of_this_machine(&certificate)
    }

    /// Checks that a certificate is not from an earlier machine of this name: it must have been issued after the record
    /// was created and, unless the Machine has become a Node, approved for it, because an earlier machine that is still
    /// running may have renewed its own.
    fn of_this_machine(&self, certificate: &IssuedCertificate) -> Result<Previous, String> {
        let issued_by = certificate
            .not_before()
            .checked_add(BACKDATE)
            .and_then(|at| at.checked_add(self.policy.clock_skew))
            .map_err(|error| error.to_string())?;
        let reference = &self.machine.reference;
        if issued_by < self.known_from {
            return Err(format!(
                "the certificate was issued about {}, before Machine {reference} was made at {}, so to an earlier machine of that name",
                certificate.not_before(),
                self.machine.created_at
            ));
        }
        let key = certificate.key();
        let mut claims = self.facts.claims.iter();
        let known = self.is_node || self.machine.node_reference.is_some();
        if !known && claims.all(|claim| claim.key != key) {
            return Err(format!(
                "the certificate is for a key ({key}) that was not approved for Machine {reference}, so perhaps to an \
                 earlier machine of that name"
            ));
        }
        Ok(Previous {
            key,
            issued_by,
            not_after: certificate.not_after(),
        })
    }
}

/// Checks that a request proves everything that the Machine's records and their pools require. `proven` was evaluated
/// for `machine`.
pub(crate) fn check_required<'a>(
    proven: &Proven,
    machine: &'a Machine,
    facts: &Facts<'a>,
    policy: &Policy,
) -> Option<Finding> {
    let mut records = facts.records(machine);
    records.find_map(|record| check_record(proven, machine, record, policy))
}

fn check_record(
    proven: &Proven,
    machine: &Machine,
    record: &Machine,
    policy: &Policy,
) -> Option<Finding> {
    let required = policy.rules(record).evidence;
    let reference = &record.reference;
    // A key that only another record pins was not evaluated.
    let unproven = !proven.join_key || record.join_key != machine.join_key;
    let missing = if record.join_key.is_some() && unproven {
        format!("Machine {reference} pins a join key, and the request does not prove to hold it")
    } else if proven.strength() < required {
        format!(
            "evidence of strength {} is required for Machine {reference}; the request has {}",
            required.as_str(),
            proven.strength().as_str()
        )
    } else {
        return None;
    };
    let why = proven.worthless.iter().map(|why| format!("; {why}"));
    let message = std::iter::once(missing).chain(why).collect::<String>();
    Some(Finding::new(Reason::EvidenceMissing, message))
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;
