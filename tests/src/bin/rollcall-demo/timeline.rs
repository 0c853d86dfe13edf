//! The time at which each stage of a join was reached, with a description.

use std::time::{Duration, Instant};

use crate::screen::Screen;

/// The stages of a join, in order, each with the time since its Machine was Provisioned.
pub(crate) struct Timeline {
    begin: Instant,
    stages: Vec<(&'static str, Duration, String)>,
}

impl Timeline {
    /// Starts the timeline: the Machine is Provisioned now.
    pub(crate) fn begin(what: &str) -> Self {
        Self {
            begin: Instant::now(),
            stages: vec![("Provisioned", Duration::ZERO, what.to_owned())],
        }
    }

    /// Records that a stage is reached now.
    pub(crate) fn reached(&mut self, stage: &'static str, what: impl Into<String>) {
        self.stages.push((stage, self.begin.elapsed(), what.into()));
    }

    /// Prints one line per stage: time since the start, time since the previous stage, description.
    pub(crate) fn show(&self, screen: &Screen) {
        let mut before = Duration::ZERO;
        for (stage, at, what) in &self.stages {
            let step = at.saturating_sub(before);
            screen.line(&format!(
                "     {:>7.3} s  (+{:>6.3})  {stage:<12} {what}",
                at.as_secs_f64(),
                step.as_secs_f64()
            ));
            before = *at;
        }
    }
}
