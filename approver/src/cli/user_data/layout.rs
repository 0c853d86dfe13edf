//! Where each flavour of machine keeps what user-data brings.

use crate::Flavour;

/// The paths and the service of one flavour.
pub(super) struct Layout {
    /// The kubeconfig that node-agent begins with.
    pub(super) bootstrap_kubeconfig: &'static str,
    /// Kubelet's kubeconfig, which node-agent writes.
    pub(super) kubeconfig: &'static str,
    /// Kubelet's folder for certificates, which node-agent writes to.
    pub(super) cert_dir: &'static str,
    /// The CA by which kubelet knows its callers.
    pub(super) client_ca: &'static str,
    /// Whether that is the CA of the API server unless another is named.
    pub(super) one_ca: bool,
    /// The configuration of kubelet; none where the cluster gives it.
    pub(super) kubelet_config: Option<&'static str>,
    /// Credentials of image registries, as kubelet finds them.
    pub(super) registry_credentials: &'static str,
    /// The unit that runs kubelet.
    pub(super) service: &'static str,
}

impl Layout {
    /// The layout of a flavour.
    pub(super) fn of(flavour: Flavour) -> Self {
        match flavour {
            // kubeadm (Kubernetes cmd/kubeadm/app/constants, and its drop-in for kubelet.service).
            Flavour::Kubelet => Self {
                bootstrap_kubeconfig: "/etc/kubernetes/bootstrap-kubelet.conf",
                kubeconfig: "/etc/kubernetes/kubelet.conf",
                cert_dir: "/var/lib/kubelet/pki",
                client_ca: "/etc/kubernetes/pki/ca.crt",
                one_ca: true,
                kubelet_config: Some("/var/lib/kubelet/config.yaml"),
                registry_credentials: "/var/lib/kubelet/config.json",
                service: "kubelet.service",
            },
            // openshift/machine-config-operator, templates/worker/01-worker-kubelet. There, kubelet.conf is kubelet's
            // configuration and no kubeconfig.
            Flavour::Openshift4 => Self {
                bootstrap_kubeconfig: "/etc/kubernetes/kubeconfig",
                kubeconfig: "/var/lib/kubelet/kubeconfig",
                cert_dir: "/var/lib/kubelet/pki",
                client_ca: "/etc/kubernetes/kubelet-ca.crt",
                one_ca: false,
                kubelet_config: Some("/etc/kubernetes/kubelet.conf"),
                registry_credentials: "/var/lib/kubelet/config.json",
                service: "kubelet.service",
            },
            // openshift-ansible 3.11, roles/openshift_node and openshift_node_group. The node makes client-ca.crt from
            // the bootstrap kubeconfig where it is missing, but node-agent may have wiped that by then.
            Flavour::Openshift311 => Self {
                bootstrap_kubeconfig: "/etc/origin/node/bootstrap.kubeconfig",
                kubeconfig: "/etc/origin/node/node.kubeconfig",
                cert_dir: "/etc/origin/node/certificates",
                client_ca: "/etc/origin/node/client-ca.crt",
                one_ca: true,
                kubelet_config: None,
                registry_credentials: "/var/lib/origin/.docker/config.json",
                service: "origin-node.service",
            },
        }
    }
}
