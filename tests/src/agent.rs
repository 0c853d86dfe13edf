//! The node-agent on its own simulated host: its files, its command line, and its results.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use kube::api::ListParams;
use rollcall_csr::Signer;
use x509_parser::prelude::FromDer as _;

use crate::kubeconfig::Credentials;
use crate::pki::IssuedCertificate;
use crate::programs::{Program, binary};
use crate::{ControlPlane, kubeconfig, requests};

/// The name of the binary.
pub const NODE_AGENT: &str = "rollcall-node-agent";

/// A host that is about to become a node: only the files that the agent works on.
#[derive(Debug)]
pub struct Host {
    node: String,
    directory: PathBuf,
    runs: AtomicU32,
}

impl Host {
    /// Creates a host without an identity. Its files are removed with the control plane.
    ///
    /// # Errors
    /// If its folders cannot be created.
    pub fn create(control_plane: &ControlPlane, node: &str) -> Result<Self> {
        Self::create_in(&control_plane.dir().join("hosts"), node)
    }

    /// Creates a host with its files in a subfolder of this folder, named after its node.
    ///
    /// # Errors
    /// If its folders cannot be created.
    pub fn create_in(directory: &Path, node: &str) -> Result<Self> {
        let directory = directory.join(node);
        let host = Self {
            node: node.to_owned(),
            directory,
            runs: AtomicU32::new(0),
        };
        std::fs::create_dir_all(host.state())
            .with_context(|| format!("cannot create {}", host.state().display()))?;
        Ok(host)
    }

    /// The node name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The folder that holds everything the agent may write.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The kubeconfig for the agent to write.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state().join("kubelet.conf")
    }

    /// The folder for key and certificate.
    pub fn cert_dir(&self) -> PathBuf {
        self.state().join("pki")
    }

    /// The symlink to the certificate in use.
    pub fn current(&self) -> PathBuf {
        self.cert_dir().join("kubelet-client-current.pem")
    }

    /// Installs an earlier identity: the certificate and its key as kubelet stores them, and a kubeconfig that contains
    /// them. Its profile sets its validity (`CertificateProfile::node(..).valid(..)`).
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn put_identity(
        &self,
        control_plane: &ControlPlane,
        identity: &IssuedCertificate,
    ) -> Result<()> {
        let current = self.current();
        let pem = self
            .cert_dir()
            .join("kubelet-client-2025-01-01-00-00-00.pem");
        std::fs::create_dir_all(self.cert_dir())
            .with_context(|| format!("cannot create {}", self.cert_dir().display()))?;
        kubeconfig::write_private(&pem, &identity.bundle())?;
        std::os::unix::fs::symlink(&pem, &current)
            .with_context(|| format!("cannot make the link {}", current.display()))?;
        let credentials = Credentials::Certificate(identity.clone());
        let (server, ca) = (control_plane.server(), control_plane.ca_pem());
        kubeconfig::write(
            &self.kubeconfig(),
            &kubeconfig::kubeconfig(&server, ca, &credentials),
        )
    }

    /// The command line of the agent, without the program.
    pub fn arguments(&self, bootstrap: &Path, more: &[&str]) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let flags = [
            ("--bootstrap-kubeconfig", text(bootstrap)),
            ("--kubeconfig", text(&self.kubeconfig())),
            ("--cert-dir", text(&self.cert_dir())),
            ("--node-name", self.node.clone()),
        ];
        let flags = flags
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        // Hosts share a bootstrap kubeconfig, as machines of a pool do.
        flags
            .chain(["--keep-bootstrap".to_owned()])
            .chain(more.iter().map(|&flag| flag.to_owned()))
            .collect()
    }

    /// Starts the agent, with a log of its own for each start.
    ///
    /// # Errors
    /// If it has not been built or cannot be started.
    pub fn start(&self, bootstrap: &Path, more: &[&str]) -> Result<Program> {
        self.start_with(bootstrap, more, &[])
    }

    /// As [`Host::start`], with environment variables.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub fn start_with(
        &self,
        bootstrap: &Path,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Program> {
        let mut command = crate::command::clean_command(&binary(NODE_AGENT)?);
        command
            .args(self.arguments(bootstrap, more))
            .envs(environment.iter().copied());
        Program::run(NODE_AGENT, &command, &self.next_run())
    }

    /// The log folder of the next run.
    pub fn next_run(&self) -> PathBuf {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        self.directory.join(format!("run-{run}"))
    }

    /// Everything that the agent wrote, as paths below [`Host::state`], sorted.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn files(&self) -> Result<Vec<String>> {
        let root = self.state();
        let paths = walk(&root)?;
        let relative = paths
            .iter()
            .filter_map(|path| path.strip_prefix(&root).ok())
            .map(|path| path.display().to_string());
        Ok(relative.collect())
    }

    /// The files that others than their owner may read, write or run.
    ///
    /// # Errors
    /// If a file's metadata cannot be read.
    pub fn exposed(&self) -> Result<Vec<String>> {
        let mut exposed = Vec::new();
        for path in walk(&self.state())? {
            let metadata = std::fs::symlink_metadata(&path)
                .with_context(|| format!("cannot look at {}", path.display()))?;
            // The mode of a link is irrelevant; its target is checked by its own name.
            let mode = metadata.permissions().mode() & 0o7777;
            if !metadata.is_symlink() && mode & 0o077 != 0 {
                exposed.push(format!("{} is {mode:o}", path.display()));
            }
        }
        Ok(exposed)
    }

    /// The public key of the certificate in use, as DER of a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// If there is no certificate.
    pub fn public_key(&self) -> Result<Vec<u8>> {
        let path = self.current();
        let pem =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        public_key(&pem)
    }
}

/// The public keys of all client certificates that were issued for a node, in no order.
///
/// # Errors
/// If the API server refuses, or issued an invalid certificate.
pub async fn issued_keys(client: &kube::Client, node: &str) -> Result<Vec<Vec<u8>>> {
    let list = requests::api(client)
        .list(&ListParams::default())
        .await
        .context("cannot list the requests")?;
    let mut keys = Vec::new();
    let client = Signer::KubeApiserverClientKubelet.name();
    for request in list
        .into_iter()
        .filter(|request| request.spec.signer_name == client)
    {
        let certificate = request.status.and_then(|status| status.certificate);
        let Some(certificate) = certificate.filter(|certificate| !certificate.0.is_empty()) else {
            continue;
        };
        if common_name(&certificate.0)? == format!("system:node:{node}") {
            keys.push(public_key(&certificate.0)?);
        }
    }
    Ok(keys)
}

fn public_key(pem: &[u8]) -> Result<Vec<u8>> {
    with_certificate(pem, |certificate| certificate.public_key().raw.to_vec())
}

fn common_name(pem: &[u8]) -> Result<String> {
    with_certificate(pem, |certificate| {
        let names = certificate.subject().iter_common_name();
        names.filter_map(|name| name.as_str().ok()).collect()
    })
}

fn with_certificate<T>(
    pem: &[u8],
    take: impl FnOnce(&x509_parser::certificate::X509Certificate<'_>) -> T,
) -> Result<T> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).context("this is no certificate")?;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(&pem.contents)
        .context("this is no certificate")?;
    Ok(take(&certificate))
}

/// All files and links below a folder, sorted.
fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read the folder {}", folder.display()))?
            .path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(walk(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
