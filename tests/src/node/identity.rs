//! Identities that a kubelet has before it starts, near their expiry, so that it renews them at once.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{Network, NodeSettings};
use crate::{CertificateProfile, ControlPlane};

const HOUR: Duration = Duration::from_secs(3600);

/// Returns the settings of a kubelet whose client certificate is at 95 % of its lifetime, later than any renewal time of
/// kubelets (70 to 90 %). It requests its serving certificate too.
///
/// # Errors
/// If a file cannot be written.
pub fn nearly_expired(
    control_plane: &ControlPlane,
    network: &Network,
    name: &str,
) -> Result<NodeSettings> {
    let pki_dir = network.dir().join("pki");
    std::fs::create_dir(&pki_dir)
        .with_context(|| format!("cannot create {}", pki_dir.display()))?;
    let profile = CertificateProfile::node(name);
    let current = install(control_plane, &pki_dir, "kubelet-client", profile)?;
    let kubeconfig = kubeconfig(control_plane, &current)?;
    Ok(NodeSettings {
        name: name.to_owned(),
        kubeconfig,
        pki_dir,
        serving_certificate: true,
    })
}

/// Installs a serving certificate that is as near to its expiry, for the kubelet's name and address.
///
/// # Errors
/// If a file cannot be written.
pub fn serve_nearly_expired(
    control_plane: &ControlPlane,
    network: &Network,
    settings: &NodeSettings,
) -> Result<()> {
    let node = CertificateProfile::node(&settings.name);
    let names = [settings.name.as_str()];
    let addresses = [network.node_address()];
    let server = CertificateProfile::server(&node.common_name, &names, &addresses);
    let profile = CertificateProfile {
        organizations: node.organizations,
        ..server
    };
    install(control_plane, &settings.pki_dir, "kubelet-server", profile).map(drop)
}

/// Installs a certificate in kubelet's layout, so that kubelet can replace it on renewal.
fn install(
    control_plane: &ControlPlane,
    pki_dir: &Path,
    prefix: &str,
    profile: CertificateProfile,
) -> Result<PathBuf> {
    let now = SystemTime::now();
    let begin = now.checked_sub(HOUR.saturating_mul(19)).context("clock")?;
    let end = now.checked_add(HOUR).context("clock")?;
    let certificate = control_plane.issue_certificate(&profile.valid(begin, end))?;
    let file = pki_dir.join(format!("{prefix}-first.pem"));
    std::fs::write(&file, certificate.bundle())
        .with_context(|| format!("cannot write {}", file.display()))?;
    let current = pki_dir.join(format!("{prefix}-current.pem"));
    std::os::unix::fs::symlink(&file, &current)
        .with_context(|| format!("cannot link {}", current.display()))?;
    Ok(current)
}

/// Returns a kubeconfig that refers to the file that kubelet replaces.
fn kubeconfig(control_plane: &ControlPlane, current: &Path) -> Result<PathBuf> {
    let file = current.display().to_string();
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {
            "server": control_plane.machine_server(),
            "certificate-authority": control_plane.ca_file().display().to_string(),
        }}],
        "users": [{"name": "u", "user": {"client-certificate": file, "client-key": file}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let path = current.with_file_name("kubelet.conf");
    std::fs::write(&path, config.to_string())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
