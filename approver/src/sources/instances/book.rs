//! The known facts about the instances of one source's Machines, and the schedule of queries. Nothing here does I/O.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use rollcall_approver_core::{Address, Machine, MachineUid};
use rollcall_csr::NodeName;
use tokio::time::Instant;

use crate::aws::{INSTANCES_PER_CALL, Instance, InstanceState, instance_id};
use crate::sources::fields::MAX_ADDRESSES;

/// The first pause before an instance that is not described yet, or has no name yet, is queried again: EC2 does both within
/// seconds of the launch (EC2 API Reference, "Eventual consistency"). Each next pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The number of queries without a result before that is reported: half a minute.
const VAIN: u32 = 5;
/// The time that an answer is valid for an instance that is not a node yet: it may be reclaimed before it has joined.
const PENDING: Duration = Duration::from_secs(30);
/// The time that an answer is valid for an instance that is a node: its addresses change seldom, and there are many.
const JOINED: Duration = Duration::from_secs(300);

/// A Machine, and the cloud's facts about its instance.
#[derive(Debug)]
struct Held {
    /// The record of its source.
    record: Machine,
    instance: Option<String>,
    said: Option<Said>,
    answered: bool,
    /// The number of queries without a result since the last result.
    vain: u32,
    /// The time of its next query.
    due: Option<Instant>,
}

/// The cloud's facts about an instance.
#[derive(Debug)]
struct Said {
    addresses: Vec<Address>,
    gone: bool,
}

impl Held {
    /// The Machine with the facts of both source and cloud.
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

    /// Applies the answer for the instance; `None` if the cloud does not know it.
    fn hear(&mut self, instance: Option<&Instance>, region: &str, now: Instant) {
        self.answered = true;
        let gone = instance.is_some_and(|instance| instance.state == InstanceState::Gone);
        let named = instance.is_some_and(|instance| instance.private_dns_name.is_some());
        // An instance that was known and no longer exists was terminated long ago.
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
        // A terminated instance never comes back.
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

/// The Machines to query, each with its instance.
pub(super) type Asked = Vec<(MachineUid, String)>;

/// The changes by an answer.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The Machines that changed.
    pub(super) changed: Vec<Machine>,
    /// Log messages that explain why a Machine has no name.
    pub(super) remarks: Vec<String>,
}

/// The Machines of one source.
#[derive(Debug, Default)]
pub(super) struct Book {
    held: HashMap<MachineUid, Held>,
    /// The schedule of queries: first the Machines that are still to join, then those that have joined.
    joining: BTreeSet<(Instant, MachineUid)>,
    joined: BTreeSet<(Instant, MachineUid)>,
}

impl Book {
    /// Stores the record of a Machine. Returns it with the cloud's facts about its instance.
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
        // A Machine that is being deleted gets nothing, whatever its instance is called.
        held.due = match held.instance {
            Some(_) if !held.record.deleting && !gone => held.due.or(Some(now)),
            Some(_) if !held.record.deleting => held.due,
            Some(_) | None => None,
        };
        let whole = held.whole();
        self.hold(uid, held);
        whole
    }

    /// Returns true if this Machine is known with this instance.
    pub(super) fn knows(&self, record: &Machine) -> bool {
        let held = self.held.get(&record.uid);
        held.is_some_and(|held| held.record.provider_id == record.provider_id)
    }

    /// Removes a Machine that is gone.
    pub(super) fn forget(&mut self, uid: &MachineUid) {
        self.remove(uid);
    }

    /// Removes all other Machines.
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

    /// The time of the next query; `None` if no instance is left to query.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let queues = [&self.joining, &self.joined];
        let first = queues.into_iter().filter_map(BTreeSet::first);
        first.map(|(due, _)| *due).min()
    }

    /// The instances to query now, as many as one call may name.
    pub(super) fn due(&self, now: Instant) -> Asked {
        let queues = [&self.joining, &self.joined].into_iter();
        let due = queues.flat_map(|queue| queue.iter().take_while(|(due, _)| *due <= now));
        let asked = due.filter_map(|(_, uid)| Some((uid.clone(), self.instance(uid)?)));
        asked.take(INSTANCES_PER_CALL).collect()
    }

    fn instance(&self, uid: &MachineUid) -> Option<String> {
        self.held.get(uid)?.instance.clone()
    }

    /// Returns true if the queries of every Machine that is to join were answered, with any result.
    pub(super) fn is_complete(&self) -> bool {
        let mut joining = self.joining.iter();
        joining.all(|(_, uid)| self.held.get(uid).is_none_or(|held| held.answered))
    }

    /// Applies an answer of the cloud in a region.
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
            // The Machine may be gone meanwhile.
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

/// The message to log once for an instance without a result of its queries for a while.
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
