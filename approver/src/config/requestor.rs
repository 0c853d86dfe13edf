//! `bootstrap.requestors` in the configuration file: whom first certificates may come through.

use rollcall_approver_core::RequestorRule;
use serde::{Deserialize, Deserializer};

/// Groups of which nobody who brings a first certificate's request is a member, or in which a member is a node already
/// (Kubernetes: `pkg/authentication/user`).
const NEVER: [&str; 2] = ["system:unauthenticated", "system:nodes"];
/// Groups that say nothing of a machine: everybody with any credential, every pod, and who may do everything anyway.
const TOO_WIDE: [&str; 3] = [
    "system:authenticated",
    "system:masters",
    "system:serviceaccounts",
];
/// What the API server calls those who show no credential (Kubernetes: `pkg/authentication/user`).
const ANONYMOUS: &str = "system:anonymous";
/// How the user names of nodes begin.
const NODE: &str = "system:node:";

/// One entry.
pub(super) struct Requestor(pub(super) RequestorRule);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    username: Option<String>,
    group: Option<String>,
}

impl<'de> Deserialize<'de> for Requestor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Entry { username, group } = Entry::deserialize(deserializer)?;
        let rule = RequestorRule { username, group };
        match check(&rule) {
            None => Ok(Self(rule)),
            Some(wrong) => Err(serde::de::Error::custom(format!(
                "bootstrap.requestors: {wrong}"
            ))),
        }
    }
}

/// What is wrong with an entry.
fn check(rule: &RequestorRule) -> Option<String> {
    let (username, group) = (rule.username.as_deref(), rule.group.as_deref());
    let mut parts = [username, group].into_iter().flatten();
    if parts.clone().next().is_none() || parts.clone().any(str::is_empty) {
        return Some("each entry names a username, a group or both".to_owned());
    }
    if let Some(part) = parts.find(|part| part.contains('*') || part.trim() != *part) {
        return Some(format!(
            "{part:?} would name nobody: names are compared as they are, without patterns"
        ));
    }
    match (username, group) {
        (Some(ANONYMOUS), _) => Some(format!(
            "{ANONYMOUS} is whoever shows no credential at all; name the user or group of a bootstrap credential"
        )),
        (Some(node), _) if node.starts_with(NODE) => Some(format!(
            "{node:?} is a node, and a node never brings the first certificate of another machine"
        )),
        (_, Some(group)) if NEVER.contains(&group) => Some(format!(
            "no bootstrap credential is in the group {group}; name a group such as system:bootstrappers"
        )),
        (None, Some(group)) if TOO_WIDE.contains(&group) => Some(format!(
            "the group {group} is everybody, not only machines that bootstrap; name a group such as \
             system:bootstrappers, or a username beside it"
        )),
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{assert_refused, parse};

    #[test]
    fn whoever_could_be_anybody_or_nobody_is_refused_with_line_and_remedy() {
        for (entry, words) in [
            ("{group: 'system:unauthenticated'}", "system:bootstrappers"),
            ("{group: 'system:nodes'}", "system:bootstrappers"),
            (
                "{username: u, group: 'system:unauthenticated'}",
                "system:bootstrappers",
            ),
            ("{group: 'system:authenticated'}", "everybody"),
            ("{group: 'system:masters'}", "everybody"),
            ("{group: 'system:serviceaccounts'}", "everybody"),
            ("{username: 'system:anonymous'}", "no credential"),
            ("{username: 'system:node:worker-0'}", "is a node"),
            ("{username: '*'}", "patterns"),
            ("{group: 'system:bootstrappers:*'}", "patterns"),
            ("{group: ' system:bootstrappers'}", "compared as they are"),
            ("{}", "names a username"),
            ("{group: ''}", "names a username"),
        ] {
            let body = format!("bootstrap:\n  requestors:\n  - {entry}\n");
            assert_refused(&body, &["bootstrap.requestors", words, "line 5"]);
        }
    }

    #[test]
    fn one_user_of_a_wide_group_and_groups_that_only_look_alike_are_taken() {
        for entry in [
            "{username: u, group: 'system:authenticated'}",
            "{group: 'system:serviceaccounts:openshift-machine-config-operator'}",
            "{group: 'system:bootstrappers:kubeadm:default-node-token'}",
            "{username: 'system:admin'}",
            "{username: 'system:nodebootstrapper'}",
        ] {
            let body = format!("bootstrap:\n  requestors:\n  - {entry}\n");
            assert_eq!(
                parse(&body).unwrap().policy.bootstrappers.len(),
                1,
                "{entry}"
            );
        }
    }
}
