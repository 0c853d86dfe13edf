//! OpenShift 3.11 in an Auto Scaling Group: what Rollcall renders beside the `user-data.txt` of the published procedure
//! (OpenShift Container Platform 3.11, Cluster Administration, "Configuring the cluster auto-scaler in AWS", creating the
//! Launch Configuration). `docs/user-data.md` has the same comparison as a table.

use std::collections::BTreeSet;

use super::meaning::Document;

/// The files of the published recipe. It gives each of them to root:root with 0640.
const FILES: [&str; 2] = [
    "/etc/origin/node/bootstrap.kubeconfig",
    "/root/openshift_bootstrap/openshift_settings.yaml",
];

/// Its commands, in its order. A unit's name may leave `.service` out, and starting it may wait or not.
const COMMANDS: [&str; 5] = [
    "ansible-playbook /root/openshift_bootstrap/bootstrap.yml",
    "systemctl restart systemd-hostnamed",
    "systemctl restart NetworkManager",
    "systemctl enable atomic-openshift-node",
    "systemctl start atomic-openshift-node",
];

fn rendered() -> Document {
    Document::of(&[
        "--flavour=openshift311",
        "--node-service=atomic-openshift-node.service",
    ])
}

#[test]
fn every_file_of_the_published_recipe_is_written_and_only_root_reads_it() {
    let document = rendered();
    for path in FILES {
        let file = document.file(path);
        assert_eq!(file["owner"], "root:root", "{path}");
        assert_eq!(file["permissions"], "0600", "{path} was 0640");
    }
    assert_eq!(
        document.content(FILES[1]),
        "openshift_node_config_name: node-config-compute\n"
    );
}

#[test]
fn every_command_of_the_published_recipe_is_run_in_its_order() {
    let document = rendered();
    let commands: Vec<String> = document
        .commands()
        .iter()
        .map(|command| command.replace(" --no-block", "").replace(".service", ""))
        .collect();
    let published: Vec<&str> = commands
        .iter()
        .map(String::as_str)
        .filter(|command| COMMANDS.contains(command))
        .collect();
    assert_eq!(published, COMMANDS);
    let more: Vec<&str> = commands
        .iter()
        .map(String::as_str)
        .filter(|command| !COMMANDS.contains(command))
        .collect();
    let file = "/etc/sysconfig/atomic-openshift-node";
    let sed = format!(
        "sed -i -e $aBOOTSTRAP_CONFIG_NAME=node-config-compute -e /^BOOTSTRAP_CONFIG_NAME=/d {file}"
    );
    assert_eq!(more, [sed.as_str(), "systemctl daemon-reload"]);
}

#[test]
fn what_is_written_besides_makes_the_node_wait_for_node_agent() {
    let document = rendered();
    let published: BTreeSet<&str> = FILES.into_iter().collect();
    let more: BTreeSet<&str> = document
        .files()
        .map(|file| file["path"].as_str().unwrap())
        .filter(|path| !published.contains(path))
        .collect();
    let units = "/etc/systemd/system";
    let node = format!("{units}/atomic-openshift-node.service.d/10-rollcall.conf");
    let agent = format!("{units}/rollcall-node-agent.service.d/10-rollcall.conf");
    let expected = [
        "/etc/origin/node/client-ca.crt",
        "/etc/rollcall/node-agent.env",
        &node,
        &agent,
    ];
    assert_eq!(more, expected.into_iter().collect());
    let service = "rollcall-node-agent.service";
    assert_eq!(
        document.content(&node),
        format!("[Unit]\nRequires={service}\nAfter={service}\n")
    );
    assert!(
        document
            .content(&agent)
            .starts_with("[Unit]\nBefore=atomic-openshift-node.service\n")
    );
}

/// `sed` in the last stage does what the playbook does: one line, whatever was there.
#[test]
fn the_node_configuration_is_set_once_whatever_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let document = rendered();
    let command = document.0["runcmd"]
        .as_array()
        .unwrap()
        .iter()
        .find(|words| words[0] == "sed")
        .unwrap()
        .clone();
    let mut words: Vec<String> = serde_json::from_value(command).unwrap();
    let file = folder.path().join("sysconfig");
    let last = words.len() - 1;
    words[last] = file.display().to_string();
    let wanted = "BOOTSTRAP_CONFIG_NAME=node-config-compute";
    for before in [
        "DEBUG_LOGLEVEL=2\n",
        "BOOTSTRAP_CONFIG_NAME=\nDEBUG_LOGLEVEL=2\nBOOTSTRAP_CONFIG_NAME=other\n",
        "DEBUG_LOGLEVEL=2\nBOOTSTRAP_CONFIG_NAME=node-config-compute\n",
    ] {
        std::fs::write(&file, before).unwrap();
        let done = std::process::Command::new(&words[0])
            .args(&words[1..])
            .status()
            .unwrap();
        assert!(done.success());
        let after = std::fs::read_to_string(&file).unwrap();
        assert_eq!(after, format!("DEBUG_LOGLEVEL=2\n{wanted}\n"));
    }
}
