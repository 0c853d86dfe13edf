//! What the outputs write and run, by a YAML reader: paths, modes, owners, contents, the order of commands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::golden::OUTPUTS;
use super::{answer, golden, inputs, text};

/// A cloud-config document, understood.
pub(super) struct Document(pub(super) Value);

impl Document {
    pub(super) fn parse(text: &str) -> Self {
        assert!(text.starts_with("#cloud-config\n"), "{text}");
        Self(serde_saphyr::from_str(text).unwrap())
    }

    /// What is made with these flags.
    pub(super) fn of(flags: &[&str]) -> Self {
        Self::parse(&text(flags))
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Value> {
        self.0["write_files"].as_array().unwrap().iter()
    }

    pub(super) fn file(&self, path: &str) -> &Value {
        self.files()
            .find(|file| file["path"] == path)
            .unwrap_or_else(|| panic!("no {path}"))
    }

    pub(super) fn content(&self, path: &str) -> String {
        let content = self.file(path)["content"].as_str().unwrap();
        String::from_utf8(STANDARD.decode(content).unwrap()).unwrap()
    }

    pub(super) fn commands(&self) -> Vec<String> {
        let commands = self.0["runcmd"].as_array().unwrap().iter();
        commands
            .map(|words| {
                let words = words.as_array().unwrap().iter();
                words
                    .map(|word| word.as_str().unwrap())
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect()
    }
}

fn cloud_configs() -> impl Iterator<Item = Document> {
    let names = OUTPUTS.iter().map(|(name, _)| *name);
    names
        .filter(|name| name.ends_with(".yaml") && *name != "secret.yaml")
        .map(|name| Document::parse(&std::fs::read_to_string(golden().join(name)).unwrap()))
}

#[test]
fn whatever_is_not_public_is_roots_alone_and_nothing_waits() {
    for document in cloud_configs() {
        let keys: Vec<&String> = document.0.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["runcmd", "write_files"]);
        for file in document.files() {
            let path = file["path"].as_str().unwrap();
            let public = path.ends_with(".crt")
                || path.starts_with("/etc/systemd/system/")
                || path == "/etc/motd";
            let mode = if public { "0644" } else { "0600" };
            assert_eq!(file["permissions"], mode, "{path}");
            assert_eq!(file["owner"], "root:root", "{path}");
            assert_eq!(file["encoding"], "b64", "{path}");
        }
        let commands = document.commands();
        for command in &commands {
            assert!(
                !command.starts_with("systemctl start") || command.contains("--no-block"),
                "{command}"
            );
            assert!(!command.contains("rollcall-node-agent"), "{command}");
        }
        assert!(
            commands
                .last()
                .unwrap()
                .starts_with("systemctl start --no-block ")
        );
    }
}

#[test]
fn each_flavour_has_its_paths_and_tells_node_agent_of_them() {
    let flavours = [
        (
            "kubelet",
            "/etc/kubernetes/bootstrap-kubelet.conf",
            "/etc/kubernetes/kubelet.conf",
            "/var/lib/kubelet/pki",
            "/var/lib/kubelet/config.json",
        ),
        (
            "openshift4",
            "/etc/kubernetes/kubeconfig",
            "/var/lib/kubelet/kubeconfig",
            "/var/lib/kubelet/pki",
            "/var/lib/kubelet/config.json",
        ),
        (
            "openshift311",
            "/etc/origin/node/bootstrap.kubeconfig",
            "/etc/origin/node/node.kubeconfig",
            "/etc/origin/node/certificates",
            "/var/lib/origin/.docker/config.json",
        ),
    ];
    let registry = std::fs::read_to_string(inputs().join("registry.json")).unwrap();
    for (flavour, bootstrap, kubeconfig, cert_dir, credentials) in flavours {
        let flags = ["--flavour", flavour, "--registry-credentials=registry.json"];
        let document = Document::of(&flags);
        let expected = format!(
            "ROLLCALL_BOOTSTRAP_KUBECONFIG={bootstrap}\nROLLCALL_KUBECONFIG={kubeconfig}\nROLLCALL_CERT_DIR={cert_dir}\n"
        );
        assert_eq!(document.content("/etc/rollcall/node-agent.env"), expected);
        assert_eq!(document.content(credentials), registry);
        let written: Value = serde_saphyr::from_str(&document.content(bootstrap)).unwrap();
        assert_eq!(
            written["users"],
            json!([{"name": "bootstrap", "user": {"token": "abcdef.0123456789abcdef"}}])
        );
        assert_eq!(
            written["clusters"][0]["cluster"]["server"],
            "https://api.example.com:6443"
        );
    }
}

#[test]
fn everything_that_is_handed_in_arrives() {
    let (_, flags) = OUTPUTS[1];
    let document = Document::of(flags);
    for (path, input) in [
        ("/etc/kubernetes/pki/ca.crt", "kubelet-client-ca.crt"),
        ("/etc/motd", "motd"),
        ("/etc/rollcall/join-key.pem", "join-key.pem"),
        ("/etc/systemd/system/data-disk.service", "data-disk.service"),
        ("/var/lib/kubelet/config.json", "registry.json"),
        ("/var/lib/kubelet/config.yaml", "kubelet-config.yaml"),
    ] {
        let expected = std::fs::read_to_string(inputs().join(input)).unwrap();
        assert_eq!(document.content(path), expected, "{path}");
    }
    let environment = document.content("/etc/rollcall/node-agent.env");
    for line in [
        "ROLLCALL_NODE_NAME_FROM=ec2-private-dns,host-name",
        "ROLLCALL_JOIN_KEY=/etc/rollcall/join-key.pem",
        "ROLLCALL_TIMEOUT=30m",
        "ROLLCALL_LOG_FORMAT=json",
    ] {
        assert!(
            environment.lines().any(|other| other == line),
            "{line} in {environment}"
        );
    }
    let expected = [
        "systemctl daemon-reload",
        "systemctl enable data-disk.service",
        "systemctl start --no-block data-disk.service",
        "systemctl start --no-block kubelet.service",
    ];
    assert_eq!(document.commands(), expected);
}

#[test]
fn a_launch_template_requires_sessions_and_carries_the_same_user_data() {
    let template: Value = serde_json::from_slice(&answer(&["--format=launch-template"])).unwrap();
    assert_eq!(template["LaunchTemplateName"], "rollcall-kubelet");
    let data = &template["LaunchTemplateData"];
    let options = &data["MetadataOptions"];
    assert_eq!(options["HttpTokens"], "required");
    assert_eq!(options["HttpPutResponseHopLimit"], 1);
    let user_data = STANDARD.decode(data["UserData"].as_str().unwrap()).unwrap();
    assert_eq!(user_data, answer(&[]));
    let compressed: Value =
        serde_json::from_slice(&answer(&["--format=launch-template", "--gzip"])).unwrap();
    let user_data = compressed["LaunchTemplateData"]["UserData"]
        .as_str()
        .unwrap();
    assert_eq!(STANDARD.decode(user_data).unwrap(), answer(&["--gzip"]));
}

#[test]
fn a_secret_carries_the_same_user_data_and_is_no_template() {
    let text = text(&["--format=secret", "--namespace=machines"]);
    let secret: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        secret["metadata"],
        json!({"name": "rollcall-kubelet-user-data", "namespace": "machines"})
    );
    let decode = |key: &str| {
        STANDARD
            .decode(secret["data"][key].as_str().unwrap())
            .unwrap()
    };
    assert_eq!(decode("userData"), answer(&[]));
    assert_eq!(decode("disableTemplating"), b"true\n");
}
