//! Any bytes as the DER of evidence.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_csr::fuzz_logic::evidence(data));
