//! `cargo xtask test`: runs all tests, and prints their totals last.

use anyhow::{Result, bail};

use crate::process::{cargo, pass_on, run, run_seen, say};
use crate::{agent, packages};

/// The totals of tests.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

/// Runs every test; those with virtual machines only with `vm`. Continues after a failure.
pub(crate) fn run_all(no_install: bool, vm: bool, filter: Option<&str>) -> Result<()> {
    packages::require_compilers()?;
    let complete = packages::install(no_install)?;
    say("building everything (the first time takes some minutes)");
    run(&mut cargo(&["build", "--workspace", "--bins"]))?;
    let mut totals = Totals::default();
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests
        .args(["--"].iter().filter(|_| filter.is_some()))
        .args(filter);
    if complete {
        // Makes a test fail instead of skipping itself if something is missing.
        tests.env("ROLLCALL_TEST_COMPLETE", "1");
    }
    let outcome = run_seen(&mut tests, |line| totals.add(line));
    let vm_outcome = if vm {
        run_vm(no_install, filter, &mut totals)
    } else {
        Ok(())
    };
    pass_on("");
    pass_on(&format!(
        "{} passed, {} failed, {} skipped",
        totals.passed, totals.failed, totals.ignored
    ));
    outcome.and(vm_outcome)?;
    if totals.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// Runs the tests that boot machines, two in parallel: they mostly wait, until a certificate has expired or a network
/// is back.
fn run_vm(no_install: bool, filter: Option<&str>, totals: &mut Totals) -> Result<()> {
    packages::install_for_vm(no_install)?;
    let agent = agent::build()?;
    let mut tests = cargo(&[
        "test",
        "-p",
        "rollcall-e2e",
        "--test",
        "vm",
        "--",
        "--ignored",
    ]);
    tests
        .args(["--test-threads=2", "--nocapture"])
        .args(filter)
        .env("ROLLCALL_IMAGE_AGENT", agent);
    let before = totals.ran();
    let outcome = run_seen(&mut tests, |line| totals.add(line));
    // They were counted as ignored before.
    let ran = totals.ran().saturating_sub(before);
    totals.ignored = totals.ignored.saturating_sub(ran);
    outcome
}

impl Totals {
    fn ran(&self) -> u64 {
        self.passed.saturating_add(self.failed)
    }

    /// Adds the counts of a line of libtest, if it is a result.
    fn add(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        for part in result.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(word)) = (
                words.next().and_then(|word| word.parse::<u64>().ok()),
                words.next(),
            ) else {
                continue;
            };
            let total = match word {
                "passed" => &mut self.passed,
                "failed" => &mut self.failed,
                "ignored" => &mut self.ignored,
                _ => continue,
            };
            *total = total.saturating_add(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut totals = Totals::default();
        totals.add("running 3 tests");
        totals.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        totals.add("test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.5s");
        assert_eq!(
            totals,
            Totals {
                passed: 5,
                failed: 1,
                ignored: 1
            }
        );
    }
}
