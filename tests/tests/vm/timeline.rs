//! What happened when, from the power button to Ready.

use std::fmt;
use std::time::{Duration, Instant};

use rollcall_e2e::vm::{Console, VirtualMachine};

use crate::lab::BOOT;

/// What appears on the console at each step.
const STEPS: [(&str, &[&str]); 8] = [
    ("kernel", &["kernel up"]),
    ("cloud-init", &["Cloud-init", "init-local"]),
    ("configured", &["Cloud-init", "modules:config"]),
    ("agent", &["identity ", "has none to use"]),
    ("requested", &["request ", "submitted as"]),
    ("approved", &["request ", "was approved"]),
    ("issued", &["cert ", "issued for"]),
    ("installed", &["done ", "installed"]),
];

/// Steps and the time from the power button to each.
#[derive(Debug)]
pub(crate) struct Timeline {
    begin: Instant,
    steps: Vec<(&'static str, Duration)>,
}

impl Timeline {
    /// Begins now.
    pub(crate) fn begin() -> Self {
        Self {
            begin: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// Follows the console until node-agent is done.
    pub(crate) async fn follow(&mut self, machine: &mut VirtualMachine) -> anyhow::Result<()> {
        for (step, texts) in STEPS {
            machine.line(texts, BOOT).await?;
            self.reached(step);
        }
        Ok(())
    }

    /// A step is reached now.
    pub(crate) fn reached(&mut self, step: &'static str) {
        self.steps.push((step, self.begin.elapsed()));
    }
}

/// One line a step: time since the power button, time since the step before.
impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = Duration::ZERO;
        for (step, at) in &self.steps {
            writeln!(
                f,
                "{:>8.2} s  (+{:>6.2})  {step}",
                at.as_secs_f64(),
                at.saturating_sub(before).as_secs_f64()
            )?;
            before = *at;
        }
        Ok(())
    }
}

/// How long node-agent ran without what it waited for between request and certificate, by its own clock.
pub(crate) fn own_share(console: &Console) -> Option<f64> {
    let at = |texts: &[&str]| {
        // The journal puts a stamp of its own before node-agent's.
        let line = console.find(texts)?;
        let (stamp, _) = line.split_once("s] ")?;
        stamp.rsplit_once('[')?.1.trim().parse::<f64>().ok()
    };
    let waited = at(&["cert ", "issued for"])? - at(&["request ", "submitted as"])?;
    Some(at(&["done ", "installed"])? - waited)
}
