//! Decodes bytes to a cluster: Machines, Nodes, requests and settings, each from a small set of values, so that they
//! match. The first choice is the ordinary one, and without bytes everything is ordinary.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use arbitrary::{Result, Unstructured};
use jiff::{SignedDuration, Timestamp};
use rcgen::SanType;
use rollcall_approver_core::{
    Address, Change, Cluster, Contested, DenyClass, ExtraRange, Feed, JoinToken, KubeadmConfig,
    Machine, NameStrategy, Naming, Node, Policy, Request, RequestorRule, Rules, Scope, ServerName,
    ServingPolicy, Source, Standing, Strength,
};
use rollcall_csr::{CertificationRequest, NodeName, ParseError, Signer};

use super::fixtures::{self, Asked, BOOTSTRAPPER, NAMESPACE, at};

const NODES: [&str; 3] = ["worker-0", "worker-1", "worker-0.example.com"];
const COMMON_NAMES: [&str; 6] = [
    "system:node:worker-0",
    "system:node:worker-1",
    "system:node:worker-0.example.com",
    "system:node:WORKER-0",
    "worker-0",
    "system:node:",
];
/// Names and addresses of Machines and of serving certificates.
const DNS: [&str; 8] = [
    "worker-0",
    "worker-1",
    "Worker-0.Example.COM.",
    "kubernetes.default",
    "a.svc",
    "localhost",
    "*.example.com",
    "10.0.0.1",
];
const IPS: [&str; 7] = [
    "10.0.0.1",
    "10.0.0.2",
    "fd00::1",
    "192.0.2.1",
    "127.0.0.1",
    "10.96.0.1",
    "::",
];
const USAGES: [&str; 6] = [
    "digital signature",
    "client auth",
    "server auth",
    "key encipherment",
    "cert sign",
    "Client Auth",
];

/// A cluster, and its facts in a simple form.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) policy: Policy,
    pub(crate) machines: Vec<Machine>,
    pub(crate) configs: Vec<KubeadmConfig>,
    /// Each with its creation time.
    pub(crate) nodes: Vec<(NodeName, Timestamp)>,
    pub(crate) requests: Vec<Request>,
    /// The time at which a feed was lost, if one was.
    pub(crate) lost: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn read(bytes: &mut Unstructured<'_>) -> Result<Self> {
        let policy = policy(bytes)?;
        let joined = odd(bytes)?;
        let mut machines = vec![machine(bytes, 0, joined)?];
        for index in 1..=bytes.int_in_range(0..=2)? {
            machines.push(machine(bytes, index, false)?);
        }
        let mut nodes = Vec::new();
        for (index, name) in NODES.iter().enumerate() {
            if odd(bytes)? != (joined && index == 0) {
                let registered = if odd(bytes)? { time(bytes)? } else { at(90) };
                nodes.push((name.parse().unwrap(), registered));
            }
        }
        let mut requests = vec![request(bytes, 0, joined)?];
        for index in 1..=bytes.int_in_range(0..=4)? {
            requests.push(request(bytes, index, joined)?);
        }
        let configs = configs(bytes, &machines)?;
        let lost = odd(bytes)?.then(|| time(bytes)).transpose()?;
        let now = at(70).checked_add(SignedDuration::from_secs(bytes.int_in_range(0..=200)?));
        let mut cluster = Cluster::new(policy.clone(), []);
        if odd(bytes)? {
            cluster = cluster.with_kubelet_ca(["file".to_owned()]);
        }
        let mut world = Self {
            cluster,
            policy,
            machines,
            configs,
            nodes,
            requests,
            lost,
            now: now.unwrap(),
        };
        world.tell(bytes)?;
        Ok(world)
    }

    /// Applies everything to the cluster, in any order.
    fn tell(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let machines = self.machines.iter().cloned();
        let mut news: Vec<Change> = machines
            .map(|machine| Change::Machine(Box::new(machine)))
            .collect();
        news.extend(self.nodes.iter().map(|(name, registered)| {
            let node = Node::new(name.to_string(), *registered);
            Change::Node(name.clone(), node)
        }));
        news.extend(self.configs.iter().cloned().map(Change::KubeadmConfig));
        let requests = self.requests.iter().cloned();
        news.extend(requests.map(|request| Change::Request(Box::new(request))));
        if let Some(lost) = self.lost {
            self.cluster.apply(Change::Synced(Feed::Nodes), lost);
            self.cluster.apply(Change::Lost(Feed::Nodes, lost), lost);
        }
        while !news.is_empty() {
            let next = bytes.int_in_range(0..=news.len().saturating_sub(1))?;
            self.cluster.apply(news.remove(next), self.now);
        }
        Ok(())
    }
}

/// An unusual choice, never made without bytes.
fn odd(bytes: &mut Unstructured<'_>) -> Result<bool> {
    Ok(bytes.int_in_range(0..=7_u8)? == 7)
}

/// One of these, usually the first.
fn pick<T: Copy>(bytes: &mut Unstructured<'_>, from: &[T]) -> Result<T> {
    let index = if odd(bytes)? || odd(bytes)? {
        bytes.choose_index(from.len())?
    } else {
        0
    };
    Ok(*from.get(index).unwrap())
}

/// Some of these.
fn some<T: Copy>(bytes: &mut Unstructured<'_>, from: &[T]) -> Result<Vec<T>> {
    let mask: u8 = bytes.arbitrary()?;
    let bits = (0..u8::BITS).map(|bit| mask >> bit & 1 == 1);
    let chosen = from.iter().zip(bits).filter(|(_, is_in)| *is_in);
    Ok(chosen.map(|(one, _)| *one).collect())
}

fn time(bytes: &mut Unstructured<'_>) -> Result<Timestamp> {
    Ok(at(bytes.int_in_range(-80..=160)?))
}

fn seconds(bytes: &mut Unstructured<'_>, from: &[i64]) -> Result<SignedDuration> {
    Ok(SignedDuration::from_secs(pick(bytes, from)?))
}

fn policy(bytes: &mut Unstructured<'_>) -> Result<Policy> {
    let mut policy = Policy {
        clock_skew: seconds(bytes, &[10, 0, 60])?,
        max_staleness: seconds(bytes, &[60, 0, 1000])?,
        replace_leftover_nodes: odd(bytes)?,
        rules: rules(bytes)?,
        ..Policy::default()
    };
    if odd(bytes)? {
        policy.bootstrappers = vec![RequestorRule {
            username: odd(bytes)?.then(|| BOOTSTRAPPER.to_owned()),
            group: odd(bytes)?.then(|| "system:bootstrappers".to_owned()),
        }];
    }
    if odd(bytes)? {
        let all = [
            DenyClass::Malformed,
            DenyClass::Profile,
            DenyClass::Superseded,
        ];
        policy.deny = some(bytes, &all)?;
    }
    if odd(bytes)? {
        let everywhere = Scope::new(Source::OpenShift, "");
        policy.naming.insert(everywhere, naming(bytes)?);
    }
    if odd(bytes)? {
        policy.pools.insert("workers".to_owned(), rules(bytes)?);
    }
    serving(bytes, &mut policy.serving)?;
    if odd(bytes)? {
        let everywhere = Scope::new(Source::OpenShift, "");
        policy.bootstrap_tokens.insert(everywhere);
    }
    Ok(policy)
}

fn rules(bytes: &mut Unstructured<'_>) -> Result<Rules> {
    Ok(Rules {
        contested: pick(
            bytes,
            &[Contested::Settle, Contested::Newest, Contested::Hold],
        )?,
        evidence: pick(bytes, &[Strength::None, Strength::Bound])?,
        join_window: seconds(bytes, &[7200, 0, 60, 61])?,
        max_issues: pick(bytes, &[3, 1, 2])?,
        reissue_after: seconds(bytes, &[60, 1, 1000])?,
        settle_after: seconds(bytes, &[60, 1, 1000])?,
    })
}

fn naming(bytes: &mut Unstructured<'_>) -> Result<Naming> {
    let all = [
        NameStrategy::Hostname,
        NameStrategy::InternalDns,
        NameStrategy::MachineName,
        NameStrategy::NodeReference,
        NameStrategy::ProviderId,
    ];
    Ok(Naming {
        strategies: some(bytes, &all)?,
        templates: Vec::new(),
        guess: None,
    })
}

fn serving(bytes: &mut Unstructured<'_>, serving: &mut ServingPolicy) -> Result<()> {
    serving.enabled = !odd(bytes)?;
    if odd(bytes)? {
        serving.cluster_domain = "example.com".to_owned();
    }
    serving.api_servers.extend(ServerName::read("10.96.0.1"));
    if odd(bytes)? {
        serving.extra_ranges = vec![ExtraRange {
            pool: "workers".to_owned(),
            ranges: vec!["192.0.2.0/24".parse().unwrap()],
            shared: false,
        }];
    }
    Ok(())
}

fn machine(bytes: &mut Unstructured<'_>, index: usize, joined: bool) -> Result<Machine> {
    let name = *NODES.get(index).unwrap();
    let mut machine = fixtures::machine(&format!("m-{index}"), name);
    machine.addresses.push(Address::InternalIp(
        IPS.get(index).unwrap().parse().unwrap(),
    ));
    if odd(bytes)? {
        let names = some(bytes, &DNS)?;
        let names = names
            .iter()
            .filter_map(|name| NodeName::from_dns_name(name).ok());
        machine.addresses = names
            .enumerate()
            .map(|(index, name)| match index % 3 {
                0 => Address::InternalDns(name),
                1 => Address::Hostname(name),
                _ => Address::ExternalDns(name),
            })
            .collect();
        let ips = some(bytes, &IPS)?;
        machine.addresses.extend(
            ips.iter()
                .map(|ip| Address::ExternalIp(ip.parse().unwrap())),
        );
    }
    if odd(bytes)? {
        machine.created_at = time(bytes)?;
    }
    if odd(bytes)? {
        machine.join_by = Some(time(bytes)?);
    }
    give_up(bytes, &mut machine)?;
    if odd(bytes)? != joined {
        machine.node_reference = Some(pick(bytes, &NODES)?.parse().unwrap());
    }
    if odd(bytes)? {
        machine.pool = None;
    }
    Ok(machine)
}

/// The possible defects of a Machine, and its possible tokens.
fn give_up(bytes: &mut Unstructured<'_>, machine: &mut Machine) -> Result<()> {
    machine.deleting = odd(bytes)?;
    machine.failed = odd(bytes)?;
    machine.remediation = odd(bytes)?.then(|| "an annotation".to_owned());
    if odd(bytes)? {
        machine.bootstrap_tokens.insert(TOKEN.to_owned());
    }
    if odd(bytes)? {
        machine.kubeadm_config = Some(machine.reference.name.clone());
    }
    Ok(())
}

/// The content of some KubeadmConfigs, each with the name of its Machine.
fn configs(bytes: &mut Unstructured<'_>, machines: &[Machine]) -> Result<Vec<KubeadmConfig>> {
    let mut configs = Vec::new();
    for machine in machines {
        let token = match bytes.int_in_range(0..=4_u8)? {
            1 => JoinToken::Awaited,
            2 => JoinToken::Id(TOKEN.to_owned()),
            3 => JoinToken::Id("fedcba".to_owned()),
            4 => JoinToken::Unused,
            _ => continue,
        };
        configs.push(KubeadmConfig {
            reference: machine.reference.clone(),
            token,
        });
    }
    Ok(configs)
}

/// The id of the bootstrap token in requests.
pub(crate) const TOKEN: &str = "abcdef";

fn request(bytes: &mut Unstructured<'_>, index: usize, joined: bool) -> Result<Request> {
    let mut request = usual(&format!("csr-{index}"));
    let itself = odd(bytes)? != joined;
    let serving = itself && bytes.arbitrary()?;
    if itself {
        request.requestor.username = pick(bytes, &COMMON_NAMES)?.to_owned();
        request.requestor.groups = vec!["system:nodes".to_owned()];
    }
    if odd(bytes)? {
        request.requestor.username =
            pick(bytes, &["system:bootstrap:abcdef", "visitor"])?.to_owned();
        let groups = ["system:bootstrappers", "system:nodes", "system:masters"];
        let groups = some(bytes, &groups)?;
        request.requestor.groups = groups.into_iter().map(str::to_owned).collect();
    }
    if serving != odd(bytes)? {
        request.signer = Signer::KubeletServing;
    }
    if serving {
        request.usages = vec!["digital signature".to_owned(), "server auth".to_owned()];
    }
    if odd(bytes)? {
        request.usages = some(bytes, &USAGES)?
            .iter()
            .map(ToString::to_string)
            .collect();
        request
            .usages
            .extend(odd(bytes)?.then(|| "client auth".to_owned()));
    }
    if odd(bytes)? {
        request.created_at = time(bytes)?;
    }
    request.standing = match bytes.int_in_range(0..=7_u8)? {
        6 => Standing::Approved(time(bytes)?),
        7 => Standing::Closed,
        _ => Standing::Pending,
    };
    request.content = content(bytes, serving)?;
    Ok(request)
}

/// The request of a kubelet. Signed requests are cached: signing takes most of the time otherwise.
static USUAL: LazyLock<Request> = LazyLock::new(|| fixtures::request("csr", "worker-0", 0));

fn usual(name: &str) -> Request {
    Request {
        uid: fixtures::request_uid(name),
        name: name.to_owned(),
        ..USUAL.clone()
    }
}

/// The signed contents of requests.
static SIGNED: LazyLock<Mutex<HashMap<Key, Content>>> = LazyLock::new(Mutex::default);

type Content = std::result::Result<CertificationRequest, ParseError>;
type Key = (&'static str, &'static str, Vec<&'static str>, u8, usize);

fn content(bytes: &mut Unstructured<'_>, serving: bool) -> Result<Content> {
    if odd(bytes)? && odd(bytes)? {
        return Ok(Err(ParseError::BadSignature));
    }
    let organization = pick(bytes, &["system:nodes", "system:masters"])?;
    let common_name = pick(bytes, &COMMON_NAMES)?;
    let key = bytes.int_in_range(0..=3)?;
    let mut names = if serving {
        vec!["worker-0", "10.0.0.1"]
    } else {
        Vec::new()
    };
    let mut odd_names = 0;
    if odd(bytes)? {
        names.clear();
    } else if odd(bytes)? {
        names = some(bytes, &DNS)?;
        names.extend(some(bytes, &IPS)?);
        odd_names = bytes.int_in_range(0..=3_u8)? & bytes.int_in_range(0..=3_u8)?;
    } else if serving && odd(bytes)? {
        // The address of the API server.
        names = vec!["10.96.0.1"];
    }
    let wanted: Key = (organization, common_name, names, odd_names, key);
    let mut signed = SIGNED.lock().unwrap();
    let made = signed.entry(wanted).or_insert_with_key(make);
    Ok(made.clone())
}

fn make((organization, common_name, names, odd_names, key): &Key) -> Content {
    let mut asked = Asked::of_kubelet("worker-0", *key);
    (*organization).clone_into(&mut asked.organization);
    (*common_name).clone_into(&mut asked.common_name);
    let usual = names.iter().map(|name| match name.parse() {
        // The text of an address may also be a DNS name.
        Ok(ip) if IPS.contains(name) => SanType::IpAddress(ip),
        _ => SanType::DnsName((*name).try_into().unwrap()),
    });
    asked.names = usual.collect();
    if odd_names & 1 == 1 {
        asked
            .names
            .push(SanType::Rfc822Name("root@a".try_into().unwrap()));
    }
    if odd_names & 2 == 2 {
        asked
            .names
            .push(SanType::URI("spiffe://a/b".try_into().unwrap()));
    }
    asked.content()
}

/// The namespace of every Machine here.
pub(crate) fn namespace() -> &'static str {
    NAMESPACE
}
