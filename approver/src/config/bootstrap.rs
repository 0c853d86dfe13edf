//! The part of the configuration file that is about machines which are not nodes yet.

use std::collections::BTreeMap;

use rollcall_approver_core::{Contested, Policy, RequestorRule, Rules, Strength};
use serde::Deserialize;

use super::Duration;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Bootstrap {
    requestors: Option<Vec<Requestor>>,
    join_window: Option<Duration>,
    clock_skew: Option<Duration>,
    leftover_nodes: Option<LeftoverNodes>,
    contested: Option<ContestedWord>,
    evidence: Option<EvidenceWord>,
    reissue_after: Option<Duration>,
    max_issues: Option<usize>,
    pools: Option<Vec<Pool>>,
}

impl Bootstrap {
    pub(super) fn apply(self, policy: &mut Policy) -> Result<(), String> {
        let Self {
            requestors,
            join_window,
            clock_skew,
            leftover_nodes,
            contested,
            evidence,
            reissue_after,
            max_issues,
            pools,
        } = self;
        if let Some(requestors) = requestors {
            policy.bootstrappers = requestors
                .into_iter()
                .map(Requestor::into_rule)
                .collect::<Result<_, _>>()?;
        }
        if let Some(Duration(window)) = join_window {
            policy.join_window = window;
        }
        if let Some(Duration(skew)) = clock_skew {
            policy.clock_skew = skew;
        }
        if let Some(word) = leftover_nodes {
            policy.replace_leftover_nodes = matches!(word, LeftoverNodes::Replace);
        }
        let change = Change {
            contested,
            evidence,
            reissue_after,
            max_issues,
        };
        policy.rules = change.of(&policy.rules, "bootstrap")?;
        if let Some(pools) = pools {
            policy.pools = Pool::read_all(pools, &policy.rules)?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Requestor {
    username: Option<String>,
    group: Option<String>,
}

impl Requestor {
    fn into_rule(self) -> Result<RequestorRule, String> {
        let Self { username, group } = self;
        let empty = |part: &Option<String>| part.as_deref() == Some("");
        if (username.is_none() && group.is_none()) || empty(&username) || empty(&group) {
            return Err(
                "bootstrap.requestors: each entry names a username, a group or both".to_owned(),
            );
        }
        Ok(RequestorRule { username, group })
    }
}

/// What a pool has otherwise than all the others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pool {
    pool: String,
    contested: Option<ContestedWord>,
    evidence: Option<EvidenceWord>,
    reissue_after: Option<Duration>,
    max_issues: Option<usize>,
}

impl Pool {
    fn read_all(pools: Vec<Self>, common: &Rules) -> Result<BTreeMap<String, Rules>, String> {
        let mut read = BTreeMap::new();
        for Self {
            pool,
            contested,
            evidence,
            reissue_after,
            max_issues,
        } in pools
        {
            if pool.is_empty() {
                return Err("bootstrap.pools: each entry names a pool".to_owned());
            }
            let change = Change {
                contested,
                evidence,
                reissue_after,
                max_issues,
            };
            let rules = change.of(common, &format!("bootstrap.pools: {pool}"))?;
            if read.insert(pool.clone(), rules).is_some() {
                return Err(format!("bootstrap.pools: {pool} is there twice"));
            }
        }
        Ok(read)
    }
}

/// Rules that are set, where others hold.
struct Change {
    contested: Option<ContestedWord>,
    evidence: Option<EvidenceWord>,
    reissue_after: Option<Duration>,
    max_issues: Option<usize>,
}

impl Change {
    /// The rules with what is set. `place` is where that stands in the file.
    fn of(self, rules: &Rules, place: &str) -> Result<Rules, String> {
        if self.max_issues == Some(0) {
            return Err(format!(
                "{place}.maxIssues: 0 would never issue a certificate; use 1 or more"
            ));
        }
        let reissue_after = self.reissue_after.map(|Duration(after)| after);
        Ok(Rules {
            contested: self.contested.map_or(rules.contested, Contested::from),
            evidence: self.evidence.map_or(rules.evidence, Strength::from),
            max_issues: self.max_issues.unwrap_or(rules.max_issues),
            reissue_after: reissue_after.unwrap_or(rules.reissue_after),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ContestedWord {
    Hold,
    Newest,
}

impl From<ContestedWord> for Contested {
    fn from(word: ContestedWord) -> Self {
        match word {
            ContestedWord::Hold => Self::Hold,
            ContestedWord::Newest => Self::Newest,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum EvidenceWord {
    Bound,
    None,
    Replayable,
}

impl From<EvidenceWord> for Strength {
    fn from(word: EvidenceWord) -> Self {
        match word {
            EvidenceWord::Bound => Self::Bound,
            EvidenceWord::None => Self::None,
            EvidenceWord::Replayable => Self::Replayable,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum LeftoverNodes {
    Hold,
    Replace,
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::tests::{assert_refused, parse};
    use super::*;

    #[test]
    fn a_pool_has_the_common_rules_but_for_what_it_sets() {
        let config = parse(
            "bootstrap:
  leftoverNodes: replace
  contested: hold
  evidence: replayable
  reissueAfter: 2m
  maxIssues: 1
  pools:
  - {pool: gpu, evidence: bound, reissueAfter: 5m}
  - {pool: lab, contested: newest, evidence: none, maxIssues: 9}
",
        );
        let policy = config.unwrap().policy;
        assert!(policy.replace_leftover_nodes);
        let rules = Rules {
            contested: Contested::Hold,
            evidence: Strength::Replayable,
            max_issues: 1,
            reissue_after: SignedDuration::from_mins(2),
        };
        assert_eq!(policy.rules, rules);
        let gpu = Rules {
            evidence: Strength::Bound,
            reissue_after: SignedDuration::from_mins(5),
            ..rules
        };
        let lab = Rules {
            contested: Contested::Newest,
            evidence: Strength::None,
            max_issues: 9,
            ..rules
        };
        let pools = [("gpu".to_owned(), gpu), ("lab".to_owned(), lab)];
        assert_eq!(policy.pools, pools.into());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (body, words) in [
            ("bootstrap: {evidence: strong}", ["strong", "line 3"]),
            ("bootstrap: {leftoverNodes: delete}", ["delete", "line 3"]),
            (
                "bootstrap: {pools: [{pool: '', maxIssues: 1}]}",
                ["bootstrap.pools", "names a pool"],
            ),
            (
                "bootstrap: {pools: [{pool: gpu, maxIssues: 0}]}",
                ["bootstrap.pools: gpu.maxIssues", "use 1 or more"],
            ),
            (
                "bootstrap: {pools: [{pool: gpu}, {pool: gpu}]}",
                ["bootstrap.pools", "gpu is there twice"],
            ),
            (
                "bootstrap: {pools: [{pool: gpu, joinWindow: 1h}]}",
                ["joinWindow", "line 3"],
            ),
        ] {
            assert_refused(body, &words);
        }
    }
}
