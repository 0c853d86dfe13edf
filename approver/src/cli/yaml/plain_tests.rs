//! The plain reader against the general parser: what the first takes, the second reads in the same way.

use proptest::prelude::*;

use super::super::general;
use super::*;

/// Every text that the plain reader takes has to mean the same to the general parser.
fn check(text: &str) -> bool {
    let plain = read(text);
    if let Some(value) = &plain {
        let whole = general::read(text);
        assert_eq!(whole.as_ref().ok(), Some(value), "{text}\n{whole:?}");
    }
    plain.is_some()
}

#[test]
fn what_kubectl_writes_is_plain() {
    let object = "\
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata:
  annotations: {}
  creationTimestamp: \"2026-11-23T10:05:00Z\"
  managedFields:
  - apiVersion: certificates.k8s.io/v1
    fieldsV1:
      f:status:
        f:conditions:
          .: {}
          k:{\"type\":\"Approved\"}:
            .: {}
            f:type: {}
    manager: kube-controller-manager
  uid: 00000000-0000-4000-8000-000000000051
  generation: 12
spec:
  groups:
  - system:serviceaccounts
  - system:authenticated
  empty: []
  expirationSeconds: 600
  none: null
  nothing:
  paused: false
  username: system:node:worker-0
  version: 1.2.3
  image: quay.io/a/b@sha256:0a1b
  script: |
    #!/bin/sh
      echo 'a: b'

    exit 0
  chomped: |-
    - one
status:
  addresses:
  - address: 10.0.0.10
    type: InternalIP
  - address: fd00::1
    type: InternalIP
  conditions:
  - message: Auto approving kubelet client certificate
      after SubjectAccessReview.
    status: \"True\"
  - message: 'it''s 100% # done: yes'
";
    assert!(check(object));
    let lines: Vec<&str> = object.lines().collect();
    let list: String = lines
        .iter()
        .enumerate()
        .map(|(number, line)| match (number, line.is_empty()) {
            (0, _) => format!("- {line}\n"),
            (_, true) => "\n".to_owned(),
            (_, false) => format!("  {line}\n"),
        })
        .collect();
    assert!(check(&list), "{list}");
}

#[test]
fn what_is_more_than_plain_is_left_to_the_parser() {
    for text in [
        "",
        "a: 1",
        "\n",
        "a\n",
        "a: 1\n\n",
        "a: 1\n\nb: 2\n",
        "# c\na: 1\n",
        "a: 1 # c\n",
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "a: {b: 1}\n",
        "a: [b]\n",
        "a: >\n  b\n",
        "a: |+\n  b\n",
        "a: |2\n   b\n",
        "a: \"b\\n\"\n",
        "a: \"b\n  c\"\n",
        "a: 'b\n  c'\n",
        "a: b\n- c\n",
        "a: 1\na: 2\n",
        "a: 1\n b: 2\n",
        "- a\n b\n",
        "- - a\n",
        "-\n  a: 1\n",
        "? a\n: b\n",
        "<<: {}\n",
        "a : 1\n",
        "a: 01\n",
        "a: 1.5\n",
        "a: 1e5\n",
        "a: 0x1f\n",
        "a: -1\n",
        "a: .5\n",
        "a: ~\n",
        "a: No\n",
        "a: .inf\n",
        "a: 1234567890123456789\n",
        "a:\tb\n",
        "a: b\r\n",
        "a: \u{e9}\n",
        "on: 1\n",
        "1: a\n",
        "\"a\": b\n",
        "a: b: c\n",
        "a: b:\n",
        "a: |\n\n  b\n",
        "--- a\n",
        "%YAML 1.2\n",
    ] {
        assert_eq!(read(text), None, "{text:?}");
    }
    let deep: String = (0..40)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert_eq!(read(&deep), None);
}

/// Scalars of which readers of YAML think differently, and usual ones.
const SCALARS: &[&str] = &[
    "a",
    "a b",
    "a:b",
    "a: b",
    "a #b",
    "a#b",
    "true",
    "True",
    "yes",
    "no",
    "null",
    "~",
    "0",
    "7",
    "007",
    "1.5",
    "1e5",
    "0x1f",
    "0o7",
    "1_000",
    "1:30",
    "+1",
    "-1",
    "- 1",
    "-",
    "10.0.0.1",
    "fd00::1",
    "1.2.3",
    "100Gi",
    "5m0s",
    "2026-11-23",
    "2026-11-23T10:00:00Z",
    "00000000-0000-4000-8000-00000000005e",
    "1e-5",
    "1E5",
    "12e",
    "0b1",
    "1.",
    "1-1",
    ".5",
    ".inf",
    "inf",
    "nan",
    "\"a\"",
    "\"a: b\"",
    "\"\"",
    "\"a\\tb\"",
    "'a'",
    "'it''s'",
    "'a' #",
    "'",
    "''",
    "\"",
    "{}",
    "[]",
    "{a: 1}",
    "[a]",
    "|",
    "|-",
    ">",
    "&a",
    "*a",
    "!a",
    "%a",
    "@a",
    "`a",
    "a,b",
    "a]",
    "(a)",
    "/a",
    "_a",
    "<a>",
    "=",
    "<<",
    "a ",
    " a",
    "a\t",
    "",
    "k:{\"type\":\"Ready\"}",
    "system:node:",
    "é",
    "\u{85}",
    "# c",
    "a:",
    "--- a",
    "1 2",
    "1,000",
    "0.",
    "infinity",
    "NaN",
    "y",
    "N",
    "90deg",
    "1h",
    "0xg",
    "12345678901234567890",
    "999999999999999999",
    "1999999999999999999",
];

const KEYS: &[&str] = &[
    "a",
    "b",
    "c",
    "a.b/c-d",
    "f:spec",
    ".",
    "k:{\"a\":\"b\"}",
    "on",
    "null",
    "1",
    "\"a\"",
    "a b",
    "<<",
    "-a",
    "é",
    "#a",
    "",
];

/// Lines as block style has them, right and wrong, so that many fit together by chance.
fn line() -> impl Strategy<Value = String> {
    let indent = (0_usize..4).prop_map(|steps| "  ".repeat(steps));
    let odd = (0_usize..5).prop_map(|width| " ".repeat(width));
    let indent = prop_oneof![9 => indent, 1 => odd];
    let dash = prop_oneof![2 => Just(""), 1 => Just("- "), 1 => Just("-")];
    let key = prop_oneof![
        6 => prop::sample::select(&KEYS[..6]).prop_map(|key| format!("{key}: ")),
        2 => prop::sample::select(&KEYS[..6]).prop_map(|key| format!("{key}:")),
        1 => prop::sample::select(KEYS).prop_map(|key| format!("{key}: ")),
        1 => Just(String::new()),
    ];
    let scalar = prop_oneof![2 => Just(""), 5 => prop::sample::select(SCALARS)];
    (indent, dash, key, scalar)
        .prop_map(|(indent, dash, key, scalar)| format!("{indent}{dash}{key}{scalar}\n"))
}

/// A value as objects have them, and how kubectl would write it below a key.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        prop::sample::select(SCALARS).prop_map(str::to_owned),
        "[ -~]{0,12}",
        "[a-z \n]{0,12}",
    ];
    let leaf = prop_oneof![
        text.prop_map(Value::String),
        any::<u32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_by_chance_mean_the_same_to_both(lines in prop::collection::vec(line(), 1..7)) {
        check(&lines.concat());
    }

    #[test]
    fn each_scalar_means_the_same_to_both(
        scalar in prop_oneof![prop::sample::select(SCALARS).prop_map(str::to_owned), "[ -~]{1,8}", "[0-9a-fxo._:+-]{1,8}"],
        more in prop::option::of("[ -~]{1,8}"),
    ) {
        check(&format!("a: {scalar}\n"));
        check(&format!("a:\n- {scalar}\n"));
        let more = more.unwrap_or_default();
        check(&format!("a:\n  b: {scalar}\n    {more}\n  c: {scalar}\n"));
        check(&format!("a: |\n  {scalar}\n   {more}\nb: 1\n"));
        check(&format!("{scalar}: {more}\n"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_writer_writes_means_the_same_to_both(value in value()) {
        let text = serde_saphyr::to_string(&value).unwrap();
        check(&text);
        check(&format!("a:\n{}", text.lines().map(|line| format!("  {line}\n")).collect::<String>()));
    }
}
