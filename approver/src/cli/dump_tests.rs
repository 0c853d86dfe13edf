//! The cases of `tests/cases/explain` in which a watch was lost: no dump shows that, so they are put to the library.

use std::path::Path;

use rollcall_approver_core::{Feed, Scope, Source};
use rollcall_csr::Signer;
use serde::Deserialize;
use serde_json::Value;

use super::*;

/// What is read here of a case; `approver/tests/cli_explain.rs` knows all fields.
#[derive(Deserialize)]
struct Case {
    from: Vec<String>,
    at: String,
    #[serde(default)]
    args: Vec<String>,
    lost: Option<Lost>,
    output: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lost {
    feed: String,
    at: Timestamp,
}

fn feed(word: &str) -> Feed {
    match word {
        "machines" => Feed::Machines(Scope::new(Source::OpenShift, "openshift-machine-api")),
        "nodes" => Feed::Nodes,
        "requests" => Feed::Requests(Signer::KubeApiserverClientKubelet),
        _ => panic!("there is no feed {word}"),
    }
}

fn check(folder: &Path, case: &Case, lost: &Lost) {
    let at: Timestamp = case.at.parse().unwrap();
    let config = match case.args.as_slice() {
        [] => Config::default(),
        [flag, file] if flag == "--config" => Config::load(&folder.join(file)).unwrap(),
        other => panic!("{other:?}"),
    };
    let from: Vec<PathBuf> = case.from.iter().map(|file| folder.join(file)).collect();
    let mut scene = read(&from, config, at).unwrap().scene;
    let cluster = &mut scene.cluster;
    cluster.apply(Change::Synced(feed(&lost.feed)), lost.at);
    cluster.apply(Change::Lost(feed(&lost.feed), lost.at), lost.at);
    let expected = case.output.as_ref().unwrap();
    assert_eq!(scene.entries.len(), expected.len(), "{}", folder.display());
    for (entry, expected) in scene.entries.iter().zip(expected) {
        let mut answer = serde_json::to_value(scene.opinion(entry, at)).unwrap();
        let message = expected["message"].as_str().unwrap();
        assert!(
            answer["message"].as_str().unwrap().contains(message),
            "{}: {answer}",
            folder.display()
        );
        answer["message"] = message.into();
        assert_eq!(&answer, expected, "{}", folder.display());
    }
}

#[test]
fn cases_with_a_lost_watch_come_out_as_they_should() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/explain");
    let mut checked = 0;
    for entry in std::fs::read_dir(cases).unwrap() {
        let folder = entry.unwrap().path();
        let text = std::fs::read(folder.join("case.json")).unwrap();
        let case: Case = serde_json::from_slice(&text).unwrap();
        if let Some(lost) = &case.lost {
            check(&folder, &case, lost);
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked} cases");
}
