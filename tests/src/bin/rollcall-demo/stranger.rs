//! An unexpected machine: it has the same bootstrap credential, but its request is held.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::runtime::watcher;
use rollcall_e2e::programs::Program;
use rollcall_e2e::{ControlPlane, requests, wait};

use crate::join::{PATIENCE, is_for, machine_folder, start_agent};
use crate::screen::Screen;

/// The expected reason.
const REASON: &str = "MachineNotFound";

/// The unexpected machine, with its pending request.
pub(crate) struct Stranger {
    name: String,
    agent: Program,
}

impl Stranger {
    /// Starts its agent.
    pub(crate) fn start(
        control_plane: &ControlPlane,
        bootstrap: &Path,
        name: &str,
    ) -> Result<Self> {
        let folder = machine_folder(control_plane, name)?;
        Ok(Self {
            name: name.to_owned(),
            agent: start_agent(&folder, bootstrap, name, &[])?,
        })
    }

    /// Shows that its request waits, and why: in an Event and on its own console.
    pub(crate) async fn show(
        mut self,
        screen: &Screen,
        control_plane: &ControlPlane,
    ) -> Result<()> {
        let admin = control_plane.admin();
        let all = requests::api(&admin);
        let what = format!("a request for {}", self.name);
        let config = watcher::Config::default();
        let request = wait::any(&all, config, &what, PATIENCE, |request| {
            is_for(request, &self.name)
        })
        .await?;
        let event = requests::wait_event(&admin, &request.name_any(), REASON, PATIENCE).await?;
        let waiting = self.agent.line(&["waiting"], PATIENCE).await?;
        let now = all
            .get(&request.name_any())
            .await
            .context("cannot read the stranger's request")?;
        ensure!(
            requests::is_pending(&now),
            "the stranger's request was decided: {:?}",
            now.status
        );
        ensure!(
            self.agent.ended().is_none(),
            "the stranger's node-agent ended:\n{}",
            self.agent.log()
        );
        screen.done(&format!("{} is Pending, and stays so", request.name_any()));
        screen.note(&format!(
            "Event  {REASON}: {}",
            event.message.unwrap_or_default()
        ));
        screen.note(&format!("its own console: {}", waiting.trim()));
        self.agent.stop();
        Ok(())
    }
}
