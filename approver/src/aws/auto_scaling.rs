//! Auto Scaling Groups: which instances belong to them, and which of those are leaving.

use serde::Deserialize;

use super::environment::Service;
use super::query::{Action, MAX_PAGES, Parameters};
use super::{Aws, Error};

const DESCRIBE: Action = Action {
    service: Service::AutoScaling,
    name: "DescribeAutoScalingGroups",
};

/// The largest page of groups (Auto Scaling API Reference, `DescribeAutoScalingGroups`).
const PAGE: &str = "100";
/// The most names that one call may have (same place).
const NAMES_PER_CALL: usize = 50;

/// Which groups: those with a tag, those of these names, or of these names those with the tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The key of a tag, such as `kubernetes.io/cluster/prod`.
    pub(crate) tag: Option<String>,
    /// Names of groups; none means all groups with the tag.
    pub(crate) names: Vec<String>,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: String,
    /// Its instances.
    pub(crate) members: Vec<Member>,
}

/// One instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// `i-...`
    pub(crate) instance: String,
    /// Its state in the group, as the API spells it (`LifecycleState`).
    pub(crate) state: String,
}

impl Member {
    /// Returns true if the group wants it in service: it joins, serves or is on standby. Warm pool instances are not wanted yet.
    pub(crate) fn is_wanted(&self) -> bool {
        matches!(
            self.state.as_str(),
            "Pending"
                | "Pending:Wait"
                | "Pending:Proceed"
                | "InService"
                | "EnteringStandby"
                | "Standby"
        )
    }

    /// Returns true if it waits in a warm pool.
    pub(crate) fn is_warm(&self) -> bool {
        self.state.starts_with("Warmed:")
    }

    /// Returns true if the group is removing it.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(
            self.state.as_str(),
            "Terminating" | "Terminating:Wait" | "Terminating:Proceed" | "Terminated"
        )
    }
}

impl Aws {
    /// The selected groups.
    ///
    /// # Errors
    /// If AWS does not answer, or not with all of them; if a group of that name is not there or has no such tag.
    pub(crate) async fn groups(&self, selection: &Selection) -> Result<Vec<Group>, Error> {
        if selection.names.is_empty() && selection.tag.is_none() {
            return Err(Error::Setting("no group is selected".to_owned()));
        }
        let mut described = Vec::new();
        if selection.names.is_empty() {
            self.describe(selection.tag.as_deref(), &[], &mut described)
                .await?;
        }
        for names in selection.names.chunks(NAMES_PER_CALL) {
            self.describe(None, names, &mut described).await?;
        }
        let has_tag = |group: &Described| {
            let mut tags = group.tags.member.iter();
            selection
                .tag
                .as_ref()
                .is_none_or(|key| tags.any(|tag| tag.key == *key))
        };
        // The filter is AWS's; whether a group is ours is not left to it.
        described.retain(has_tag);
        let missing: Vec<&str> = selection
            .names
            .iter()
            .filter(|&name| described.iter().all(|group| group.name != *name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let tag = selection.tag.as_ref();
            let tag = tag.map_or_else(String::new, |key| format!(" with the tag {key}"));
            return Err(Error::Setting(format!(
                "there is no Auto Scaling Group{tag} named {} in region {}",
                missing.join(", "),
                self.region()
            )));
        }
        Ok(described.into_iter().map(Group::from).collect())
    }

    async fn describe(
        &self,
        tag: Option<&str>,
        names: &[String],
        groups: &mut Vec<Described>,
    ) -> Result<(), Error> {
        let mut next = None;
        for _ in 0..MAX_PAGES {
            let answer: Response = self.call(DESCRIBE, &parameters(tag, names, next)).await?;
            groups.extend(answer.result.groups.member);
            next = answer.result.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(());
            }
        }
        Err(Error::Malformed {
            call: DESCRIBE.name,
            message: "the list never ends".to_owned(),
        })
    }
}

fn parameters(tag: Option<&str>, names: &[String], next: Option<String>) -> Parameters {
    let mut parameters = vec![("MaxRecords".to_owned(), PAGE.to_owned())];
    if let Some(key) = tag {
        parameters.push(("Filters.member.1.Name".to_owned(), "tag-key".to_owned()));
        parameters.push((
            "Filters.member.1.Values.member.1".to_owned(),
            key.to_owned(),
        ));
    }
    for (number, name) in (1_usize..).zip(names) {
        parameters.push((
            format!("AutoScalingGroupNames.member.{number}"),
            name.clone(),
        ));
    }
    parameters.extend(next.map(|token| ("NextToken".to_owned(), token)));
    parameters
}

#[derive(Debug, Deserialize)]
struct Response {
    #[serde(rename = "DescribeAutoScalingGroupsResult")]
    result: Outcome,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    // Without a default: an answer without a list does not prove that no groups exist.
    #[serde(rename = "AutoScalingGroups")]
    groups: Members<Described>,
    #[serde(rename = "NextToken")]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Members<T> {
    #[serde(default = "Vec::new")]
    member: Vec<T>,
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self { member: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
struct Described {
    #[serde(rename = "AutoScalingGroupName")]
    name: String,
    #[serde(rename = "Instances", default)]
    instances: Members<DescribedMember>,
    #[serde(rename = "Tags", default)]
    tags: Members<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedMember {
    instance_id: String,
    lifecycle_state: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
}

impl From<Described> for Group {
    fn from(group: Described) -> Self {
        let members = group.instances.member.into_iter().map(|member| Member {
            instance: member.instance_id,
            state: member.lifecycle_state,
        });
        Self {
            name: group.name,
            members: members.collect(),
        }
    }
}

#[cfg(test)]
#[path = "auto_scaling_tests.rs"]
mod tests;
