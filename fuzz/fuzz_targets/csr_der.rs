//! Any bytes as the DER of a certification request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rollcall_csr::fuzz_logic::csr_der(data));
