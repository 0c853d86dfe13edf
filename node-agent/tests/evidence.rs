//! The evidence in a machine's request: that it was this node before, or that it holds its join key. Invalid evidence
//! is omitted, or ends the run with a reason.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics fails, which is what it should do"
)]

#[path = "support/authority.rs"]
mod authority;
#[path = "support/cluster.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod cluster;
#[path = "support/installed.rs"]
mod installed;
#[path = "support/machine.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod machine;
#[path = "support/whole_run.rs"]
mod whole_run;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd};
use rollcall_csr::{Binding, CertificationRequest, ClusterId, KeyHash, Statement};
use rollcall_node_agent::certificate::{certificates, spki_of_private_key};
use rollcall_node_agent::kubeconfig;
use rollcall_node_agent::store::Checkpoint;
use rollcall_node_agent::{AgentError, Exit};

use authority::{Authority, node_params};
use cluster::Cluster;
use installed::{CURRENT, install};
use machine::{Machine, bootstrap_kubeconfig};
use whole_run::{run, scene};

/// A key as kubelet writes it, made for this test.
const SEC1: &str = include_str!("fixtures/sec1-p256.pem");
/// A key as OpenSSL writes it, made for this test.
const RSA: &str = include_str!("fixtures/rsa-2048.pem");

fn expired() -> CertificateParams {
    let mut params = node_params("worker-0");
    params.not_after = date_time_ymd(2026, 1, 1);
    params
}

/// A machine that was off for too long, and its certificate.
fn with_expired_identity() -> (Arc<Cluster>, Machine, String) {
    let (cluster, machine) = scene();
    let (certificate, key) = cluster.authority.certificate(&expired());
    install(&machine, &certificate, &key.serialize_pem());
    (cluster, machine, certificate)
}

/// The only filed request.
fn only_request(cluster: &Cluster) -> CertificationRequest {
    let filed = cluster.filed();
    assert_eq!(filed.len(), 1);
    CertificationRequest::from_pem(&filed[0]).unwrap()
}

/// The expected binding of a request's statements.
fn binding(cluster: &Cluster, request: &CertificationRequest) -> Binding {
    let authority = certificates(cluster.authority.pem().as_bytes()).unwrap();
    Binding {
        request_key: request.public_key().hash(),
        node: "worker-0".parse().unwrap(),
        cluster: ClusterId::of_ca(&authority[0]),
    }
}

/// The hash of the previous certificate's key, after verifying everything else about the statement.
fn proven_previous(cluster: &Cluster, certificate: &str) -> KeyHash {
    let request = only_request(cluster);
    let [Statement::PreviousCertificate(previous)] = request.evidence().unwrap() else {
        panic!("{:?}", request.evidence())
    };
    assert_eq!(previous.verify(&binding(cluster, &request)), Ok(()));
    let der = certificates(certificate.as_bytes()).unwrap();
    assert_eq!(previous.certificate_der(), der[0].as_ref());
    assert_ne!(previous.key().hash(), request.public_key().hash());
    previous.key().hash()
}

/// The hash of the join key, verified likewise.
fn proven_join_key(cluster: &Cluster) -> KeyHash {
    let request = only_request(cluster);
    let [Statement::JoinKey(join_key)] = request.evidence().unwrap() else {
        panic!("{:?}", request.evidence())
    };
    assert_eq!(join_key.verify(&binding(cluster, &request)), Ok(()));
    join_key.key().hash()
}

fn put_join_key(machine: &mut Machine, pem: &str, mode: u32) {
    let file = machine.path("join.key");
    fs::write(&file, pem).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    machine.settings.join_key = Some(file);
}

#[test]
fn an_expired_identity_proves_who_asks_with_the_new_key() {
    let (cluster, machine, certificate) = with_expired_identity();
    run(&cluster, &machine, |_| ()).unwrap();
    proven_previous(&cluster, &certificate);
    let text = machine.text();
    assert!(
        text.contains("holds the key of its previous certificate in"),
        "{text}"
    );
}

/// Kubelet's own kubeconfig may contain the certificate itself, and kubelet writes keys in SEC 1 form.
#[test]
fn a_certificate_inside_the_kubeconfig_and_a_key_as_kubelet_writes_it_prove_as_much() {
    let (cluster, machine) = scene();
    let spki = spki_of_private_key(SEC1.as_bytes()).unwrap();
    let certificate = cluster.authority.sign_key(&spki, &expired());
    fs::create_dir_all(machine.path("etc")).unwrap();
    let identity = format!("{certificate}{SEC1}");
    fs::write(machine.path("etc/old.pem"), &identity).unwrap();
    let text = bootstrap_kubeconfig("https://api.test:6443", &cluster.authority.pem());
    let (before, _) = text.split_once("token:").unwrap();
    let user = "client-certificate: old.pem, client-key: old.pem}}]\n";
    fs::write(&machine.settings.kubeconfig, format!("{before}{user}")).unwrap();
    run(&cluster, &machine, |_| ()).unwrap();
    assert_eq!(
        proven_previous(&cluster, &certificate),
        KeyHash::of_spki(&spki)
    );
}

/// If client certificates have their own CA, the kubeconfig beside the certificate shows that it is from this cluster.
#[test]
fn a_certificate_of_another_signer_of_the_same_cluster_counts() {
    let (cluster, machine) = scene();
    let (certificate, key) = Authority::new().certificate(&expired());
    install(&machine, &certificate, &key.serialize_pem());
    run(&cluster, &machine, |_| ()).unwrap();
    proven_previous(&cluster, &certificate);
}

#[test]
fn a_fresh_machine_proves_nothing_and_says_nothing_about_it() {
    let (cluster, machine) = scene();
    run(&cluster, &machine, |_| ()).unwrap();
    assert_eq!(only_request(&cluster).evidence(), Ok(&[][..]));
    assert!(!machine.text().contains("evidence"), "{}", machine.text());
}

/// A change to the files of the old identity, and the agent's message about it.
type Broken = (&'static str, fn(&Cluster, &Machine));

const BROKEN: [Broken; 7] = [
    (
        "is for another key than the one in hand",
        |cluster, machine| {
            let (certificate, _) = cluster.authority.certificate(&expired());
            install(machine, &certificate, SEC1);
        },
    ),
    (
        "is for the subject \"O=system:nodes, CN=system:node:worker-1\"",
        |cluster, machine| {
            let mut params = expired();
            params.distinguished_name = node_params("worker-1").distinguished_name;
            let (certificate, key) = cluster.authority.certificate(&params);
            install(machine, &certificate, &key.serialize_pem());
        },
    ),
    ("may not be used by clients", |cluster, machine| {
        let mut params = expired();
        params.extended_key_usages.clear();
        let (certificate, key) = cluster.authority.certificate(&params);
        install(machine, &certificate, &key.serialize_pem());
    }),
    (
        "another cluster than https://api.test:6443",
        |_, machine| {
            let other = Authority::new();
            let (certificate, key) = other.certificate(&expired());
            install(machine, &certificate, &key.serialize_pem());
            let old = kubeconfig::read(&machine.settings.bootstrap_kubeconfig)
                .unwrap()
                .cluster;
            let old = kube::config::Cluster {
                certificate_authority_data: Some(base64(&other.pem())),
                ..old
            };
            let text = kubeconfig::for_kubelet(&old, &machine.path(CURRENT)).unwrap();
            fs::write(&machine.settings.kubeconfig, text).unwrap();
        },
    ),
    ("cannot be read as an X.509 certificate", |_, machine| {
        install(machine, "garbage", "garbage");
    }),
    (
        "without a private key that can be used",
        |cluster, machine| {
            let (certificate, _) = cluster.authority.certificate(&expired());
            install(machine, &certificate, "");
        },
    ),
    ("cannot be read: ", |_, machine| {
        install(machine, "", "");
        let pem = fs::read_link(machine.path(CURRENT)).unwrap();
        fs::remove_file(&pem).unwrap();
        fs::create_dir(&pem).unwrap();
    }),
];

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn a_broken_old_identity_costs_the_evidence_and_nothing_else() {
    for (why, put) in BROKEN {
        let (cluster, machine) = scene();
        put(&cluster, &machine);
        run(&cluster, &machine, |_| ()).unwrap();
        assert_eq!(only_request(&cluster).evidence(), Ok(&[][..]), "{why}");
        let text = machine.text();
        let begin = "nothing proves that this machine was worker-0 before: ";
        let line = text.lines().find(|line| line.contains(begin));
        let line = line.unwrap_or_else(|| panic!("{why}: {text}"));
        assert!(line.contains(why), "{why}: {line}");
        assert!(line.ends_with("; asking without that"), "{line}");
    }
}

/// The old identity stays in place until the new one replaces it, whatever happens in between.
#[test]
fn the_old_identity_stays_until_the_new_one_is_there() {
    let (cluster, machine, _) = with_expired_identity();
    let place = machine.path(CURRENT);
    let old = fs::read(&place).unwrap();
    cluster.deny();
    assert_eq!(
        run(&cluster, &machine, |_| ()).unwrap_err().exit(),
        Exit::Refused
    );
    assert_eq!(fs::read(&place).unwrap(), old);

    let (cluster, machine, _) = with_expired_identity();
    let place = machine.path(CURRENT);
    let old = fs::read(&place).unwrap();
    let watched = (place, old.clone());
    run(&cluster, &machine, move |reached| {
        let in_place = ![
            Checkpoint::CertificateWritten,
            Checkpoint::CertificateInPlace,
            Checkpoint::LinkWritten,
        ]
        .contains(&reached);
        assert_eq!(
            fs::read(&watched.0).unwrap() != watched.1,
            in_place,
            "{reached:?}"
        );
    })
    .unwrap();
    let kept = machine.path("kubelet/pki/kubelet-client-2025-01-01-00-00-00.pem");
    assert_eq!(fs::read(kept).unwrap(), old);
}

#[test]
fn killed_at_any_step_of_the_installation_the_next_run_goes_on_with_the_same_request() {
    for stop in Checkpoint::ALL {
        let (cluster, machine, certificate) = with_expired_identity();
        let killed = catch_unwind(AssertUnwindSafe(|| {
            run(&cluster, &machine, move |reached| {
                if reached == stop {
                    std::panic::resume_unwind(Box::new("killed"));
                }
            })
        }));
        assert!(killed.is_err(), "{stop:?} was never reached");
        run(&cluster, &machine, |_| ()).unwrap_or_else(|error| panic!("after {stop:?}: {error}"));
        proven_previous(&cluster, &certificate);
        assert_eq!(machine.names("kubelet/pki").len(), 3, "after {stop:?}");
    }
}

/// Signatures differ each time; the name of the request does not.
#[test]
fn killed_while_it_asks_the_next_run_finds_its_own_request() {
    let (cluster, machine, certificate) = with_expired_identity();
    cluster.deny();
    for _ in 0..3 {
        let denied = run(&cluster, &machine, |_| ()).unwrap_err();
        assert_eq!(denied.exit(), Exit::Refused);
    }
    proven_previous(&cluster, &certificate);
}

#[test]
fn a_join_key_of_every_kind_proves_that_the_machine_holds_it() {
    let [p384, ed25519] = [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519]
        .map(|algorithm| KeyPair::generate_for(algorithm).unwrap().serialize_pem());
    let p256 = KeyPair::generate().unwrap().serialize_pem();
    for pem in [&p256, &p384, &ed25519, RSA, SEC1] {
        let (cluster, mut machine) = scene();
        put_join_key(&mut machine, pem, 0o600);
        run(&cluster, &machine, |_| ()).unwrap();
        let key = KeyHash::of_spki(&spki_of_private_key(pem.as_bytes()).unwrap());
        assert_eq!(proven_join_key(&cluster), key);
        let text = machine.text();
        assert!(text.contains(&format!("join.key ({key})")), "{text}");
    }
}

#[test]
fn a_machine_with_both_proves_both() {
    let (cluster, mut machine, _) = with_expired_identity();
    put_join_key(
        &mut machine,
        &KeyPair::generate().unwrap().serialize_pem(),
        0o400,
    );
    run(&cluster, &machine, |_| ()).unwrap();
    let request = only_request(&cluster);
    let kinds: Vec<&str> = request
        .evidence()
        .unwrap()
        .iter()
        .map(Statement::kind)
        .collect();
    assert_eq!(kinds, ["previous-certificate", "join-key"]);
}

/// Otherwise a machine that got its join key late would wait for a request that cannot be approved without one.
#[test]
fn a_join_key_that_comes_later_makes_another_request() {
    let (cluster, mut machine) = scene();
    cluster.deny();
    run(&cluster, &machine, |_| ()).unwrap_err();
    put_join_key(
        &mut machine,
        &KeyPair::generate().unwrap().serialize_pem(),
        0o600,
    );
    run(&cluster, &machine, |_| ()).unwrap_err();
    let filed = cluster.filed();
    let carries = |text: &Vec<u8>| {
        let request = CertificationRequest::from_pem(text).unwrap();
        request.evidence().unwrap().len()
    };
    let mut carried: Vec<usize> = filed.iter().map(carries).collect();
    carried.sort_unstable();
    assert_eq!(carried, [0, 1]);
}

#[track_caller]
fn assert_join_key_refused(cluster: &Arc<Cluster>, machine: &Machine, why: &str) {
    let error = run(cluster, machine, |_| ()).unwrap_err();
    assert!(matches!(error, AgentError::JoinKey { .. }), "{error}");
    assert_eq!(
        (error.exit(), error.reason()),
        (Exit::Usage, "JoinKeyInvalid")
    );
    let text = error.to_string();
    assert!(text.contains("join.key") && text.contains(why), "{text}");
    assert_eq!(cluster.calls(), 0, "nobody was asked");
}

#[test]
fn a_join_key_that_cannot_be_used_ends_the_work_before_anything_is_asked() {
    let good = KeyPair::generate().unwrap().serialize_pem();
    let public = KeyPair::generate().unwrap().public_key_pem();
    for (pem, mode, why) in [
        (good.as_str(), 0o644, "has the mode 0644"),
        (&good, 0o640, "has the mode 0640"),
        (&good, 0o602, "has the mode 0602"),
        ("garbage", 0o600, "holds no private key"),
        ("", 0o600, "holds no private key"),
        (&public, 0o600, "holds no private key"),
    ] {
        let (cluster, mut machine) = scene();
        put_join_key(&mut machine, pem, mode);
        assert_join_key_refused(&cluster, &machine, why);
        assert!(!machine.path("kubelet").exists(), "nothing was written");
    }
    let (cluster, mut machine) = scene();
    machine.settings.join_key = Some(machine.path("join.key"));
    assert_join_key_refused(&cluster, &machine, "cannot be read: No such file");
}

/// Without a CA the cluster cannot be identified.
#[test]
fn there_is_no_evidence_without_a_ca() {
    let (cluster, mut machine, _) = with_expired_identity();
    let text = fs::read_to_string(&machine.settings.bootstrap_kubeconfig).unwrap();
    let (before, rest) = text.split_once(", certificate-authority-data:").unwrap();
    let (_, after) = rest.split_once('}').unwrap();
    fs::write(
        &machine.settings.bootstrap_kubeconfig,
        format!("{before}}}{after}"),
    )
    .unwrap();
    machine.settings.client_ca = Some(machine.path("ca.crt"));
    fs::write(machine.path("ca.crt"), cluster.authority.pem()).unwrap();
    put_join_key(
        &mut machine,
        &KeyPair::generate().unwrap().serialize_pem(),
        0o600,
    );
    assert_join_key_refused(&cluster, &machine, "names no certificate authority");
    machine.settings.join_key = None;
    run(&cluster, &machine, |_| ()).unwrap();
    assert_eq!(only_request(&cluster).evidence(), Ok(&[][..]));
    let text = machine.text();
    assert!(
        text.contains("names no certificate authority; asking without that"),
        "{text}"
    );
}
