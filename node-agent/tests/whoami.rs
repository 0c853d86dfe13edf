//! The node name of a machine, from metadata services that behave like those of the clouds, including failures.
#![expect(
    clippy::unwrap_used,
    reason = "a test that panics fails, which is what it should do"
)]

#[path = "support/authority.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod authority;
#[path = "support/http.rs"]
mod http;
#[path = "support/machine.rs"]
#[expect(dead_code, reason = "each test program uses a part of the support")]
mod machine;

use std::fs;
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

use rollcall_node_agent::clock::Clock;
use rollcall_node_agent::console::{Console, LogFormat};
use rollcall_node_agent::record::Record;
use rollcall_node_agent::surroundings::Surroundings;
use rollcall_node_agent::whoami::{self, Instance, NoName, Question, Source};

use http::{Answer, Service, ok, status};
use machine::Lines;

/// Far longer than any response takes; reached only on failure.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A machine's files below a folder.
struct Host(tempfile::TempDir);

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The result and the log.
struct Found {
    name: Result<String, NoName>,
    text: String,
}

async fn find(question: Question<'_>) -> Found {
    let lines = Lines::default();
    let clock = Clock::system();
    let sink = Box::new(lines.clone());
    let console = Console::new(sink, LogFormat::Text, false, clock.clone());
    let around = Surroundings::real(console, clock);
    let name = tokio::time::timeout(TIMEOUT, whoami::name(question, &around))
        .await
        .unwrap();
    Found {
        name: name.map(|name| name.to_string()),
        text: lines.text(),
    }
}

/// The name from a metadata service, without other sources.
async fn by_service(source: &str, url: &str) -> Found {
    let host = Host::new(&[]);
    find(Question {
        host: host.path(),
        host_name: "localhost",
        sources: &[source.parse().unwrap()],
        metadata_url: Some(url),
        record: None,
    })
    .await
}

/// The name from the automatic sources.
async fn by_itself(
    host: &Host,
    host_name: &str,
    url: Option<&str>,
    record: Option<&Record>,
) -> Found {
    find(Question {
        host: host.path(),
        host_name,
        sources: &[],
        metadata_url: url,
        record,
    })
    .await
}

#[tokio::test]
async fn ec2_is_asked_with_a_token_at_a_pinned_version() {
    let service = Service::start(vec![
        ok("t0ken"),
        ok("ip-10-0-0-7.eu-west-1.compute.internal\n"),
    ]);
    let found = by_service("ec2-private-dns", &service.url()).await;
    assert_eq!(
        found.name.unwrap(),
        "ip-10-0-0-7.eu-west-1.compute.internal"
    );
    let asked = service.asked();
    assert_eq!(asked[0].line, "PUT /latest/api/token");
    assert_eq!(
        asked[0].header("X-aws-ec2-metadata-token-ttl-seconds"),
        Some("60")
    );
    assert_eq!(asked[1].line, "GET /2021-03-23/meta-data/local-hostname");
    assert_eq!(asked[1].header("X-aws-ec2-metadata-token"), Some("t0ken"));
    assert_eq!(
        asked[1].header("Host"),
        service.url().strip_prefix("http://")
    );
}

#[tokio::test]
async fn ec2_can_name_nodes_by_instance_id() {
    let service = Service::start(vec![ok("t0ken"), ok("i-0123456789abcdef0")]);
    let found = by_service("ec2-instance-id", &service.url()).await;
    assert_eq!(found.name.unwrap(), "i-0123456789abcdef0");
}

#[tokio::test]
async fn ec2_without_tokens_is_never_asked_in_the_old_way() {
    // A service with IMDSv1 only; then one that is configured correctly.
    let service = Service::start(vec![
        status(403),
        status(404),
        ok("t0ken"),
        ok("ip-10-0-0-7"),
    ]);
    let found = by_service("ec2-private-dns", &service.url()).await;
    assert_eq!(found.name.unwrap(), "ip-10-0-0-7");
    let lines: Vec<_> = service
        .asked()
        .into_iter()
        .map(|asked| asked.line)
        .collect();
    let token = "PUT /latest/api/token";
    assert_eq!(
        lines,
        [
            token,
            token,
            token,
            "GET /2021-03-23/meta-data/local-hostname"
        ]
    );
    assert!(
        found.text.contains("EC2's metadata service answers 403"),
        "{}",
        found.text
    );
}

#[tokio::test]
async fn a_token_that_has_expired_is_replaced() {
    let service = Service::start(vec![ok("old"), status(401), ok("new"), ok("ip-10-0-0-7")]);
    let found = by_service("ec2-private-dns", &service.url()).await;
    assert_eq!(found.name.unwrap(), "ip-10-0-0-7");
    assert_eq!(
        service.asked()[3].header("X-aws-ec2-metadata-token"),
        Some("new")
    );
    assert!(found.text.contains("answers 401"), "{}", found.text);
}

#[tokio::test]
async fn gce_has_to_say_that_it_is_gce() {
    const GOOGLE: &str = "Metadata-Flavor: Google\r\n";
    let service = Service::start(vec![
        ok("somebody-else"),
        Answer::Reply(503, GOOGLE, String::new()),
        Answer::Reply(200, GOOGLE, "worker-7".to_owned()),
    ]);
    let found = by_service("gce", &service.url()).await;
    assert_eq!(found.name.unwrap(), "worker-7");
    let asked = service.asked();
    assert_eq!(asked[0].line, "GET /computeMetadata/v1/instance/name");
    assert_eq!(asked[0].header("Metadata-Flavor"), Some("Google"));
    for part in ["not its own", "answers 503"] {
        assert!(found.text.contains(part), "{}", found.text);
    }
}

#[tokio::test]
async fn azure_and_openstack_are_asked_at_pinned_versions() {
    let service = Service::start(vec![
        status(404),
        ok(r#"{"name": "vm-7", "osProfile": {"computerName": "Worker-7"}}"#),
    ]);
    let found = by_service("azure", &service.url()).await;
    assert_eq!(found.name.unwrap(), "worker-7");
    let asked = service.asked();
    let line = "GET /metadata/instance/compute?api-version=2021-02-01&format=json";
    assert_eq!(
        (asked[1].line.as_str(), asked[1].header("Metadata")),
        (line, Some("true"))
    );
    assert!(
        found.text.contains("does not know this machine yet"),
        "{}",
        found.text
    );

    let service = Service::start(vec![
        ok("{}"),
        ok(r#"{"uuid": "u", "name": "worker-7", "hostname": "h"}"#),
    ]);
    let found = by_service("openstack", &service.url()).await;
    assert_eq!(found.name.unwrap(), "worker-7");
    assert_eq!(
        service.asked()[0].line,
        "GET /openstack/2018-08-27/meta_data.json"
    );
    assert!(
        found.text.contains("there is no /name or /hostname in it"),
        "{}",
        found.text
    );
}

#[tokio::test]
async fn a_service_that_is_slow_is_asked_again_and_said_to_be() {
    let service = Service::start(vec![
        Answer::Silence(Duration::from_secs(6)),
        ok(r#"{"name": "worker-7"}"#),
    ]);
    let found = by_service("openstack", &service.url()).await;
    assert_eq!(found.name.unwrap(), "worker-7");
    assert!(
        found.text.contains("did not answer within 5s"),
        "{}",
        found.text
    );
}

#[tokio::test]
async fn a_service_with_an_ipv6_address_is_reached() {
    let service = Service::start_at(
        Ipv6Addr::LOCALHOST.into(),
        vec![ok(r#"{"name": "worker-7"}"#)],
    );
    assert!(service.url().contains("[::1]"));
    assert_eq!(
        by_service("openstack", &service.url()).await.name.unwrap(),
        "worker-7"
    );
}

#[tokio::test(start_paused = true)]
async fn trouble_that_stays_the_same_is_told_once() {
    // Port 1 is never bound without root's intent; the runtime's clock skips the pauses.
    let host = Host::new(&[]);
    let sources = ["gce".parse().unwrap()];
    let lines = Lines::default();
    let clock = Clock::system();
    let console = Console::new(
        Box::new(lines.clone()),
        LogFormat::Text,
        false,
        clock.clone(),
    );
    let around = Surroundings::real(console, clock);
    let question = Question {
        host: host.path(),
        host_name: "localhost",
        sources: &sources,
        metadata_url: Some("http://127.0.0.1:1"),
        record: None,
    };
    let asking = whoami::name(question, &around);
    assert!(
        tokio::time::timeout(Duration::from_mins(10), asking)
            .await
            .is_err()
    );
    let text = lines.text();
    assert_eq!(
        text.matches("cannot be reached: connection refused")
            .count(),
        1,
        "{text}"
    );
    assert!(
        around
            .console
            .waiting_for()
            .contains("GCE's metadata service"),
        "{text}"
    );
}

const INSTANCE_DATA: &str = "run/cloud-init/instance-data.json";

#[tokio::test]
async fn cloud_init_comes_before_the_host_name() {
    let data = r#"{"v1": {"instance_id": "i-1", "local_hostname": "Worker-7"}}"#;
    let host = Host::new(&[(INSTANCE_DATA, data)]);
    let found = by_itself(&host, "other", None, None).await;
    assert_eq!(found.name.unwrap(), "worker-7");
    assert!(
        found.text.contains("called worker-7, by cloud-init"),
        "{}",
        found.text
    );
}

#[tokio::test]
async fn what_each_source_lacks_is_said() {
    let data = r#"{"v1": {"local_hostname": "ubuntu"}}"#;
    let host = Host::new(&[(INSTANCE_DATA, data)]);
    let error = by_itself(&host, "localhost", None, None)
        .await
        .name
        .unwrap_err();
    let message = error.to_string();
    for part in [
        "cloud-init: \"ubuntu\"",
        "the host name: \"localhost\"",
        "--node-name",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let broken = Host::new(&[(INSTANCE_DATA, "{")]);
    let found = by_itself(&broken, "worker-7", None, None).await;
    assert_eq!(found.name.unwrap(), "worker-7");
}

#[tokio::test]
async fn the_firmware_names_the_cloud() {
    let dmi = |name: &str| format!("sys/class/dmi/id/{name}");
    let tag = "7783-7084-3265-9085-8269-3286-77\n";
    let files = [
        (dmi("sys_vendor"), "Microsoft Corporation\n"),
        (dmi("chassis_asset_tag"), tag),
    ];
    let files = files
        .each_ref()
        .map(|(path, contents)| (path.as_str(), *contents));
    let service = Service::start(vec![ok(r#"{"name": "worker-7"}"#)]);
    let found = by_itself(&Host::new(&files), "other", Some(&service.url()), None).await;
    assert_eq!(found.name.unwrap(), "worker-7");
    // Hyper-V outside Azure has the vendor, but no metadata service.
    let found = by_itself(&Host::new(&files[..1]), "other", Some(&service.url()), None).await;
    assert_eq!(found.name.unwrap(), "other");
}

#[tokio::test]
async fn a_machine_that_has_joined_keeps_its_name_without_asking() {
    let data = r#"{"v1": {"instance_id": "i-1", "local_hostname": "renamed"}}"#;
    let host = Host::new(&[(INSTANCE_DATA, data)]);
    let record = |instance: &str| Record {
        node: "worker-7".to_owned(),
        instance: Instance {
            cloud: Some(instance.to_owned()),
            hardware: None,
        },
        installed_at: "2026-11-23T12:00:00Z".to_owned(),
    };
    let found = by_itself(&host, "other", None, Some(&record("i-1"))).await;
    assert_eq!(found.name.unwrap(), "worker-7");
    let found = by_itself(&host, "other", None, Some(&record("i-2"))).await;
    assert_eq!(found.name.unwrap(), "renamed");
}

#[test]
fn instances_are_told_apart_by_what_both_have() {
    let uuid = "sys/class/dmi/id/product_uuid";
    let data = r#"{"v1": {"instance_id": "i-1"}}"#;
    let none = r#"{"v1": {"instance_id": "iid-datasource-none"}}"#;
    let of = |files: &[(&str, &str)]| whoami::instance(Host::new(files).path());
    let cloud = of(&[(INSTANCE_DATA, data), (uuid, "A0B1\n")]);
    assert_eq!(cloud.describe(), "instance i-1");
    // Without a data source cloud-init's id is the same on every machine.
    let hardware = of(&[(INSTANCE_DATA, none), (uuid, "A0B1\n")]);
    assert_eq!(hardware.describe(), "hardware a0b1");
    assert!(cloud.same_as(&hardware));
    assert!(!hardware.same_as(&of(&[(uuid, "A0B2\n")])));
    // The cloud's id takes precedence: an instance may move to another mainboard.
    assert!(cloud.same_as(&of(&[(INSTANCE_DATA, data), (uuid, "A0B2\n")])));
    assert_eq!(
        of(&[(uuid, "00000000-0000-0000-0000-000000000000\n")]),
        Instance::default()
    );
    assert!(Instance::default().same_as(&cloud));
}

#[test]
fn every_source_can_be_written_on_the_command_line() {
    for source in Source::ALL {
        assert!(source.as_str().parse::<Source>().is_ok());
    }
}
