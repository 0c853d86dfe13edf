//! From image to Ready: machines that boot a real image with real user-data, and nobody who watches.
//!
//! Each boot takes half a minute or more under emulation, so `cargo test` leaves these out; `cargo xtask test --vm` runs
//! them one after the other.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod lab;
mod names;
mod resume;
mod scale_up;
mod timeline;
mod trouble;
