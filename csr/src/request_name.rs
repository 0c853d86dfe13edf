//! The name of a request object that depends on nothing but what is asked for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA512_256};

use crate::{NODES_GROUP, NodeName, Signer};

/// The name under which kubelet would file this first request (Kubernetes: `pkg/kubelet/certificate/bootstrap`,
/// `digestedName`): `node-csr-` and a digest of key, subject and usages. The same key always gives the same name, so
/// that whoever comes back after a crash finds the request that is already there.
pub fn request_name(spki_der: &[u8], node: &NodeName) -> String {
    let mut digest = Context::new(&SHA512_256);
    let username = node.username();
    let usages = Signer::KubeApiserverClientKubelet.usages();
    let fields = [spki_der, username.as_bytes(), NODES_GROUP.as_bytes()];
    for field in fields
        .into_iter()
        .chain(usages.iter().map(|usage| usage.as_bytes()))
    {
        digest.update(URL_SAFE_NO_PAD.encode(field).as_bytes());
        digest.update(b"|");
    }
    format!("node-csr-{}", URL_SAFE_NO_PAD.encode(digest.finish()))
}
