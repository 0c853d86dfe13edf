//! What is wrong with an inventory, and how that is told.

use proptest::prelude::*;

use super::*;
use crate::cli::expect::inventory::{Inventory, ini};

/// A file, what is in it, and how what is wrong with its host is told.
const HOSTS: &[(&str, &str, &str)] = &[
    ("h.ini", "Worker_1\n", "h.ini:1: name: \"Worker_1\": "),
    (
        "h.ini",
        "w\n\nx rollcall_name=X\n",
        "h.ini:3: rollcall_name: \"X\": ",
    ),
    (
        "h.ini",
        "w rollcall_node_name=X\n",
        "h.ini:1: rollcall_node_name: \"X\": ",
    ),
    (
        "h.ini",
        "w ansible_host=10.0.0.300\n",
        "h.ini:1: ansible_host: \"10.0.0.300\" is neither",
    ),
    (
        "h.ini",
        "w ansible_host=127.0.0.1\n",
        "h.ini:1: ansible_host: 127.0.0.1: no machine",
    ),
    (
        "h.ini",
        "w rollcall_addresses='a b,c'\n",
        "h.ini:1: rollcall_addresses: \"b,c\" is neither",
    ),
    (
        "h.ini",
        "w rollcall_addresses=\"['a'\"\n",
        "h.ini:1: rollcall_addresses: \"['a'\" is neither",
    ),
    (
        "h.ini",
        "w rollcall_provider_id=x\n",
        "h.ini:1: rollcall_provider_id: \"x\" is no provider ID",
    ),
    (
        "h.ini",
        "w rollcall_join_by=later\n",
        "h.ini:1: rollcall_join_by: \"later\" is neither a duration",
    ),
    (
        "h.ini",
        "w rollcall_join_key=x\n",
        "h.ini:1: rollcall_join_key: it is no public key",
    ),
    (
        "h.ini",
        "w rollcall_pool=-\n",
        "h.ini:1: rollcall_pool: \"-\" is no name of a pool",
    ),
    (
        "h.ini",
        "[a,b]\nw\n",
        "h.ini:2: pool: \"a,b\" is no name of a pool",
    ),
    (
        "h.ini",
        "localhost ansible_connection=local\n",
        "h.ini:1: name: this is the machine that Ansible runs on",
    ),
    (
        "h.ini",
        "w ansible_host='{{ ip }}'\n",
        "h.ini:1: ansible_host: this value is a template",
    ),
    (
        "h.ini",
        "[a]\nw rollcall_pool=p\n[b]\nw rollcall_pool=q\n",
        "h.ini:4: rollcall_pool: \"q\" of w, but \"p\" in h.ini:2",
    ),
    (
        "h.ini",
        "w rollcall_pool=p rollcall_pool=q\n",
        "h.ini:1: rollcall_pool: \"q\" of w, but \"p\" in h.ini:1",
    ),
    (
        "h.yaml",
        "a: {hosts: {w: {rollcall_addresses: [a, b]}}}\nb:\n  hosts:\n    w:\n      rollcall_addresses: a\n",
        "h.yaml:5: rollcall_addresses: \"a\" of w, but \"a b\" in h.yaml:1",
    ),
    (
        "h.yaml",
        "all:\n  hosts:\n    w:\n      rollcall_addresses:\n      - ok.example\n      - \"{{ ip }} {{ other }}\"\n",
        "h.yaml:6: rollcall_addresses: this value is a template",
    ),
    (
        "h.yaml",
        "all:\n  hosts:\n    w:\n      rollcall_pool: !vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        3132\n",
        "h.yaml:5: rollcall_pool: this value is encrypted with Ansible Vault",
    ),
    (
        "h.yaml",
        "all:\n  hosts:\n    - w\n",
        "h.yaml: invalid type: sequence, expected a mapping",
    ),
];

#[test]
fn what_is_wrong_with_a_host_is_told_with_file_line_and_variable() {
    for (name, content, expected) in HOSTS {
        let wrong = expect(&[(*name, *content)], &[]).unwrap_err();
        assert!(wrong.starts_with(expected), "{content}: {wrong}");
    }
    // What is wrong with hosts that nobody chose does not matter.
    let other = "[a]\nLB_1 ansible_host='{{ ip }}' rollcall_pool=p\nLB_1 rollcall_pool=q\n[b]\nw\n";
    let read = expect(&[("h.ini", other)], &["--group=b"]);
    assert_eq!(read.as_deref(), Ok("w [] pool=b"));
}

/// A file, what is in it, and why nothing can be made of it.
const FILES: &[(&str, &str, &str)] = &[
    (
        "h.ini",
        "[a]\nw\n[b c]\n",
        "h.ini:3: section: [b c] is no section",
    ),
    (
        "h.ini",
        "[a:hosts]\n[a:host]\n",
        "h.ini:2: section: [a:host] is no section",
    ),
    ("h.ini", "[]\n", "h.ini:1: section: [] is no section"),
    (
        "h.ini",
        "w ansible_host = 10.0.0.1\n",
        "h.ini:1: host: \"ansible_host\" is no key=value",
    ),
    (
        "h.ini",
        "w a='b\n",
        "h.ini:1: host: a quote or an escape is not ended",
    ),
    (
        "h.ini",
        "'\n",
        "h.ini:1: host: a quote or an escape is not ended",
    ),
    ("h.ini", "w-[1:3\n", "h.ini:1: host: \"w-[1:3\" lacks the ]"),
    (
        "h.ini",
        "[a:children]\nb c\n",
        "h.ini:2: children: \"b c\" is no name of a group",
    ),
    (
        "h.ini",
        "[a:children]\nb\n[b:vars]\nx=y\n",
        "h.ini:2: children: a has the child \"b\", but",
    ),
    (
        "h.ini",
        "[a:children]\nall\n",
        "h.ini:2: children: a cannot be above all",
    ),
    (
        "h.ini",
        "[a:children]\na\n",
        "h.ini:2: children: a group stands below itself: a > a",
    ),
    (
        "h.ini",
        "[top:children]\na\n[a:children]\nb\n[b:children]\nc\nleaf\n[c:children]\nb\n[leaf]\nw\n",
        "h.ini:9: children: a group stands below itself: b > c > b",
    ),
    (
        "h.ini",
        "[b]\nw\n[a:vars]\nx=y\nrollcall_pool=z\n[a:children]\nb\n",
        "h.ini:5: rollcall_pool: variables of a group (a)",
    ),
    (
        "h.ini",
        "w-[1:9999]\nx-[1:2]\n",
        "h.ini:2: host: \"x-[1:2]\" is too much",
    ),
    ("h.ini", "", "h.ini: there is no machine in it"),
    (
        "h.ini",
        "[a]\n[b:vars]\nx=y\n",
        "h.ini: there is no machine in it",
    ),
    (
        "h.ini",
        "$ANSIBLE_VAULT;1.1;AES256\n6231\n",
        "h.ini: this file is encrypted",
    ),
    (
        "h.yaml",
        "all: {hosts: {}}\n",
        "h.yaml: there is no machine in it",
    ),
    (
        "h.yaml",
        "a: {hosts: {w: {}}, vars: {rollcall_pool: z}}\n",
        "h.yaml:1: rollcall_pool: variables of a group (a)",
    ),
    (
        "h.yaml",
        "a:\n  children:\n    b:\n      children:\n        a:\n",
        "h.yaml:3: children: a group stands below itself: b > a > b",
    ),
    (
        "h.yaml",
        "a:\n  w:\n",
        "h.yaml: unknown field `w`, expected one of hosts, children, vars at line 2",
    ),
    (
        "h.yaml",
        "kind: Node\n",
        "h.yaml: invalid type: string \"Node\", expected a group of an Ansible inventory",
    ),
    (
        "h.yaml",
        "a: {hosts: {w: {rollcall_pool: [p]}}}\n",
        "h.yaml: expected string scalar at line 1",
    ),
    (
        "h.yaml",
        "a:\n  hosts:\n    w:\n    w:\n",
        "h.yaml: duplicate mapping key: w",
    ),
    (
        "h.yaml",
        "plugin: amazon.aws.aws_ec2\n",
        "h.yaml: plugin: this configures a plug-in",
    ),
    (
        "h.json",
        "{\"_meta\": {\"hostvars\": {}}}",
        "h.json: _meta: this is what an inventory script writes",
    ),
];

#[test]
fn a_file_that_is_no_inventory_says_what_it_should_be() {
    for (name, content, expected) in FILES {
        let error = expect(&[(*name, *content)], &[]).unwrap_err();
        assert!(error.starts_with(expected), "{content}: {error}");
    }
}

#[test]
fn a_group_that_cannot_be_chosen_says_so() {
    let inventory = ("h.ini", "[a]\n[b:children]\na\nc\n[c]\nw\n[d:vars]\nx=y\n");
    let table = ("h.csv", "name\nw\n");
    let list = ("h.yaml", "- name: w\n");
    for (files, group, expected) in [
        (
            [inventory].as_slice(),
            "d",
            "--group: there is no group \"d\"; there are a, all, b, c, ungrouped",
        ),
        (&[inventory], "a", "--group a: there is no machine in it"),
        (
            &[table],
            "all",
            "h.csv: this is no Ansible inventory, and so --group chooses nothing in it",
        ),
        (
            &[inventory, list],
            "c",
            "h.yaml: this is no Ansible inventory, and so --group chooses nothing in it",
        ),
    ] {
        let error = expect(files, &["--group", group]).unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn a_variable_that_is_not_read_is_warned_of() {
    let mut inventory = Inventory::default();
    let ini = "[a]\nw rollcall_adresses=b other=c\nx rollcall_adresses=b rollcall_pool=c\n[a:vars]\nrollcall_version=1\n";
    ini::read(&text("h.ini", ini), &mut inventory).unwrap();
    let [warning] = inventory.warnings().collect::<Vec<_>>().try_into().unwrap();
    assert!(warning.starts_with(
        "h.ini:2: rollcall_adresses: no such variable is read; there are ansible_host, "
    ));
}

#[test]
fn depth_and_size_have_limits() {
    let deep = |depth: usize| -> String {
        let level = |n: usize| format!("{0}g{n}:\n{0}  children:\n", "    ".repeat(n));
        (0..depth).map(level).collect()
    };
    for (depth, expected) in [(24, "no machine"), (25, "Depth"), (5000, "Depth")] {
        let error = expect(&[("h.yaml", &deep(depth))], &[]).unwrap_err();
        assert!(error.contains(expected), "{depth}: {error}");
    }
    // Neither how many groups stand below each other in INI nor how many there are.
    let chain = |n: usize| format!("[g{n}:children]\ng{}\n", n + 1);
    let mut long: String = (0..20_000).map(chain).collect();
    long.push_str("[g20000]\nw\n");
    let read = expect(&[("h.ini", &long)], &["--group=g0"]);
    assert_eq!(read.as_deref(), Ok("w [] pool=g20000"));
    long.push_str("[g20000:children]\ng0\n");
    let error = expect(&[("h.ini", &long)], &["--group=g0"]).unwrap_err();
    assert!(error.contains("stands below itself"), "{}", error.len());
}

proptest! {
    /// Lines as they stand in inventories, in any order and broken in any way.
    #[test]
    fn nothing_that_is_handed_in_makes_it_panic(
        name in prop::sample::select(vec!["h.ini", "h.yaml", "h.csv", "h"]),
        text in "(\\[?[a-c]{0,2}(:children|:vars|:[0-9])?\\]?[ :]{0,2}|hosts:|children:|[a-c]=|[\\[\\]{}'\"#;:,\\-|&*!%$\\\\ 0-9]|ansible_host[=:]|\\PC|\n|\n +){0,40}",
    ) {
        let read = expect(&[(name, &text)], &[]);
        prop_assert!(read.is_ok() || read.is_err_and(|error| error.len() > 10));
    }
}
