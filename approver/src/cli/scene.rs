//! A scene: the requests to speak about, and everything known of the cluster at that moment, from the API or from files.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use rollcall_approver_core::{
    Change, Cluster, Decision, Machine, MachineReference, MachineUid, Remediation, Request,
    RequestUid, Standing,
};
use rollcall_csr::{CertificationRequest, NodeName};

use super::opinion::Opinion;
use crate::convert::{Target, Unusable, to_request};

/// One request of a scene.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) signer: String,
    pub(super) requestor: String,
    /// The node that it asks for.
    pub(super) node: Option<NodeName>,
    pub(super) created_at: Timestamp,
    /// What became of it, when somebody has decided.
    pub(super) past: Option<Past>,
    /// What the core judges and a write needs; nothing for the signers of others.
    pub(super) known: Option<Arc<(Request, Target)>>,
}

/// A decision that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Past {
    /// `approved`, `denied` or `failed`.
    pub(super) word: &'static str,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Entry {
    /// Reads a request, to whatever signer.
    pub(super) fn read(object: CertificateSigningRequest) -> Result<Self, Unusable> {
        let created_at = object
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0);
        let mut entry = Self {
            name: object
                .metadata
                .name
                .clone()
                .ok_or(Unusable::Missing("name"))?,
            signer: object.spec.signer_name.clone(),
            requestor: object.spec.username.clone().unwrap_or_default(),
            node: None,
            created_at: created_at.ok_or(Unusable::Missing("creationTimestamp"))?,
            past: past(&object),
            known: None,
        };
        let content = object.spec.request.0.clone();
        match to_request(object) {
            Ok(known) => {
                entry.node = known.0.node_name();
                entry.known = Some(Arc::new(known));
            }
            // To a signer of others: nothing is decided of it, so it does not matter whether it can be read.
            Err(Unusable::Signer(_)) => entry.node = asked_for(&content),
            Err(
                error @ (Unusable::Large(_)
                | Unusable::Missing(_)
                | Unusable::Name
                | Unusable::NodeName(_)),
            ) => {
                return Err(error);
            }
        }
        Ok(entry)
    }

    pub(super) fn uid(&self) -> Option<&RequestUid> {
        self.known.as_ref().map(|known| &known.0.uid)
    }

    /// The node asked for, empty when it names none.
    pub(super) fn node_name(&self) -> String {
        self.node
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}

fn asked_for(content: &[u8]) -> Option<NodeName> {
    let content = CertificationRequest::from_pem(content).ok()?;
    NodeName::from_username(&content.subject().common_name).ok()
}

/// What was decided. Denied and Failed outweigh Approved: such a request never gets a certificate.
fn past(object: &CertificateSigningRequest) -> Option<Past> {
    let conditions = object.status.as_ref()?.conditions.as_ref()?;
    let find = |type_: &str, word| {
        let condition = conditions
            .iter()
            .find(|condition| condition.type_ == type_)?;
        let CertificateSigningRequestCondition {
            reason, message, ..
        } = condition.clone();
        Some(Past {
            word,
            reason: reason.unwrap_or_default(),
            message: message.unwrap_or_default(),
        })
    };
    find("Denied", "denied")
        .or_else(|| find("Failed", "failed"))
        .or_else(|| find("Approved", "approved"))
}

/// Requests, and the cluster around them.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) cluster: Cluster,
    /// In the order in which they came.
    pub(super) entries: Vec<Entry>,
    /// What MachineHealthChecks will do, worked out once when somebody asks.
    remediations: OnceCell<HashMap<MachineUid, Remediation>>,
}

impl Scene {
    /// A scene in which nothing is yet.
    pub(super) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            entries: Vec::new(),
            remediations: OnceCell::new(),
        }
    }

    /// Adds a request.
    pub(super) fn add(&mut self, entry: Entry, now: Timestamp) {
        self.tell(&entry, now);
        self.entries.push(entry);
    }

    /// Replaces what is known of a request.
    pub(super) fn replace(&mut self, entry: Entry, now: Timestamp) {
        self.tell(&entry, now);
        match self.entries.iter_mut().find(|old| old.name == entry.name) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }

    fn tell(&mut self, entry: &Entry, now: Timestamp) {
        if let Some(known) = &entry.known {
            let request = Box::new(known.0.clone());
            self.cluster.apply(Change::Request(request), now);
        }
    }

    /// A request by its name.
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// A decision as it is told.
    pub(super) fn told<'d>(&self, entry: &Entry, decision: &'d Decision) -> Cow<'d, Decision> {
        match entry.known.as_deref() {
            Some((request, _)) => self.cluster.explained(request, decision),
            None => Cow::Borrowed(decision),
        }
    }

    /// What would be decided of a request; nothing for the signers of others.
    pub(super) fn decision(&self, entry: &Entry, at: Timestamp) -> Option<Decision> {
        let decision = self.cluster.preview(entry.uid()?, at)?;
        Some(self.told(entry, &decision).into_owned())
    }

    /// What there is to say about a request. Of one that others decided, that includes what policy says of it; of a Machine
    /// that waits, when it will be given up.
    pub(super) fn opinion(&self, entry: &Entry, at: Timestamp) -> Opinion {
        let Some(decision) = self.decision(entry, at) else {
            return Opinion::of_foreign(entry);
        };
        let mut opinion = Opinion::of(entry, &decision);
        if let Some((past, policy)) = entry.past.as_ref().zip(self.policy(entry, at)) {
            let Past { word, reason, .. } = past;
            let (verdict, ours) = (policy.verdict().as_str(), policy.reason());
            let explanation = policy.explanation();
            opinion.message.push_str(&format!(
                " (it was {word}: {reason}); as it was then, policy says {verdict}: {ours}: {explanation}"
            ));
        }
        if let Some(remediation) = self.remediation(entry, at) {
            opinion.message.push_str(&format!("; {remediation}"));
        }
        opinion
    }

    /// What policy says of a request, whoever has decided it; nothing for the signers of others.
    pub(super) fn policy(&self, entry: &Entry, now: Timestamp) -> Option<Decision> {
        let (request, _) = entry.known.as_deref()?;
        let decision = self.cluster.retrace(request, now);
        Some(self.cluster.explained(request, &decision).into_owned())
    }

    /// What a MachineHealthCheck will do with the Machine that a pending request asks for, in a sentence.
    pub(super) fn remediation(&self, entry: &Entry, at: Timestamp) -> Option<String> {
        let owner = self.owner(entry).filter(|_| entry.past.is_none())?;
        let all = self
            .remediations
            .get_or_init(|| self.cluster.remediations(at));
        let remediation = all.get(&owner.uid)?;
        let said = remediation.describe(at);
        Some(format!("Machine {}: {said}", owner.reference))
    }

    /// The one Machine that owns the node name that a request asks for.
    pub(super) fn machine(&self, entry: &Entry) -> Option<&MachineReference> {
        self.owner(entry).map(|machine| &machine.reference)
    }

    fn owner(&self, entry: &Entry) -> Option<&Machine> {
        match self.cluster.owners(entry.node.as_ref()?).as_slice() {
            [machine] => Some(machine),
            _ => None,
        }
    }

    /// Takes in that a request was approved just now.
    pub(super) fn approved(&mut self, entry: &Entry, now: Timestamp) {
        if let Some(known) = &entry.known {
            let request = Request {
                standing: Standing::Approved(now),
                ..known.0.clone()
            };
            self.cluster.apply(Change::Request(Box::new(request)), now);
        }
    }
}
