mod refusals;

use jiff::Timestamp;

use super::VARIABLES;
use crate::cli::expect::check;
use crate::cli::expect::files::{drafts, text};
use crate::cli::expect::tests::args;
use crate::expected_machine::ExpectedMachine;

/// OpenShift 3.11, as its installation guide has it.
const OPENSHIFT: &str = r#"
# Create an OSEv3 group that contains the masters, nodes, and etcd groups
[OSEv3:children]
masters
nodes
etcd
lb
new_nodes # scale-up

[OSEv3:vars]
ansible_ssh_user=root
openshift_deployment_type=openshift-enterprise
openshift_master_identity_providers=[{'name': 'htpasswd_auth', 'login': 'true', 'challenge': 'true'}]

[masters]
master[1:3].example.com

[etcd]
master1.example.com
master2.example.com
master3.example.com

[lb]
lb.example.com

; host group for nodes, includes region info
[nodes]
master[1:3].example.com openshift_node_group_name='node-config-master'
infra-node1.example.com openshift_node_group_name='node-config-infra'
node[01:03].example.com:2222   openshift_node_group_name="node-config-compute" openshift_node_labels="{'region': 'primary', 'zone': 'east'}"   # compute

[new_nodes]
node4.example.com ansible_host=10.0.0.4 rollcall_addresses="10.1.0.4 node4.storage.example.com" rollcall_join_by=2026-12-01T00:00:00Z
"#;

/// The same machines in both formats.
const INI: &str = r#"
jump ansible_host=192.0.2.1 rollcall_pool=tools

[kube_control_plane]
cp-1 ansible_host=10.0.0.1

[workers]
worker-1 ansible_host=10.0.0.11 ansible_user='core'
worker-2 ansible_host=worker-2 rollcall_node_name=node-2.example rollcall_provider_id=metal://rack/2
10.0.0.13 rollcall_node_name=node-3.example
Worker_4 rollcall_name=worker-4 rollcall_addresses="['10.0.0.14', '2001:DB8::14']"

[gpu]
gpu-[a:b]

[gpu:vars]
driver="535"

[k8s:children]
kube_control_plane
compute

[compute:children]
workers
gpu
"#;
const YAML: &str = r#"
---
all:
  hosts:
    jump: {ansible_host: 192.0.2.1, rollcall_pool: tools}
  vars:
    "{{ anything }}": [1, {2: 3}]
  children:
    k8s:
      children:
        kube_control_plane:
          hosts:
            cp-1: {ansible_host: 10.0.0.1}
        compute:
          children:
            workers:
            gpu:
workers:
  hosts:
    worker-1:
      ansible_host: 10.0.0.11
      ansible_user: core
      ansible_become_password: !vault |
        $ANSIBLE_VAULT;1.1;AES256
        6231
      template: !unsafe "{{ not read }}"
    worker-2:
      ansible_host: worker-2
      rollcall_node_name: node-2.example
      rollcall_provider_id: metal://rack/2
      rollcall_pool: null
    10.0.0.13:
      rollcall_node_name: node-3.example
    Worker_4:
      rollcall_name: worker-4
      rollcall_addresses:
      - 10.0.0.14
      - 2001:DB8::14
gpu:
  hosts: gpu-[a:b]
  vars: {driver: 535}
"#;

fn now() -> Timestamp {
    "2026-11-24T18:00:00Z".parse().unwrap()
}

/// What is expected, a machine a line; or what is wrong.
fn expect(files: &[(&str, &str)], flags: &[&str]) -> Result<String, String> {
    let flags = [["--from=-"].as_slice(), flags].concat();
    let texts = files.iter().map(|(name, content)| text(name, content));
    let drafts = drafts(texts.collect(), &args(&flags)).map_err(|error| error.to_string())?;
    let (machines, wrong) = check(drafts, now());
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let lines: Vec<String> = machines.iter().map(line).collect();
    Ok(lines.join("\n"))
}

/// `NAME [NODE] [ADDRESSES] field=value...`
fn line(machine: &ExpectedMachine) -> String {
    let (name, spec) = (machine.metadata.name.as_deref().unwrap(), &machine.spec);
    let mut words = vec![name.to_owned()];
    if spec.node_name != name {
        words.push(spec.node_name.clone());
    }
    words.push(format!("[{}]", spec.addresses.join(" ")));
    for (field, value) in [
        ("pool", spec.pool.clone()),
        ("id", spec.provider_id.clone()),
        ("by", spec.join_by.map(|at| at.to_string())),
        ("key", spec.join_key.clone()),
    ] {
        words.extend(value.map(|value| format!("{field}={value}")));
    }
    words.join(" ")
}

#[test]
fn an_inventory_of_openshift_is_read() {
    let read = |flags: &[&str]| expect(&[("hosts", OPENSHIFT)], flags);
    let new = "node4.example.com [10.0.0.4 10.1.0.4 node4.storage.example.com] pool=new_nodes by=2026-12-01T00:00:00Z";
    assert_eq!(read(&["--group=new_nodes"]).as_deref(), Ok(new));
    let all = "master1.example.com []\n\
               master2.example.com []\n\
               master3.example.com []\n\
               lb.example.com [] pool=lb\n\
               infra-node1.example.com [] pool=nodes\n\
               node01.example.com [] pool=nodes\n\
               node02.example.com [] pool=nodes\n\
               node03.example.com [] pool=nodes\n";
    for flags in [
        [].as_slice(),
        &["--group=OSEv3"],
        &["--group=all", "--group=lb"],
    ] {
        assert_eq!(read(flags), Ok(format!("{all}{new}")), "{flags:?}");
    }
    let nodes = read(&["--group=nodes", "--pool=default"]).unwrap();
    assert_eq!(nodes.lines().count(), 7);
    assert!(nodes.contains("master1.example.com [] pool=default\n"));
}

#[test]
fn the_example_of_the_documentation_is_true() {
    let docs = include_str!("../../../../../docs/cli.md");
    let example = docs.split_once("$ cat hosts.ini\n").unwrap().1;
    let (ini, rest) = example.split_once("\n$ rollcall-approver ").unwrap();
    let rest = rest.split_once("```").unwrap().0;
    let (command, table) = rest.split_once('\n').unwrap();
    assert_eq!(
        command,
        "expect --from hosts.ini --group workers --join-by 2h"
    );
    let flags = ["--group=workers", "--join-by=2h"];
    let read = expect(&[("hosts.ini", ini)], &flags).unwrap();
    assert_eq!(read.lines().count(), 5, "{read}");
    assert_eq!(table.lines().count(), 6, "{table}");
    for (line, row) in read.lines().zip(table.lines().skip(1)) {
        let [name, node, by, outcome] = row
            .split_whitespace()
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        assert!(line.starts_with(&format!("{name} [")), "{line}: {row}");
        assert!(line.ends_with(&format!(" by={by}")), "{line}: {row}");
        assert_eq!((node, outcome), (name, "created"));
    }
    for variable in VARIABLES {
        assert!(docs.contains(&format!("`{variable}`")), "{variable}");
    }
}

#[test]
fn ini_and_yaml_say_the_same() {
    let workers = "worker-1 [10.0.0.11] pool=workers\n\
                   worker-2 node-2.example [worker-2] pool=workers id=metal://rack/2\n\
                   10.0.0.13 node-3.example [10.0.0.13] pool=workers\n\
                   worker-4 [10.0.0.14 2001:db8::14] pool=workers";
    let gpu = "gpu-a [] pool=gpu\ngpu-b [] pool=gpu";
    let control_plane = "cp-1 [10.0.0.1] pool=kube_control_plane";
    let jump = "jump [192.0.2.1] pool=tools";
    for file in [
        ("hosts.ini", INI),
        ("hosts.yaml", YAML),
        ("standard input", YAML),
    ] {
        for (flags, expected) in [
            (
                [].as_slice(),
                [jump, control_plane, workers, gpu].as_slice(),
            ),
            (&["--group=workers"], &[workers]),
            (&["--group=gpu", "--group=workers"], &[workers, gpu]),
            (&["--group=compute"], &[workers, gpu]),
            (&["--group=compute", "--group=gpu"], &[workers, gpu]),
            (&["--group=k8s"], &[control_plane, workers, gpu]),
            (&["--group=ungrouped"], &[jump]),
        ] {
            let read = expect(&[file], flags);
            assert_eq!(read, Ok(expected.join("\n")), "{} {flags:?}", file.0);
        }
    }
}

#[test]
fn what_ansible_writes_of_all_its_sources_is_read() {
    // ansible-inventory 2.19, with a group's variables in a file beside the inventory.
    let dump = "all:\n  children:\n    k8s:\n      children:\n        gpu:\n          hosts:\n            gpu-1:\n              \
                disks: &id001\n              - a: b\n              rollcall_join_by: '2026-12-01T00:00:00Z'\n            gpu-2:\n              \
                disks: *id001\n              rollcall_join_by: '2026-12-01T00:00:00Z'\n        workers:\n          hosts:\n            \
                gpu-2: {}\n    ungrouped:\n      hosts:\n        jump: {}\n";
    let expected =
        "gpu-1 [] pool=gpu by=2026-12-01T00:00:00Z\ngpu-2 [] by=2026-12-01T00:00:00Z\njump []";
    let read = expect(&[("standard input", dump)], &[]);
    assert_eq!(read.as_deref(), Ok(expected));
}

#[test]
fn a_host_in_several_places_is_one_machine() {
    let ini = "[a]\nw ansible_host=10.0.0.1 rollcall_addresses='10.0.1.1 w.example'\n[b]\nw ansible_host=10.0.0.1\nw:22 ansible_host= rollcall_pool=\n[c]\nx\n";
    let yaml = "b: {hosts: {w: {rollcall_addresses: [10.0.1.1, w.example]}}}\nc: {hosts: {x: {rollcall_join_by: 1h}}}\n";
    let both = [("one.ini", ini), ("two.yaml", yaml)];
    let expected = "w [10.0.0.1 10.0.1.1 w.example]\nx [] pool=c by=2026-11-24T19:00:00Z";
    assert_eq!(expect(&both, &[]).as_deref(), Ok(expected));
    // Who is a child of a group may stand in another file than the group.
    let files = [("one", "[a:children]\nb\n"), ("two.ini", "[b]\nw\n")];
    let read = expect(&files, &["--group=a"]);
    assert_eq!(read.as_deref(), Ok("w [] pool=b"));
}

#[test]
fn a_list_and_an_inventory_may_stand_side_by_side() {
    let files = [("a.csv", "name,pool\nw,metal\n"), ("b.ini", "[c]\nx\n")];
    let read = expect(&files, &["--pool=other"]);
    assert_eq!(read.as_deref(), Ok("w [] pool=metal\nx [] pool=c"));
    let files = [("b.ini", "[c]\nx\n"), ("a.csv", "name,pool\nx,metal\n")];
    let wrong = "b.ini:2: name: \"x\" is there already, in a.csv:2";
    assert_eq!(expect(&files, &[]), Err(wrong.to_owned()));
}

#[test]
fn an_ini_is_told_by_its_name_or_by_a_section() {
    for (name, content) in [
        ("hosts.ini", "w\n"),
        ("hosts", "[a]\nw\n"),
        (
            "standard input",
            "\n# hosts\n; of all\n\n[ungrouped] # none\nw\n",
        ),
        ("hosts", "w\n[a]\n"),
        ("hosts.yaml", "[a]\r\nw\r\n"),
    ] {
        let read = expect(&[(name, content)], &[]).unwrap();
        assert!(read.starts_with("w []"), "{content}");
    }
    let list = "[{\"name\": \"w\"},\n{\"name\": \"x\", \"addresses\":\n[\"y\"]\n}]\n";
    let read = expect(&[("hosts.json", list)], &[]);
    assert_eq!(read.as_deref(), Ok("w []\nx [y]"));
}
