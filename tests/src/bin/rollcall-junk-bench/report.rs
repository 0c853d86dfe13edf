//! The figures of a round, as a table for a document.

use std::fmt;

use crate::round::Round;

/// The table of one round.
pub(crate) struct Table<'a>(pub(crate) &'a Round);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let round = self.0;
        let [flooded, restarted] = round.used;
        writeln!(f, "\n{} requests, {}\n", round.requests, round.kind)?;
        writeln!(f, "| a valid machine waits | median (s) | longest (s) |")?;
        writeln!(f, "| --- | --- | --- |")?;
        for moment in &round.moments {
            let (median, worst) = (moment.median(), moment.worst());
            writeln!(f, "| {} | {median:.2} | {worst:.2} |", moment.name)?;
        }
        writeln!(
            f,
            "\nFiled in {:.0} s ({:.0}/s), all seen to {:.1} s after the last one.",
            round.filing,
            f64::from(round.requests) / round.filing,
            round.after
        )?;
        writeln!(
            f,
            "The approver used {:.1} s of CPU and {:.0} MiB while they came, {:.1} s and {:.0} MiB after its restart.",
            flooded.cpu, flooded.memory, restarted.cpu, restarted.memory
        )
    }
}
