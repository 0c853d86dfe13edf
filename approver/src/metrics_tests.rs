//! Checks that every metric is exported, and explained in `docs/metrics.md`.

use std::collections::BTreeMap;

use rollcall_approver_core::{Change, Facts, Feed, Policy, decide};

use super::*;

/// All metrics, each family with one member: a family is exported only once it has one.
fn full() -> Metrics {
    let metrics = Metrics::new();
    let object = crate::fixtures::read(&crate::fixtures::csr("csr-0", "worker-0"));
    let (request, _) = crate::convert::to_request(object).unwrap();
    let (facts, policy) = (Facts::default(), Policy::default());
    let decision = decide(&request, &facts, &policy, request.created_at);
    metrics.decided(&decision);
    metrics.waits(&decision);
    metrics.approved_by_others(&decision);
    Feeds::default().note(&Change::Synced(Feed::Nodes), request.created_at, &metrics);
    metrics.audited("hold", "approved", false);
    metrics
}

/// The exported families: names as samples have them, with type and labels.
fn exported(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let mut families = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let sample = format!("{name}{suffix}");
            let labels = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{sample}{{")))
                .map(|rest| rest.split_once('}').unwrap().0)
                .unwrap_or_default();
            let labels = labels.split(',').filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.split_once('=').unwrap().0.to_owned());
            families.insert(sample, (kind.to_owned(), labels.collect()));
        }
    }
    families
}

/// The families that the table in `docs/metrics.md` explains.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let text = include_str!("../../docs/metrics.md");
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `rollcall_"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap().trim_matches('`');
        let kind = cells.next().unwrap().to_owned();
        let labels = cells.next().unwrap().split('`').skip(1).step_by(2);
        let labels = labels.map(str::to_owned).collect();
        (format!("rollcall_{name}"), (kind, labels))
    })
    .collect()
}

#[test]
fn a_decision_is_counted_by_verdict_and_reason() {
    let text = full().text().unwrap();
    let counted = "rollcall_decisions_total{verdict=\"hold\",reason=\"MachineNotFound\"} 1";
    assert!(text.contains(counted), "{text}");
    let counted =
        "rollcall_audit_decisions_total{verdict=\"hold\",others=\"approved\",agrees=\"false\"} 1";
    assert!(text.contains(counted), "{text}");
}

#[test]
fn the_documentation_explains_every_number_and_no_other() {
    assert_eq!(exported(&full().text().unwrap()), documented());
}

/// The rules that `deploy/` ships, and the expressions of the documentation.
#[test]
fn what_is_alerted_on_is_exported() {
    let exported = exported(&full().text().unwrap());
    let rules = include_str!("../../deploy/components/prometheus-rule/prometheus-rule.yaml");
    let documented = include_str!("../../docs/metrics.md");
    let mut named = 0_u32;
    for text in [rules, documented] {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        for word in words.filter(|word| word.starts_with("rollcall_")) {
            let name = word.strip_suffix("_bucket").unwrap_or(word);
            assert!(exported.contains_key(name), "{name}");
            named += 1;
        }
    }
    assert!(named > 20);
    for reason in rules
        .split("reason!~\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .split('|')
    {
        let known = rollcall_approver_core::Reason::ALL;
        assert!(known.iter().any(|one| one.as_str() == reason), "{reason}");
    }
}
