//! `explain` on dumps: each folder under `tests/cases/explain/` is a case, `case.json` says how it is called and what
//! has to come out.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rollcall_approver_core::Reason;
use serde::Deserialize;
use serde_json::Value;

/// The keys of one answer, in their order.
const KEYS: [&str; 9] = [
    "csr",
    "signer",
    "requestor",
    "node",
    "verdict",
    "reason",
    "reasons",
    "message",
    "machine",
];

/// Reasons of people: they stand in the conditions of decided requests, and no decision has them.
const BY_HAND: [Reason; 2] = [Reason::ManualApproval, Reason::ManualDenial];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "about")]
    _about: String,
    /// The generator, for what nobody wrote by hand. A test of the end-to-end crate holds the two together.
    #[serde(rename = "by")]
    _by: Option<String>,
    from: Vec<String>,
    at: String,
    /// Whether the end-to-end tests put it to the running approver too.
    #[serde(rename = "live", default)]
    _live: bool,
    /// A watch that was lost, which no dump can show: the tests of the library read these.
    lost: Option<Value>,
    #[serde(default)]
    args: Vec<String>,
    stdin: Option<String>,
    exit: i32,
    /// Each of these stands on standard error; without any, it is empty.
    stderr: Vec<String>,
    /// The answer; of a message, a part. Without it, nothing is printed.
    output: Option<Vec<Value>>,
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/explain")
}

fn explain(folder: &Path, case: &Case, output: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall-approver"));
    command
        .current_dir(folder)
        .env_clear()
        .args(["explain", "--at", &case.at, "-o", output])
        .args(&case.args);
    for from in &case.from {
        command.args(["--from", from]);
    }
    command.stdin(match &case.stdin {
        Some(file) => Stdio::from(File::open(folder.join(file)).unwrap()),
        None => Stdio::null(),
    });
    command.output().unwrap()
}

fn read(folder: &Path) -> Case {
    serde_json::from_slice(&std::fs::read(folder.join("case.json")).unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is wrong with how a case went.
fn faults(folder: &Path, case: &Case) -> Vec<String> {
    let done = explain(folder, case, "json");
    let (stdout, stderr) = (text(&done.stdout), text(&done.stderr));
    let mut faults = Vec::new();
    if done.status.code() != Some(case.exit) {
        faults.push(format!(
            "exit code {:?}, not {}",
            done.status.code(),
            case.exit
        ));
    }
    for part in &case.stderr {
        if !stderr.contains(part) {
            faults.push(format!("standard error lacks {part:?}"));
        }
    }
    if case.stderr.is_empty() != stderr.is_empty() {
        faults.push("standard error is not as expected".to_owned());
    }
    match &case.output {
        Some(expected) => faults.extend(differences(&stdout, expected)),
        None if !stdout.is_empty() => faults.push(format!("it printed {stdout}")),
        None => {}
    }
    if !faults.is_empty() {
        faults.push(format!("standard error was: {stderr}"));
    }
    faults
}

fn differences(stdout: &str, expected: &[Value]) -> Vec<String> {
    let Ok(answers) = serde_json::from_str::<Vec<Value>>(stdout) else {
        return vec![format!("this is no array: {stdout}")];
    };
    if answers.len() != expected.len() {
        let (got, wanted) = (answers.len(), expected.len());
        return vec![format!("{got} answers, not {wanted}: {stdout}")];
    }
    let different = answers.iter().zip(expected).filter(|(answer, expected)| {
        let message = expected["message"].as_str().unwrap();
        let same = |key: &&str| answer.get(key) == Some(&expected[key]);
        answer.as_object().unwrap().len() != KEYS.len()
            || !answer["message"].as_str().unwrap().contains(message)
            || !KEYS.iter().filter(|key| **key != "message").all(same)
    });
    different
        .map(|(answer, expected)| format!("{answer:#}\nbut expected\n{expected:#}"))
        .collect()
}

fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cases()).unwrap();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

#[test]
fn every_case_comes_out_as_it_should() {
    let failed: Vec<String> = folders()
        .iter()
        .filter(|folder| !folder.join("table.txt").is_file())
        .map(|folder| (folder, read(folder)))
        .filter(|(_, case)| case.lost.is_none())
        .map(|(folder, case)| (folder, faults(folder, &case)))
        .filter(|(_, faults)| !faults.is_empty())
        .map(|(folder, faults)| format!("{}:\n{}", folder.display(), faults.join("\n")))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn there_are_many_cases_and_every_reason_is_in_one() {
    let folders = folders();
    let cases: Vec<Case> = folders.iter().map(|folder| read(folder)).collect();
    let answers: Vec<&Value> = cases
        .iter()
        .flat_map(|case| case.output.iter().flatten())
        .collect();
    let decided = cases.iter().filter(|case| case.output.is_some()).count();
    assert!(decided >= 150, "{decided} cases");
    let mut seen: BTreeSet<String> = answers
        .iter()
        .flat_map(|answer| answer["reasons"].as_array().unwrap())
        .map(|reason| reason.as_str().unwrap().to_owned())
        .collect();
    for reason in BY_HAND.map(Reason::as_str) {
        let condition = format!(" reason: {reason}\n");
        let dumps = folders.iter().map(|folder| folder.join("dump.yaml"));
        // Some dumps are JSON, folders, or no text at all.
        if dumps
            .filter_map(|dump| std::fs::read_to_string(dump).ok())
            .any(|dump| dump.contains(&condition))
        {
            seen.insert(reason.to_owned());
        }
    }
    let known: BTreeSet<String> = Reason::ALL
        .iter()
        // No dump shows a write that failed.
        .filter(|reason| **reason != Reason::WriteFailed)
        .map(|reason| reason.as_str().to_owned())
        .collect();
    assert_eq!(seen, known, "reasons in the cases, and reasons that exist");
}

#[test]
fn every_file_of_a_case_is_used() {
    for folder in folders() {
        let case = read(&folder);
        let named: BTreeSet<&str> = ["case.json", "table.txt"]
            .into_iter()
            .chain(case.from.iter().map(String::as_str))
            .chain(case.args.iter().map(String::as_str))
            .chain(case.stdin.as_deref())
            .collect();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                named.contains(name.as_str()),
                "{}: {name} is used by nothing",
                folder.display()
            );
        }
    }
}

#[test]
fn the_keys_stand_in_the_order_of_the_contract() {
    let folder = cases().join("machine-failed");
    let json = text(&explain(&folder, &read(&folder), "json").stdout);
    let places: Vec<usize> = KEYS
        .iter()
        .map(|key| json.find(&format!("\n    \"{key}\": ")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{json}");
}

#[test]
fn yaml_says_the_same_as_json() {
    for name in ["superseded", "all-reasons", "machine-not-found", "by-hand"] {
        let folder = cases().join(name);
        let case = read(&folder);
        let json: Value = serde_json::from_slice(&explain(&folder, &case, "json").stdout).unwrap();
        let yaml = text(&explain(&folder, &case, "yaml").stdout);
        let yaml: Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(yaml, json, "{name}");
    }
}

#[test]
fn the_table_fits_and_says_why() {
    let folder = cases().join("table");
    let done = explain(&folder, &read(&folder), "table");
    let table = text(&done.stdout);
    let expected = std::fs::read_to_string(folder.join("table.txt")).unwrap();
    assert_eq!(table, expected, "{table}");
    assert!(
        table.lines().all(|line| line.chars().count() <= 100),
        "{table}"
    );
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
}

/// The program under the name by which kubectl runs it, in a folder that lives as long as it is held.
fn plugin() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-rollcall");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rollcall-approver"), &plugin).unwrap();
    (folder, plugin)
}

#[test]
fn the_plugin_answers_as_the_program_does() {
    let (_folder, plugin) = plugin();
    let folder = cases().join("table");
    let case = read(&folder);
    let mut command = Command::new(plugin);
    command.current_dir(&folder).env_clear();
    command.args(["explain", "--at", &case.at]).args(&case.args);
    for from in &case.from {
        command.args(["--from", from]);
    }
    let done = command.output().unwrap();
    let expected = text(&explain(&folder, &case, "table").stdout);
    assert!(!expected.is_empty());
    assert_eq!(text(&done.stdout), expected, "{}", text(&done.stderr));
}

#[test]
fn every_command_for_people_answers_in_every_form() {
    for command in ["explain", "list", "approve", "deny"] {
        let done = Command::new(env!("CARGO_BIN_EXE_rollcall-approver"))
            .args([command, "--help"])
            .output()
            .unwrap();
        let help = text(&done.stdout);
        for words in ["-o, --output <OUTPUT>", "json", "table", "yaml"] {
            assert!(help.contains(words), "{command}: {words}: {help}");
        }
    }
}

#[test]
fn what_others_decided_is_told_with_what_policy_says_of_it() {
    let folder = cases().join("already-decided");
    let done = explain(&folder, &read(&folder), "json");
    let answers: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    let mut messages = answers
        .iter()
        .filter(|answer| answer["reason"] == "AlreadyDecided")
        .map(|answer| answer["message"].as_str().unwrap());
    assert!(messages.clone().count() > 0);
    assert!(messages.all(|message| message.contains("as it was then, policy says ")));
}

#[test]
fn help_and_errors_go_by_the_name_of_the_plugin() {
    let (_folder, plugin) = plugin();
    let help = |program: &Path, command: &str| {
        let done = Command::new(program)
            .args([command, "--help"])
            .output()
            .unwrap();
        assert!(done.status.success());
        text(&done.stdout)
    };
    for command in ["explain", "list", "approve", "deny"] {
        let shown = help(&plugin, command);
        let usage = format!("Usage: kubectl rollcall {command} ");
        assert!(shown.contains(&usage), "{shown}");
    }
    let own = help(
        Path::new(env!("CARGO_BIN_EXE_rollcall-approver")),
        "explain",
    );
    assert!(own.contains("Usage: rollcall-approver explain "), "{own}");
    let wrong = Command::new(&plugin).arg("explane").output().unwrap();
    assert_eq!(wrong.status.code(), Some(64));
}

#[test]
fn a_reason_and_an_override_belong_together() {
    let wrong: [&[&str]; 7] = [
        &["approve"],
        &["approve", "csr-1", "--override"],
        &["approve", "csr-1", "--reason", "because"],
        &["approve", "csr-1", "--override", "--reason", "  "],
        &["approve", "csr-1", "--all-pending"],
        &["deny", "csr-1"],
        &["deny", "--reason", "because"],
    ];
    for arguments in wrong {
        let done = Command::new(env!("CARGO_BIN_EXE_rollcall-approver"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(64), "{arguments:?}");
        assert!(text(&done.stderr).contains("error: "), "{arguments:?}");
    }
}
