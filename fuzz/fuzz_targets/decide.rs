//! Any bytes as a cluster, deciding every request in it.
#![no_main]

#[path = "../../approver/core/tests/fuzzed/decide.rs"]
mod decide;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    decide::decide(data);
});
