//! The final state of a machine: no bootstrap credential, a record of its identity, and on a copied disk nothing of the
//! original machine.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails, which is what it should do"
)]

#[path = "support/authority.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod authority;
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod cluster;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/whole_run.rs"]
mod whole_run;

use std::fs;

use rollcall_node_agent::Exit;
use rollcall_node_agent::record::Record;
use rollcall_node_agent::store::Checkpoint;
use rollcall_node_agent::whoami::Instance;

use machine::Machine;
use whole_run::{run, scene};

const BOOTSTRAP: &str = "bootstrap.conf";
const KUBECONFIG: &str = "etc/kubelet.conf";
const CURRENT: &str = "kubelet/pki/kubelet-client-current.pem";

fn instance(id: &str) -> Instance {
    Instance {
        cloud: Some(id.to_owned()),
        hardware: None,
    }
}

/// Settings as in the unit.
fn as_in_the_unit(machine: &mut Machine) {
    machine.settings.instance = instance("i-1");
    machine.settings.keep_bootstrap = false;
    machine.settings.name_file = Some(machine.path("node.env"));
    machine.settings.state_dir = Some(machine.path("state"));
}

#[test]
fn the_credential_goes_when_the_identity_is_there_and_kubelet_learns_the_name() {
    let (cluster, mut machine) = scene();
    as_in_the_unit(&mut machine);
    run(&cluster, &machine, |_| ()).unwrap();
    assert!(!machine.path(BOOTSTRAP).exists());
    assert!(
        machine
            .text()
            .contains("bootstrap.conf, which is not needed any more")
    );
    let name = fs::read_to_string(machine.path("node.env")).unwrap();
    assert_eq!(
        (name.as_str(), machine.mode("node.env")),
        ("ROLLCALL_NODE_NAME=worker-0\n", 0o644)
    );
    let record = Record::read(&machine.path("state")).unwrap();
    assert_eq!(
        (record.node.as_str(), &record.instance),
        ("worker-0", &instance("i-1"))
    );
    assert_eq!(machine.mode("state/identity.json"), 0o640);

    // The next boot needs no credential, and the folder of the name is empty then.
    fs::remove_file(machine.path("node.env")).unwrap();
    let calls = cluster.calls();
    run(&cluster, &machine, |_| ()).unwrap();
    assert_eq!(cluster.calls(), calls);
    assert!(machine.path("node.env").exists());
}

#[test]
fn the_credential_stays_until_there_is_an_identity_or_when_it_is_to_be_kept() {
    let (cluster, mut machine) = scene();
    as_in_the_unit(&mut machine);
    cluster.deny();
    run(&cluster, &machine, |_| ()).unwrap_err();
    assert!(machine.path(BOOTSTRAP).exists());
    assert!(Record::read(&machine.path("state")).is_none());

    let (cluster, mut machine) = scene();
    as_in_the_unit(&mut machine);
    machine.settings.keep_bootstrap = true;
    run(&cluster, &machine, |_| ()).unwrap();
    assert!(machine.path(BOOTSTRAP).exists());
}

#[test]
fn a_run_that_is_killed_before_the_end_leaves_the_credential_to_the_next_one() {
    let (cluster, mut machine) = scene();
    as_in_the_unit(&mut machine);
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        run(&cluster, &machine, |at| {
            assert_ne!(at, Checkpoint::KeyRemoved, "killed")
        })
    }));
    assert!(killed.is_err() && machine.path(BOOTSTRAP).exists());
    run(&cluster, &machine, |_| ()).unwrap();
    assert!(!machine.path(BOOTSTRAP).exists());
    assert_eq!(cluster.requests(), 1);
}

#[test]
fn a_copied_disk_is_a_new_machine_and_nothing_of_the_old_one_is_used() {
    let (cluster, mut machine) = scene();
    as_in_the_unit(&mut machine);
    machine.settings.keep_bootstrap = true;
    run(&cluster, &machine, |_| ()).unwrap();
    let old = fs::read(machine.path(CURRENT)).unwrap();

    machine.settings.instance = instance("i-2");
    run(&cluster, &machine, |_| ()).unwrap();
    let text = machine.text();
    for part in [
        "copied from instance i-1",
        "this is instance i-2",
        "of-another-machine-",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(cluster.requests(), 2);
    assert_ne!(fs::read(machine.path(CURRENT)).unwrap(), old);
    for name in machine.names("kubelet/pki") {
        assert_ne!(
            fs::read(machine.path("kubelet/pki").join(name)).unwrap(),
            old
        );
    }
    assert_eq!(
        Record::read(&machine.path("state")).unwrap().instance,
        instance("i-2")
    );
    assert_eq!(machine.names("kubelet").len(), 2);
    // With evidence of the old key the cluster could mistake this for the old machine.
    for filed in cluster.filed() {
        assert!(!String::from_utf8_lossy(&filed).contains("EVIDENCE"));
    }
}

#[test]
fn a_copied_disk_without_a_credential_says_so_and_has_no_identity() {
    let (cluster, mut machine) = scene();
    as_in_the_unit(&mut machine);
    run(&cluster, &machine, |_| ()).unwrap();
    machine.settings.instance = instance("i-2");
    let error = run(&cluster, &machine, |_| ()).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage, "{error}");
    assert!(!machine.path(KUBECONFIG).exists() && !machine.path(CURRENT).exists());
    assert_eq!(cluster.requests(), 1);
}
