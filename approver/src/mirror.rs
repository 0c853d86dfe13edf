//! Mirrors the instances of Auto Scaling Groups as ExpectedMachines: scale out, and they are expected; scale in, and
//! their records go, so that nothing is renewed. AWS has no watch, so it is asked again and again.
//!
//! What this controller has not made, it never changes or deletes. While AWS does not answer, everything stays as it is.

mod adoption;
mod plan;
mod records;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use tracing::{error, info, warn};

use self::plan::{Seen, Step, View, plan};
use self::records::{Records, in_time};
pub(crate) use self::settings::{JoinWindows, NodeNameFrom, Settings};
use crate::aws::{self, Aws, Environment};
use crate::errors::{Failure, classify, describe};
use crate::expected_machine::ExpectedMachine;
use crate::leadership::Turn;
use crate::metrics::Metrics;
use crate::object_name::get_opt;
use crate::persistence::{Complaint, pauses};

/// The longest pause between two tries while AWS does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// The interval at which a replica that does not lead checks whether it does.
const STAND_BY: Duration = Duration::from_secs(1);

/// The cause of a failed round.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Aws(#[from] aws::Error),
    #[error("{}", describe(.0))]
    Kubernetes(#[from] kube::Error),
}

/// Mirrors the groups of one configuration entry while this replica leads; never returns. The records are in
/// the cluster of the first client, and the nodes join that of the second.
pub(crate) async fn run(
    settings: Settings,
    windows: JoinWindows,
    client: Client,
    workload: Client,
    turn: Turn,
    metrics: Metrics,
) {
    let mut waits = pauses(settings.poll_interval, LONGEST_PAUSE);
    let mut complaint = Complaint::default();
    let mut mirror = Mirror {
        settings,
        windows,
        client,
        nodes: Api::all(workload),
        environment: Environment::of_process(),
        turn,
        metrics,
        connected: None,
        left_alone: BTreeSet::new(),
        seen: Seen::default(),
    };
    loop {
        if !mirror.turn.holds() {
            tokio::time::sleep(STAND_BY).await;
            continue;
        }
        let pause = match mirror.round().await {
            Ok(()) => {
                if complaint.is_over() {
                    info!("AWS answers again");
                }
                waits = pauses(mirror.settings.poll_interval, LONGEST_PAUSE);
                mirror.settings.poll_interval
            }
            Err(trouble) => {
                mirror.metrics.auto_scaling.failures.inc();
                let text = trouble.to_string();
                if complaint.is_news(&text) {
                    error!(
                        error = text,
                        "Auto Scaling Groups cannot be mirrored; records stay as they are, and new instances wait"
                    );
                }
                waits.next().unwrap_or(LONGEST_PAUSE)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

struct Mirror {
    settings: Settings,
    windows: JoinWindows,
    client: Client,
    nodes: Api<Node>,
    environment: Environment,
    turn: Turn,
    metrics: Metrics,
    connected: Option<(Aws, Records)>,
    /// The instances that cannot be mirrored and were logged, so that each is logged once.
    left_alone: BTreeSet<String>,
    seen: Seen,
}

impl Mirror {
    /// Asks AWS once, and brings the records up to date.
    async fn round(&mut self) -> Result<(), Trouble> {
        let (aws, records) = match &self.connected {
            Some(connected) => connected.clone(),
            None => {
                let region = self.settings.region.as_deref();
                let aws = Aws::connect(self.environment.clone(), region).await?;
                let records = Records::new(self.client.clone(), aws.region());
                info!(
                    region = aws.region(),
                    "mirroring Auto Scaling Groups as ExpectedMachines"
                );
                self.connected.insert((aws, records)).clone()
            }
        };
        let present = records.list().await?;
        let mut view = look(&aws, &self.settings, &present).await?;
        view.before = self.seen.clone();
        self.seen = view.seen(&present);
        let steps = plan(&view, &present, &self.settings, &self.windows);
        for step in steps {
            // Another replica may have taken over meanwhile.
            if !self.turn.holds() {
                return Ok(());
            }
            self.take_or_tell(&records, step).await?;
        }
        let metrics = &self.metrics;
        let wanted = i64::try_from(view.members.len()).unwrap_or(i64::MAX);
        metrics.auto_scaling.instances.set(wanted);
        let now = Timestamp::now().as_second();
        metrics.auto_scaling.last_success.set(now);
        Ok(())
    }

    /// Applies one step. If the API server refuses one record, the others still follow.
    async fn take_or_tell(&mut self, records: &Records, step: Step) -> Result<(), Trouble> {
        let what = step.to_string();
        match self.take(records, step).await {
            Err(Trouble::Kubernetes(error))
                if matches!(classify(&error), Failure::Refused | Failure::Unsendable) =>
            {
                self.metrics.auto_scaling.failures.inc();
                let because = describe(&error);
                self.tell_once(&format!("{what} is not possible: {because}"));
                Ok(())
            }
            taken => taken,
        }
    }

    async fn take(&mut self, records: &Records, step: Step) -> Result<(), Trouble> {
        match step {
            Step::Create(record) => match records.create(&record).await? {
                Some(created) => self.adopt(records, &created).await?,
                None => {
                    let name = record.metadata.name.unwrap_or_default();
                    self.tell_once(&format!(
                        "the ExpectedMachine {name} was made by somebody else; it is left as it is"
                    ));
                }
            },
            Step::Update(record) => records.update(&record).await?,
            Step::Delete { record, because } => records.delete(&record, &because).await?,
            Step::Tell(text) => self.tell_once(&text),
        }
        Ok(())
    }

    /// Binds a new record to the Node that its instance is already.
    async fn adopt(&self, records: &Records, record: &ExpectedMachine) -> Result<(), Trouble> {
        let node = in_time(get_opt(&self.nodes, &record.spec.node_name)).await?;
        if let Some(reference) = node.and_then(|node| adoption::reference(record, &node)) {
            records.bind(record, &reference).await?;
        }
        Ok(())
    }

    fn tell_once(&mut self, text: &str) {
        if self.left_alone.insert(text.to_owned()) {
            warn!("{text}");
        }
    }
}

/// The state of the selected groups in AWS, and of every instance that has a record.
async fn look(
    connection: &Aws,
    settings: &Settings,
    present: &[ExpectedMachine],
) -> Result<View, aws::Error> {
    let groups = connection.groups(&settings.selection).await?;
    let (mut names, mut members) = (BTreeSet::new(), BTreeMap::new());
    for group in groups {
        names.insert(group.name.clone());
        for member in group.members {
            members.insert(member.instance.clone(), (group.name.clone(), member));
        }
    }
    let recorded = present.iter().map(plan::instance_of);
    let wanted = members.keys().cloned();
    let ids: BTreeSet<String> = recorded.chain(wanted).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    let instances = connection.instances(&ids).await?;
    Ok(View {
        at: Timestamp::now(),
        before: Seen::default(),
        groups: names,
        members,
        instances: instances
            .into_iter()
            .map(|instance| (instance.id.clone(), instance))
            .collect(),
    })
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
