//! The part of the configuration file that is about machines which are not nodes yet.

use std::collections::BTreeMap;

use rollcall_approver_core::{
    Contested, Policy, RequestorRule, ResumePolicy, Rules, Scope, Source, Strength, WindowFrom,
};
use serde::Deserialize;

use super::requestor::Requestor;
use super::{Duration, limits};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Bootstrap {
    requestors: Option<Vec<Requestor>>,
    #[serde(default, deserialize_with = "limits::join_window")]
    join_window: Option<Duration>,
    window_from: Option<WindowFromWord>,
    #[serde(default, deserialize_with = "limits::clock_skew")]
    clock_skew: Option<Duration>,
    leftover_nodes: Option<LeftoverNodes>,
    contested: Option<ContestedWord>,
    evidence: Option<EvidenceWord>,
    settle_after: Option<Duration>,
    reissue_after: Option<Duration>,
    max_issues: Option<usize>,
    resume: Option<Resume>,
    pools: Option<Vec<Pool>>,
}

/// Of the default bootstrappers, those that there are where these Machines are: OpenShift's own names mean something on
/// OpenShift only, which has its own Machines, or none (OpenShift 3.11, and 4 on platform none) and then ExpectedMachines.
pub(super) fn keep_those_of(machines: &[Scope], bootstrappers: &mut Vec<RequestorRule>) {
    let openshift = machines
        .iter()
        .any(|scope| matches!(scope.source, Source::ExpectedMachine | Source::OpenShift));
    bootstrappers.retain(|rule| openshift || rule.username.is_none());
}

impl Bootstrap {
    /// Whether it says who may bring a first certificate's request.
    pub(super) fn names_requestors(&self) -> bool {
        self.requestors.is_some()
    }

    pub(super) fn apply(self, policy: &mut Policy) -> Result<(), String> {
        let Self {
            requestors,
            join_window,
            window_from,
            clock_skew,
            leftover_nodes,
            contested,
            evidence,
            settle_after,
            reissue_after,
            max_issues,
            resume,
            pools,
        } = self;
        if let Some(requestors) = requestors {
            let rules = requestors.into_iter().map(|Requestor(rule)| rule);
            policy.bootstrappers = rules.collect();
        }
        if let Some(word) = window_from {
            policy.window_from = WindowFrom::from(word);
        }
        if let Some(Duration(skew)) = clock_skew {
            policy.clock_skew = skew;
        }
        if let Some(word) = leftover_nodes {
            policy.replace_leftover_nodes = matches!(word, LeftoverNodes::Replace);
        }
        if let Some(resume) = resume {
            resume.apply(&mut policy.resume)?;
        }
        let change = Change {
            contested,
            evidence,
            join_window,
            settle_after,
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

/// When a node that is known may come back through a bootstrapper.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resume {
    enabled: Option<bool>,
    max_expired: Option<Duration>,
    max_issues: Option<usize>,
}

impl Resume {
    fn apply(self, policy: &mut ResumePolicy) -> Result<(), String> {
        let Self {
            enabled,
            max_expired,
            max_issues,
        } = self;
        if max_issues == Some(0) {
            return Err(
                "bootstrap.resume.maxIssues: 0 would let no node come back; say enabled: false"
                    .to_owned(),
            );
        }
        policy.enabled = enabled.unwrap_or(policy.enabled);
        policy.max_expired = max_expired.map_or(policy.max_expired, |Duration(most)| most);
        policy.max_issues = max_issues.unwrap_or(policy.max_issues);
        Ok(())
    }
}

/// What a pool has otherwise than all the others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pool {
    pool: String,
    contested: Option<ContestedWord>,
    evidence: Option<EvidenceWord>,
    #[serde(default, deserialize_with = "limits::join_window")]
    join_window: Option<Duration>,
    settle_after: Option<Duration>,
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
            join_window,
            settle_after,
            reissue_after,
            max_issues,
        } in pools
        {
            check_pool(&pool).map_err(|wrong| format!("bootstrap.pools: {wrong}"))?;
            let change = Change {
                contested,
                evidence,
                join_window,
                settle_after,
                reissue_after,
                max_issues,
            };
            if change.is_empty() {
                return Err(format!(
                    "bootstrap.pools: {pool} sets nothing otherwise than bootstrap does; give it a rule or leave it out"
                ));
            }
            let rules = change.of(common, &format!("bootstrap.pools: {pool}"))?;
            if read.insert(pool.clone(), rules).is_some() {
                return Err(format!("bootstrap.pools: {pool} is there twice"));
            }
        }
        Ok(read)
    }
}

/// What is wrong with the name of a pool that no Machine could be in: pools are named by labels and by names of objects.
pub(super) fn check_pool(pool: &str) -> Result<(), String> {
    if pool.is_empty() {
        return Err("each entry names a pool".to_owned());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !pool.chars().all(fits) {
        return Err(format!(
            "{pool:?} is no pool that a Machine could be in; name one pool, without patterns"
        ));
    }
    Ok(())
}

/// Rules that are set, where others hold.
struct Change {
    contested: Option<ContestedWord>,
    evidence: Option<EvidenceWord>,
    join_window: Option<Duration>,
    settle_after: Option<Duration>,
    reissue_after: Option<Duration>,
    max_issues: Option<usize>,
}

impl Change {
    fn is_empty(&self) -> bool {
        let Self {
            contested,
            evidence,
            join_window,
            settle_after,
            reissue_after,
            max_issues,
        } = self;
        (contested.is_none() && evidence.is_none() && join_window.is_none())
            && (settle_after.is_none() && reissue_after.is_none() && max_issues.is_none())
    }

    /// The rules with what is set. `place` is where that stands in the file.
    fn of(self, rules: &Rules, place: &str) -> Result<Rules, String> {
        if self.max_issues == Some(0) {
            return Err(format!(
                "{place}.maxIssues: 0 would never issue a certificate; use 1 or more"
            ));
        }
        let reissue_after = self.reissue_after.map(|Duration(after)| after);
        let join_window = self.join_window.map(|Duration(window)| window);
        let settle_after = self.settle_after.map(|Duration(after)| after);
        Ok(Rules {
            contested: self.contested.map_or(rules.contested, Contested::from),
            evidence: self.evidence.map_or(rules.evidence, Strength::from),
            join_window: join_window.unwrap_or(rules.join_window),
            max_issues: self.max_issues.unwrap_or(rules.max_issues),
            reissue_after: reissue_after.unwrap_or(rules.reissue_after),
            settle_after: settle_after.unwrap_or(rules.settle_after),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ContestedWord {
    Hold,
    Newest,
    Settle,
}

impl From<ContestedWord> for Contested {
    fn from(word: ContestedWord) -> Self {
        match word {
            ContestedWord::Hold => Self::Hold,
            ContestedWord::Newest => Self::Newest,
            ContestedWord::Settle => Self::Settle,
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
enum WindowFromWord {
    Instance,
    Record,
}

impl From<WindowFromWord> for WindowFrom {
    fn from(word: WindowFromWord) -> Self {
        match word {
            WindowFromWord::Instance => Self::Instance,
            WindowFromWord::Record => Self::Record,
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
  windowFrom: record
  contested: hold
  evidence: replayable
  settleAfter: 3m
  reissueAfter: 2m
  maxIssues: 1
  resume: {enabled: false, maxExpired: 48h, maxIssues: 9}
  pools:
  - {pool: gpu, evidence: bound, reissueAfter: 5m, joinWindow: 24h}
  - {pool: lab, contested: newest, evidence: none, maxIssues: 9}
",
        );
        let policy = config.unwrap().policy;
        assert!(policy.replace_leftover_nodes);
        assert_eq!(policy.window_from, WindowFrom::Record);
        let rules = Rules {
            contested: Contested::Hold,
            evidence: Strength::Replayable,
            join_window: SignedDuration::from_hours(2),
            max_issues: 1,
            reissue_after: SignedDuration::from_mins(2),
            settle_after: SignedDuration::from_mins(3),
        };
        let resume = ResumePolicy {
            enabled: false,
            max_expired: SignedDuration::from_hours(48),
            max_issues: 9,
        };
        assert_eq!(policy.resume, resume);
        assert_eq!(policy.rules, rules);
        let gpu = Rules {
            evidence: Strength::Bound,
            join_window: SignedDuration::from_hours(24),
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
    fn openshifts_own_bootstrappers_are_known_where_its_machines_are_and_only_there() {
        let rules = |body: &str| parse(body).unwrap().policy.bootstrappers;
        let group = RequestorRule::group("system:bootstrappers");
        assert_eq!(
            rules("machines: [{clusterAPI: {}}]"),
            std::slice::from_ref(&group)
        );
        assert_eq!(
            rules("machines: [{gardener: {namespace: garden}}]"),
            [group]
        );
        for body in ["", "machines: [{clusterAPI: {}}, {expectedMachines: {}}]"] {
            assert_eq!(rules(body), Policy::default().bootstrappers, "{body}");
        }
        let named = "machines: [{clusterAPI: {}}]\nbootstrap: {requestors: [{username: u}]}";
        assert_eq!(rules(named), [RequestorRule::username("u")]);
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
                "bootstrap: {pools: [{pool: 'gpu*', maxIssues: 1}]}",
                ["bootstrap.pools", "patterns"],
            ),
            (
                "bootstrap: {pools: [{pool: gpu}]}",
                ["bootstrap.pools", "gpu sets nothing"],
            ),
            (
                "bootstrap: {pools: [{pool: gpu, maxIssues: 0}]}",
                ["bootstrap.pools: gpu.maxIssues", "use 1 or more"],
            ),
            (
                "bootstrap: {resume: {maxIssues: 0}}",
                ["bootstrap.resume.maxIssues", "enabled: false"],
            ),
            (
                "bootstrap: {pools: [{pool: gpu, maxIssues: 1}, {pool: gpu, evidence: bound}]}",
                ["bootstrap.pools", "gpu is there twice"],
            ),
            (
                "bootstrap: {pools: [{pool: gpu, joinWindow: 9000h}]}",
                ["joinWindow", "line 3"],
            ),
            (
                "bootstrap: {pools: [{pool: gpu, clockSkew: 1s}]}",
                ["clockSkew", "line 3"],
            ),
        ] {
            assert_refused(body, &words);
        }
    }
}
