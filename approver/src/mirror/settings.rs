//! The settings of mirroring: `awsAutoScaling` in the configuration file.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use rollcall_approver_core::Policy;

use crate::aws::Selection;

/// The time after their launch in which instances are expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JoinWindows {
    common: SignedDuration,
    /// Those of the groups that are pools with rules of their own.
    pools: BTreeMap<String, SignedDuration>,
}

impl JoinWindows {
    /// The join windows of a policy.
    pub(crate) fn of(policy: &Policy) -> Self {
        let pools = policy.pools.iter();
        let pools = pools.map(|(pool, rules)| (pool.clone(), rules.join_window));
        Self {
            common: policy.rules.join_window,
            pools: pools.collect(),
        }
    }

    /// The join window of a group.
    pub(crate) fn of_group(&self, group: &str) -> SignedDuration {
        self.pools.get(group).copied().unwrap_or(self.common)
    }
}

/// One entry of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Which groups.
    pub(crate) selection: Selection,
    /// Their region, where it is not that of the environment or of the approver's own instance.
    pub(crate) region: Option<String>,
    /// The source of node names.
    pub(crate) node_name: NodeNameFrom,
    /// The pause between two rounds.
    pub(crate) poll_interval: Duration,
}

/// The source of an instance's node name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NodeNameFrom {
    /// Its id, `i-0123456789abcdef0`.
    InstanceId,
    /// Its private DNS name, such as `ip-10-0-0-1.eu-west-1.compute.internal`.
    #[default]
    PrivateDnsName,
}
