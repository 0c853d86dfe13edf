//! A machine for tests: a folder, its settings, and the lines the agent wrote.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use rollcall_node_agent::Settings;
use rollcall_node_agent::clock::Clock;
use rollcall_node_agent::console::{Console, LogFormat};
use rollcall_node_agent::store::Checkpoint;
use rollcall_node_agent::surroundings::{Identity, Surroundings};
use rollcall_node_agent::whoami::Instance;

use crate::authority::Authority;

/// The time of every test.
pub(crate) const NOW: &str = "2026-11-23T12:00:00Z";

/// The bootstrap token, which must never be printed.
pub(crate) const TOKEN: &str = "abcdef.0123456789abcdef";

#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// All output so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A machine called `worker-0` whose cluster is at `https://api.test:6443`.
pub(crate) struct Machine {
    pub(crate) settings: Settings,
    pub(crate) lines: Lines,
    /// The time of its clock.
    pub(crate) now: &'static str,
    folder: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new(authority: &Authority) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let bootstrap = bootstrap_kubeconfig("https://api.test:6443", &authority.pem());
        std::fs::write(path("bootstrap.conf"), bootstrap).unwrap();
        let settings = Settings {
            allow_exec: false,
            bootstrap_kubeconfig: path("bootstrap.conf"),
            cert_dir: path("kubelet/pki"),
            client_ca: None,
            expiration_seconds: None,
            instance: Instance::default(),
            join_key: None,
            keep_bootstrap: true,
            kubeconfig: path("etc/kubelet.conf"),
            log_format: LogFormat::Text,
            name_file: None,
            node: "worker-0".parse().unwrap(),
            resubmit_after: Duration::from_mins(10),
            state_dir: None,
            timeout: None,
        };
        Self {
            settings,
            lines: Lines::default(),
            now: NOW,
            folder,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An environment in which both identities use these clients.
    pub(crate) fn around(
        &self,
        bootstrap: Client,
        node: Client,
        reached: impl Fn(Checkpoint) + 'static,
    ) -> Surroundings {
        let clock = Clock::fixed(self.now.parse().unwrap());
        let sink = Box::new(self.lines.clone());
        Surroundings {
            clock: clock.clone(),
            connect: Box::new(move |_, identity| {
                let client = match identity {
                    Identity::Bootstrap => bootstrap.clone(),
                    Identity::Node { .. } => node.clone(),
                };
                Box::pin(async move { Ok(client) })
            }),
            console: Console::new(sink, LogFormat::Text, false, clock),
            reached: Box::new(reached),
        }
    }

    /// All output of the agent so far.
    pub(crate) fn text(&self) -> String {
        self.lines.text()
    }

    /// The names in a folder of this machine, sorted; empty if it does not exist.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(folder)) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The permission bits of a file of this machine.
    pub(crate) fn mode(&self, name: impl AsRef<Path>) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        std::fs::symlink_metadata(path)
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    }
}

pub(crate) fn bootstrap_kubeconfig(server: &str, authority_pem: &str) -> String {
    let authority = STANDARD.encode(authority_pem);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: bootstrap\n\
         contexts: [{{name: bootstrap, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: '{server}', certificate-authority-data: {authority}}}}}]\n\
         users: [{{name: u, user: {{token: {TOKEN}}}}}]\n"
    )
}
