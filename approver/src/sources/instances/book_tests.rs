//! The schedule of queries, and the effect of an answer on a Machine.

use jiff::Timestamp;
use rollcall_approver_core::{MachineReference, Source};

use super::*;

const REGION: &str = "eu-west-1";

fn record(name: &str, instance: Option<&str>) -> Machine {
    let reference = MachineReference {
        namespace: String::new(),
        name: name.to_owned(),
    };
    let uid = MachineUid(name.to_owned());
    Machine {
        provider_id: instance.map(|id| format!("aws:///eu-west-1a/{id}")),
        ..Machine::new(Source::Karpenter, uid, reference, Timestamp::UNIX_EPOCH)
    }
}

fn joined(name: &str, instance: &str) -> Machine {
    Machine {
        node_reference: Some(format!("node-of-{name}").parse().unwrap()),
        ..record(name, Some(instance))
    }
}

fn instance(id: &str, name: Option<&str>) -> Instance {
    Instance {
        id: id.to_owned(),
        state: InstanceState::Running,
        launched_at: Timestamp::UNIX_EPOCH,
        zone: "eu-west-1a".to_owned(),
        private_dns_name: name.map(|name| name.parse().unwrap()),
        public_dns_name: None,
        addresses: vec!["10.0.0.1".parse().unwrap()],
    }
}

fn terminated(id: &str) -> Instance {
    Instance {
        state: InstanceState::Gone,
        addresses: Vec::new(),
        ..instance(id, None)
    }
}

/// A book, and the current time.
struct Desk {
    book: Book,
    now: Instant,
}

impl Desk {
    fn new(records: &[Machine]) -> Self {
        let (mut book, now) = (Book::default(), Instant::now());
        for record in records {
            assert_eq!(book.put(record.clone(), now), *record, "nothing was said");
        }
        Self { book, now }
    }

    fn asks(&self) -> Vec<String> {
        let asked = self.book.due(self.now).into_iter();
        asked.map(|(_, id)| id).collect()
    }

    fn hears(&mut self, instances: &[Instance]) -> Heard {
        let asked = self.book.due(self.now);
        self.book.hear(&asked, instances, REGION, self.now)
    }

    /// Advances the time to the next query. Returns the seconds that it took.
    fn wait(&mut self) -> u64 {
        let due = self.book.next_due().unwrap();
        let seconds = due.duration_since(self.now).as_secs();
        self.now = due;
        seconds
    }
}

fn names(machine: &Machine) -> Vec<String> {
    let names = machine.addresses.iter().map(|address| match address {
        Address::ExternalDns(name) => format!("ExternalDNS {name}"),
        Address::Hostname(name) => format!("Hostname {name}"),
        Address::InternalDns(name) => format!("InternalDNS {name}"),
        Address::ExternalIp(ip) | Address::InternalIp(ip) => ip.to_string(),
    });
    names.collect()
}

#[test]
fn an_instance_gives_its_machine_all_its_names_and_addresses() {
    let mut desk = Desk::new(&[record("a", Some("i-0a"))]);
    assert_eq!(desk.asks(), ["i-0a"]);
    let private = "ip-10-0-0-1.eu-west-1.compute.internal";
    let described = Instance {
        public_dns_name: Some("ec2-192-0-2-1.example".parse().unwrap()),
        ..instance("i-0a", Some(private))
    };
    let heard = desk.hears(&[described]);
    let [machine] = &heard.changed[..] else {
        panic!("{heard:?}")
    };
    let expected = [
        "InternalDNS ip-10-0-0-1.eu-west-1.compute.internal",
        "InternalDNS i-0a.eu-west-1.compute.internal",
        "Hostname i-0a",
        "ExternalDNS ec2-192-0-2-1.example",
        "10.0.0.1",
    ];
    assert_eq!(names(machine), expected);
    assert_eq!(
        Machine {
            addresses: Vec::new(),
            ..machine.clone()
        },
        record("a", Some("i-0a")),
        "nothing else changed"
    );
    // The same answer again changes nothing. A name that is both occurs once.
    desk.wait();
    assert_eq!(
        desk.hears(&[instance("i-0a", Some("i-0a.eu-west-1.compute.internal"))])
            .changed
            .iter()
            .flat_map(names)
            .collect::<Vec<_>>(),
        [
            "InternalDNS i-0a.eu-west-1.compute.internal",
            "Hostname i-0a",
            "10.0.0.1"
        ]
    );
}

#[test]
fn what_is_not_described_or_named_yet_is_asked_about_again_and_told_once() {
    for early in [
        Vec::new(),
        vec![instance("i-0a", None)],
        vec![instance("i-0b", Some("of-another"))],
    ] {
        let mut desk = Desk::new(&[record("a", Some("i-0a"))]);
        let mut pauses = Vec::new();
        let mut remarks = Vec::new();
        for _ in 0..7 {
            let heard = desk.hears(&early);
            for machine in heard.changed {
                let names = names(&machine);
                assert!(!names.iter().any(|name| name.contains("ip-")), "{names:?}");
            }
            remarks.extend(heard.remarks);
            assert!(desk.asks().is_empty(), "not at once");
            pauses.push(desk.wait());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(remarks[0].contains("instance i-0a of a"), "{remarks:?}");
        let heard = desk.hears(&[instance("i-0a", Some("ip-10-0-0-1.internal"))]);
        assert_eq!(heard.changed.len(), 1);
        assert_eq!(desk.wait(), PENDING.as_secs());
    }
}

#[test]
fn a_terminated_instance_takes_the_names_away_and_is_never_asked_about_again() {
    let running = instance("i-0a", Some("ip-10-0-0-1.internal"));
    for record in [record("a", Some("i-0a")), joined("a", "i-0a")] {
        let mut desk = Desk::new(std::slice::from_ref(&record));
        desk.hears(std::slice::from_ref(&running));
        desk.wait();
        let heard = desk.hears(&[terminated("i-0a")]);
        let [machine] = &heard.changed[..] else {
            panic!("{heard:?}")
        };
        assert!(machine.deleting && machine.addresses.is_empty());
        assert_eq!(machine.phase.as_deref(), Some("InstanceTerminated"));
        assert_eq!(desk.book.next_due(), None);
        // Independent of later records of its source.
        assert!(desk.book.put(record, desk.now).deleting);
        assert_eq!(desk.book.next_due(), None);
    }
}

#[test]
fn an_instance_that_was_known_and_is_no_more_is_gone_unless_it_comes_back() {
    let running = [instance("i-0a", Some("ip-10-0-0-1.internal"))];
    let mut desk = Desk::new(&[record("a", Some("i-0a"))]);
    desk.hears(&running);
    desk.wait();
    let heard = desk.hears(&[]);
    assert!(heard.changed[0].deleting && heard.changed[0].addresses.is_empty());
    desk.wait();
    let heard = desk.hears(&running);
    assert!(!heard.changed[0].deleting && !heard.changed[0].addresses.is_empty());
}

#[test]
fn who_is_to_join_goes_first_and_a_call_names_no_more_than_it_may() {
    let mut records: Vec<Machine> = (0..INSTANCES_PER_CALL)
        .map(|number| joined(&format!("n-{number}"), &format!("i-0{number:x}")))
        .collect();
    records.push(record("new", Some("i-fff")));
    let mut desk = Desk::new(&records);
    assert!(!desk.book.is_complete());
    let asked = desk.asks();
    assert_eq!(asked.len(), INSTANCES_PER_CALL);
    assert_eq!(asked[0], "i-fff");
    desk.hears(&[instance("i-fff", Some("ip-10-0-0-1.internal"))]);
    assert!(desk.book.is_complete(), "nobody waits for the others");
    assert_eq!(desk.asks().len(), 1);
    desk.hears(&[instance(&desk.asks()[0].clone(), Some("a"))]);
    // An instance that has become a node is queried less often from then on.
    let mut quiet = Desk::new(&[joined("n", "i-0a")]);
    quiet.hears(&[instance("i-0a", Some("ip-10-0-0-1.internal"))]);
    assert_eq!(quiet.wait(), JOINED.as_secs());
}

#[test]
fn what_was_said_stays_with_the_instance() {
    let mut desk = Desk::new(&[record("a", Some("i-0a"))]);
    desk.hears(&[instance("i-0a", Some("ip-10-0-0-1.internal"))]);
    let bound = desk.book.put(joined("a", "i-0a"), desk.now);
    assert_eq!(bound.addresses.len(), 4);
    assert!(desk.asks().is_empty(), "nothing is asked twice");
    let other = desk.book.put(record("a", Some("i-0b")), desk.now);
    assert!(other.addresses.is_empty());
    assert_eq!(desk.asks(), ["i-0b"]);
}

#[test]
fn nobody_asks_for_what_has_no_instance_or_is_going() {
    let going = Machine {
        deleting: true,
        ..record("b", Some("i-0b"))
    };
    let elsewhere = Machine {
        provider_id: Some("gce://project/zone/i-0c".to_owned()),
        ..record("c", None)
    };
    let mut desk = Desk::new(&[record("a", None), going, elsewhere]);
    assert_eq!(desk.book.next_due(), None);
    assert!(desk.book.is_complete());
    desk.book.put(record("a", Some("i-0a")), desk.now);
    assert_eq!(desk.asks(), ["i-0a"]);
    desk.book.forget(&MachineUid("a".to_owned()));
    assert_eq!(desk.book.next_due(), None);
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut desk = Desk::new(&[record("a", Some("i-0a")), record("b", Some("i-0b"))]);
    let asked = desk.book.due(desk.now);
    desk.book
        .retain(&HashSet::from([MachineUid("b".to_owned())]));
    desk.book.put(record("b", Some("i-0c")), desk.now);
    let instances = ["i-0a", "i-0b"].map(|id| instance(id, Some("ip-10-0-0-1.internal")));
    let heard = desk.book.hear(&asked, &instances, REGION, desk.now);
    assert!(heard.changed.is_empty(), "{heard:?}");
    assert_eq!(desk.asks(), ["i-0c"], "the other instance is still unknown");
}

#[test]
fn two_machines_that_name_one_instance_both_get_its_names() {
    let mut desk = Desk::new(&[record("a", Some("i-0a")), record("b", Some("i-0a"))]);
    let heard = desk.hears(&[instance("i-0a", Some("ip-10-0-0-1.internal"))]);
    assert_eq!(
        heard.changed.len(),
        2,
        "which of them owns it, a person decides"
    );
}

#[test]
fn more_addresses_than_any_machine_has_are_cut_off() {
    let mut desk = Desk::new(&[record("a", Some("i-0a"))]);
    let many = (0..2000).map(|number| std::net::Ipv4Addr::from_bits(number).into());
    let heard = desk.hears(&[Instance {
        addresses: many.collect(),
        ..instance("i-0a", Some("ip-10-0-0-1.internal"))
    }]);
    assert_eq!(heard.changed[0].addresses.len(), MAX_ADDRESSES);
    assert!(names(&heard.changed[0])[0].contains("ip-10-0-0-1"));
}
