//! Which Nodes are adopted: each kind of Node that a Machine knows, and each that is not fit.

use rollcall_approver_core::{Change, Cluster, MachineReference, MachineUid, Policy};
use serde_json::{Value, json};

use super::super::super::tests::args;
use super::super::node::tests::{object, read};
use super::*;

fn now() -> Timestamp {
    "2026-11-24T18:00:00Z".parse().unwrap()
}

fn record(source: Source, name: &str) -> Machine {
    let reference = MachineReference {
        namespace: String::new(),
        name: name.to_owned(),
    };
    let uid = MachineUid(format!("{}-{name}", source.as_str()));
    Machine::new(source, uid, reference, now())
}

/// An ExpectedMachine for a node of its own name.
fn expected(name: &str) -> Machine {
    let own = rollcall_approver_core::Address::Hostname(name.parse().unwrap());
    Machine {
        addresses: vec![own],
        ..record(Source::ExpectedMachine, name)
    }
}

fn roll(machines: Vec<Machine>) -> Cluster {
    let mut cluster = Cluster::new(Policy::default(), []);
    for machine in machines {
        cluster.apply(Change::Machine(Box::new(machine)), now());
    }
    cluster
}

/// The plans for these Nodes, by these flags and beside these Machines.
fn plans(nodes: &[Value], machines: Vec<Machine>, flags: &[&str]) -> Vec<Plan> {
    plans_with(nodes, machines, flags, HashMap::new())
}

fn plans_with(
    nodes: &[Value],
    machines: Vec<Machine>,
    flags: &[&str],
    file: HashMap<String, Draft>,
) -> Vec<Plan> {
    let args = args(&[&["--from-nodes"], flags].concat());
    let nodes: Vec<Running> = nodes.iter().map(read).collect();
    let wishes = Wishes {
        args: &args,
        file,
        join_window: SignedDuration::from_hours(2),
        now: now(),
    };
    let cluster = roll(machines);
    plan(&nodes, &nodes, cluster.roll(), &Served::new(), &wishes)
}

fn word(fate: &Fate) -> String {
    match fate {
        Fate::Adopt(_) => "adopt".to_owned(),
        Fate::Bind(name) => format!("bind {name}"),
        Fate::Known => "known".to_owned(),
        Fate::Left => "left".to_owned(),
    }
}

/// What is changed of a Machine that is nobody's, and of the Node `worker-0`; what becomes of the Node, and words of why.
type Case = (
    &'static str,
    fn(&mut Vec<Machine>, &mut Value),
    &'static [&'static str],
    &'static str,
    &'static str,
);

const CASES: &[Case] = &[
    ("nobody knows it", |_, _| {}, &[], "adopt", "no addresses"),
    (
        "bound by another source",
        |machines, _| {
            let mut machine = record(Source::ClusterApi, "pool-x2v9k");
            machine.node_reference = "worker-0".parse().ok();
            machines.push(machine);
        },
        &[],
        "known",
        "Machine pool-x2v9k (clusterAPI) is bound to it",
    ),
    (
        "bound by an ExpectedMachine of another name",
        |machines, _| {
            let mut machine = expected("rack-1");
            machine.node_reference = "worker-0".parse().ok();
            machines.push(machine);
        },
        &["--node=worker-0"],
        "known",
        "ExpectedMachine rack-1 is bound to it",
    ),
    (
        "known by its providerID only",
        |machines, _| {
            let mut machine = record(Source::ClusterApi, "pool-1");
            machine.provider_id = Some("metal://worker-0".to_owned());
            machines.push(machine);
        },
        &[],
        "left",
        "Machine pool-1 (clusterAPI) is of the same instance (metal://worker-0), and is not bound yet",
    ),
    (
        "of an instance that is another Node",
        |machines, _| {
            let mut machine = record(Source::ClusterApi, "m");
            machine.provider_id = Some("metal://worker-0".to_owned());
            machine.node_reference = "worker-9".parse().ok();
            machines.push(machine);
        },
        &[],
        "left",
        "is Node worker-9",
    ),
    (
        "its name is owned by a Machine of a controller",
        |machines, _| {
            let mut machine = record(Source::OpenShift, "worker-a");
            let name = "worker-0".parse().unwrap();
            machine.addresses = vec![rollcall_approver_core::Address::InternalDns(name)];
            machines.push(machine);
        },
        &["--node=worker-0"],
        "left",
        "what keeps that Machine binds it",
    ),
    (
        "its name is owned by several Machines",
        |machines, _| {
            let mut twin = expected("worker-0");
            twin.uid = MachineUid("twin".to_owned());
            machines.extend([expected("worker-0"), twin]);
        },
        &["--node=worker-0"],
        "left",
        "several Machines own its name",
    ),
    (
        "an ExpectedMachine that waits for a machine of its name",
        |machines, _| machines.push(expected("worker-0")),
        &[],
        "left",
        "--node worker-0",
    ),
    (
        "the same, named by a person",
        |machines, _| machines.push(expected("worker-0")),
        &["--node=worker-0"],
        "bind worker-0",
        "is kept as it is",
    ),
    (
        "an ExpectedMachine that was made for it and not bound",
        |machines, _| {
            let mut machine = expected("worker-0");
            machine.adopted_node = Some("uid-worker-0".to_owned());
            machines.push(machine);
        },
        &[],
        "bind worker-0",
        "is kept as it is",
    ),
    (
        "one that was made for an earlier Node of that name",
        |machines, _| {
            let mut machine = expected("worker-0");
            machine.adopted_node = Some("uid-of-before".to_owned());
            machines.push(machine);
        },
        &[],
        "left",
        "is not bound",
    ),
    (
        "one of another instance",
        |machines, _| {
            let mut machine = expected("worker-0");
            machine.provider_id = Some("metal://another".to_owned());
            machines.push(machine);
        },
        &["--node=worker-0"],
        "left",
        "of another instance",
    ),
    (
        "one that is being deleted",
        |machines, _| {
            let mut machine = expected("worker-0");
            machine.deleting = true;
            machines.push(machine);
        },
        &["--node=worker-0"],
        "left",
        "being deleted",
    ),
    (
        "one that is another Node",
        |machines, _| {
            let mut machine = expected("worker-0");
            machine.node_reference = "worker-9".parse().ok();
            machines.push(machine);
        },
        &[],
        "left",
        "is Node worker-9",
    ),
    (
        "the name of its record is taken",
        |machines, _| {
            let mut machine = expected("another");
            machine.reference.name = "worker-0".to_owned();
            machines.push(machine);
        },
        &[],
        "left",
        "there is an ExpectedMachine worker-0 of another node",
    ),
    (
        "it is being deleted",
        |_, node| node["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z"),
        &[],
        "left",
        "it is being deleted",
    ),
    (
        "it is not Ready",
        |_, node| node["status"]["conditions"][0]["status"] = json!("Unknown"),
        &[],
        "adopt",
        "it is not Ready: if its machine is gone",
    ),
    (
        "it has no providerID, no status and no spec",
        |_, node| {
            node["spec"] = json!(null);
            node["status"] = json!(null);
        },
        &[],
        "adopt",
        "no addresses; it is not Ready",
    ),
    (
        "an empty providerID, and a Machine without one",
        |machines, node| {
            node["spec"]["providerID"] = json!("");
            machines.push(record(Source::ClusterApi, "m"));
        },
        &[],
        "adopt",
        "no addresses",
    ),
    (
        "addresses of its kubelet's, believed",
        |_, _| {},
        &["--kubelet-addresses"],
        "adopt",
        "10.0.0.1, CAUTION",
    ),
];

#[test]
fn each_node_is_adopted_or_said_why_not() {
    for (label, change, flags, fate, words) in CASES {
        let (mut machines, mut node) = (Vec::new(), object("worker-0", "10.0.0.1"));
        change(&mut machines, &mut node);
        let plans = plans(&[node], machines, flags);
        assert_eq!(word(&plans[0].fate), *fate, "{label}: {}", plans[0].message);
        assert!(
            plans[0].message.contains(words),
            "{label}: {}",
            plans[0].message
        );
    }
}

fn adopted(plan: &Plan) -> &ExpectedMachine {
    let Fate::Adopt(record) = &plan.fate else {
        panic!("{plan:?}")
    };
    record
}

#[test]
fn a_record_is_made_for_its_node_and_lets_nobody_join() {
    let plans = plans(
        &[object("worker-0.example", "10.0.0.1")],
        vec![],
        &["--kubelet-addresses", "--pool=metal"],
    );
    let record = adopted(&plans[0]);
    assert_eq!(
        serde_json::to_value(record).unwrap(),
        json!({
            "apiVersion": "rollcall.dev/v1alpha1", "kind": "ExpectedMachine",
            "metadata": {
                "name": "worker-0.example",
                "annotations": {
                    "rollcall.dev/adopted-node": "uid-worker-0.example",
                    "rollcall.dev/launched-at": "2026-10-31T22:00:00Z",
                },
            },
            "spec": {
                "nodeName": "worker-0.example", "addresses": ["10.0.0.1"], "joinBy": "2026-11-24T18:00:00Z",
                "pool": "metal", "providerID": "metal://worker-0.example",
            },
        })
    );
}

#[test]
fn two_nodes_of_one_instance_are_both_left() {
    let mut twin = object("worker-1", "10.0.0.2");
    twin["spec"]["providerID"] = json!("metal://worker-0");
    let nodes = [
        object("worker-0", "10.0.0.1"),
        twin,
        object("worker-2", "10.0.0.3"),
    ];
    let plans = plans(&nodes, vec![], &[]);
    let fates: Vec<String> = plans.iter().map(|plan| word(&plan.fate)).collect();
    assert_eq!(fates, ["left", "left", "adopt"]);
    assert!(
        plans[0]
            .message
            .contains("Node worker-1 has the same providerID")
    );
}

#[test]
fn long_names_and_odd_provider_ids_are_no_hindrance() {
    let long = format!("{}.{}.example", "a".repeat(63), "b".repeat(100));
    let mut nodes = [object(&long, "10.0.0.1"), object("worker-0", "10.0.0.2")];
    nodes[1]["spec"]["providerID"] = json!("Odd Provider");
    let plans = plans(&nodes, vec![], &[]);
    assert_eq!(adopted(&plans[0]).spec.node_name, long);
    assert_eq!(adopted(&plans[1]).spec.provider_id, None);
}

#[test]
fn what_a_file_says_of_a_node_is_its_record() {
    let content = "name,nodeName,addresses,providerID,pool\n\
                   rack-1,worker-0,10.9.0.1 rack-1.example,,metal\n\
                   worker-1,,,metal://other,\n\
                   worker-2,,nowhere!,,\n";
    let text = super::super::super::files::text("hosts.csv", content);
    let drafts = super::super::super::files::drafts(vec![text], &args(&["--from=-"])).unwrap();
    let file = drafts
        .into_iter()
        .map(|draft| (draft.node_text().to_owned(), draft));
    let nodes = ["worker-0", "worker-1", "worker-2"].map(|name| object(name, "10.0.0.1"));
    let plans = plans_with(&nodes, vec![], &["--kubelet-addresses"], file.collect());
    let record = adopted(&plans[0]);
    assert_eq!(record.metadata.name.as_deref(), Some("rack-1"));
    assert_eq!(record.spec.addresses, ["10.9.0.1", "rack-1.example"]);
    assert_eq!(record.spec.provider_id.as_deref(), Some("metal://worker-0"));
    assert_eq!(record.spec.pool.as_deref(), Some("metal"));
    assert_eq!(plans[0].origin.as_str(), "file");
    assert!(
        plans[0].message.contains("from hosts.csv:2"),
        "{}",
        plans[0].message
    );
    for (plan, words) in [
        (&plans[1], "hosts.csv:3: providerID"),
        (&plans[2], "hosts.csv:4: addresses"),
    ] {
        assert_eq!(plan.fate, Fate::Left);
        assert!(plan.message.contains(words), "{}", plan.message);
    }
}
