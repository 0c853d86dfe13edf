//! A file that is written, replaced, broken and mended: what of it is taken over, and when.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::Mode;

const HEAD: &str = "apiVersion: rollcall.dev/v1alpha1\nkind: ApproverConfig\n";
/// Longer than a change takes to be seen.
const LONG: Duration = Duration::from_secs(60);

fn text(body: &str) -> String {
    format!("{HEAD}{body}\n")
}

/// A file that holds the defaults, and who watches it.
struct Watched {
    folder: TempDir,
    file: ConfigFile,
    metrics: Metrics,
}

impl Watched {
    fn plain() -> Self {
        Self::new(|folder| fs::write(folder.join("approver.yaml"), HEAD).unwrap())
    }

    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let metrics = Metrics::new();
        let path = folder.path().join("approver.yaml");
        let config = Config::load(&path).unwrap();
        Self {
            file: ConfigFile::new(path, config, metrics.clone()),
            folder,
            metrics,
        }
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join("approver.yaml"), content).unwrap();
    }

    async fn expect(&mut self, mode: Mode) {
        let changed = timeout(LONG, self.file.changed()).await;
        assert_eq!(changed.expect("a change has to be seen").mode, mode);
        assert!(self.is_valid());
    }

    async fn expect_none(&mut self) {
        assert!(timeout(LONG, self.file.changed()).await.is_err());
    }

    fn is_valid(&self) -> bool {
        self.metrics.config_valid.get() == 1
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_written_anew_is_taken_over_once() {
    let mut watched = Watched::plain();
    watched.expect_none().await;
    watched.write(text("mode: manual"));
    watched.expect(Mode::Manual).await;
    watched.expect_none().await;
    // Another text that says the same changes nothing.
    watched.write(text("# a comment\nmode: manual"));
    watched.expect_none().await;
    let told = watched.metrics.text().unwrap();
    assert!(
        !told.contains("rollcall_config_last_reload_timestamp_seconds 0"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_replaced_by_rename_is_taken_over() {
    let mut watched = Watched::plain();
    let other = watched.folder.path().join("approver.yaml~");
    fs::write(&other, text("mode: audit")).unwrap();
    fs::rename(other, watched.folder.path().join("approver.yaml")).unwrap();
    watched.expect(Mode::Audit).await;
}

/// Writes a version of a ConfigMap as kubelet does: a folder of its own, and `..data` in place of the link before.
fn mount(folder: &Path, version: &str, content: &str) {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("approver.yaml"), content).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_config_map_that_kubelet_updates_is_taken_over() {
    let mut watched = Watched::new(|folder| {
        mount(folder, "..1", HEAD);
        symlink("..data/approver.yaml", folder.join("approver.yaml")).unwrap();
    });
    watched.expect_none().await;
    for (version, mode, word) in [
        ("..2", Mode::Audit, "audit"),
        ("..3", Mode::Manual, "manual"),
    ] {
        mount(
            watched.folder.path(),
            version,
            &text(&format!("mode: {word}")),
        );
        watched.expect(mode).await;
    }
    fs::remove_dir_all(watched.folder.path().join("..1")).unwrap();
    watched.expect_none().await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_file_changes_nothing_and_turns_the_metric_until_it_is_mended() {
    let mut watched = Watched::plain();
    let invalid = [
        text("mode: enforced").into_bytes(),
        b"apiVersion: [".to_vec(),
        Vec::new(),
        vec![0xff, 0xfe],
    ];
    for content in invalid {
        watched.write(&content);
        watched.expect_none().await;
        assert!(!watched.is_valid(), "{content:?}");
    }
    // Mended to what is in force already.
    watched.write(HEAD);
    watched.expect_none().await;
    assert!(watched.is_valid());
    watched.write(text("mode: bad"));
    watched.expect_none().await;
    watched.write(text("mode: manual"));
    watched.expect(Mode::Manual).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_changes_nothing_and_is_taken_over_when_it_is_back() {
    let mut watched = Watched::plain();
    fs::remove_file(watched.folder.path().join("approver.yaml")).unwrap();
    watched.expect_none().await;
    assert!(!watched.is_valid());
    watched.write(text("mode: manual"));
    watched.expect(Mode::Manual).await;
}

#[test]
fn half_a_file_is_not_taken_over() {
    let mut watched = Watched::plain();
    let strict = text("mode: manual\nbootstrap: {maxIssues: 1}").into_bytes();
    let half = text("mode: manual").into_bytes();
    assert_eq!(watched.file.look(Ok(half)), None);
    assert_eq!(watched.file.look(Ok(strict.clone())), None);
    let config = watched.file.look(Ok(strict)).expect("it has settled");
    assert_eq!(config.policy.rules.max_issues, 1);
}

#[test]
fn each_invalid_content_is_told_once_with_file_and_line() {
    let lines = crate::fixtures::Lines::default();
    let logging = lines.subscribe();
    let mut watched = Watched::plain();
    for content in ["mode: enforced", "mode: 7", "mode: enforced"] {
        for _ in 0..5 {
            assert_eq!(watched.file.look(Ok(text(content).into_bytes())), None);
        }
    }
    drop(logging);
    let told = lines.text();
    let errors: Vec<&str> = told.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 3, "{told}");
    for word in [
        "approver.yaml",
        "line 3",
        "mode",
        "enforced",
        "the one before",
    ] {
        assert!(errors[0].contains(word), "{word}: {told}");
    }
}
