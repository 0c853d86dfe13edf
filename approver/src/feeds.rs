//! The watches of the cluster that nodes join: the requests to the kubelet signers, and the Nodes. The Machines are in
//! [`crate::sources`].

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::{Api, Client, ResourceExt as _};
use rollcall_approver_core::{Change, Feed, RequestUid};
use rollcall_csr::{NodeName, Signer};
use tracing::warn;

use crate::convert::{self, Content};
use crate::engine::Input;
use crate::feed::Watched;
use crate::guard::Guarded;
use crate::node::Node;

/// The requests to one signer.
pub(crate) struct Requests(pub(crate) Signer);

impl Watched for Requests {
    type Resource = Guarded<CertificateSigningRequest>;
    type Key = RequestUid;
    /// The content of requests that have no certificate yet: `spec` never changes (Kubernetes:
    /// `pkg/registry/certificates/certificates/strategy.go`), and a signature takes long to verify.
    type Memory = HashMap<RequestUid, Content>;
    /// Any holder of a bootstrap credential decides their size: up to a megabyte each.
    const FIRST_PAGE: u32 = 32;

    fn feed(&self) -> Feed {
        Feed::Requests(self.0)
    }

    async fn locate(&self, client: &Client) -> kube::Result<Api<Self::Resource>> {
        Ok(Api::all(client.clone()))
    }

    fn fields(&self) -> Option<String> {
        Some(format!("spec.signerName={}", self.0.name()))
    }

    fn put(
        &self,
        memory: &mut Self::Memory,
        object: Self::Resource,
    ) -> Option<(RequestUid, Input)> {
        let (name, uid) = (object.name_any(), object.uid().map(RequestUid));
        let known = uid.and_then(|uid| memory.remove(&uid));
        let read = object.0.map_err(|error| error.to_string());
        // A request that was denied before it was ever seen has spent no Machine and gets no certificate. There may be very
        // many of them, and each has a signature that would take long to verify.
        if known.is_none() && read.as_ref().is_ok_and(convert::is_denied) {
            return None;
        }
        let converted = read.and_then(|object| {
            let ends = convert::is_over(&object);
            let (request, target) =
                convert::to_request_with(object, known).map_err(|error| error.to_string())?;
            Ok((ends, request, target))
        });
        match converted {
            Ok((ends, request, target)) => {
                if !ends {
                    memory.insert(request.uid.clone(), request.content.clone());
                }
                Some((
                    request.uid.clone(),
                    Input::Request(Box::new((request, target))),
                ))
            }
            Err(error) => {
                warn!(
                    request = convert::shorten(&name),
                    error, "this request cannot be judged and is left alone"
                );
                None
            }
        }
    }

    fn gone(&self, memory: &mut Self::Memory, object: &Self::Resource) -> Option<Change> {
        let uid = object.uid().map(RequestUid)?;
        memory.remove(&uid);
        Some(Change::RequestGone(uid))
    }

    fn all(&self, memory: &mut Self::Memory, present: HashSet<RequestUid>) -> Change {
        memory.retain(|uid, _| present.contains(uid));
        Change::RequestList(self.0, present)
    }
}

/// The Nodes.
#[derive(Clone, Copy)]
pub(crate) struct Nodes {
    /// True if their conditions are kept: only the commands that read MachineHealthChecks need them.
    pub(crate) conditions: bool,
}

impl Watched for Nodes {
    type Resource = Node;
    type Key = NodeName;
    type Memory = ();
    /// About 20 kB each, most of it images.
    const PAGE: u32 = 100;

    fn feed(&self) -> Feed {
        Feed::Nodes
    }

    async fn locate(&self, client: &Client) -> kube::Result<Api<Node>> {
        Ok(Api::all(client.clone()))
    }

    fn put(&self, (): &mut (), object: Self::Resource) -> Option<(NodeName, Input)> {
        let name = object.name_any();
        match convert::to_node(object, self.conditions) {
            Ok((name, node)) => Some((name.clone(), Input::Change(Change::Node(name, node)))),
            Err(error) => {
                warn!(node = name, %error, "this Node cannot be read and is left out");
                None
            }
        }
    }

    fn gone(&self, (): &mut (), object: &Self::Resource) -> Option<Change> {
        // An object with an invalid node name was never sent, so its deletion is not sent either.
        object.name_any().parse().ok().map(Change::NodeGone)
    }

    fn all(&self, (): &mut (), present: HashSet<NodeName>) -> Change {
        Change::NodeList(present)
    }
}
