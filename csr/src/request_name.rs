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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CertificationRequest;

    /// The name that `tests/differential` computes in Go for the same request, as kubelet does.
    #[test]
    fn is_the_name_that_kubelet_gives() {
        let der = include_bytes!("../../tests/cases/csr/client.der");
        let request = CertificationRequest::from_der(der).unwrap();
        let node = NodeName::from_username(&request.subject().common_name).unwrap();
        let name = request_name(request.public_key().spki_der(), &node);
        assert_eq!(name, "node-csr-JpDyj2YVpBmjAcyGobzcfMoFu5vFGmtOPv2Zt5V23ag");
    }

    #[test]
    fn depends_on_key_and_node() {
        let [one, two] = ["a", "b"].map(|node| request_name(&[1], &node.parse().unwrap()));
        assert_ne!(one, two);
        assert_ne!(one, request_name(&[2], &"a".parse().unwrap()));
        assert_eq!(one, request_name(&[1], &"a".parse().unwrap()));
    }
}
