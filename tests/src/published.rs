//! Definitions of other projects' kinds, as published in their Go modules, which the Go client downloads once and
//! caches. None of them is copied into this repository.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::assets::go_client;

/// A file in a Go module.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    module: &'static str,
    version: &'static str,
    path: &'static str,
}

/// Machines of Cluster API, in `v1beta1` and `v1beta2`.
pub const CLUSTER_API_MACHINES: Published = Published {
    module: "sigs.k8s.io/cluster-api",
    version: "v1.14.2",
    path: "core/config/crd/bases/cluster.x-k8s.io_machines.yaml",
};

/// Machines of Cluster API as of the last release that serves no other version than `v1beta1`.
pub const CLUSTER_API_MACHINES_V1BETA1: Published = Published {
    module: "sigs.k8s.io/cluster-api",
    version: "v1.10.4",
    path: "config/crd/bases/cluster.x-k8s.io_machines.yaml",
};

/// KubeadmConfigs of Cluster API's kubeadm bootstrap provider, in `v1beta1` and `v1beta2`.
pub const CLUSTER_API_KUBEADM_CONFIGS: Published = Published {
    module: CLUSTER_API_MACHINES.module,
    version: CLUSTER_API_MACHINES.version,
    path: "bootstrap/kubeadm/config/crd/bases/bootstrap.cluster.x-k8s.io_kubeadmconfigs.yaml",
};

/// MachineHealthChecks of Cluster API, in `v1beta1` and `v1beta2`.
pub const CLUSTER_API_HEALTH_CHECKS: Published = Published {
    module: CLUSTER_API_MACHINES.module,
    version: CLUSTER_API_MACHINES.version,
    path: "core/config/crd/bases/cluster.x-k8s.io_machinehealthchecks.yaml",
};

/// Machines of Gardener's machine-controller-manager.
pub const GARDENER_MACHINES: Published = Published {
    module: "github.com/gardener/machine-controller-manager",
    version: "v0.60.0",
    path: "kubernetes/crds/machine.sapcloud.io_machines.yaml",
};

/// NodeClaims of Karpenter.
pub const KARPENTER_NODE_CLAIMS: Published = Published {
    module: "sigs.k8s.io/karpenter",
    version: "v1.12.0",
    path: "pkg/apis/crds/karpenter.sh_nodeclaims.yaml",
};

/// The fields of the Go client's output that are used here (`go help mod download`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    dir: Option<PathBuf>,
    error: Option<String>,
}

impl Published {
    /// Returns the text of the file. Downloads the module if it is not in the module cache.
    ///
    /// # Errors
    /// If Go is not installed, the module cannot be downloaded, or the file is not in it.
    pub fn text(&self) -> Result<String> {
        let module = format!("{}@{}", self.module, self.version);
        let mut command = Command::new(go_client()?);
        // The Go client needs the caller's environment: module proxy, caches, proxies. Outside a module folder, it needs
        // no go.sum: the checksum database verifies the module.
        command.env_clear().envs(std::env::vars_os());
        command.env("GOWORK", "off").current_dir("/");
        command.args(["mod", "download", "-json", &module]);
        let done = command.output().context("cannot run the Go client")?;
        let answer: Module = serde_json::from_slice(&done.stdout).with_context(|| {
            let said = String::from_utf8_lossy(&done.stderr);
            format!("the Go client cannot fetch {module}: {said}")
        })?;
        let Some(directory) = answer.dir else {
            bail!(
                "the Go client cannot fetch {module}: {}",
                answer.error.unwrap_or_default()
            );
        };
        let path = directory.join(self.path);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}
