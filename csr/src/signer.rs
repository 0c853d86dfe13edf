//! The two signers of kubelet certificates, and the usages that each accepts.

use std::str::FromStr;

/// A signer of kubelet certificates (Kubernetes: `pkg/apis/certificates`, the well-known signer names).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signer {
    /// Signs the client certificate that a kubelet presents to the API server.
    KubeApiserverClientKubelet,
    /// Signs the serving certificate of a kubelet's own port.
    KubeletServing,
}

impl Signer {
    /// Both signers.
    pub const ALL: [Self; 2] = [Self::KubeApiserverClientKubelet, Self::KubeletServing];

    /// The signer's name in the API, as in `spec.signerName`.
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeApiserverClientKubelet => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::KubeletServing => "kubernetes.io/kubelet-serving",
        }
    }

    /// The usages that a kubelet requests with an elliptic curve key, in kubelet's order.
    pub fn usages(self) -> [&'static str; 2] {
        match self {
            Self::KubeApiserverClientKubelet => ["digital signature", "client auth"],
            Self::KubeletServing => ["digital signature", "server auth"],
        }
    }

    /// Returns true if the signer accepts exactly these usages: the two of [`Signer::usages`], each once, with or
    /// without `key encipherment` (Kubernetes: `pkg/apis/certificates/helpers.go`).
    pub fn allows_usages<T: AsRef<str>>(self, usages: &[T]) -> bool {
        let count = |wanted: &str| {
            usages
                .iter()
                .filter(|usage| usage.as_ref() == wanted)
                .count()
        };
        let optional = count("key encipherment");
        self.usages().into_iter().all(|usage| count(usage) == 1)
            && optional <= 1
            && usages.len() == self.usages().len().saturating_add(optional)
    }
}

impl FromStr for Signer {
    type Err = UnknownSigner;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|signer| signer.name() == name)
            .ok_or_else(|| UnknownSigner(name.to_owned()))
    }
}

/// The error for a signer that does not sign for kubelets; its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a signer of kubelet certificates")]
pub struct UnknownSigner(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usages_are_compared_as_a_set_of_exact_size() {
        let client = Signer::KubeApiserverClientKubelet;
        assert!(client.allows_usages(&["client auth", "digital signature"]));
        assert!(client.allows_usages(&["key encipherment", "digital signature", "client auth"]));
        for refused in [
            &[][..],
            &["client auth"],
            &["client auth", "client auth"],
            &["digital signature", "server auth"],
            &["digital signature", "client auth", "server auth"],
            &["digital signature", "client auth", "client auth"],
            &[
                "digital signature",
                "client auth",
                "key encipherment",
                "key encipherment",
            ],
            &[
                "digital signature",
                "client auth",
                "key encipherment",
                "cert sign",
            ],
        ] {
            assert!(!client.allows_usages(refused), "{refused:?}");
        }
        assert!(Signer::KubeletServing.allows_usages(&Signer::KubeletServing.usages()));
        assert!(!Signer::KubeletServing.allows_usages(&client.usages()));
    }

    #[test]
    fn names_round_trip() {
        for signer in Signer::ALL {
            assert_eq!(signer.name().parse(), Ok(signer));
        }
        assert!(
            "kubernetes.io/kube-apiserver-client"
                .parse::<Signer>()
                .is_err()
        );
    }
}
