//! Checks that a name is the machine's own.

use rollcall_csr::{NodeName, NodeNameError};

/// The default host names of distribution images. The first label decides. All machines of an image would be the same
/// node.
const DEFAULTS: [&str; 15] = [
    "almalinux",
    "alpine",
    "amazonlinux",
    "archlinux",
    "centos",
    "coreos",
    "debian",
    "fedora",
    "flatcar",
    "linux",
    "opensuse",
    "raspberrypi",
    "rhel",
    "rocky",
    "ubuntu",
];

/// Parses a name as sources write it: in any case, optionally with a trailing dot.
///
/// # Errors
/// If it is not a node name, or not this machine's own.
pub fn accept(name: &str) -> Result<NodeName, Refusal> {
    let folded = name.trim().to_ascii_lowercase();
    let label = folded.split('.').next().unwrap_or_default();
    // `localhost.localdomain` is the name of a machine without a name; `(none)` is the kernel's.
    if folded == "(none)" || label == "localhost" {
        return Err(Refusal::Nameless(name.to_owned()));
    }
    if DEFAULTS.contains(&label) {
        return Err(Refusal::Default(name.to_owned()));
    }
    NodeName::from_dns_name(&folded).map_err(|reason| Refusal::NotANode {
        name: name.to_owned(),
        reason,
    })
}

/// The reason why a source has no name. The text follows the source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source has no data.
    #[error("{0}")]
    Absent(String),
    /// The default name of the distribution, shared by all machines.
    #[error("{0:?} is what its distribution calls every machine")]
    Default(String),
    /// The name of a machine without a name.
    #[error("{0:?} is what every machine without a name is called")]
    Nameless(String),
    /// The name is not a valid node name.
    #[error("{name:?} cannot be the name of a node: {reason}")]
    NotANode {
        /// The name.
        name: String,
        /// The reason.
        reason: NodeNameError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_as_dns_names_are() {
        assert_eq!(
            accept("Worker-0.Example.COM.").unwrap().as_str(),
            "worker-0.example.com"
        );
        assert_eq!(accept("localhost-7").unwrap().as_str(), "localhost-7");
    }

    #[test]
    fn what_ec2_calls_an_instance_is_its_own_name() {
        assert!(accept("ip-10-0-0-1").is_ok());
        assert!(accept("ip-10-0-0-1.eu-west-1.compute.internal").is_ok());
    }

    #[test]
    fn machines_without_a_name_of_their_own_are_refused() {
        for name in ["localhost", "LOCALHOST.localdomain", "localhost.", "(none)"] {
            assert_eq!(accept(name), Err(Refusal::Nameless(name.to_owned())));
        }
        for name in ["debian", "Ubuntu", "fedora.lan"] {
            assert_eq!(accept(name), Err(Refusal::Default(name.to_owned())));
        }
    }

    #[test]
    fn names_that_no_node_can_have_are_refused_with_the_reason() {
        let message = accept("my_host").unwrap_err().to_string();
        assert!(
            message.contains("\"my_host\"") && message.contains("RFC 1123"),
            "{message}"
        );
        assert!(matches!(
            accept(""),
            Err(Refusal::NotANode {
                reason: NodeNameError::Empty,
                ..
            })
        ));
    }
}
