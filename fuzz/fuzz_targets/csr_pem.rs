//! Any bytes as the PEM of a certification request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_csr::fuzz_logic::csr_pem(data));
