//! Finds or builds etcd, kube-apiserver, kube-controller-manager and kubelet.
//!
//! `KUBEBUILDER_ASSETS` takes precedence, as is usual. Otherwise the ordinary Go client builds them once, from the
//! module in `tests/control-plane/`, into a cache outside the work tree.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::command::find_program;
use crate::process::Process;

/// The environment variable that names a folder with the programs.
pub const VARIABLE: &str = "KUBEBUILDER_ASSETS";

const ETCD: &str = "etcd";
const KUBE_APISERVER: &str = "kube-apiserver";
const KUBE_CONTROLLER_MANAGER: &str = "kube-controller-manager";
const KUBELET: &str = "kubelet";

/// Each program and the Go package that it is built from: the `tool` lines of `control-plane/go.mod`.
const TOOLS: [(&str, &str); 4] = [
    (ETCD, "go.etcd.io/etcd/server/v3"),
    (KUBE_APISERVER, "k8s.io/kubernetes/cmd/kube-apiserver"),
    (
        KUBE_CONTROLLER_MANAGER,
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    (KUBELET, "k8s.io/kubernetes/cmd/kubelet"),
];

const GO_MOD: &str = include_str!("../control-plane/go.mod");
const GO_SUM: &str = include_str!("../control-plane/go.sum");

/// The interval of progress messages during a build.
const TICK: Duration = Duration::from_secs(5);

/// The interval at which a build, or another process that builds, is polled.
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// A folder that holds all four programs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Assets {
    directory: PathBuf,
}

impl Assets {
    /// Finds the programs, and builds them first if they are missing. `progress` gets one line at a time.
    ///
    /// # Errors
    /// If `KUBEBUILDER_ASSETS` names a folder that lacks one of them, if Go is not installed, or if the build fails.
    pub fn locate(mut progress: impl FnMut(&str)) -> Result<Self> {
        if let Some(directory) =
            std::env::var_os(VARIABLE).filter(|directory| !directory.is_empty())
        {
            return Self::given(PathBuf::from(directory));
        }
        Self::cached(&cache_home()?, &mut progress)
    }

    /// The folder that holds the programs.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of etcd.
    pub fn etcd(&self) -> PathBuf {
        self.directory.join(ETCD)
    }

    /// The path of kube-apiserver.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.directory.join(KUBE_APISERVER)
    }

    /// The path of kube-controller-manager.
    pub fn kube_controller_manager(&self) -> PathBuf {
        self.directory.join(KUBE_CONTROLLER_MANAGER)
    }

    /// The path of kubelet.
    pub fn kubelet(&self) -> PathBuf {
        self.directory.join(KUBELET)
    }

    fn given(directory: PathBuf) -> Result<Self> {
        for (name, _) in TOOLS {
            if !directory.join(name).is_file() {
                bail!(
                    "{VARIABLE} is {}, but there is no {name} in it; put {name} there, or unset {VARIABLE} to have all of \
                     them built",
                    directory.display()
                );
            }
        }
        Ok(Self { directory })
    }

    fn cached(home: &Path, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        let directory = home.join(cache_key()?);
        let complete =
            |directory: &Path| TOOLS.iter().all(|(name, _)| directory.join(name).is_file());
        if complete(&directory) {
            return Ok(Self { directory });
        }
        let go = go_client()?;
        std::fs::create_dir_all(home)
            .with_context(|| format!("cannot create the cache {}", home.display()))?;
        let _lock = lock(&home.join("build.lock"), progress)?;
        // Another process may have built them in the meantime.
        if !complete(&directory) {
            build(&go, home, &directory, progress)?;
        }
        Ok(Self { directory })
    }
}

/// `$XDG_CACHE_HOME/rollcall`, or `~/.cache/rollcall` (XDG Base Directory Specification).
pub(crate) fn cache_home() -> Result<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("rollcall"))
        .context("neither XDG_CACHE_HOME nor HOME is set, so there is no place to keep the Kubernetes programs")
}

/// Prints progress: a build takes minutes, and a silent test looks stuck.
pub(crate) fn progress(line: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// The Kubernetes release in `go.mod`, such as `v1.36.3`.
fn kubernetes_version() -> Result<&'static str> {
    GO_MOD
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .and_then(|rest| rest.split_whitespace().next())
        .context("control-plane/go.mod does not name a version of k8s.io/kubernetes")
}

/// A folder name that changes with every input of the build.
fn cache_key() -> Result<String> {
    // Not a cryptographic hash and not stable between Rust releases: the worst case is one more build.
    let mut hasher = DefaultHasher::new();
    (GO_MOD, GO_SUM, link_flags()?, std::env::consts::ARCH).hash(&mut hasher);
    Ok(format!(
        "kubernetes-{}-{:016x}",
        kubernetes_version()?,
        hasher.finish()
    ))
}

/// The version flags: without these, programs report v0.0.0, which kubelet uses as its version.
fn link_flags() -> Result<String> {
    const PACKAGE: &str = "k8s.io/component-base/version";
    let version = kubernetes_version()?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        bail!("{version:?} in control-plane/go.mod is not a Kubernetes version");
    };
    Ok(format!(
        "-s -w -X {PACKAGE}.gitVersion={version} -X {PACKAGE}.gitMajor={major} -X {PACKAGE}.gitMinor={minor}"
    ))
}

pub(crate) fn go_client() -> Result<PathBuf> {
    find_program("go").or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|path| path.is_file())).ok_or_else(
        || {
            anyhow!(
                "the Kubernetes programs for tests are built with Go, and no go is in PATH; install Go 1.26 or newer, or \
                 set {VARIABLE} to a folder with {ETCD}, {KUBE_APISERVER}, {KUBE_CONTROLLER_MANAGER} and {KUBELET}"
            )
        },
    )
}

/// Waits until no other process builds the same thing.
pub(crate) fn lock(path: &Path, progress: &mut dyn FnMut(&str)) -> Result<File> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let mut ticker =
        Ticker::new("another process is making what the tests need; waiting for it".to_owned());
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => ticker.tick(progress),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        std::thread::sleep(POLL);
    }
}

/// Builds into a temporary folder beside `directory` and renames it at the end, so that a cache is complete or absent.
fn build(go: &Path, home: &Path, directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let version = kubernetes_version()?;
    progress(&format!(
        "building Kubernetes {version} and etcd for the test control plane, once: this compiles about two thousand Go \
         packages and takes some minutes (5 to 8 on two cores); they are kept in {}",
        directory.display()
    ));
    let begin = Instant::now();
    let work = tempfile::Builder::new()
        .prefix("building-")
        .tempdir_in(home)
        .with_context(|| format!("cannot create a folder in {}", home.display()))?;
    for (index, tool) in TOOLS.iter().enumerate() {
        let step = format!("[{}/{}]", index.saturating_add(1), TOOLS.len());
        build_tool(go, work.path(), *tool, &step, progress)?;
    }
    std::fs::remove_file(work.path().join(BUILD_LOG))
        .with_context(|| "cannot remove the log of the build")?;
    let work = work.keep();
    std::fs::rename(&work, directory).with_context(|| {
        format!(
            "cannot rename {} to {}",
            work.display(),
            directory.display()
        )
    })?;
    progress(&format!(
        "built all {} programs in {} s",
        TOOLS.len(),
        begin.elapsed().as_secs()
    ));
    Ok(())
}

/// The output of the Go client, in the work folder.
const BUILD_LOG: &str = "build.log";

fn build_tool(
    go: &Path,
    work: &Path,
    (name, package): (&str, &str),
    step: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane");
    let mut command = Command::new(go);
    // The Go client needs the caller's environment: module proxy, caches, proxies.
    command.env_clear().envs(std::env::vars_os());
    command.envs([("CGO_ENABLED", "0"), ("GOWORK", "off")]);
    command
        .current_dir(module)
        .args(["build", "-trimpath", "-ldflags"])
        .arg(link_flags()?);
    command
        .arg("-o")
        .arg(work.join(name))
        .arg(OsString::from(package));
    let mut process = Process::spawn("go build", &command, &work.join(BUILD_LOG))?;
    let mut ticker = Ticker::new(format!("{step} building {name}"));
    loop {
        match process.exited() {
            None => ticker.tick(progress),
            Some(status) if status.success() => break,
            Some(_) => return Err(process.failure(&format!("of {name} failed"))),
        }
        std::thread::sleep(POLL);
    }
    progress(&format!(
        "{step} built {name} in {} s",
        ticker.begin.elapsed().as_secs()
    ));
    Ok(())
}

/// Prints the elapsed time of an operation, at once and then every few seconds.
pub(crate) struct Ticker {
    what: String,
    begin: Instant,
    said: Option<Instant>,
}

impl Ticker {
    pub(crate) fn new(what: String) -> Self {
        Self {
            what,
            begin: Instant::now(),
            said: None,
        }
    }

    pub(crate) fn tick(&mut self, progress: &mut dyn FnMut(&str)) {
        if self.said.is_none_or(|said| said.elapsed() >= TICK) {
            progress(&format!(
                "{} ({} s)",
                self.what,
                self.begin.elapsed().as_secs()
            ));
            self.said = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_folder_that_lacks_a_program_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        for name in [ETCD, KUBE_APISERVER, KUBELET] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let error = Assets::given(directory.path().to_owned())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no kube-controller-manager in it"),
            "{error}"
        );
        std::fs::write(directory.path().join(KUBE_CONTROLLER_MANAGER), "").unwrap();
        assert_eq!(
            Assets::given(directory.path().to_owned())
                .unwrap()
                .directory(),
            directory.path()
        );
    }

    #[test]
    fn every_tool_is_one_that_the_go_module_names() {
        for (_, package) in TOOLS {
            assert!(
                GO_MOD.lines().any(|line| line.trim() == package),
                "{package} is no tool of go.mod"
            );
        }
    }

    #[test]
    fn the_cache_folder_names_the_kubernetes_version() {
        assert!(
            cache_key()
                .unwrap()
                .starts_with(&format!("kubernetes-{}-", kubernetes_version().unwrap()))
        );
        assert!(link_flags().unwrap().contains("gitMinor=36"));
    }

    #[test]
    fn a_second_builder_says_that_it_waits_for_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("build.lock");
        let first = lock(&path, &mut |_| ()).unwrap();
        let mut first = Some(first);
        let mut lines = Vec::new();
        lock(&path, &mut |line| {
            lines.push(line.to_owned());
            first.take();
        })
        .unwrap();
        assert!(lines.concat().contains("another process"), "{lines:?}");
    }
}
