//! Each case of a setting without effect, its nearest neighbour that has one, and no false alarm for what is written down.

use std::path::Path;

use super::super::tests::parse;
use super::*;

const LONE_USER: &str = "requestors: [{username: u}]";

/// The settings that are remarked on, in order.
fn settings(body: &str) -> Vec<String> {
    let config = parse(body).unwrap_or_else(|error| panic!("{body}: {error}"));
    let remarks = remarks(&config, None);
    remarks.into_iter().map(|remark| remark.setting).collect()
}

fn assert_remarked(cases: &[(&str, &[&str])]) {
    for (body, expected) in cases {
        assert_eq!(settings(body), *expected, "{body}");
    }
}

#[test]
fn settings_of_serving_certificates() {
    let ranges = "extraRanges: [{pool: a, cidrs: [10.1.0.0/16]}]";
    let off = |setting: &str| format!("serving: {{enabled: false, {setting}}}");
    for (setting, path) in [
        (ranges, "serving.extraRanges"),
        ("clusterDomain: a.example", "serving.clusterDomain"),
        ("apiServers: [192.0.2.1]", "serving.apiServers"),
        ("port: 10251", "serving.port"),
        (
            "renewWithoutAddresses: all",
            "serving.renewWithoutAddresses",
        ),
    ] {
        assert_eq!(settings(&off(setting)), [path]);
        let on = settings(&format!("serving: {{{setting}}}"));
        assert_eq!(on, [""; 0], "{setting}");
    }
    assert_remarked(&[
        ("serving: {enabled: false}", &[]),
        // These verify certificates of before, too.
        ("serving: {enabled: false, kubeletCA: [{file: /a}]}", &[]),
        (
            "serving: {enabled: false, port: 10250, clusterDomain: cluster.local, apiServers: [], extraRanges: []}",
            &[],
        ),
        ("serving: {kubeletCA: []}", &[]),
        ("serving: {kubeletCA: [], port: 10251}", &["serving.port"]),
        (
            "serving: {kubeletCA: [], renewWithoutAddresses: all}",
            &["serving.renewWithoutAddresses"],
        ),
        (
            "serving: {renewWithoutAddresses: adopted}",
            &["serving.renewWithoutAddresses"],
        ),
        (
            "serving: {renewWithoutAddresses: adopted}\nmachines: [{openshift: {}}, {expectedMachines: {}}]",
            &[],
        ),
        (
            "serving: {renewWithoutAddresses: adopted}\nmachines: [{awsAutoScaling: {groups: [a]}}]",
            &[],
        ),
        (
            "serving: {kubeletCA: [{file: /a}, {file: /b}, {file: /a}]}",
            &["serving.kubeletCA: file /a"],
        ),
        (
            "serving: {apiServers: [api.cluster.local, cluster.local, api-cluster.local, api.example]}",
            &[
                "serving.apiServers: api.cluster.local",
                "serving.apiServers: cluster.local",
            ],
        ),
        (
            "serving: {clusterDomain: b.example, apiServers: [api.cluster.local]}",
            &[],
        ),
    ]);
}

#[test]
fn ranges_within_others() {
    let check = |ranges: &str, expected: &[&str]| {
        let body = format!("serving: {{extraRanges: [{ranges}]}}");
        assert_eq!(settings(&body), *expected, "{ranges}");
    };
    check("{pool: a, cidrs: [10.1.0.0/16, 10.2.0.0/16]}", &[]);
    check(
        "{pool: a, cidrs: [10.1.0.0/24]}, {pool: a, cidrs: [10.1.0.0/16]}",
        &["serving.extraRanges: 10.1.0.0/24 of pool a"],
    );
    check(
        "{pool: a, cidrs: [10.1.0.0/24]}, {pool: b, cidrs: [10.1.0.0/16]}",
        &[],
    );
    check(
        "{pool: a, cidrs: [10.1.0.0/16, 10.1.0.0/16]}",
        &["serving.extraRanges: 10.1.0.0/16 of pool a"],
    );
    // What is shared allows more.
    check(
        "{pool: a, shared: true, cidrs: [10.1.0.0/24]}, {pool: a, cidrs: [10.1.0.0/16]}",
        &[],
    );
    check(
        "{pool: a, cidrs: [10.1.0.0/24]}, {pool: a, shared: true, cidrs: [10.1.0.0/16]}",
        &["serving.extraRanges: 10.1.0.0/24 of pool a"],
    );
    check(
        "{pool: a, shared: true, cidrs: [10.1.0.0/16]}, {pool: a, cidrs: [10.1.0.0/16]}",
        &["serving.extraRanges: 10.1.0.0/16 of pool a"],
    );
    check(
        "{pool: a, cidrs: ['2001:db8:1::/48', '2001:db8::/32']}",
        &["serving.extraRanges: 2001:db8:1::/48 of pool a"],
    );
}

#[test]
fn rules_of_first_certificates() {
    assert_remarked(&[
        ("bootstrap: {maxIssues: 1}", &[]),
        ("bootstrap: {maxIssues: 1, reissueAfter: 5m}", &[]),
        (
            "bootstrap: {maxIssues: 1, reissueAfter: 10m}",
            &["bootstrap.reissueAfter"],
        ),
        ("bootstrap: {maxIssues: 2, reissueAfter: 10m}", &[]),
        (
            "bootstrap: {maxIssues: 1, reissueAfter: 10m, pools: [{pool: a, maxIssues: 2}]}",
            &[],
        ),
        (
            "bootstrap: {maxIssues: 1, reissueAfter: 10m, pools: [{pool: a, maxIssues: 2, reissueAfter: 1m}]}",
            &["bootstrap.reissueAfter"],
        ),
        (
            "bootstrap: {reissueAfter: 10m, pools: [{pool: a, maxIssues: 1}]}",
            &[],
        ),
        (
            "bootstrap: {pools: [{pool: a, maxIssues: 1, reissueAfter: 10m}]}",
            &["bootstrap.pools: a.reissueAfter"],
        ),
        ("bootstrap: {contested: hold}", &[]),
        (
            "bootstrap: {contested: hold, settleAfter: 3m}",
            &["bootstrap.settleAfter"],
        ),
        (
            "bootstrap: {contested: newest, settleAfter: 3m}",
            &["bootstrap.settleAfter"],
        ),
        (
            "bootstrap: {contested: hold, settleAfter: 3m, pools: [{pool: a, contested: settle}]}",
            &[],
        ),
        (
            "bootstrap: {pools: [{pool: a, contested: newest, settleAfter: 3m}]}",
            &["bootstrap.pools: a.settleAfter"],
        ),
        (
            "bootstrap: {pools: [{pool: a, evidence: none}, {pool: b, evidence: bound}]}",
            &["bootstrap.pools: a"],
        ),
    ]);
}

#[test]
fn times_that_the_join_window_cuts_off() {
    assert_remarked(&[
        ("bootstrap: {settleAfter: 119m}", &[]),
        ("bootstrap: {settleAfter: 2h}", &["bootstrap.settleAfter"]),
        ("bootstrap: {joinWindow: 4m}", &["bootstrap.settleAfter"]),
        (
            "bootstrap: {settleAfter: 2h}\nmachines: [{expectedMachines: {}}]",
            &[],
        ),
        (
            "bootstrap: {settleAfter: 2h, pools: [{pool: a, joinWindow: 3h}, {pool: b, maxIssues: 1}]}",
            &["bootstrap.settleAfter"],
        ),
        (
            "bootstrap: {pools: [{pool: a, settleAfter: 2h}, {pool: b, joinWindow: 3m}]}",
            &[
                "bootstrap.pools: a.settleAfter",
                "bootstrap.pools: b.settleAfter",
            ],
        ),
        ("bootstrap: {reissueAfter: 3h}", &[]),
        ("bootstrap: {reissueAfter: 4h}", &["bootstrap.reissueAfter"]),
        (
            "bootstrap: {reissueAfter: 4h}\nmachines: [{openshift: {}}, {expectedMachines: {}}]",
            &[],
        ),
    ]);
}

#[test]
fn requestors_windows_and_resumes() {
    assert_remarked(&[
        ("bootstrap: {requestors: []}", &["bootstrap.requestors"]),
        (
            "bootstrap: {requestors: [], maxIssues: 1, reissueAfter: 1m}",
            &["bootstrap.requestors"],
        ),
        (
            "bootstrap: {requestors: [{group: g}, {username: u, group: g}, {username: u}]}",
            &["bootstrap.requestors: u in g"],
        ),
        (
            "bootstrap: {requestors: [{group: g}, {username: g}, {group: g}]}",
            &["bootstrap.requestors: g"],
        ),
        ("bootstrap: {windowFrom: record}", &[]),
        (
            "bootstrap: {windowFrom: record}\nmachines: [{expectedMachines: {}}]",
            &["bootstrap.windowFrom"],
        ),
        (
            "bootstrap: {windowFrom: record}\nmachines: [{awsAutoScaling: {groups: [a]}}]",
            &["bootstrap.windowFrom"],
        ),
        (
            "bootstrap: {windowFrom: record}\nmachines: [{expectedMachines: {}}, {karpenter: {ec2: {}}}]",
            &[],
        ),
        ("bootstrap: {resume: {enabled: false}}", &[]),
        (
            "bootstrap: {resume: {enabled: false, maxExpired: 1h, maxIssues: 9}}",
            &["bootstrap.resume.maxExpired", "bootstrap.resume.maxIssues"],
        ),
        (
            "bootstrap: {resume: {maxExpired: 1h}}\nserving: {kubeletCA: []}",
            &["bootstrap.resume.maxExpired"],
        ),
        ("bootstrap: {resume: {maxExpired: 1h, maxIssues: 9}}", &[]),
    ]);
}

#[test]
fn what_takes_a_bootstrap_token() {
    let capi = "machines: [{clusterAPI: {namespace: fleet, bootstrapTokens: true}}]";
    let tokens = "machines: clusterAPI in fleet: bootstrapTokens";
    let check = |bootstrap: &str, machines: &str, expected: &[&str]| {
        let body = format!("bootstrap: {{{bootstrap}}}\n{machines}");
        assert_eq!(settings(&body), *expected, "{body}");
    };
    check("", capi, &[]);
    check(LONE_USER, capi, &[tokens]);
    for rule in [
        "group: 'system:bootstrappers'",
        "group: 'system:bootstrappers:fleet'",
        "username: 'system:bootstrap:abcdef'",
        "username: 'system:bootstrap:abcdef', group: 'system:authenticated'",
    ] {
        check(&format!("requestors: [{{{rule}}}]"), capi, &[]);
    }
    for rule in [
        "group: 'system:bootstrappersx'",
        "group: 'system:serviceaccounts:a'",
        "username: 'system:serviceaccount:a:b', group: 'system:bootstrappers'",
    ] {
        check(&format!("requestors: [{{{rule}}}]"), capi, &[tokens]);
    }
    let gardener = "machines: [{gardener: {namespace: shoot}}]";
    check("", gardener, &[]);
    check(LONE_USER, gardener, &["machines: gardener in shoot"]);
    check(LONE_USER, "", &[]);
    let replayable = format!("{LONE_USER}, evidence: replayable");
    check(&replayable, "", &["bootstrap.evidence"]);
    check("evidence: replayable", "", &[]);
    check(&format!("{LONE_USER}, evidence: bound"), "", &[]);
    check(
        &format!("{LONE_USER}, pools: [{{pool: a, evidence: replayable}}]"),
        "",
        &["bootstrap.pools: a.evidence"],
    );
}

#[test]
fn sources() {
    assert_remarked(&[
        ("vouching: any", &["vouching"]),
        ("vouching: first", &[]),
        (
            "vouching: any\nmachines: [{openshift: {}}, {expectedMachines: {}}]",
            &[],
        ),
        (
            "vouching: any\nmachines: [{expectedMachines: {}}, {awsAutoScaling: {groups: [a]}}]",
            &["vouching"],
        ),
        (
            "machines: [{clusterAPI: {clusterName: prod}}]",
            &["machines: clusterAPI of prod"],
        ),
        (
            "machines: [{clusterAPI: {clusterName: prod, namespace: fleet}}]",
            &[],
        ),
        ("machines: [{clusterAPI: {}}]", &[]),
        ("machines: [{karpenter: {}}]", &[]),
        (
            "machines: [{karpenter: {nodeNameTemplate: '{{ name }}.a'}}]",
            &[],
        ),
        (
            "machines: [{karpenter: {nameStrategies: [nodeReference, internalDNS, hostname]}}]",
            &["machines: karpenter: nameStrategies"],
        ),
        (
            "machines: [{karpenter: {nameStrategies: [nodeReference, internalDNS, providerID]}}]",
            &["machines: karpenter: nameStrategies: internalDNS"],
        ),
        (
            "machines: [{karpenter: {ec2: {}, nameStrategies: [nodeReference, internalDNS, hostname]}}]",
            &[],
        ),
        (
            "machines: [{karpenter: {nameStrategies: [nodeReference, providerID]}}]",
            &[],
        ),
        (
            "machines: [{openshift: {nameStrategies: [nodeReference]}}]",
            &["machines: openshift in openshift-machine-api: nameStrategies"],
        ),
        ("machines: [{openshift: {nameStrategies: [hostname]}}]", &[]),
        (
            "machines: [{awsAutoScaling: {groups: [a]}}, {awsAutoScaling: {groups: [b]}}, {awsAutoScaling: {groups: [a]}}]",
            &["machines: awsAutoScaling"],
        ),
        (
            "mode: audit\nmachines: [{awsAutoScaling: {groups: [a]}}]",
            &["machines: awsAutoScaling"],
        ),
        (
            "mode: manual\nmachines: [{awsAutoScaling: {groups: [a]}}]",
            &[],
        ),
    ]);
}

#[test]
fn the_mode_of_the_command_line_outweighs_that_of_the_file() {
    let remarked = |body: &str, mode| {
        let remarks = remarks(&parse(body).unwrap(), mode).into_iter();
        remarks.map(|remark| remark.setting).collect::<Vec<_>>()
    };
    assert_eq!(remarked("mode: manual", Some(Mode::Audit)), ["mode"]);
    for (body, mode) in [
        ("mode: manual", None),
        ("mode: manual", Some(Mode::Manual)),
        ("mode: enforce", Some(Mode::Audit)),
        ("", Some(Mode::Audit)),
    ] {
        assert_eq!(remarked(body, mode), [""; 0], "{body} {mode:?}");
    }
    let groups = "mode: audit\nmachines: [{awsAutoScaling: {groups: [a]}}]";
    assert_eq!(remarked(groups, Some(Mode::Enforce)), ["mode"]);
}

#[test]
fn each_remark_says_why() {
    let said = |body: &str| {
        let remarks = remarks(&parse(body).unwrap(), None);
        let [remark] = &remarks[..] else {
            panic!("{remarks:?}")
        };
        remark.text.clone()
    };
    for (body, words) in [
        (
            "serving: {enabled: false, port: 1}",
            "has no effect: with serving.enabled: false",
        ),
        (
            "machines: [{clusterAPI: {clusterName: prod}}]",
            "label them with the cluster \"prod\"",
        ),
        (
            "bootstrap: {settleAfter: 3h}",
            "not shorter than the join window (2h)",
        ),
        (
            "machines: [{karpenter: {nameStrategies: [hostname]}}]",
            "none can join; set ec2: {}",
        ),
    ] {
        let text = said(body);
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn what_is_deployed_and_documented_raises_no_alarm() {
    assert_eq!(remarks(&Config::default(), None), []);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let manifest: k8s_openapi::api::core::v1::ConfigMap =
        serde_saphyr::from_str(&read("deploy/base/config.yaml")).unwrap();
    let deployed = &manifest.data.unwrap()["approver.yaml"];
    assert_eq!(remarks(&Config::parse(deployed).unwrap(), None), []);
    // Blocks, and in the text what is written like machines or like an entry of it.
    let mut seen = 0_usize;
    for page in [
        "docs/sources.md",
        "docs/expected-machines.md",
        "docs/operations.md",
        "docs/reasons.md",
        "README.md",
    ] {
        let text = read(page);
        let blocks = text.split("```yaml\n").skip(1);
        let blocks = blocks.filter_map(|rest| rest.split("```").next());
        let spans = text.split('`').skip(1).step_by(2);
        let entries = spans.map(|span| match span.starts_with("machines:") {
            true => span.to_owned(),
            false => format!("machines: [{{{span}}}]"),
        });
        for body in blocks.map(str::to_owned).chain(entries) {
            let Ok(config) = parse(&body) else { continue };
            // What the page itself says is told at the start, and a setting that it names among several sources.
            let told = (body.contains("clusterName") && !body.contains("namespace"))
                || body == "vouching: any";
            assert!(
                told || remarks(&config, None).is_empty(),
                "{page}: {body}: {:?}",
                remarks(&config, None)
            );
            seen += usize::from(config != Config::default());
        }
    }
    assert!(seen >= 15, "{seen} examples were found");
}
