//! Instances of EC2: what they are called, reached by, and whether they still run.

use std::net::IpAddr;

use jiff::Timestamp;
use rollcall_csr::NodeName;
use serde::Deserialize;

use super::environment::Service;
use super::query::{Action, MAX_PAGES, Parameters};
use super::{Aws, Error};

const DESCRIBE: Action = Action {
    service: Service::Ec2,
    name: "DescribeInstances",
};

/// The most instances that one call may name: values of a filter (EC2 API Reference, `DescribeInstances`).
pub(crate) const INSTANCES_PER_CALL: usize = 200;
/// The page size (EC2 API Reference, `DescribeInstances`: 5 to 1000).
const PAGE: &str = "1000";

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstanceState {
    /// It is being started.
    Pending,
    /// It runs.
    Running,
    /// It stops or has stopped, and may be started again.
    Stopped,
    /// It is going away for good, or has gone.
    Gone,
    /// A word that is not known here.
    Other,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// `i-...`
    pub(crate) id: String,
    /// Its state.
    pub(crate) state: InstanceState,
    /// The time of its latest start.
    pub(crate) launched_at: Timestamp,
    /// The zone it is in; empty for one that has gone.
    pub(crate) zone: String,
    /// The private DNS name, once it has one.
    pub(crate) private_dns_name: Option<NodeName>,
    /// The public DNS name, if it has one.
    pub(crate) public_dns_name: Option<NodeName>,
    /// The primary addresses of every network interface, each once. Secondary ones are those of pods where the VPC CNI plugin
    /// gives pods addresses of the VPC.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Instance {
    /// `spec.providerID` of its Node, as cloud-provider-aws writes it.
    pub(crate) fn provider_id(&self) -> String {
        format!("aws:///{}/{}", self.zone, self.id)
    }

    /// The DNS name that is made of its id, whether or not it calls itself so (EC2 User Guide, "EC2 instance hostname
    /// types": resource-based naming).
    pub(crate) fn resource_name(&self, region: &str) -> Option<NodeName> {
        let domain = match region {
            "us-east-1" => "ec2.internal".to_owned(),
            _ => format!("{region}.compute.internal"),
        };
        NodeName::from_dns_name(&format!("{}.{domain}", self.id)).ok()
    }
}

/// The instance that a provider ID names (`aws:///eu-west-1a/i-0123`, cloud-provider-aws).
pub(crate) fn instance_id(provider_id: &str) -> Option<&str> {
    let id = provider_id.strip_prefix("aws://")?.rsplit('/').next()?;
    let hex = id.strip_prefix("i-")?;
    let is_hex = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then_some(id)
}

impl Aws {
    /// The instances with these ids. Those that EC2 has forgotten are left out: it does so about an hour after their end.
    ///
    /// # Errors
    /// If AWS does not answer, or not with all of them.
    pub(crate) async fn instances(&self, ids: &[String]) -> Result<Vec<Instance>, Error> {
        let mut instances = Vec::new();
        for ids in ids.chunks(INSTANCES_PER_CALL) {
            let mut next = None;
            for page in 0.. {
                let answer: Response = self.call(DESCRIBE, &parameters(ids, next)).await?;
                let reservations = answer.reservation_set.item;
                for instance in reservations
                    .into_iter()
                    .flat_map(|all| all.instances_set.item)
                {
                    instances.push(instance.read()?);
                }
                next = answer.next_token.filter(|token| !token.is_empty());
                if next.is_none() {
                    break;
                }
                if page >= MAX_PAGES {
                    return Err(malformed("the list never ends"));
                }
            }
        }
        Ok(instances)
    }
}

/// A filter takes ids that do not exist (any more); `InstanceId.N` answers with an error for all of them.
fn parameters(ids: &[String], next: Option<String>) -> Parameters {
    let mut parameters = vec![
        ("MaxResults".to_owned(), PAGE.to_owned()),
        ("Filter.1.Name".to_owned(), "instance-id".to_owned()),
    ];
    for (number, id) in (1_usize..).zip(ids) {
        parameters.push((format!("Filter.1.Value.{number}"), id.clone()));
    }
    parameters.extend(next.map(|token| ("NextToken".to_owned(), token)));
    parameters
}

fn malformed(message: &str) -> Error {
    Error::Malformed {
        call: DESCRIBE.name,
        message: message.to_owned(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    // Without a default: an answer without a set does not prove that no instances exist.
    reservation_set: Items<Reservation>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Items<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    instances_set: Items<Described>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    instance_id: String,
    instance_state: State,
    launch_time: String,
    placement: Option<Placement>,
    private_dns_name: Option<String>,
    dns_name: Option<String>,
    private_ip_address: Option<String>,
    ip_address: Option<String>,
    ipv6_address: Option<String>,
    #[serde(default)]
    network_interface_set: Items<Interface>,
}

#[derive(Debug, Deserialize)]
struct State {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placement {
    availability_zone: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    #[serde(default)]
    private_ip_addresses_set: Items<PrivateAddress>,
    #[serde(default, rename = "ipv6AddressesSet")]
    ipv6_addresses_set: Items<Ipv6Address>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrivateAddress {
    private_ip_address: Option<String>,
    primary: Option<bool>,
    association: Option<Association>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Association {
    public_ip: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ipv6Address {
    #[serde(rename = "ipv6Address")]
    address: Option<String>,
    #[serde(rename = "isPrimaryIpv6")]
    primary: Option<bool>,
}

impl Described {
    fn read(self) -> Result<Instance, Error> {
        let addresses = self.addresses();
        let launched_at = self.launch_time.parse().map_err(|_| {
            malformed(&format!(
                "{} was launched at {:?}, which is no time",
                self.instance_id, self.launch_time
            ))
        })?;
        Ok(Instance {
            id: self.instance_id,
            state: match self.instance_state.name.as_str() {
                "pending" => InstanceState::Pending,
                "running" => InstanceState::Running,
                "stopping" | "stopped" => InstanceState::Stopped,
                "shutting-down" | "terminated" => InstanceState::Gone,
                _ => InstanceState::Other,
            },
            launched_at,
            zone: self
                .placement
                .and_then(|placement| placement.availability_zone)
                .unwrap_or_default(),
            private_dns_name: dns_name(self.private_dns_name.as_deref()),
            public_dns_name: dns_name(self.dns_name.as_deref()),
            addresses,
        })
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let own = [
            &self.private_ip_address,
            &self.ipv6_address,
            &self.ip_address,
        ];
        let interfaces = &self.network_interface_set.item;
        let private = interfaces
            .iter()
            .filter_map(|interface| primary(&interface.private_ip_addresses_set, |one| one.primary))
            .flat_map(|address| {
                let public = address.association.as_ref();
                let public = public.and_then(|association| association.public_ip.as_ref());
                [address.private_ip_address.as_ref(), public]
            });
        let ipv6 = interfaces
            .iter()
            .filter_map(|interface| primary(&interface.ipv6_addresses_set, |one| one.primary))
            .map(|address| address.address.as_ref());
        let mut addresses: Vec<IpAddr> = Vec::new();
        let texts = own
            .into_iter()
            .map(Option::as_ref)
            .chain(private)
            .chain(ipv6);
        for address in texts.flatten().filter_map(|text| text.parse().ok()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}

/// The primary address of an interface: the one marked as primary, or else the first.
fn primary<T>(addresses: &Items<T>, says: impl Fn(&T) -> Option<bool>) -> Option<&T> {
    let mut all = addresses.item.iter();
    all.clone()
        .find(|one| says(one) == Some(true))
        .or_else(|| all.next())
}

/// An instance without a name has an empty one.
fn dns_name(text: Option<&str>) -> Option<NodeName> {
    NodeName::from_dns_name(text?).ok()
}

#[cfg(test)]
#[path = "ec2_tests.rs"]
mod tests;
