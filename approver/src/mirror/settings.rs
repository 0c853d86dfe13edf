//! What is mirrored, and how: `awsAutoScaling` in the configuration file.

use std::time::Duration;

use crate::aws::Selection;

/// One entry of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Which groups.
    pub(crate) selection: Selection,
    /// Their region, where it is not that of the environment or of the approver's own instance.
    pub(crate) region: Option<String>,
    /// What instances call their nodes.
    pub(crate) node_name: NodeNameFrom,
    /// How long to wait between two looks.
    pub(crate) poll_interval: Duration,
}

/// What an instance calls its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NodeNameFrom {
    /// Its id, `i-0123456789abcdef0`.
    InstanceId,
    /// Its private DNS name, such as `ip-10-0-0-1.eu-west-1.compute.internal`.
    #[default]
    PrivateDnsName,
}
