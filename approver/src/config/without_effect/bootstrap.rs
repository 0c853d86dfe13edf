//! What is to be said of the settings of machines that are not nodes yet.

use rollcall_approver_core::{
    BOOTSTRAP_USER, BOOTSTRAPPERS, Contested, Policy, RequestorRule, ResumePolicy, Rules, Source,
    Strength, WindowFrom,
};

use super::{Remark, covered, reads};
use crate::config::Config;

/// The group of everybody who shows any credential.
const AUTHENTICATED: &str = "system:authenticated";

pub(super) fn check(config: &Config, remarks: &mut Vec<Remark>) {
    let policy = &config.policy;
    if policy.bootstrappers.is_empty() {
        remarks.push(Remark::new(
            "bootstrap.requestors",
            "is empty, so that no machine can join, and nothing else in bootstrap has an effect",
        ));
        return;
    }
    check_requestors(&policy.bootstrappers, remarks);
    check_window(config, remarks);
    check_resume(config, remarks);
    check_tokens(config, remarks);
    check_rules(config, remarks);
}

/// Rules that name no one whom another one does not name.
fn check_requestors(rules: &[RequestorRule], remarks: &mut Vec<Remark>) {
    let wider = |one: &RequestorRule, other: &RequestorRule| {
        (one.username.is_none() || one.username == other.username)
            && (one.group.is_none() || one.group == other.group)
    };
    for (rule, _) in covered(rules, wider) {
        let parts = [&rule.username, &rule.group].into_iter().flatten();
        let parts: Vec<&str> = parts.map(String::as_str).collect();
        remarks.push(Remark::idle(
            format!("bootstrap.requestors: {}", parts.join(" in ")),
            "another entry names the same requestors",
        ));
    }
}

fn check_window(config: &Config, remarks: &mut Vec<Remark>) {
    let mut sources = config.machines.iter().map(|scope| scope.source);
    if config.policy.window_from == WindowFrom::Record
        && sources.all(|source| source == Source::ExpectedMachine)
    {
        let why = "ExpectedMachines, the only source, do not say when an instance was ready: their creation counts anyway";
        remarks.push(Remark::idle("bootstrap.windowFrom", why));
    }
}

fn check_resume(config: &Config, remarks: &mut Vec<Remark>) {
    let (resume, default) = (&config.policy.resume, ResumePolicy::default());
    let why = if !resume.enabled {
        "with bootstrap.resume.enabled: false no node comes back"
    } else if config.kubelets.ca.is_empty() {
        "without any serving.kubeletCA no certificate of before is verified, and no node comes back"
    } else {
        return;
    };
    if resume.max_expired != default.max_expired {
        remarks.push(Remark::idle("bootstrap.resume.maxExpired", why));
    }
    if resume.max_issues != default.max_issues {
        remarks.push(Remark::idle("bootstrap.resume.maxIssues", why));
    }
}

/// Whether a rule can name the holder of a bootstrap token.
fn is_of_tokens(rule: &RequestorRule) -> bool {
    let user = rule.username.as_deref();
    let group = rule.group.as_deref();
    let of_tokens = |group: &str| {
        let below = group.strip_prefix(BOOTSTRAPPERS);
        group == AUTHENTICATED || below.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    user.is_none_or(|user| user.starts_with(BOOTSTRAP_USER)) && group.is_none_or(of_tokens)
}

/// Machines that are to join with tokens of their own, which no requestor may use.
fn check_tokens(config: &Config, remarks: &mut Vec<Remark>) {
    let policy = &config.policy;
    if policy.bootstrappers.iter().any(is_of_tokens) {
        return;
    }
    let text = "each Machine joins with a bootstrap token of its own, and bootstrap.requestors names no one who uses \
                one, so that none can join; add {group: system:bootstrappers}";
    for scope in &config.machines {
        if policy.bootstrap_tokens.contains(scope) {
            let setting = format!("machines: {scope}: bootstrapTokens");
            remarks.push(Remark::new(setting, text));
        } else if scope.source == Source::Gardener {
            remarks.push(Remark::new(format!("machines: {scope}"), text));
        }
    }
}

fn check_rules(config: &Config, remarks: &mut Vec<Remark>) {
    let policy = &config.policy;
    let default = Rules::default();
    let common = View {
        place: "bootstrap".to_owned(),
        config,
        rules: &policy.rules,
        base: &default,
    };
    common.check(remarks);
    for (pool, rules) in &policy.pools {
        let place = format!("bootstrap.pools: {pool}");
        if *rules == policy.rules {
            remarks.push(Remark::idle(place, "its rules are those of all pools"));
            continue;
        }
        let view = View {
            place,
            config,
            rules,
            base: &policy.rules,
        };
        view.check(remarks);
    }
}

/// Rules, and those that they differ from by what is set.
struct View<'a> {
    place: String,
    config: &'a Config,
    rules: &'a Rules,
    base: &'a Rules,
}

impl View<'_> {
    fn check(&self, remarks: &mut Vec<Remark>) {
        let (rules, base) = (self.rules, self.base);
        if rules.reissue_after != base.reissue_after
            && !self.any(|one| one.reissue_after == rules.reissue_after && one.max_issues > 1)
        {
            remarks.push(self.idle("reissueAfter", "with maxIssues: 1 no other key ever comes"));
        }
        if rules.settle_after != base.settle_after
            && !self.any(|one| {
                one.settle_after == rules.settle_after && one.contested == Contested::Settle
            })
        {
            remarks.push(self.idle("settleAfter", "it counts with contested: settle only"));
        }
        if rules.evidence != base.evidence && rules.evidence == Strength::Replayable {
            remarks.extend(self.check_replayable());
        }
        // The record of an ExpectedMachine may name a later end (spec.joinBy).
        if !reads(self.config, Source::ExpectedMachine) {
            self.check_times(remarks);
        }
    }

    fn check_replayable(&self) -> Option<Remark> {
        let tokens = self.config.policy.bootstrappers.iter().any(is_of_tokens);
        (!tokens).then(|| {
            Remark::new(
                format!("{}.evidence", self.place),
                "replayable is the same as bound here: the one evidence that can be replayed is a bootstrap token of the Machine, \
                 and bootstrap.requestors names no one who uses one",
            )
        })
    }

    /// Times that end when no request is approved any more: each is for as long as the join window after it was made, and
    /// none is made after it.
    fn check_times(&self, remarks: &mut Vec<Remark>) {
        let (rules, base) = (self.rules, self.base);
        let window = rules.join_window;
        let settles =
            |one: &Rules| (one.contested == Contested::Settle).then_some(one.settle_after);
        if settles(rules).is_some_and(|after| after >= window)
            && (settles(rules), window) != (settles(base), base.join_window)
        {
            remarks.push(Remark::new(
                format!("{}.settleAfter", self.place),
                format!(
                    "is not shorter than the join window ({window:#}), which ends first: a Machine that two keys ask for is \
                     given to none, as with contested: hold"
                ),
            ));
        }
        let reissues = |one: &Rules| (one.max_issues > 1).then_some(one.reissue_after);
        let latest = window.checked_add(window);
        if latest.is_some_and(|latest| reissues(rules).is_some_and(|after| after >= latest))
            && (reissues(rules), window) != (reissues(base), base.join_window)
        {
            remarks.push(Remark::new(
                format!("{}.reissueAfter", self.place),
                format!(
                    "is twice the join window ({window:#}) or longer: a Machine is expected no more by then, unless its instance was \
                     ready long after its first approval, and no other key comes, as with maxIssues: 1"
                ),
            ));
        }
    }

    /// Whether any rules that have what is set here are so.
    fn any(&self, so: impl Fn(&Rules) -> bool) -> bool {
        let policy: &Policy = &self.config.policy;
        let common = std::ptr::eq(self.rules, &policy.rules);
        let pools = policy.pools.values().filter(|_| common);
        std::iter::once(self.rules).chain(pools).any(so)
    }

    fn idle(&self, setting: &str, why: &str) -> Remark {
        Remark::idle(format!("{}.{setting}", self.place), why)
    }
}
