//! The sources of a name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::clouds::Cloud;
use super::local;

/// One source of the node's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A cloud's metadata service.
    Cloud(Cloud),
    /// cloud-init's instance-data (`local_hostname`).
    CloudInit,
    /// The host name, as for kubelet without `--hostname-override`.
    HostName,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 7] = [
        Self::CloudInit,
        Self::Cloud(Cloud::Ec2PrivateDns),
        Self::Cloud(Cloud::Ec2InstanceId),
        Self::Cloud(Cloud::Gce),
        Self::Cloud(Cloud::Azure),
        Self::Cloud(Cloud::OpenStack),
        Self::HostName,
    ];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cloud(cloud) => cloud.as_str(),
            Self::CloudInit => "cloud-init",
            Self::HostName => "host-name",
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|source| source.as_str() == word)
            .ok_or_else(|| format!("is none of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cloud(cloud) => write!(f, "{cloud}"),
            Self::CloudInit => f.write_str("cloud-init"),
            Self::HostName => f.write_str("the host name"),
        }
    }
}

/// Returns the sources that apply to a machine: cloud-init if it has run, else the metadata service of the cloud that
/// the firmware names, and the host name last.
pub(super) fn automatic(host: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    if local::has_cloud_init(host) {
        sources.push(Source::CloudInit);
    } else if let Some(cloud) = local::cloud(host) {
        sources.push(Source::Cloud(cloud));
    }
    sources.push(Source::HostName);
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_a_word_of_its_own() {
        for source in Source::ALL {
            assert_eq!(source.as_str().parse::<Source>(), Ok(source));
        }
        assert!(
            "ec2"
                .parse::<Source>()
                .unwrap_err()
                .contains("ec2-private-dns")
        );
    }
}
