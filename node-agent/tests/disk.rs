//! Full or read-only disks, as separate file systems if this process may mount them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that panics fails, which is what it should do; a skipped one says why"
)]

#[path = "support/authority.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod authority;
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod cluster;
#[path = "support/machine.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod machine;
#[path = "support/whole_run.rs"]
mod whole_run;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rollcall_node_agent::Exit;

use whole_run::{run, scene};

/// Runs a test in a new file system, if this process may mount one.
fn mounted(options: &str, test: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        std::process::Command::new("mount")
            .args(arguments)
            .arg(folder.path())
            .output()
    };
    match mount(&["-t", "tmpfs", "-o", options, "rollcall-test"]) {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            eprintln!("skipped: cannot mount a tmpfs here: {why}");
            return;
        }
        Err(error) => {
            eprintln!("skipped: cannot run mount: {error}");
            return;
        }
    }
    let result = catch_unwind(AssertUnwindSafe(|| test(folder.path())));
    let unmounted = std::process::Command::new("umount")
        .arg(folder.path())
        .status()
        .unwrap();
    assert!(unmounted.success());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_full_disk_ends_the_agent_with_one_sentence_and_nothing_half_written() {
    mounted("size=64k", |full| {
        let (cluster, mut machine) = scene();
        machine.settings.cert_dir = full.join("pki");
        fs::create_dir(full.join("pki")).unwrap();
        fs::write(full.join("ballast"), vec![0; 1 << 20]).unwrap_err();
        let error = run(&cluster, &machine, |_| ()).unwrap_err();
        assert_eq!((error.exit(), error.reason()), (Exit::Disk, "DiskFailed"));
        let sentence = error.to_string();
        assert!(
            sentence.contains("kubelet-client-pending.key"),
            "{sentence}"
        );
        assert!(
            sentence.contains("No space left") && sentence.contains("make room"),
            "{sentence}"
        );
        assert_eq!(
            fs::read_dir(full.join("pki")).unwrap().count(),
            0,
            "no temporary file is left"
        );
        assert_eq!(
            cluster.calls(),
            0,
            "nobody was asked with a key that is not on disk"
        );
        fs::remove_file(full.join("ballast")).unwrap();
        run(&cluster, &machine, |_| ()).unwrap();
    });
}

#[test]
fn a_disk_that_is_full_when_the_certificate_comes_keeps_the_key() {
    mounted("size=64k", |full| {
        let (cluster, mut machine) = scene();
        machine.settings.cert_dir = full.join("pki");
        let ballast = full.join("ballast");
        cluster.when_asked(move || {
            fs::write(&ballast, vec![0; 1 << 20]).unwrap_err();
        });
        let error = run(&cluster, &machine, |_| ()).unwrap_err();
        assert_eq!(error.exit(), Exit::Disk);
        let names: Vec<_> = fs::read_dir(full.join("pki"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["kubelet-client-pending.key"]);
        fs::remove_file(full.join("ballast")).unwrap();
        run(&cluster, &machine, |_| ()).unwrap();
        assert_eq!(cluster.requests(), 1);
    });
}

#[test]
fn a_read_only_disk_ends_the_agent_with_one_sentence() {
    mounted("size=64k,ro", |read_only| {
        let (cluster, mut machine) = scene();
        for folder in [read_only.join("pki"), read_only.to_owned()] {
            machine.settings.cert_dir = folder;
            let error = run(&cluster, &machine, |_| ()).unwrap_err();
            assert_eq!(error.exit(), Exit::Disk);
            let sentence = error.to_string();
            assert!(
                sentence.contains("Read-only") && sentence.contains("mount it writable"),
                "{sentence}"
            );
            assert!(sentence.contains(read_only.to_str().unwrap()), "{sentence}");
        }
        assert_eq!(cluster.calls(), 0);
    });
}
