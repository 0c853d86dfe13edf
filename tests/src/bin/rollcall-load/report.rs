//! The figures of a run: medians, spread and ratios, in a table of at most 100 columns.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::case::{Approver, Arrival, Measurement};

/// One row of the table: its label, its value, and its number of decimals.
type Row = (&'static str, fn(&Measurement) -> f64, usize);

/// The row that is redundant if the load was complete before the approver started.
const AFTER_LOAD: &str = "  after the last request";

/// The rows of each kind of arrival.
const ROWS: [Row; 9] = [
    ("seconds to the last approval", |m| m.approved, 2),
    (AFTER_LOAD, |m| m.approved_after_load, 2),
    ("approvals per second, first to last", |m| m.rate, 0),
    ("latency, median (s)", |m| m.latency_p50, 2),
    ("latency, 99th percentile (s)", |m| m.latency_p99, 2),
    ("seconds to the last certificate", |m| m.issued, 1),
    ("CPU of the approver (s)", |m| m.cpu, 2),
    (
        "peak memory of the approver (MiB)",
        |m| m.peak_memory_mib,
        1,
    ),
    (
        "CPU of kube-apiserver meanwhile (s)",
        |m| m.api_server_cpu,
        2,
    ),
];

/// The figures of another approver, for comparison (measured for 1,000 requests on two cores).
const REFERENCE: &str = "For comparison, on two cores, 1,000 requests: OpenShift's machine-approver\n\
                         takes 228 s, 120 s of CPU and 244 MiB.";

/// All measurements.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    machines: u32,
    repetitions: u32,
    cpus: usize,
    measurements: Vec<Measurement>,
}

impl Report {
    /// Creates the report of these measurements.
    pub(crate) fn new(machines: u32, repetitions: u32, measurements: Vec<Measurement>) -> Self {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        Self {
            machines,
            repetitions,
            cpus,
            measurements,
        }
    }

    fn of(&self, arrival: Arrival, approver: Approver) -> impl Iterator<Item = &Measurement> {
        let these = move |m: &&Measurement| m.arrival == arrival && m.approver == approver;
        self.measurements.iter().filter(these)
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>, arrival: Arrival, row: &Row) -> fmt::Result {
        let (name, value, decimals) = *row;
        let taken = |approver| self.of(arrival, approver).map(value).collect::<Vec<f64>>();
        let (ours, bare) = (taken(Approver::Rollcall), taken(Approver::BareLoop));
        let ratios = ours
            .iter()
            .zip(&bare)
            .map(|(ours, bare)| ours / bare)
            .collect();
        let (ours, bare, ratios) = (Spread::of(ours), Spread::of(bare), Spread::of(ratios));
        writeln!(
            f,
            "  {name:<35}{:>23}{:>23}{:>17}",
            ours.text(decimals),
            bare.text(decimals),
            ratios.text(2)
        )
    }

    fn write_calls(&self, f: &mut fmt::Formatter<'_>, arrival: Arrival) -> fmt::Result {
        let mut calls: BTreeMap<&str, [Vec<f64>; 2]> = BTreeMap::new();
        for (side, approver) in Approver::ALL.into_iter().enumerate() {
            for measurement in self.of(arrival, approver) {
                for (call, number) in &measurement.calls {
                    let numbers = calls.entry(call).or_default().get_mut(side);
                    numbers
                        .into_iter()
                        .for_each(|numbers| numbers.push((*number).into()));
                }
            }
        }
        for (call, [ours, bare]) in calls {
            let (ours, bare) = (Spread::of(ours), Spread::of(bare));
            writeln!(f, "  {call:<46}{:>12}{:>23}", ours.text(0), bare.text(0))?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{} Machines with one request each, {} CPUs, {} repetitions: median (lowest to highest)",
            self.machines, self.cpus, self.repetitions
        )?;
        for arrival in Arrival::ALL {
            let [ours, bare] = Approver::ALL;
            writeln!(f, "\n{:<37}{ours:>23}{bare:>23}{:>17}", "", "ratio")?;
            writeln!(f, "{arrival}")?;
            let told = |row: &&Row| arrival == Arrival::Arriving || row.0 != AFTER_LOAD;
            for row in ROWS.iter().filter(told) {
                self.write_row(f, arrival, row)?;
            }
            writeln!(f, "  calls to the API server")?;
            self.write_calls(f, arrival)?;
            let events = self
                .of(arrival, Approver::Rollcall)
                .map(Measurement::events)
                .max();
            writeln!(
                f,
                "  Events written by rollcall: {}",
                events.unwrap_or_default()
            )?;
        }
        writeln!(
            f,
            "\nEvery request was approved and got its certificate.\n{REFERENCE}"
        )
    }
}

/// A median with its extremes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread(Option<[f64; 3]>);

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.get(values.len().div_ceil(2).saturating_sub(1));
        let extremes = (values.first(), middle, values.last());
        let (Some(low), Some(middle), Some(high)) = extremes else {
            return Self(None);
        };
        Self(Some([*low, *middle, *high]))
    }

    fn text(self, decimals: usize) -> String {
        // Large values need fewer decimals.
        let large = self
            .0
            .is_some_and(|values| values.iter().any(|value| *value >= 1000.0));
        let decimals = decimals.saturating_sub(large.into());
        match self.0 {
            None => "-".to_owned(),
            Some([low, middle, high]) if low < high => {
                format!("{middle:.decimals$} ({low:.decimals$}-{high:.decimals$})")
            }
            Some([_, middle, _]) => format!("{middle:.decimals$}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(approver: Approver, arrival: Arrival, approved: f64) -> Measurement {
        Measurement {
            approver,
            arrival,
            approved,
            approved_after_load: 0.5,
            rate: 1000.0 / approved,
            latency_p50: 1.0,
            latency_p99: 2.0,
            issued: 1234.5,
            cpu: 123.45,
            peak_memory_mib: 2244.0,
            api_server_cpu: 1112.3,
            calls: BTreeMap::from([(
                "update certificatesigningrequests/approval".to_owned(),
                60_000,
            )]),
        }
    }

    #[test]
    fn the_table_shows_medians_spread_and_ratios_in_100_columns() {
        let all = Arrival::ALL.map(|arrival| {
            let ours =
                [1234.5, 1230.0, 1240.0].map(|s| measurement(Approver::Rollcall, arrival, s));
            let bare = [1000.0, 1230.0, 620.0].map(|s| measurement(Approver::BareLoop, arrival, s));
            [ours, bare].concat()
        });
        let text = Report::new(60_000, 3, all.concat()).to_string();
        assert!(text.contains("1234.5 (1230.0-1240.0)"), "{text}");
        assert!(text.contains("1.23 (1.00-2.00)"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }

    #[test]
    fn an_even_number_has_its_lower_middle_as_median() {
        assert_eq!(
            Spread::of(vec![4.0, 1.0, 3.0, 2.0]),
            Spread(Some([1.0, 2.0, 4.0]))
        );
        assert_eq!(Spread::of(Vec::new()).text(1), "-");
    }
}
