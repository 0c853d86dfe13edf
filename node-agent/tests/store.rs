//! The files on disk: modes, kubelet's layout, and completion by the next run after a kill at any point.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics fails, which is what it should do; a skipped one says why"
)]

#[path = "support/authority.rs"]
mod authority;
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod cluster;
#[path = "support/installed.rs"]
mod installed;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/whole_run.rs"]
mod whole_run;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rollcall_node_agent::Exit;
use rollcall_node_agent::agent::join;
use rollcall_node_agent::certificate::{Chain, spki_of_private_key};
use rollcall_node_agent::files::Lock;
use rollcall_node_agent::kubeconfig;
use rollcall_node_agent::store::Checkpoint;

use authority::{Authority, node_params};
use cluster::Cluster;
use installed::{CURRENT, install};
use machine::Machine;
use whole_run::{run, scene};

/// The time of the second run of a test.
const LATER: &str = "2026-11-23T12:00:07Z";

const PENDING: &str = "kubelet/pki/kubelet-client-pending.key";
const KUBECONFIG: &str = "etc/kubelet.conf";

/// Asserts that the identity is complete, nothing is left over, and nothing is readable by others.
fn assert_complete(cluster: &Cluster, machine: &Machine) {
    let names = machine.names("kubelet/pki");
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(names[1], "kubelet-client-current.pem");
    let pem = machine.path("kubelet/pki").join(&names[0]);
    assert_eq!(
        fs::read_link(machine.path(CURRENT)).unwrap(),
        pem,
        "an absolute target"
    );
    assert_eq!(machine.mode(&pem), 0o600);
    assert_eq!(machine.names("etc"), ["kubelet.conf"]);
    assert_eq!(machine.mode(KUBECONFIG), 0o600);
    let text = fs::read(&pem).unwrap();
    let spki = spki_of_private_key(&text).unwrap();
    let node = &machine.settings.node;
    Chain::from_pem(&text)
        .unwrap()
        .check(&spki, node, machine::NOW.parse().unwrap())
        .unwrap();
    let user = kubeconfig::read(&machine.settings.kubeconfig).unwrap().user;
    assert_eq!(
        user.client_certificate.as_deref(),
        machine.path(CURRENT).to_str()
    );
    assert_eq!(cluster.requests(), 1, "one request, and so one certificate");
}

/// The name of the certificate file: kubelet's layout `2006-01-02-15-04-05`, in local time.
fn assert_kubelets_name(name: &str) {
    let stamp = name
        .strip_prefix("kubelet-client-")
        .unwrap()
        .strip_suffix(".pem")
        .unwrap();
    let shape: String = stamp
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00-00-00-00");
}

#[test]
fn the_identity_is_laid_out_as_kubelet_does_it() {
    let (cluster, machine) = scene();
    run(&cluster, &machine, |_| ()).unwrap();
    assert_complete(&cluster, &machine);
    assert_eq!(machine.mode("kubelet/pki"), 0o700);
    let name = machine.names("kubelet/pki").swap_remove(0);
    assert_kubelets_name(&name);
    let text = fs::read_to_string(machine.path("kubelet/pki").join(name)).unwrap();
    let order: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("-----BEGIN"))
        .collect();
    assert_eq!(
        order,
        ["-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----"]
    );
    assert!(
        text.lines().all(|line| line.len() <= 64),
        "PEM lines are at most 64 characters"
    );
}

#[test]
fn a_valid_identity_ends_the_agent_without_a_word_to_the_network() {
    let (cluster, machine) = scene();
    run(&cluster, &machine, |_| ()).unwrap();
    let calls = cluster.calls();
    fs::remove_file(&machine.settings.bootstrap_kubeconfig).unwrap();
    run(&cluster, &machine, |_| ()).unwrap();
    assert_eq!(cluster.calls(), calls);
    assert!(
        machine
            .text()
            .contains("is the identity of worker-0 already")
    );
    assert_complete(&cluster, &machine);
}

#[test]
fn killed_at_any_step_the_next_run_completes_with_the_same_key_and_one_certificate() {
    for stop in Checkpoint::ALL {
        let (cluster, mut machine) = scene();
        let killed = catch_unwind(AssertUnwindSafe(|| {
            run(&cluster, &machine, move |reached| {
                if reached == stop {
                    std::panic::resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(killed.is_err(), "{stop:?} was never reached");
        machine.now = LATER;
        run(&cluster, &machine, |_| ()).unwrap_or_else(|error| panic!("after {stop:?}: {error}"));
        assert_complete(&cluster, &machine);
    }
}

#[test]
fn private_files_are_private_from_their_first_moment_whatever_the_umask() {
    // Only this process's umask, and only more permissive: no other test relies on it.
    let before = rustix::process::umask(rustix::fs::Mode::empty());
    let (cluster, machine) = scene();
    let folder = machine.path("");
    let watched = folder.clone();
    let result = run(&cluster, &machine, move |_| assert_private(&watched));
    rustix::process::umask(before);
    result.unwrap();
    assert_private(&folder);
    assert_complete(&cluster, &machine);
}

/// Asserts for every file below a folder, including temporary ones, except those that the test created.
fn assert_private(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            assert_private(&path);
        } else if metadata.is_file() && path.file_name().unwrap() != "bootstrap.conf" {
            assert_eq!(
                metadata.permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn the_key_is_on_disk_before_anybody_hears_of_it_and_is_kept_when_the_api_server_is_away() {
    let (cluster, machine) = scene();
    cluster.deny();
    let denied = run(&cluster, &machine, |_| ()).unwrap_err();
    assert_eq!(denied.exit(), Exit::Refused);
    let key = fs::read(machine.path(PENDING)).unwrap();
    assert_eq!(machine.mode(PENDING), 0o600);
    run(&cluster, &machine, |_| ()).unwrap_err();
    assert_eq!(fs::read(machine.path(PENDING)).unwrap(), key);
    assert_eq!(
        cluster.requests(),
        1,
        "the same key asks under the same name"
    );
}

#[test]
fn a_key_that_is_corrupt_or_was_exposed_is_set_aside() {
    for (contents, mode, word) in [
        ("garbage", 0o600, "corrupt"),
        ("", 0o600, "corrupt"),
        ("", 0o644, "exposed"),
    ] {
        let (cluster, machine) = scene();
        fs::create_dir_all(machine.path("kubelet/pki")).unwrap();
        fs::write(machine.path(PENDING), contents).unwrap();
        fs::set_permissions(machine.path(PENDING), Permissions::from_mode(mode)).unwrap();
        run(&cluster, &machine, |_| ()).unwrap();
        let names = machine.names("kubelet/pki");
        let aside = names
            .iter()
            .find(|name| name.contains(word))
            .unwrap_or_else(|| panic!("{names:?}"));
        let aside = Path::new("kubelet/pki").join(aside);
        assert_eq!(
            fs::read_to_string(machine.path("").join(&aside)).unwrap(),
            contents
        );
        assert_eq!(machine.mode(aside), 0o600);
    }
}

#[test]
fn a_certificate_without_kubeconfig_only_gets_its_kubeconfig() {
    let (cluster, machine) = scene();
    run(&cluster, &machine, |_| ()).unwrap();
    let calls = cluster.calls();
    fs::remove_file(machine.path(KUBECONFIG)).unwrap();
    run(&cluster, &machine, |_| ()).unwrap();
    assert_eq!(cluster.calls(), calls);
    assert_complete(&cluster, &machine);
}

#[test]
fn an_identity_that_cannot_be_used_is_named_and_its_certificate_kept() {
    let mut expired = node_params("worker-0");
    expired.not_after = rcgen::date_time_ymd(2026, 1, 1);
    for (params, words) in [
        (expired, "expired at 2026-01-01"),
        (node_params("worker-1"), "system:node:worker-1"),
    ] {
        let (cluster, machine) = scene();
        let (certificate, key) = cluster.authority.certificate(&params);
        install(&machine, &certificate, &key.serialize_pem());
        run(&cluster, &machine, |_| ()).unwrap();
        let text = machine.text();
        assert!(text.contains(words), "{text}");
        let names = machine.names("kubelet/pki");
        assert!(
            names.contains(&"kubelet-client-2025-01-01-00-00-00.pem".to_owned()),
            "{names:?}"
        );
        assert_eq!(names.len(), 3, "{names:?}");
    }
}

#[test]
fn a_certificate_whose_key_is_another_one_is_no_identity() {
    let (cluster, machine) = scene();
    let (certificate, _) = cluster.authority.certificate(&node_params("worker-0"));
    install(
        &machine,
        &certificate,
        &rcgen::KeyPair::generate().unwrap().serialize_pem(),
    );
    run(&cluster, &machine, |_| ()).unwrap();
    assert!(machine.text().contains("another key"), "{}", machine.text());
    assert_eq!(cluster.requests(), 1);
}

#[test]
fn an_identity_that_kubelet_renewed_is_left_alone() {
    // Kubelet writes its keys in SEC 1, which rcgen does not; openssl made this one.
    let (cluster, machine) = scene();
    let Ok(output) = std::process::Command::new("openssl")
        .args(["ecparam", "-genkey", "-noout", "-name", "prime256v1"])
        .output()
    else {
        eprintln!("skipped: there is no openssl here to make a SEC 1 key with");
        return;
    };
    let sec1 = String::from_utf8(output.stdout).unwrap();
    assert!(sec1.contains("BEGIN EC PRIVATE KEY"), "{sec1}");
    let spki = spki_of_private_key(sec1.as_bytes()).unwrap();
    let certificate = cluster.authority.sign_key(&spki, &node_params("worker-0"));
    install(&machine, &certificate, &sec1);
    run(&cluster, &machine, |_| ()).unwrap();
    assert_eq!(cluster.calls(), 0);
}

#[test]
fn a_kubeconfig_that_is_replaced_stays_under_another_name() {
    let (cluster, machine) = scene();
    fs::create_dir_all(machine.path("etc")).unwrap();
    fs::write(machine.path(KUBECONFIG), "not: [a kubeconfig").unwrap();
    run(&cluster, &machine, |_| ()).unwrap();
    let names = machine.names("etc");
    assert_eq!(
        names,
        ["kubelet.conf", "kubelet.conf.replaced-20261123T120000Z"]
    );
    let kept = fs::read_to_string(machine.path("etc").join(&names[1])).unwrap();
    assert_eq!(kept, "not: [a kubeconfig");
}

#[test]
fn a_regular_file_at_a_symlinks_place_ends_the_agent_and_is_left_alone() {
    for name in ["kubelet-client-current.pem", "kubelet-client-updated.pem"] {
        let (cluster, machine) = scene();
        fs::create_dir_all(machine.path("kubelet/pki")).unwrap();
        let file = machine.path("kubelet/pki").join(name);
        fs::write(&file, "somebody's").unwrap();
        let error = run(&cluster, &machine, |_| ()).unwrap_err();
        assert_eq!((error.exit(), error.reason()), (Exit::Disk, "NotASymlink"));
        assert!(
            error.to_string().contains(file.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
        assert_eq!(machine.names("etc"), Vec::<String>::new());
    }
}

#[test]
fn two_agents_do_not_work_on_one_folder() {
    let (cluster, machine) = scene();
    fs::create_dir_all(machine.path("kubelet/pki")).unwrap();
    let held = Lock::acquire(&machine.settings.cert_dir).unwrap();
    assert!(held.is_some());
    let error = run(&cluster, &machine, |_| ()).unwrap_err();
    assert_eq!((error.exit(), error.reason()), (Exit::GaveUp, "Locked"));
    drop(held);
    run(&cluster, &machine, |_| ()).unwrap();
}

#[test]
fn a_certificate_that_is_not_valid_yet_waits_for_the_clock_instead_of_asking_for_another() {
    let (cluster, machine) = scene();
    let mut params = node_params("worker-0");
    params.not_before = rcgen::date_time_ymd(2027, 1, 1);
    let (certificate, key) = cluster.authority.certificate(&params);
    install(&machine, &certificate, &key.serialize_pem());
    cluster.set_date("2027-01-02T00:00:00Z");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = cluster.client();
        let around = machine.around(client.clone(), client, |_| ());
        let waiting = join(&machine.settings, &around);
        let minute = std::time::Duration::from_mins(1);
        assert!(tokio::time::timeout(minute, waiting).await.is_err());
    });
    let text = machine.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("2027-01-01") && text.contains(machine::NOW) && text.contains("behind"),
        "{text}"
    );
    assert_eq!(cluster.calls(), 0);
}

/// If both clocks say that the certificate is from the future, waiting is useless. Its key still proves possession.
#[test]
fn a_certificate_from_the_future_is_replaced_with_proof_when_the_api_server_has_the_same_time() {
    // The start of the certificate, the API server's time, and true if another one is requested. Ours is `NOW`.
    for (begin, date, asks) in [
        ((2027, 1, 1), machine::NOW, true),
        ((2027, 1, 1), "2026-11-23T11:58:00Z", true),
        ((2026, 11, 24), "2026-11-23T14:00:00Z", true),
        ((2026, 11, 24), "2020-01-01T00:00:00Z", true),
        ((2026, 11, 24), "2026-11-23T23:56:00Z", false),
        ((2026, 11, 24), "2026-11-24T00:00:00Z", false),
        ((2026, 11, 24), "2030-01-01T00:00:00Z", false),
    ] {
        let (cluster, machine) = scene();
        let mut params = node_params("worker-0");
        params.not_before = rcgen::date_time_ymd(begin.0, begin.1, begin.2);
        let (certificate, key) = cluster.authority.certificate(&params);
        install(&machine, &certificate, &key.serialize_pem());
        cluster.set_date(date);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let ended = runtime.block_on(async {
            let client = cluster.client();
            let around = machine.around(client.clone(), client, |_| ());
            let minute = std::time::Duration::from_mins(1);
            let joined = join(&machine.settings, &around);
            tokio::time::timeout(minute, joined).await.is_ok()
        });
        let text = machine.text();
        assert_eq!(
            (ended, cluster.requests() == 1),
            (asks, asks),
            "{date}: {text}"
        );
        let words = [
            "certificate is wrong and not this machine's clock",
            "holds the key of its previous certificate",
        ];
        for word in words {
            assert_eq!(text.contains(word), asks, "{date}: {word:?} in {text}");
        }
    }
}

#[test]
fn authorities_of_the_same_name_are_told_apart() {
    let (cluster, _) = scene();
    let (certificate, _) = cluster.authority.certificate(&node_params("worker-0"));
    let chain = Chain::from_pem(certificate.as_bytes()).unwrap();
    let leads = |authority: &Authority| {
        let pem = authority.pem();
        let authorities = rollcall_node_agent::certificate::certificates(pem.as_bytes()).unwrap();
        chain.leads_to(&authorities, machine::NOW.parse().unwrap())
    };
    assert!(leads(&cluster.authority));
    assert!(!leads(&Authority::new()));
}
