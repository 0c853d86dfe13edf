//! What goes onto a machine of one flavour, made of what was handed in.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::document::{CloudConfig, PUBLIC, SECRET};
use super::layout::Layout;
use super::{agent, extra};
use crate::cli::bootstrap::{self, Credential};
use crate::cli::certificates::Authority;
use crate::cli::flag::{self, FlagError};
use crate::{Flavour, KubeconfigFormat, UserDataArgs};

/// The settings that the primed image's playbook reads (openshift-ansible 3.11, `roles/openshift_node/templates/bootstrap.yml.j2`).
const SETTINGS: &str = "/root/openshift_bootstrap/openshift_settings.yaml";
/// That playbook.
const PLAYBOOK: &str = "/root/openshift_bootstrap/bootstrap.yml";
/// The node configuration of the published recipe.
const NODE_CONFIG_NAME: &str = "node-config-compute";

/// What a machine gets.
pub(super) struct Plan {
    pub(super) document: CloudConfig,
    pub(super) credential: Credential,
    /// The bootstrap kubeconfig, as the machine gets it.
    pub(super) kubeconfig: String,
    pub(super) warnings: Vec<String>,
}

/// Reads and checks everything that was handed in.
pub(super) fn make(args: &UserDataArgs, now: Timestamp) -> anyhow::Result<Plan> {
    let layout = Layout::of(args.flavour);
    let service = args.node_service.as_deref().unwrap_or(layout.service);
    if !extra::is_unit_name(service) || !service.ends_with(".service") {
        let message = format!("{service:?} is no name of a service, such as kubelet.service");
        return Err(FlagError::new("--node-service", message).into());
    }
    let mut document = CloudConfig::default();
    let mut warnings = Vec::new();
    let (credential, kubeconfig) = add_credentials(&mut document, args, &layout, now)?;
    let (environment, advice) = agent::environment(args, &layout)?;
    warnings.extend(advice);
    add(&mut document, agent::PATH, SECRET, environment)?;
    if let Some(path) = &args.join_key {
        add(&mut document, agent::JOIN_KEY, SECRET, join_key(path)?)?;
    }
    warnings.extend(add_kubelet_config(&mut document, args, &layout)?);
    add_node_config(&mut document, args)?;
    let has_drop_ins = service != Layout::of(Flavour::Kubelet).service;
    if has_drop_ins {
        add_drop_ins(&mut document, service)?;
    }
    for given in &args.files {
        extra::add_file(&mut document, given)?;
    }
    let mut started = Vec::new();
    for path in &args.units {
        started.extend(extra::add_unit(&mut document, path, service)?);
    }
    add_commands(&mut document, args, service, &started);
    Ok(Plan {
        document,
        credential,
        kubeconfig,
        warnings,
    })
}

/// Two inputs must not end in one file: the later one would win, silently.
fn add(
    document: &mut CloudConfig,
    path: &str,
    mode: u32,
    content: impl Into<Vec<u8>>,
) -> anyhow::Result<()> {
    anyhow::ensure!(
        document.file(path, mode, content),
        "{path} would be written twice"
    );
    Ok(())
}

fn authority(
    flag: &str,
    path: Option<&PathBuf>,
    now: Timestamp,
) -> Result<Option<Authority>, FlagError> {
    path.map(|path| {
        Authority::from_pem(&flag::read(flag, path)?, now)
            .map_err(|message| FlagError::file(flag, path, message))
    })
    .transpose()
}

fn add_credentials(
    document: &mut CloudConfig,
    args: &UserDataArgs,
    layout: &Layout,
    now: Timestamp,
) -> anyhow::Result<(Credential, String)> {
    let ca = authority("--ca", args.ca.as_ref(), now)?;
    let client_ca = authority("--kubelet-client-ca", args.kubelet_client_ca.as_ref(), now)?;
    let flag = "--bootstrap-kubeconfig";
    let bootstrap = bootstrap::read(flag, &args.bootstrap_kubeconfig, ca, now)?;
    let kubeconfig = bootstrap.write(KubeconfigFormat::Yaml)?;
    add(
        document,
        layout.bootstrap_kubeconfig,
        SECRET,
        kubeconfig.as_str(),
    )?;
    let own = Some(&bootstrap.authority).filter(|_| layout.one_ca);
    if let Some(ca) = client_ca.as_ref().or(own) {
        add(document, layout.client_ca, PUBLIC, ca.to_pem())?;
    }
    if let Some(path) = &args.registry_credentials {
        let flag = "--registry-credentials";
        let text = flag::read_text(flag, path)?;
        check_registry_credentials(&text)
            .map_err(|message| FlagError::file(flag, path, message))?;
        add(document, layout.registry_credentials, SECRET, text)?;
    }
    Ok((bootstrap.credential, kubeconfig))
}

/// What docker, podman and kubelet read (Kubernetes `pkg/credentialprovider/config.go`).
fn check_registry_credentials(text: &str) -> Result<(), String> {
    let config: Value = serde_json::from_str(text).map_err(|error| {
        format!(
            "is not JSON (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    match config.get("auths").and_then(Value::as_object) {
        None => Err("auths: is missing; this is no config.json of docker or podman".to_owned()),
        Some(auths) if auths.is_empty() => Err("auths: names no registry".to_owned()),
        Some(_) => Ok(()),
    }
}

fn join_key(path: &Path) -> Result<Vec<u8>, FlagError> {
    let flag = "--join-key";
    let bytes = flag::read(flag, path)?;
    // The kinds that node-agent can sign with.
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .ok()
        .and_then(|der| any_supported_type(&der).ok());
    match key {
        Some(_) => Ok(bytes),
        None => {
            let message = "holds no private key in PEM that node-agent can use; make one with openssl genpkey -algorithm \
                           ed25519, without a passphrase";
            Err(FlagError::file(flag, path, message))
        }
    }
}

fn add_kubelet_config(
    document: &mut CloudConfig,
    args: &UserDataArgs,
    layout: &Layout,
) -> anyhow::Result<Option<String>> {
    let flag = "--kubelet-config";
    let Some(path) = &args.kubelet_config else {
        return Ok(None);
    };
    let Some(target) = layout.kubelet_config else {
        let message =
            "is not for openshift311: its node gets the ConfigMap that --node-config-name names";
        return Err(FlagError::new(flag, message).into());
    };
    let text = flag::read_text(flag, path)?;
    let rotates =
        check_kubelet_config(&text).map_err(|message| FlagError::file(flag, path, message))?;
    add(document, target, SECRET, text)?;
    Ok((!rotates).then(|| {
        format!(
            "{flag} {}: rotateCertificates is not true, so kubelet will not renew its certificate and the node ends with it",
            path.display()
        )
    }))
}

/// Whether this KubeletConfiguration (Kubernetes `staging/src/k8s.io/kubelet/config/v1beta1`) renews certificates.
fn check_kubelet_config(text: &str) -> Result<bool, String> {
    let config: Value = flag::parse_yaml(text)?;
    let field = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
    if field("kind") != "KubeletConfiguration" {
        return Err("kind: is not KubeletConfiguration".to_owned());
    }
    if !field("apiVersion").starts_with("kubelet.config.k8s.io/") {
        return Err("apiVersion: is not of kubelet.config.k8s.io".to_owned());
    }
    Ok(config.get("rotateCertificates") == Some(&Value::Bool(true)))
}

fn node_config_name(args: &UserDataArgs) -> &str {
    args.node_config_name.as_deref().unwrap_or(NODE_CONFIG_NAME)
}

fn add_node_config(document: &mut CloudConfig, args: &UserDataArgs) -> anyhow::Result<()> {
    let flag = "--node-config-name";
    match (args.flavour, &args.node_config_name) {
        (Flavour::Openshift311, _) => {}
        (Flavour::Kubelet | Flavour::Openshift4, None) => return Ok(()),
        (Flavour::Kubelet | Flavour::Openshift4, Some(_)) => {
            return Err(FlagError::new(flag, "is for openshift311 only").into());
        }
    }
    let name = node_config_name(args);
    // The name of a ConfigMap. Nothing in it means anything to sed, YAML or a shell.
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if name.is_empty() || name.len() > 253 || !name.bytes().all(fits) {
        let message = format!("{name:?} cannot be the name of a ConfigMap");
        return Err(FlagError::new(flag, message).into());
    }
    let settings = format!("openshift_node_config_name: {name}\n");
    add(document, SETTINGS, SECRET, settings)
}

/// Orders a service that node-agent's unit does not know after it. A first try that fails fails the service's start too,
/// which systemd does not repeat by itself; so the identity, once there, starts it.
fn add_drop_ins(document: &mut CloudConfig, service: &str) -> anyhow::Result<()> {
    let agent = agent::SERVICE;
    let after = format!("[Unit]\nRequires={agent}\nAfter={agent}\n");
    let before = format!(
        "[Unit]\nBefore={service}\n\n[Service]\nExecStartPost=-/bin/systemctl --no-block start {service}\n"
    );
    add(document, &extra::drop_in(service), PUBLIC, after)?;
    add(document, &extra::drop_in(agent), PUBLIC, before)
}

/// The last stage of the boot. Nothing here waits for the machine to join.
fn add_commands(document: &mut CloudConfig, args: &UserDataArgs, service: &str, units: &[String]) {
    let is_311 = args.flavour == Flavour::Openshift311;
    if is_311 {
        // The published recipe, in its order; the playbook needs openshift_settings.yaml.
        document.command(&["ansible-playbook", PLAYBOOK]);
        // The node configuration also where an image has no such playbook. The first such line counts, so the others go;
        // the new one is given to sed first, because it does not get to the rest after a deletion.
        let line = format!("$aBOOTSTRAP_CONFIG_NAME={}", node_config_name(args));
        let file = format!("/etc/sysconfig/{}", service.trim_end_matches(".service"));
        let old = "/^BOOTSTRAP_CONFIG_NAME=/d";
        document.command(&["sed", "-i", "-e", &line, "-e", old, &file]);
        // The host name becomes the full one.
        document.command(&["systemctl", "restart", "systemd-hostnamed"]);
        document.command(&["systemctl", "restart", "NetworkManager"]);
    }
    if !args.units.is_empty() || service != Layout::of(Flavour::Kubelet).service {
        document.command(&["systemctl", "daemon-reload"]);
    }
    for unit in units {
        document.command(&["systemctl", "enable", unit]);
        document.command(&["systemctl", "start", "--no-block", unit]);
    }
    if is_311 {
        // A primed image has its node service disabled.
        document.command(&["systemctl", "enable", service]);
    }
    // The service brings node-agent's unit with it, and that takes as long as the approval does.
    document.command(&["systemctl", "start", "--no-block", service]);
}
