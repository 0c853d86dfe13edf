use super::*;
use crate::aws::testing::{FakeAws, Reply, connected};

/// As EC2 answers, shortened (EC2 API Reference, `DescribeInstances`, "Example response").
fn page(instances: &str, next: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
  <reservationSet>{instances}</reservationSet>{next}
</DescribeInstancesResponse>"#
    )
}

const RUNNING: &str = r#"
<item>
  <reservationId>r-1234567890abcdef0</reservationId><ownerId>123456789012</ownerId><groupSet/>
  <instancesSet>
    <item>
      <instanceId>i-1234567890abcdef0</instanceId><imageId>ami-bff32ccc</imageId>
      <instanceState><code>16</code><name>running</name></instanceState>
      <privateDnsName>ip-192-168-1-88.eu-west-1.compute.internal</privateDnsName>
      <dnsName>ec2-54-194-252-215.eu-west-1.compute.amazonaws.com</dnsName>
      <reason/><amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>t2.micro</instanceType>
      <launchTime>2018-05-08T16:46:19.000Z</launchTime>
      <placement><availabilityZone>eu-west-1c</availabilityZone><groupName/><tenancy>default</tenancy></placement>
      <monitoring><state>disabled</state></monitoring>
      <privateIpAddress>192.168.1.88</privateIpAddress><ipAddress>54.194.252.215</ipAddress>
      <ipv6Address>2001:db8::1</ipv6Address>
      <tagSet><item><key>kubernetes.io/cluster/prod</key><value>owned</value></item></tagSet>
      <networkInterfaceSet>
        <item>
          <networkInterfaceId>eni-551ba000</networkInterfaceId><privateIpAddress>192.168.1.88</privateIpAddress>
          <privateIpAddressesSet>
            <item><privateIpAddress>192.168.1.88</privateIpAddress><primary>true</primary>
              <association><publicIp>54.194.252.215</publicIp></association></item>
            <item><privateIpAddress>192.168.1.89</privateIpAddress><primary>false</primary></item>
          </privateIpAddressesSet>
          <ipv6AddressesSet><item><ipv6Address>2001:db8::1</ipv6Address></item></ipv6AddressesSet>
        </item>
      </networkInterfaceSet>
    </item>
  </instancesSet>
</item>"#;

const GONE: &str = r#"
<item><instancesSet>
  <item>
    <instanceId>i-0a</instanceId><instanceState><code>48</code><name>terminated</name></instanceState>
    <privateDnsName/><dnsName/><launchTime>2018-05-08T16:46:19.000Z</launchTime><placement/>
  </item>
  <item>
    <instanceId>i-0b</instanceId><instanceState><code>32</code><name>shutting-down</name></instanceState>
    <launchTime>2018-05-08T16:46:19.000Z</launchTime><networkInterfaceSet/>
  </item>
</instancesSet></item>"#;

async fn ask(replies: Vec<Reply>, ids: &[String]) -> (Result<Vec<Instance>, Error>, Vec<String>) {
    let server = FakeAws::start(replies).await;
    let outcome = connected(&server).await.instances(ids).await;
    let bodies = server.asked().into_iter().map(|asked| asked.body);
    (outcome, bodies.collect())
}

#[tokio::test]
async fn an_instance_is_read_with_all_its_names_and_addresses() {
    let ids = ["i-1234567890abcdef0".to_owned()];
    let (instances, _) = ask(vec![Reply::ok(&page(RUNNING, ""))], &ids).await;
    let name = |text: &str| Some(text.parse().unwrap());
    let expected = Instance {
        id: ids[0].clone(),
        state: InstanceState::Running,
        launched_at: "2018-05-08T16:46:19Z".parse().unwrap(),
        zone: "eu-west-1c".to_owned(),
        private_dns_name: name("ip-192-168-1-88.eu-west-1.compute.internal"),
        public_dns_name: name("ec2-54-194-252-215.eu-west-1.compute.amazonaws.com"),
        // 192.168.1.89 is a secondary address: that of a pod.
        addresses: ["192.168.1.88", "2001:db8::1", "54.194.252.215"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
    };
    assert_eq!(
        expected.provider_id(),
        "aws:///eu-west-1c/i-1234567890abcdef0"
    );
    for (region, resource_name) in [
        ("us-east-1", "i-1234567890abcdef0.ec2.internal"),
        (
            "eu-west-1",
            "i-1234567890abcdef0.eu-west-1.compute.internal",
        ),
    ] {
        assert_eq!(expected.resource_name(region), name(resource_name));
    }
    assert_eq!(instances.unwrap(), [expected]);
}

#[tokio::test]
async fn what_is_gone_has_no_names() {
    let ids = ["i-0a".to_owned(), "i-0b".to_owned()];
    let (instances, _) = ask(vec![Reply::ok(&page(GONE, ""))], &ids).await;
    for instance in instances.unwrap() {
        assert_eq!(instance.state, InstanceState::Gone);
        assert_eq!(instance.private_dns_name, None);
        assert!(instance.addresses.is_empty());
    }
}

#[tokio::test]
async fn pages_and_batches_are_followed_to_their_end() {
    let ids: Vec<String> = (0..201).map(|number| format!("i-{number:x}")).collect();
    let replies = vec![
        Reply::ok(&page(RUNNING, "<nextToken>more/+=</nextToken>")),
        Reply::ok(&page(GONE, "<nextToken></nextToken>")),
        Reply::ok(&page("", "")),
    ];
    let (instances, asked) = ask(replies, &ids).await;
    assert_eq!(instances.unwrap().len(), 3);
    assert!(asked[0].contains("Filter.1.Value.200=i-c7") && !asked[0].contains("NextToken"));
    assert!(asked[1].contains("NextToken=more%2F%2B%3D"), "{}", asked[1]);
    assert!(asked[2].contains("Filter.1.Value.1=i-c8"), "{}", asked[2]);
    assert_eq!(ask(Vec::new(), &[]).await.1, Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_without_its_list_is_no_proof_that_there_is_nothing() {
    let ids = ["i-0a".to_owned()];
    for body in [
        "<DescribeInstancesResponse><requestId>r</requestId></DescribeInstancesResponse>",
        "<html><body>welcome</body></html>",
    ] {
        let (outcome, _) = ask(vec![Reply::ok(body)], &ids).await;
        assert!(
            matches!(outcome, Err(Error::Malformed { .. })),
            "{outcome:?}"
        );
    }
    let odd = RUNNING.replace("2018-05-08T16:46:19.000Z", "yesterday");
    let (outcome, _) = ask(vec![Reply::ok(&page(&odd, ""))], &ids).await;
    assert!(
        matches!(outcome, Err(Error::Malformed { .. })),
        "{outcome:?}"
    );
}

#[test]
fn provider_ids_name_instances() {
    assert_eq!(
        instance_id("aws:///eu-west-1a/i-0123abcd"),
        Some("i-0123abcd")
    );
    assert_eq!(instance_id("aws:////i-0123abcd"), Some("i-0123abcd"));
    for other in [
        "",
        "aws:///eu-west-1a/",
        "aws:///eu-west-1a/i-",
        "aws:///eu-west-1a/fargate-ip-10-0-0-1",
        "gce://project/zone/i-0123",
        "aws:///a/i-0123/../x",
    ] {
        assert_eq!(instance_id(other), None, "{other}");
    }
}
