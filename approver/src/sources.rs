//! Where Machine records come from. To add a source: a file in this folder with its API type and a conversion to
//! [`rollcall_approver_core::Machine`], a variant of `Source` in the core, an entry in the configuration, and a feed in
//! `run.rs`.

pub(crate) mod openshift;
