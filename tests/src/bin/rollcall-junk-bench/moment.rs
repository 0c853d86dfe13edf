//! The measurement: the delays of valid machines at one moment.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use kube::Client;
use rollcall_e2e::ControlPlane;
use rollcall_e2e::machines::{self, MachineStatus};
use rollcall_e2e::requests::{self, NodeRequest};

/// The number of valid machines that make a request at each moment.
const PROBES: usize = 5;

/// The maximum delay that is measured: longer than the limit, so that a failure has a figure too.
const PATIENCE: Duration = Duration::from_secs(900);

/// The delays of some valid machines (seconds, sorted).
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) name: &'static str,
    pub(crate) delays: Vec<f64>,
}

impl Moment {
    fn new(name: &'static str, mut delays: Vec<f64>) -> Self {
        delays.sort_unstable_by(f64::total_cmp);
        let moment = Self { name, delays };
        crate::progress(&format!(
            "    {name}: {:.2} s, at most {:.2} s",
            moment.median(),
            moment.worst()
        ));
        moment
    }

    /// The median delay.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.delays.len().checked_div(2).unwrap_or_default();
        self.delays.get(middle).copied().unwrap_or_default()
    }

    /// The longest delay.
    pub(crate) fn worst(&self) -> f64 {
        self.delays.last().copied().unwrap_or_default()
    }
}

/// Valid machines: each is expected, and uses a credential that junk does not have.
pub(crate) struct Valid {
    admin: Client,
    bootstrap: Client,
}

impl Valid {
    /// Creates machines that have made no request yet.
    pub(crate) async fn new(control_plane: &ControlPlane) -> Result<Self> {
        let kubeconfig = control_plane.bootstrap_kubeconfig().await?;
        Ok(Self {
            admin: control_plane.admin(),
            bootstrap: control_plane.client_from(&kubeconfig).await?,
        })
    }

    /// Has some of them make requests one after the other, each after the previous one is approved.
    pub(crate) async fn ask(&self, name: &'static str) -> Result<Moment> {
        let mut delays = Vec::new();
        for request in self.expect(name).await? {
            let begin = Instant::now();
            let filed = request.submit(&self.bootstrap).await?;
            self.approved(&filed).await?;
            delays.push(begin.elapsed().as_secs_f64());
        }
        Ok(Moment::new(name, delays))
    }

    /// Has some of them make requests while no approver runs, and returns the requests.
    pub(crate) async fn ask_nobody(&self, name: &'static str) -> Result<Vec<String>> {
        let requests = self.expect(name).await?;
        try_join_all(
            requests
                .iter()
                .map(|request| request.submit(&self.bootstrap)),
        )
        .await
    }

    /// Returns the delays from `begin`, the start of an approver, to the approval of these requests.
    pub(crate) async fn served(
        &self,
        name: &'static str,
        filed: &[String],
        begin: Instant,
    ) -> Result<Moment> {
        let delays = try_join_all(filed.iter().map(|filed| async move {
            self.approved(filed).await?;
            anyhow::Ok(begin.elapsed().as_secs_f64())
        }));
        Ok(Moment::new(name, delays.await?))
    }

    /// Creates the Machines of some machines, and their requests.
    async fn expect(&self, name: &str) -> Result<Vec<NodeRequest>> {
        let mut requests = Vec::new();
        for number in 0..PROBES {
            let node = format!("{}-{number}", name.to_lowercase().replace(' ', "-"));
            expect_machine(&self.admin, &node).await?;
            requests.push(NodeRequest::client(&node)?);
        }
        Ok(requests)
    }

    async fn approved(&self, filed: &str) -> Result<()> {
        requests::wait_approved(&self.admin, filed, PATIENCE)
            .await
            .map(drop)
            .context("a valid machine is not let in")
    }
}

/// Creates a Machine that waits for its node.
pub(crate) async fn expect_machine(admin: &Client, node: &str) -> Result<()> {
    let status = MachineStatus::provisioned(node, "10.0.0.1");
    machines::create_machine(admin, node, &status)
        .await
        .map(drop)
}
