//! The outputs that are checked in.

use std::collections::BTreeSet;

use super::{answer, golden};

/// Each output that is checked in, and the flags that make it.
pub(super) const OUTPUTS: [(&str, &[&str]); 8] = [
    ("kubelet.yaml", &[]),
    (
        "kubelet-everything.yaml",
        &[
            "--registry-credentials=registry.json",
            "--kubelet-config=kubelet-config.yaml",
            "--kubelet-client-ca=kubelet-client-ca.crt",
            "--node-name-from=ec2-private-dns,host-name",
            "--join-key=join-key.pem",
            "--agent-flag=timeout=30m",
            "--agent-flag=log-format=json",
            "--file=/etc/motd:0644=motd",
            "--unit=data-disk.service",
        ],
    ),
    (
        "openshift4.yaml",
        &[
            "--flavour=openshift4",
            "--registry-credentials=registry.json",
            "--kubelet-client-ca=kubelet-client-ca.crt",
        ],
    ),
    (
        "openshift311.yaml",
        &[
            "--flavour=openshift311",
            "--registry-credentials=registry.json",
        ],
    ),
    (
        "openshift311-enterprise-infra.yaml",
        &[
            "--flavour=openshift311",
            "--node-service=atomic-openshift-node.service",
            "--node-config-name=node-config-infra",
        ],
    ),
    ("merged.mime", &["--merge=own.yaml", "--merge=own.sh"]),
    (
        "launch-template.json",
        &[
            "--flavour=openshift311",
            "--format=launch-template",
            "--name=mycluster-LT",
        ],
    ),
    (
        "secret.yaml",
        &[
            "--flavour=openshift4",
            "--format=secret",
            "--name=worker-user-data",
        ],
    ),
];

#[test]
fn the_outputs_that_are_checked_in_are_what_is_made() {
    let write = std::env::var_os("ROLLCALL_GOLDEN").is_some_and(|value| value == "write");
    for (name, flags) in OUTPUTS {
        let path = golden().join(name);
        let made = answer(flags);
        if write {
            std::fs::write(&path, &made).unwrap();
        }
        assert!(
            std::fs::read(&path).unwrap_or_default() == made,
            "{name} is not what is made now; look at it with git diff after ROLLCALL_GOLDEN=write cargo test -p \
             rollcall-approver --test user_data"
        );
    }
    let entries = std::fs::read_dir(golden()).unwrap();
    let there: BTreeSet<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "inputs")
        .collect();
    let known: BTreeSet<_> = OUTPUTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, known);
}

#[test]
fn the_same_inputs_give_the_same_bytes_also_compressed() {
    let flags = ["--gzip", "--merge=own.yaml"];
    assert_eq!(answer(&flags), answer(&flags));
}
