//! The name of a request object, derived only from its content.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, SHA512_256};

use crate::{Evidence, NODES_GROUP, NodeName, Signer};

/// The name that kubelet would give this first request (Kubernetes: `pkg/kubelet/certificate/bootstrap`,
/// `digestedName`): `node-csr-` and a digest of key, subject and usages. The same key always gives the same name, so a
/// client that restarts finds its existing request.
pub fn request_name(spki_der: &[u8], node: &NodeName) -> String {
    digested_name(spki_der, node, &[])
}

/// The name of a first request that carries evidence: kubelet's digest, extended by the content of the evidence.
///
/// The digest covers kinds, clusters, certificates and keys, but not signatures, which differ each time. So a client
/// with the same evidence finds its request, and a client with more evidence than before makes a new request instead of
/// waiting for one that lacks it.
pub fn request_name_with_evidence(spki_der: &[u8], node: &NodeName, evidence: &Evidence) -> String {
    let mut fields = Vec::new();
    for statement in evidence.statements() {
        fields.push(statement.kind().as_bytes().to_vec());
        fields.push(statement.cluster().to_der());
        fields.push(statement.shown().to_vec());
    }
    digested_name(spki_der, node, &fields)
}

fn digested_name(spki_der: &[u8], node: &NodeName, more: &[Vec<u8>]) -> String {
    let mut digest = Context::new(&SHA512_256);
    let username = node.username();
    let usages = Signer::KubeApiserverClientKubelet.usages();
    let fields = [spki_der, username.as_bytes(), NODES_GROUP.as_bytes()];
    for field in fields
        .into_iter()
        .chain(usages.iter().map(|usage| usage.as_bytes()))
        .chain(more.iter().map(Vec::as_slice))
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

    /// A test vector of evidence.
    macro_rules! case {
        ($name:literal) => {
            include_bytes!(concat!("../../tests/cases/csr/", $name, ".pem"))
        };
    }

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

    #[test]
    fn depends_on_what_evidence_shows_but_not_on_its_signatures() {
        let node = "a".parse().unwrap();
        let name = |file: &[u8]| {
            let request = CertificationRequest::from_pem(file).unwrap();
            let evidence = Evidence::new(request.evidence().unwrap().to_vec()).unwrap();
            request_name_with_evidence(&[1], &node, &evidence)
        };
        let one = name(case!("pem-evidence"));
        assert_ne!(one, request_name(&[1], &node));
        assert_ne!(one, name(case!("evidence-p384")));
        assert_ne!(one, name(case!("evidence-another-cluster")));
        assert_ne!(one, name(case!("evidence-two-statements")));
        assert_eq!(one, name(case!("evidence-signature-broken")));
    }
}
