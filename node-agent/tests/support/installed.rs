//! An identity that is installed already.

use std::fs;
use std::os::unix::fs::symlink;

use rollcall_node_agent::kubeconfig;

use crate::machine::Machine;

/// The symlink to the certificate in use.
pub(crate) const CURRENT: &str = "kubelet/pki/kubelet-client-current.pem";

/// Installs a certificate and key as kubelet would, by hand.
pub(crate) fn install(machine: &Machine, certificate: &str, key: &str) {
    fs::create_dir_all(machine.path("kubelet/pki")).unwrap();
    fs::create_dir_all(machine.path("etc")).unwrap();
    let pem = machine.path("kubelet/pki/kubelet-client-2025-01-01-00-00-00.pem");
    fs::write(&pem, format!("{certificate}{key}")).unwrap();
    symlink(&pem, machine.path(CURRENT)).unwrap();
    let bootstrap = kubeconfig::read(&machine.settings.bootstrap_kubeconfig).unwrap();
    let text = kubeconfig::for_kubelet(&bootstrap.cluster, &machine.path(CURRENT)).unwrap();
    fs::write(&machine.settings.kubeconfig, text).unwrap();
}
