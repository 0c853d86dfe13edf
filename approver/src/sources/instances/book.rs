//! What is known of the instances of one source's Machines, and who is to be asked about next. Nothing here talks to anybody.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use rollcall_approver_core::{Address, Machine, MachineUid};
use rollcall_csr::NodeName;
use tokio::time::Instant;

use crate::aws::{INSTANCES_PER_CALL, Instance, InstanceState, instance_id};
use crate::sources::fields::MAX_ADDRESSES;

/// The first pause before an instance is asked about again that is not described yet, or has no name yet: EC2 does both
/// within seconds of the launch (EC2 API Reference, "Eventual consistency"). Each next pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often one is asked about in vain before that is told: for half a minute.
const VAIN: u32 = 5;
/// How long it counts what was said of an instance that is no node yet: it may be reclaimed before it has joined.
const PENDING: Duration = Duration::from_secs(30);
/// How long it counts what was said of an instance that is a node: its addresses change seldom, and there are many.
const JOINED: Duration = Duration::from_secs(300);

/// A Machine, and what the cloud says of its instance.
#[derive(Debug)]
struct Held {
    /// What its source says.
    record: Machine,
    instance: Option<String>,
    said: Option<Said>,
    answered: bool,
    /// How often it was asked about in vain since something was said last.
    vain: u32,
    /// When to ask about it next.
    due: Option<Instant>,
}

/// What the cloud says of an instance.
#[derive(Debug)]
struct Said {
    addresses: Vec<Address>,
    gone: bool,
}

impl Held {
    /// What source and cloud say together.
    fn whole(&self) -> Machine {
        let mut machine = self.record.clone();
        if let Some(said) = &self.said {
            machine.addresses.extend(said.addresses.iter().cloned());
            machine.addresses.truncate(MAX_ADDRESSES);
            if said.gone {
                machine.deleting = true;
                machine.phase = Some("InstanceTerminated".to_owned());
            }
        }
        machine
    }

    fn has_joined(&self) -> bool {
        self.record.node_reference.is_some()
    }

    /// Takes in what was said of the instance now; nothing, if the cloud does not know it.
    fn hear(&mut self, instance: Option<&Instance>, region: &str, now: Instant) {
        self.answered = true;
        let gone = instance.is_some_and(|instance| instance.state == InstanceState::Gone);
        let named = instance.is_some_and(|instance| instance.private_dns_name.is_some());
        // One that was known and is no more has long been terminated.
        let forgotten = instance.is_none() && self.said.is_some();
        self.said = match instance {
            _ if gone || forgotten => Some(Said {
                addresses: Vec::new(),
                gone: true,
            }),
            Some(instance) => Some(Said {
                addresses: addresses(instance, region),
                gone: false,
            }),
            None => None,
        };
        let pause = if named {
            self.vain = 0;
            if self.has_joined() { JOINED } else { PENDING }
        } else {
            let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.vain));
            self.vain = self.vain.saturating_add(1);
            pause.min(LONGEST_PAUSE)
        };
        // An instance that was terminated never comes back.
        self.due = now.checked_add(pause).filter(|_| !gone);
    }
}

/// All names and addresses of an instance. As resource names both the plain id and the one with a domain are in use
/// (cloud-provider-aws, "Node name conventions"); no other instance can have either.
fn addresses(instance: &Instance, region: &str) -> Vec<Address> {
    let private = instance.private_dns_name.clone();
    let resource = instance.resource_name(region);
    let resource = resource.filter(|name| private.as_ref() != Some(name));
    let id = instance.id.parse::<NodeName>().ok();
    let internal = private.into_iter().chain(resource);
    let names = internal.map(Address::InternalDns);
    let names = names.chain(id.map(Address::Hostname));
    let ips = instance.addresses.iter().copied().map(Address::InternalIp);
    let public = instance.public_dns_name.clone().map(Address::ExternalDns);
    names.chain(public).chain(ips).collect()
}

/// Whom to ask about: a Machine and its instance.
pub(super) type Asked = Vec<(MachineUid, String)>;

/// What an answer changed.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The Machines that are other ones now.
    pub(super) changed: Vec<Machine>,
    /// Sentences for those who wonder why a Machine has no name.
    pub(super) remarks: Vec<String>,
}

/// The Machines of one source.
#[derive(Debug, Default)]
pub(super) struct Book {
    held: HashMap<MachineUid, Held>,
    /// When to ask about which: those that are to join, who go first, and those that have.
    joining: BTreeSet<(Instant, MachineUid)>,
    joined: BTreeSet<(Instant, MachineUid)>,
}

impl Book {
    /// Takes in what its source says of a Machine. Returns it with what the cloud said of its instance.
    pub(super) fn put(&mut self, record: Machine, now: Instant) -> Machine {
        let uid = record.uid.clone();
        let instance = record.provider_id.as_deref().and_then(instance_id);
        let mut held = Held {
            instance: instance.map(str::to_owned),
            record,
            said: None,
            answered: false,
            vain: 0,
            due: Some(now),
        };
        if let Some(before) = self.remove(&uid)
            && before.instance == held.instance
        {
            let record = held.record;
            held = Held { record, ..before };
        }
        let gone = held.said.as_ref().is_some_and(|said| said.gone);
        // Nothing is given to one that is going, whatever its instance is called.
        held.due = match held.instance {
            Some(_) if !held.record.deleting && !gone => held.due.or(Some(now)),
            Some(_) if !held.record.deleting => held.due,
            Some(_) | None => None,
        };
        let whole = held.whole();
        self.hold(uid, held);
        whole
    }

    /// Whether this Machine is known with this instance.
    pub(super) fn knows(&self, record: &Machine) -> bool {
        let held = self.held.get(&record.uid);
        held.is_some_and(|held| held.record.provider_id == record.provider_id)
    }

    /// A Machine is gone.
    pub(super) fn forget(&mut self, uid: &MachineUid) {
        self.remove(uid);
    }

    /// These are all.
    pub(super) fn retain(&mut self, present: &HashSet<MachineUid>) {
        let gone = self.held.keys().filter(|uid| !present.contains(uid));
        let gone: Vec<MachineUid> = gone.cloned().collect();
        for uid in gone {
            self.remove(&uid);
        }
    }

    fn hold(&mut self, uid: MachineUid, held: Held) {
        if let Some(due) = held.due {
            let queue = if held.has_joined() {
                &mut self.joined
            } else {
                &mut self.joining
            };
            queue.insert((due, uid.clone()));
        }
        self.held.insert(uid, held);
    }

    fn remove(&mut self, uid: &MachineUid) -> Option<Held> {
        let held = self.held.remove(uid)?;
        if let Some(due) = held.due {
            let entry = (due, uid.clone());
            self.joining.remove(&entry);
            self.joined.remove(&entry);
        }
        Some(held)
    }

    /// When somebody is to be asked about next; never, if there is nobody.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let queues = [&self.joining, &self.joined];
        let first = queues.into_iter().filter_map(BTreeSet::first);
        first.map(|(due, _)| *due).min()
    }

    /// Whom to ask about now, as many as one call may name.
    pub(super) fn due(&self, now: Instant) -> Asked {
        let queues = [&self.joining, &self.joined].into_iter();
        let due = queues.flat_map(|queue| queue.iter().take_while(|(due, _)| *due <= now));
        let asked = due.filter_map(|(_, uid)| Some((uid.clone(), self.instance(uid)?)));
        asked.take(INSTANCES_PER_CALL).collect()
    }

    fn instance(&self, uid: &MachineUid) -> Option<String> {
        self.held.get(uid)?.instance.clone()
    }

    /// Whether every Machine that is to join was asked about with an answer, whatever it was.
    pub(super) fn is_complete(&self) -> bool {
        let mut joining = self.joining.iter();
        joining.all(|(_, uid)| self.held.get(uid).is_none_or(|held| held.answered))
    }

    /// Takes in an answer of the cloud in a region.
    pub(super) fn hear(
        &mut self,
        asked: &Asked,
        instances: &[Instance],
        region: &str,
        now: Instant,
    ) -> Heard {
        let instances: HashMap<&str, &Instance> = instances
            .iter()
            .map(|instance| (instance.id.as_str(), instance))
            .collect();
        let mut heard = Heard::default();
        for (uid, id) in asked {
            // Meanwhile it may have gone.
            let Some(mut held) = self.remove(uid) else {
                continue;
            };
            if held.instance.as_ref() == Some(id) {
                let before = held.whole();
                held.hear(instances.get(id.as_str()).copied(), region, now);
                let whole = held.whole();
                heard.remarks.extend(remark(&held, id, region));
                heard.changed.extend((whole != before).then_some(whole));
            }
            self.hold(uid.clone(), held);
        }
        heard
    }
}

/// What is to be said once of an instance that was asked about in vain for a while.
fn remark(held: &Held, id: &str, region: &str) -> Option<String> {
    let lacks = match &held.said {
        Some(_) => "has no private DNS name yet",
        None => "is not known there",
    };
    (held.vain == VAIN).then(|| {
        let machine = &held.record.reference;
        format!("instance {id} of {machine} {lacks} (EC2 in {region}); it is asked about again")
    })
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
