//! Any bytes as a cluster, and every request in it judged.
#![no_main]

#[path = "../../approver/core/tests/fuzzed/decide.rs"]
mod decide;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    decide::decide(data);
});
