//! Any text as a dump: whatever the fast reader accepts means the same to the general parser.
#![no_main]

#[path = "../../approver/src/cli/yaml/general.rs"]
mod general;
#[path = "../../approver/src/cli/yaml/plain.rs"]
mod plain;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(value) = plain::read(text) {
        assert_eq!(general::read(text).ok(), Some(value));
    }
});
