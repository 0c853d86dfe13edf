//! The load: expected Machines, and one valid request for each. The same for every case.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use kube::api::PostParams;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::requests::{self, NodeRequest};

/// The number of concurrent calls while Machines and requests are created: enough to keep the API server busy.
const CALLS: usize = 64;

/// The first address of Machines: 10.0.0.0/8 has enough for all.
const FIRST_ADDRESS: u32 = 0x0A00_0001;

/// Machines and their requests, not yet in a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    machines: Vec<(String, Ipv4Addr)>,
    requests: Vec<CertificateSigningRequest>,
}

impl Load {
    /// Generates this many Machines, each with its own P-256 key and a request signed by it.
    pub(crate) fn generate(count: u32) -> Result<Self> {
        let machines: Vec<_> = (0..count)
            .map(|index| {
                let address = Ipv4Addr::from(FIRST_ADDRESS.saturating_add(index));
                (format!("worker-{index}"), address)
            })
            .collect();
        let requests = machines
            .iter()
            .map(|(name, _)| {
                NodeRequest::client(name)?
                    .named(&format!("csr-{name}"))
                    .object()
            })
            .collect::<Result<_>>()?;
        Ok(Self { machines, requests })
    }

    /// The number of requests.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Creates the Machines, all of them waiting for their Nodes.
    pub(crate) async fn create_machines(&self, client: &Client) -> Result<()> {
        futures::stream::iter(&self.machines)
            .map(|(name, address)| async move {
                let status = MachineStatus::provisioned(name, &address.to_string());
                machines::create_machine(client, name, &status).await
            })
            .buffer_unordered(CALLS)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
    }

    /// Creates the requests as the machines would, all at once.
    pub(crate) async fn submit(&self, client: &Client) -> Result<()> {
        let api = &requests::api(client);
        futures::stream::iter(&self.requests)
            .map(|request| async move { api.create(&PostParams::default(), request).await })
            .buffer_unordered(CALLS)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await
            .context("cannot create a request")
    }
}
