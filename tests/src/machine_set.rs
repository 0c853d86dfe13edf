//! A MachineSet of OpenShift's Machine API, and simulations of its machine controller and cloud: Machines go through
//! the real steps and phases (machine-api-operator, `pkg/controller/{machineset,machine}`).

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::machines::{self, MachineStatus};

/// The annotation of a Machine to delete first when its set is scaled down (machine-api-operator).
pub const DELETE_MACHINE: &str = "machine.openshift.io/delete-machine";
/// The label that names the set.
const MACHINE_SET: &str = "machine.openshift.io/cluster-api-machineset";

/// A MachineSet.
pub struct MachineSet {
    client: kube::Client,
    name: String,
    made: usize,
}

impl fmt::Debug for MachineSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineSet")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl MachineSet {
    /// A set without any Machine.
    pub fn new(client: kube::Client, name: &str) -> Self {
        Self {
            client,
            name: name.to_owned(),
            made: 0,
        }
    }

    /// The Machines of the set that are not being deleted, the oldest first.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn machines(&self) -> Result<Vec<String>> {
        let params = ListParams::default().labels(&format!("{MACHINE_SET}={}", self.name));
        let list = machines::api(self.client.clone()).list(&params).await?;
        let alive = list
            .items
            .iter()
            .filter(|one| one.metadata.deletion_timestamp.is_none());
        let mut names: Vec<String> = alive.map(|one| one.name_any()).collect();
        names.sort();
        Ok(names)
    }

    /// Scales up: creates the new Machines at once, without their instances. Returns their names.
    ///
    /// # Errors
    /// If the API server refuses, or there are more Machines already.
    pub async fn scale_up(&mut self, replicas: usize) -> Result<Vec<String>> {
        let have = self.machines().await?.len();
        let missing = replicas
            .checked_sub(have)
            .with_context(|| format!("{} has {have} Machines already", self.name))?;
        let mut new = Vec::new();
        for _ in 0..missing {
            let name = format!("{}-{:05}", self.name, self.made);
            self.made = self.made.saturating_add(1);
            machines::create_machine(&self.client, &name, &MachineStatus::provisioning()).await?;
            let labels = json!({"metadata": {"labels": {MACHINE_SET: self.name}}});
            self.patch(&name, &labels).await?;
            new.push(name);
        }
        Ok(new)
    }

    /// Simulates that the cloud created the instance: its id is known first, its addresses a little later.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn provision(&self, machine: &str, node: &str, ip: &str) -> Result<()> {
        let whole = MachineStatus::provisioned(node, ip);
        let instance = MachineStatus {
            phase: "Provisioning".to_owned(),
            addresses: Vec::new(),
            ..whole.clone()
        };
        machines::set_status(&self.client, machine, &instance).await?;
        machines::set_status(&self.client, machine, &whole).await?;
        Ok(())
    }

    /// Marks a Machine to be deleted first.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn mark(&self, machine: &str) -> Result<()> {
        let annotations = json!({"metadata": {"annotations": {DELETE_MACHINE: "true"}}});
        self.patch(machine, &annotations).await
    }

    /// Scales down by one: requests deletion of the marked Machine, else of the newest. It stays, being deleted, until
    /// [`MachineSet::terminate`]. Returns its name.
    ///
    /// # Errors
    /// If the API server refuses, or the set is empty.
    pub async fn scale_down(&self) -> Result<String> {
        let params = ListParams::default().labels(&format!("{MACHINE_SET}={}", self.name));
        let list = machines::api(self.client.clone()).list(&params).await?;
        let marked = list
            .items
            .iter()
            .find(|one| one.annotations().contains_key(DELETE_MACHINE));
        let names = self.machines().await?;
        ensure!(!names.is_empty(), "{} has no Machine", self.name);
        let newest = names.last().cloned();
        let victim = marked.map(|one| one.name_any()).or(newest);
        let victim = victim.context("there is no Machine to delete")?;
        machines::delete(&self.client, &victim).await?;
        Ok(victim)
    }

    /// Simulates that the instance is terminated, which removes the Machine.
    ///
    /// # Errors
    /// If the API server refuses.
    pub async fn terminate(&self, machine: &str) -> Result<()> {
        machines::finish_deletion(&self.client, machine).await
    }

    async fn patch(&self, machine: &str, patch: &serde_json::Value) -> Result<()> {
        let api = machines::api(self.client.clone());
        api.patch(machine, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .with_context(|| format!("cannot change the Machine {machine}"))?;
        Ok(())
    }
}
