//! Changes of one field each. A label is the field and its new value.

use jiff::SignedDuration;
use rcgen::SanType;
use rollcall_approver_core::{
    Address, ClusterAddresses, Contested, Dialled, Feed, JoinKey, JoinToken, KubeadmConfig,
    KubeletCa, Machine, MachineUid, Naming, NodeCondition, Request, RequestorRule, Rules, Scope,
    Served, ServerName, Source, Stale, Standing, Strength, Vouching, WindowFrom,
};
use rollcall_csr::{ClusterId, ParseError, Signer};

use crate::fixtures::{
    Asked, NAMESPACE, World, at, claim, machine, node, registered, request, request_uid,
};

/// One change.
pub(crate) type Mutation = (&'static str, fn(&mut World));

/// Changes the content of the request, except the parts that the fixtures set.
fn ask(world: &mut World, change: impl FnOnce(&mut Asked)) {
    let mut asked = Asked::of_kubelet("worker-0", 0);
    let names = world.request.content.as_ref().unwrap().names().clone();
    let dns = names.dns.iter().map(|name| dns_name(name));
    let ips = names.ips.iter().map(|ip| SanType::IpAddress(*ip));
    asked.names = dns.chain(ips).collect();
    change(&mut asked);
    world.request.content = asked.content();
}

fn dns_name(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// Changes the Machine, in all facts that contain it.
fn record(world: &mut World, change: fn(&mut Machine)) {
    world.owners.iter_mut().for_each(change);
    world.bound.iter_mut().for_each(change);
}

/// Makes the policy read the tokens of all scopes.
fn read_tokens(world: &mut World) {
    let everywhere = [Source::ClusterApi, Source::OpenShift].map(|source| Scope::new(source, ""));
    world.policy.bootstrap_tokens = everywhere.into();
}

/// Gives the request a token, and the Machine its own token.
fn with_token(world: &mut World, token: JoinToken) {
    read_tokens(world);
    record(world, |machine| {
        machine.kubeadm_config = Some("m-0".to_owned())
    });
    let reference = machine("m-0", "worker-0").reference;
    world.kubeadm_configs = vec![KubeadmConfig { reference, token }];
    world.request.requestor.username = "system:bootstrap:abcdef".to_owned();
    world.request.requestor.groups = vec!["system:bootstrappers".to_owned()];
}

/// A record of the Machine in another source.
fn mirror(world: &World) -> Machine {
    let record = world
        .bound
        .first()
        .or_else(|| world.owners.first())
        .unwrap();
    Machine {
        source: Source::ClusterApi,
        uid: MachineUid("c-0".to_owned()),
        ..record.clone()
    }
}

/// A request like the world's own, with another name, key and time of creation.
fn rival(world: &World, key: usize, seconds: i64) -> Request {
    let mut like = World {
        request: world.request.clone(),
        ..World::approvable()
    };
    ask(&mut like, |asked| asked.key = key);
    let own = world.request.created_at;
    Request {
        uid: request_uid("csr-1"),
        name: "csr-1".to_owned(),
        created_at: own.checked_add(SignedDuration::from_secs(seconds)).unwrap(),
        ..like.request
    }
}

/// Every change.
pub(crate) const MUTATIONS: &[Mutation] = &[
    ("request.uid: another", |world| {
        world.request.uid = request_uid("csr-7");
    }),
    ("request.name: another", |world| {
        world.request.name = "csr-7".to_owned();
    }),
    ("request.signer: the other", |world| {
        world.request.signer = match world.request.signer {
            Signer::KubeApiserverClientKubelet => Signer::KubeletServing,
            Signer::KubeletServing => Signer::KubeApiserverClientKubelet,
        };
    }),
    ("request.requestor.username: another", |world| {
        world.request.requestor.username.push('x');
    }),
    ("request.requestor.username: in capitals", |world| {
        let username = world.request.requestor.username.to_uppercase();
        world.request.requestor.username = username;
    }),
    ("request.requestor.username: another node", |world| {
        world.request.requestor.username = "system:node:worker-9".to_owned();
        world.request.requestor.groups = vec!["system:nodes".to_owned()];
    }),
    ("request.requestor.groups: one more", |world| {
        world.request.requestor.groups.push("more".to_owned());
    }),
    ("request.requestor.groups: another path's", |world| {
        let groups = &mut world.request.requestor.groups;
        let nodes = "system:nodes".to_owned();
        if groups.contains(&nodes) {
            groups.retain(|group| *group != nodes);
        } else {
            world.request.requestor.username = "system:node:worker-0".to_owned();
            groups.push(nodes);
        }
    }),
    ("request.usages: key encipherment too", |world| {
        world.request.usages.push("key encipherment".to_owned());
    }),
    ("request.usages: another order", |world| {
        world.request.usages.reverse();
    }),
    ("request.usages: one less", |world| {
        world.request.usages.pop();
    }),
    ("request.usages: one twice", |world| {
        let first = world.request.usages.first().cloned();
        world.request.usages.extend(first);
    }),
    ("request.usages: cert sign too", |world| {
        world.request.usages.push("cert sign".to_owned());
    }),
    ("request.usages: client and server", |world| {
        for usage in ["client auth", "server auth"] {
            if !world.request.usages.iter().any(|known| known == usage) {
                world.request.usages.push(usage.to_owned());
            }
        }
    }),
    ("request.usages: none", |world| world.request.usages.clear()),
    ("request.created_at: a second later", |world| {
        world.request.created_at = at(61);
    }),
    ("request.created_at: before the Machine", |world| {
        world.request.created_at = at(-10);
    }),
    ("request.created_at: years later", |world| {
        world.request.created_at = at(100_000_000);
    }),
    ("request.standing: approved", |world| {
        world.request.standing = Standing::Approved(at(60));
    }),
    ("request.standing: closed", |world| {
        world.request.standing = Standing::Closed;
    }),
    ("request.issued: yes", |world| world.request.issued = true),
    ("request.content: another key", |world| {
        ask(world, |asked| asked.key = 1);
    }),
    ("request.content: another organization", |world| {
        ask(world, |asked| {
            asked.organization = "system:masters".to_owned();
        });
    }),
    ("request.content: another node", |world| {
        ask(world, |asked| {
            asked.common_name = "system:node:worker-9".to_owned();
        });
    }),
    ("request.content: a name in capitals", |world| {
        ask(world, |asked| {
            asked.common_name = "system:node:WORKER-0".to_owned();
        });
    }),
    ("request.content: no node", |world| {
        ask(world, |asked| asked.common_name = "worker-0".to_owned());
    }),
    ("request.content: one name less", |world| {
        ask(world, |asked| {
            asked.names.pop();
        });
    }),
    ("request.content: no names", |world| {
        ask(world, |asked| asked.names.clear());
    }),
    ("request.content: a strange name", |world| {
        ask(world, |asked| asked.names.push(dns_name("worker-9")));
    }),
    ("request.content: a reserved name", |world| {
        ask(world, |asked| asked.names.push(dns_name("kubernetes")));
    }),
    ("request.content: a strange address", |world| {
        ask(world, |asked| {
            asked
                .names
                .push(SanType::IpAddress("10.0.0.9".parse().unwrap()));
        });
    }),
    ("request.content: a loopback address", |world| {
        ask(world, |asked| {
            asked
                .names
                .push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
        });
    }),
    ("request.content: an e-mail address", |world| {
        ask(world, |asked| {
            asked
                .names
                .push(SanType::Rfc822Name("root@worker-0".try_into().unwrap()));
        });
    }),
    ("request.content: a URI", |world| {
        ask(world, |asked| {
            asked
                .names
                .push(SanType::URI("spiffe://a/b".try_into().unwrap()));
        });
    }),
    ("request.content: unreadable", |world| {
        world.request.content = Err(ParseError::BadSignature);
    }),
    ("machine.uid: another", |world| {
        record(world, |machine| machine.uid.0.push('x'));
    }),
    ("machine.reference: another name", |world| {
        record(world, |machine| machine.reference.name.push('x'));
    }),
    ("machine.reference: another namespace", |world| {
        record(world, |machine| machine.reference.namespace.push('x'));
    }),
    ("machine.provider_id: none", |world| {
        record(world, |machine| machine.provider_id = None);
    }),
    ("machine.addresses: none", |world| {
        record(world, |machine| machine.addresses.clear());
    }),
    ("machine.addresses: one more", |world| {
        record(world, |machine| {
            let more = Address::InternalIp("10.0.0.8".parse().unwrap());
            machine.addresses.push(more);
        });
    }),
    ("machine.unread_addresses: one", |world| {
        record(world, |machine| {
            machine.unread_addresses.push("worker-9".to_owned());
        });
    }),
    ("machine.addresses: another", |world| {
        record(world, |machine| {
            machine.addresses = vec![
                Address::Hostname(node("worker-0")),
                Address::InternalIp("10.0.0.2".parse().unwrap()),
            ];
        });
    }),
    ("machine.created_at: a minute earlier", |world| {
        record(world, |machine| machine.created_at = at(-60));
    }),
    ("machine.created_at: long ago", |world| {
        record(world, |machine| machine.created_at = at(60 - 7200));
    }),
    ("machine.created_at: later than the request", |world| {
        record(world, |machine| machine.created_at = at(70));
    }),
    ("machine.join_by: before the request", |world| {
        record(world, |machine| machine.join_by = Some(at(30)));
    }),
    ("machine.join_key: one that nobody has", |world| {
        record(world, |machine| {
            let nobody = JoinKey::Unreadable("it is empty".to_owned());
            machine.join_key = Some(nobody);
        });
    }),
    ("machine.region: another", |world| {
        record(world, |machine| machine.region = Some("mars".to_owned()));
    }),
    ("machine.zone: another", |world| {
        record(world, |machine| machine.zone = Some("mars-1".to_owned()));
    }),
    ("machine.deleting: yes", |world| {
        record(world, |machine| machine.deleting = true);
    }),
    ("machine.failed: yes", |world| {
        record(world, |machine| machine.failed = true);
    }),
    ("machine.remediation: yes", |world| {
        record(world, |machine| {
            machine.remediation = Some("an annotation".to_owned())
        });
    }),
    ("machine.adopted_node: another", |world| {
        record(world, |machine| {
            machine.adopted_node = Some("n-9".to_owned());
        });
    }),
    ("machine.bootstrap_tokens: one", |world| {
        record(world, |machine| {
            machine.bootstrap_tokens.insert("abcdef".to_owned());
        });
    }),
    ("tokens: that of another Machine", |world| {
        let mut other = machine("m-1", "worker-1");
        other.bootstrap_tokens.insert("abcdef".to_owned());
        other.provider_id = None;
        world.tokens.insert("abcdef", vec![other]);
        world.request.requestor.username = "system:bootstrap:abcdef".to_owned();
        world.request.requestor.groups = vec!["system:bootstrappers".to_owned()];
    }),
    ("machine.kubeadm_config: one", |world| {
        record(world, |machine| {
            machine.kubeadm_config = Some("m-0".to_owned())
        });
    }),
    ("kubeadm_configs: one with another token", |world| {
        let id = JoinToken::Id("fedcba".to_owned());
        with_token(world, id);
    }),
    ("kubeadm_configs: one without a token yet", |world| {
        with_token(world, JoinToken::Awaited);
    }),
    ("machine.labels: another", |world| {
        record(world, |machine| {
            machine
                .labels
                .insert("role".to_owned(), "worker".to_owned());
        });
    }),
    ("machine.startup_from: long ago", |world| {
        record(world, |machine| machine.startup_from = Some(at(-100_000)));
    }),
    ("machine.ready_at: long ago", |world| {
        record(world, |machine| machine.ready_at = Some(at(-100_000)));
    }),
    ("machine.phase: another", |world| {
        record(world, |machine| machine.phase = None);
    }),
    ("machine.node_reference: the other way round", |world| {
        record(world, |machine| {
            machine.node_reference = match machine.node_reference {
                None => Some(node("worker-0")),
                Some(_) => None,
            };
        });
        world
            .bound
            .retain(|machine| machine.node_reference.is_some());
    }),
    ("machine.pool: none", |world| {
        record(world, |machine| machine.pool = None);
    }),
    ("owners: none", |world| {
        world.owners.clear();
        world.bound.clear();
    }),
    ("owners: another one too", |world| {
        world.owners.push(machine("m-1", "worker-0"));
    }),
    ("bound: to another node", |world| {
        record(world, |machine| machine.node_reference = Some(node("x")));
        world.bound.clear();
    }),
    ("bound: another one too", |world| {
        let mut other = machine("m-1", "worker-0");
        other.node_reference = Some(node("worker-0"));
        world.owners.push(other.clone());
        world.bound.push(other);
    }),
    ("mirrors: one that says the same", |world| {
        let mirror = mirror(world);
        world.mirrors.push(mirror);
    }),
    ("mirrors: one that is being deleted", |world| {
        let mirror = mirror(world);
        world.mirrors.push(Machine {
            deleting: true,
            ..mirror
        });
    }),
    ("mirrors: one of another instance", |world| {
        let provider_id = Some("aws:///mars-1a/i-1".to_owned());
        let mirror = mirror(world);
        world.mirrors.push(Machine {
            provider_id,
            ..mirror
        });
    }),
    ("elsewhere: the requested address", |world| {
        let name = ServerName::read("10.0.0.1").unwrap();
        let other = machine("m-1", "worker-1").reference;
        world.elsewhere.push((name, other));
    }),
    ("node: the other way round", |world| {
        world.node = match world.node {
            None => Some(registered()),
            Some(_) => None,
        };
    }),
    ("node.uid: another", |world| {
        if let Some(node) = &mut world.node {
            node.uid.push('x');
        }
    }),
    ("node.ready: yes", |world| {
        if let Some(node) = &mut world.node {
            node.ready = true;
        }
    }),
    ("node.addresses: one", |world| {
        if let Some(node) = &mut world.node {
            node.addresses.push("192.0.2.1".parse().unwrap());
        }
    }),
    ("node.control_plane: yes", |world| {
        if let Some(node) = &mut world.node {
            node.control_plane = true;
        }
    }),
    ("machine.control_plane: yes", |world| {
        record(world, |machine| machine.control_plane = true);
    }),
    ("cluster_addresses: the requested address", |world| {
        let names = ["10.0.0.1", "10.0.0.2"].map(|text| ServerName::read(text).unwrap());
        world.cluster_addresses.push(ClusterAddresses {
            names: names.into(),
            ..ClusterAddresses::default()
        });
    }),
    ("stated: the requested address", |world| {
        let name = ServerName::read("192.0.2.1").unwrap();
        world.stated.push((name, node("worker-9")));
    }),
    ("node.conditions: one", |world| {
        if let Some(node) = &mut world.node {
            node.conditions.push(NodeCondition {
                kind: "Ready".to_owned(),
                status: "Unknown".to_owned(),
                since: at(0),
            });
        }
    }),
    ("node.created_at: another", |world| {
        if let Some(node) = &mut world.node {
            node.created_at = at(1);
        }
    }),
    ("claims: the same key", |world| {
        world.claims = vec![claim("csr-9", 0, at(60))];
    }),
    ("claims: another key, just now", |world| {
        world.claims = vec![claim("csr-9", 1, at(60))];
    }),
    ("claims: another key, long ago", |world| {
        world.claims = vec![claim("csr-9", 1, at(-300))];
    }),
    ("claims: as many keys as there may be", |world| {
        world.claims = ["csr-7", "csr-8", "csr-9"]
            .into_iter()
            .zip(1..)
            .map(|(name, key)| claim(name, key, at(1)))
            .collect();
    }),
    ("rivals: an older one", |world| {
        world.rivals = vec![rival(world, 1, -1)];
    }),
    ("rivals: a newer one", |world| {
        world.rivals = vec![rival(world, 1, 1)];
    }),
    ("rivals: a newer one with the same key", |world| {
        world.rivals = vec![rival(world, 0, 1)];
    }),
    ("rivals: a newer one of a visitor", |world| {
        let mut newer = request("csr-1", "worker-0", 1);
        newer.created_at = at(70);
        newer.requestor.username = "visitor".to_owned();
        world.rivals = vec![newer];
    }),
    ("kubelet_ca: none that issued anything", |world| {
        world.kubelet_ca = Some(KubeletCa::new([]));
    }),
    ("served: nothing", |world| {
        let nobody = Served {
            at: world.now,
            addresses: Vec::new(),
            answer: Err("nobody answers".to_owned()),
        };
        world.served = Some(Dialled::new(nobody, None));
    }),
    ("stale: Nodes", |world| {
        world.stale = Some(Stale {
            feed: Feed::Nodes,
            since: None,
        });
    }),
    ("policy.bootstrap_tokens: read everywhere", |world| {
        read_tokens(world);
    }),
    ("policy.bootstrappers: none", |world| {
        world.policy.bootstrappers.clear();
    }),
    ("policy.bootstrappers: one more", |world| {
        let rule = RequestorRule::username("imager");
        world.policy.bootstrappers.push(rule);
    }),
    ("policy.clock_skew: none", |world| {
        world.policy.clock_skew = SignedDuration::ZERO;
    }),
    ("policy.rules.contested: hold", |world| {
        world.policy.rules.contested = Contested::Hold;
    }),
    ("policy.deny: nothing", |world| world.policy.deny.clear()),
    ("policy.rules.join_window: none", |world| {
        world.policy.rules.join_window = SignedDuration::ZERO;
    }),
    ("policy.rules.max_issues: one", |world| {
        world.policy.rules.max_issues = 1
    }),
    ("policy.max_staleness: none", |world| {
        world.policy.max_staleness = SignedDuration::ZERO;
    }),
    ("policy.clusters: another one too", |world| {
        world.policy.clusters.insert(ClusterId::of_ca(b"another"));
    }),
    ("policy.naming: none", |world| {
        let scope = Scope::new(Source::OpenShift, NAMESPACE);
        let nothing = Naming {
            strategies: Vec::new(),
            templates: Vec::new(),
            guess: None,
        };
        world.policy.naming.insert(scope, nothing);
    }),
    (
        "policy.pools: the Machine's has to prove something",
        |world| {
            let rules = Rules {
                evidence: Strength::Bound,
                ..Rules::default()
            };
            world.policy.pools.insert("workers".to_owned(), rules);
        },
    ),
    ("policy.replace_leftover_nodes: yes", |world| {
        world.policy.replace_leftover_nodes = true;
    }),
    ("policy.rules.evidence: bound", |world| {
        world.policy.rules.evidence = Strength::Bound;
    }),
    ("policy.rules.reissue_after: never", |world| {
        world.policy.rules.reissue_after = SignedDuration::MAX;
    }),
    ("policy.rules.settle_after: never", |world| {
        world.policy.rules.settle_after = SignedDuration::MAX;
    }),
    ("policy.resume: off", |world| {
        world.policy.resume.enabled = false;
    }),
    ("policy.serving.enabled: no", |world| {
        world.policy.serving.enabled = false;
    }),
    (
        "policy.serving.api_servers: the requested address",
        |world| {
            let name = ServerName::read("10.0.0.1").unwrap();
            world.policy.serving.api_servers.insert(name);
        },
    ),
    ("policy.serving.cluster_domain: the node's name", |world| {
        world.policy.serving.cluster_domain = "worker-0".to_owned();
    }),
    ("policy.serving.extra_ranges: none", |world| {
        if world.policy.serving.extra_ranges.is_empty() {
            world.policy.serving.extra_ranges = vec![rollcall_approver_core::ExtraRange {
                pool: "workers".to_owned(),
                ranges: vec!["192.0.2.0/24".parse().unwrap()],
                shared: false,
            }];
        } else {
            world.policy.serving.extra_ranges.clear();
        }
    }),
    ("policy.serving.renew_without_addresses: all", |world| {
        world.policy.serving.renew_without_addresses =
            rollcall_approver_core::RenewWithoutAddresses::All;
    }),
    ("policy.vouching: another source before", |world| {
        let sources = [Source::ClusterApi, Source::OpenShift];
        let sources = sources.map(|source| Scope::new(source, ""));
        world.policy.vouching = Vouching::First(sources.into());
    }),
    ("policy.window_from: the record", |world| {
        world.policy.window_from = WindowFrom::Record;
    }),
    ("now: much later", |world| world.now = at(1_000_000)),
];
