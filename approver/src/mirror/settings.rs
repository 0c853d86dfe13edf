//! What is mirrored, and how: `awsAutoScaling` in the configuration file.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use rollcall_approver_core::Policy;

use crate::aws::Selection;

/// How long after their launch instances are expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JoinWindows {
    common: SignedDuration,
    /// Those of the groups that are pools with rules of their own.
    pools: BTreeMap<String, SignedDuration>,
}

impl JoinWindows {
    /// Those that a policy says.
    pub(crate) fn of(policy: &Policy) -> Self {
        let pools = policy.pools.iter();
        let pools = pools.map(|(pool, rules)| (pool.clone(), rules.join_window));
        Self {
            common: policy.rules.join_window,
            pools: pools.collect(),
        }
    }

    /// That of a group.
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
