use clap::Parser as _;

use super::*;
use crate::cli::expect::files::{drafts, text};
use crate::{Args, Command};

const NOW: &str = "2026-11-24T18:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub(super) fn args(arguments: &[&str]) -> ExpectArgs {
    let all = ["rollcall-approver", "expect"].iter().chain(arguments);
    let command = Args::try_parse_from(all).unwrap().command;
    let Command::Expect(args) = command else {
        panic!("{command:?}")
    };
    args
}

fn read(name: &str, content: &str) -> Result<Vec<Draft>, InputError> {
    drafts(vec![text(name, content)], &args(&["--from=-"]))
}

fn told(wrong: &[Wrong]) -> Vec<String> {
    wrong.iter().map(ToString::to_string).collect()
}

#[test]
fn the_command_line_describes_one_machine() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&file, key.public_key_pem()).unwrap();
    let file = file.display().to_string();
    let args = args(&[
        "rack-1",
        "--node-name=worker-1.example",
        "--address=10.0.0.1",
        "--address=Worker-1.Example.",
        "--address=2001:DB8::1",
        "--address=10.0.0.1",
        "--provider-id=metal://rack-1",
        "--join-by=2h",
        "--join-key",
        &file,
        "--pool=metal",
    ]);
    let draft = Draft::of_arguments("rack-1", &args).unwrap();
    let (machines, wrong) = check(vec![draft], now());
    assert_eq!(told(&wrong), Vec::<String>::new());
    let spec = &machines[0].spec;
    assert_eq!(spec.node_name, "worker-1.example");
    assert_eq!(
        spec.addresses,
        ["10.0.0.1", "worker-1.example", "2001:db8::1"]
    );
    assert_eq!(spec.join_by, Some("2026-11-24T20:00:00Z".parse().unwrap()));
    assert_eq!(spec.provider_id.as_deref(), Some("metal://rack-1"));
    assert_eq!(spec.pool.as_deref(), Some("metal"));
    let pem = key.public_key_pem().replace(['\n', '\r'], "");
    assert!(pem.contains(spec.join_key.as_deref().unwrap()), "{spec:?}");
}

#[test]
fn a_file_without_a_public_key_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.pem");
    std::fs::write(&file, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let file = file.display().to_string();
    let args = args(&["rack-1", "--join-key", &file]);
    let error = Draft::of_arguments("rack-1", &args)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&file) && error.contains("PUBLIC KEY"),
        "{error}"
    );
}

#[test]
fn csv_and_yaml_say_the_same() {
    let table = "name,addresses,joinBy,pool\n\
                 # the first rack\n\
                 worker-0,10.0.0.1 worker-0.example,2026-12-01T00:00:00Z,metal\n\
                 worker-1,,,\n";
    let list = "- name: worker-0\n  addresses: [10.0.0.1, worker-0.example]\n  joinBy: 2026-12-01T00:00:00Z\n  pool: metal\n\
                - {name: worker-1}\n";
    let both = [
        read("hosts.csv", table).unwrap(),
        read("hosts.yaml", list).unwrap(),
    ];
    for drafts in both {
        let defaults = args(&["--from=x", "--pool=other", "--join-by=1h"]);
        let drafts = drafts.into_iter().map(|one| one.with_defaults(&defaults));
        let (machines, wrong) = check(drafts.collect(), now());
        assert_eq!(told(&wrong), Vec::<String>::new());
        let specs: Vec<_> = machines.iter().map(|machine| &machine.spec).collect();
        assert_eq!(specs[0].addresses, ["10.0.0.1", "worker-0.example"]);
        assert_eq!(
            specs[0].join_by,
            Some("2026-12-01T00:00:00Z".parse().unwrap())
        );
        assert_eq!(specs[0].pool.as_deref(), Some("metal"));
        assert_eq!(specs[1].node_name, "worker-1");
        assert_eq!(
            specs[1].join_by,
            Some("2026-11-24T19:00:00Z".parse().unwrap())
        );
        assert_eq!(specs[1].pool.as_deref(), Some("other"));
    }
}

#[test]
fn everything_that_is_wrong_is_told_with_file_line_and_field() {
    let table = "name,nodeName,addresses,providerID,joinBy,joinKey,pool\n\
                 worker-0,,10.0.0.1,,,,\n\
                 Worker_1,,,,,,\n\
                 worker-2,worker-2.,10.0.0.300 127.0.0.1 *,none,2026-11-24T17:00:00Z,key,-\n\
                 ,,,,later,,\n\
                 worker-0,,,,,,\n\
                 other,worker-0,,,,,\n";
    let drafts = read("hosts.csv", table).unwrap();
    let (machines, wrong) = check(drafts, now());
    assert_eq!(machines.len(), 1);
    let wrong = told(&wrong);
    let expected = [
        "hosts.csv:3: name: \"Worker_1\": ",
        "hosts.csv:3: nodeName: \"Worker_1\": ",
        "hosts.csv:4: nodeName: \"worker-2.\": ",
        "hosts.csv:4: addresses: \"10.0.0.300\" is neither",
        "hosts.csv:4: addresses: 127.0.0.1: no machine",
        "hosts.csv:4: addresses: \"*\" is neither",
        "hosts.csv:4: joinBy: \"2026-11-24T17:00:00Z\" has passed already",
        "hosts.csv:4: joinKey: it is no public key",
        "hosts.csv:4: providerID: \"none\" is no provider ID",
        "hosts.csv:4: pool: \"-\" is no name of a pool",
        "hosts.csv:5: name: \"\": the name is empty",
        "hosts.csv:5: nodeName: \"\": the name is empty",
        "hosts.csv:5: joinBy: \"later\" is neither a duration",
        "hosts.csv:6: name: \"worker-0\" is there already, in hosts.csv:2",
        "hosts.csv:7: nodeName: \"worker-0\" is there already, in hosts.csv:2",
    ];
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for (told, expected) in wrong.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} but {expected}");
    }
    let list = "- name: worker-0\n- name: worker-1\n  addresses:\n  - 10.0.0.1\n  - nowhere!\n";
    let (_, wrong) = check(read("hosts.yaml", list).unwrap(), now());
    assert_eq!(
        told(&wrong),
        ["hosts.yaml:5: addresses: \"nowhere!\" is neither an IP address nor a DNS name"]
    );
}

#[test]
fn a_file_of_another_shape_says_what_it_should_be() {
    for (table, expected) in [
        ("name,address\na,b\n", "has a column \"address\""),
        ("name,name\na,b\n", "the column name twice"),
        ("nodeName\na\n", "no column name"),
        (
            "name,pool\na\n",
            "line 2 has 1 fields, but the header has 2",
        ),
    ] {
        let error = read("hosts.csv", table).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (list, expected) in [
        ("- name: a\n  address: b\n", "address"),
        ("- nodeName: a\n", "name"),
        ("a: b\n", "line 1"),
        ("a\n", "a list of machines, or an Ansible inventory"),
        ("- [\n", "line"),
    ] {
        let error = read("hosts.yaml", list).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn very_many_addresses_are_too_many() {
    let addresses: Vec<String> = (0..70).map(|n| format!("10.0.1.{n}")).collect();
    let list = format!("- {{name: a, addresses: [{}]}}\n", addresses.join(", "));
    let (_, wrong) = check(read("hosts.yaml", &list).unwrap(), now());
    assert_eq!(
        told(&wrong),
        ["hosts.yaml:1: addresses: 70 are too many; 64 are allowed"]
    );
}

#[test]
fn very_many_machines_are_not_too_many() {
    let machine = |n: usize| format!("- {{name: w-{n}, addresses: [a, b, c, d], pool: p}}\n");
    let list: String = (0..25_000).map(machine).collect();
    assert_eq!(read("hosts.yaml", &list).unwrap().len(), 25_000);
}
