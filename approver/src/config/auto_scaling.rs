//! `awsAutoScaling` in the configuration file: which Auto Scaling Groups are mirrored as ExpectedMachines.

use serde::Deserialize;

use super::Duration;
use crate::aws::Selection;
use crate::mirror::{NodeNameFrom, Settings};

/// How long to wait between two looks. Ten seconds are a tenth of what most instances take to boot, and two calls every
/// ten seconds are far below what AWS throttles (EC2 API Reference, "Request throttling": 20 and more a second).
const POLL_INTERVAL: std::time::Duration = std::time::Duration::from_secs(10);
/// Asked more often, AWS throttles the whole account.
const SHORTEST: std::time::Duration = std::time::Duration::from_secs(1);

/// One entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AwsAutoScaling {
    cluster_tag: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    region: Option<String>,
    #[serde(default)]
    node_name: NodeNameWord,
    poll_interval: Option<Duration>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum NodeNameWord {
    InstanceId,
    #[default]
    PrivateDnsName,
}

impl AwsAutoScaling {
    /// What is mirrored.
    ///
    /// # Errors
    /// If it names no group, or something that cannot be.
    pub(super) fn read(self) -> Result<Settings, String> {
        let Self {
            cluster_tag,
            groups,
            region,
            node_name,
            poll_interval,
        } = self;
        let texts = cluster_tag.iter().chain(&groups).chain(&region);
        if texts.clone().any(|text| text.trim().is_empty()) {
            return Err("machines: awsAutoScaling: a text in it is empty".to_owned());
        }
        if cluster_tag.is_none() && groups.is_empty() {
            return Err(
                "machines: awsAutoScaling: name a clusterTag, such as kubernetes.io/cluster/prod, or groups".to_owned(),
            );
        }
        let poll_interval = match poll_interval {
            None => POLL_INTERVAL,
            Some(Duration(interval)) => std::time::Duration::try_from(interval)
                .ok()
                .filter(|interval| *interval >= SHORTEST)
                .ok_or("machines: awsAutoScaling: pollInterval is at least 1s")?,
        };
        Ok(Settings {
            selection: Selection {
                tag: cluster_tag,
                names: groups,
            },
            region,
            node_name: match node_name {
                NodeNameWord::InstanceId => NodeNameFrom::InstanceId,
                NodeNameWord::PrivateDnsName => NodeNameFrom::PrivateDnsName,
            },
            poll_interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{assert_refused, parse};

    #[test]
    fn groups_are_chosen_by_tag_by_name_or_by_both() {
        let config =
            parse("machines:\n- awsAutoScaling: {clusterTag: kubernetes.io/cluster/prod}\n");
        let config = config.unwrap();
        let [settings] = &config.auto_scaling[..] else {
            panic!("{config:?}")
        };
        assert_eq!(
            settings.selection.tag.as_deref(),
            Some("kubernetes.io/cluster/prod")
        );
        assert_eq!(settings.node_name, NodeNameFrom::PrivateDnsName);
        assert_eq!(settings.poll_interval, POLL_INTERVAL);
        let scopes: Vec<String> = config.machines.iter().map(ToString::to_string).collect();
        assert_eq!(
            scopes,
            ["expectedMachines"],
            "their records are on the roll"
        );

        let config = parse(
            "machines:\n- expectedMachines: {}\n- awsAutoScaling: {groups: [a, b], region: eu-west-1, nodeName: instanceId, \
             pollInterval: 5s}\n",
        )
        .unwrap();
        assert_eq!(config.machines.len(), 1);
        let settings = &config.auto_scaling[0];
        assert_eq!(settings.selection.names, ["a", "b"]);
        assert_eq!(settings.region.as_deref(), Some("eu-west-1"));
        assert_eq!(settings.node_name, NodeNameFrom::InstanceId);
        assert_eq!(settings.poll_interval.as_secs(), 5);
    }

    #[test]
    fn what_chooses_nothing_or_cannot_be_is_refused() {
        let refused = |entry: &str, words: &[&str]| {
            assert_refused(&format!("machines:\n- awsAutoScaling: {entry}\n"), words);
        };
        refused("{}", &["clusterTag", "groups"]);
        refused("{groups: []}", &["clusterTag", "groups"]);
        refused("{groups: ['']}", &["empty"]);
        refused("{clusterTag: ' '}", &["empty"]);
        refused(
            "{clusterTag: a, pollInterval: 100ms}",
            &["pollInterval", "1s"],
        );
        refused(
            "{clusterTag: a, nodeName: hostname}",
            &["line 4", "hostname"],
        );
        refused("{clusterTag: a, tag: b}", &["line 4", "tag"]);
    }
}
