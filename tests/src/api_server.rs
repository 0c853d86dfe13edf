//! The command line of kube-apiserver.

use std::path::Path;
use std::process::Command;

use crate::assets::Assets;
use crate::command::clean_command;

/// Addresses of Services, which no test uses. RFC 5737 reserves them for documentation, so nothing else has them.
const SERVICE_RANGE: &str = "198.51.100.0/24";

/// The command: as kubeadm starts it (RBAC, Node authorizer, NodeRestriction, bootstrap tokens), on loopback.
pub(crate) fn command(
    assets: &Assets,
    pki: &Path,
    etcd_port: u16,
    port: u16,
    more: &[String],
) -> Command {
    let file = |name: &str| pki.join(name).display().to_string();
    let mut command = clean_command(&assets.kube_apiserver());
    command.args([
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        // A loopback address cannot be an endpoint of the `kubernetes` Service, which no test uses.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", file("api-server.crt")),
        format!("--tls-private-key-file={}", file("api-server.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--kubelet-certificate-authority={}", file("ca.crt")),
        format!(
            "--kubelet-client-certificate={}",
            file("api-server-kubelet-client.crt")
        ),
        format!(
            "--kubelet-client-key={}",
            file("api-server-kubelet-client.key")
        ),
        "--kubelet-preferred-address-types=InternalIP,Hostname".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--enable-bootstrap-token-auth=true".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("service-account.pub")),
        format!(
            "--service-account-signing-key-file={}",
            file("service-account.key")
        ),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
    ]);
    command.args(more);
    command
}
