//! Where a request itself says why it is held: the approver writes these annotations, node-agent shows them. Whoever makes a
//! request can put any text there, so nothing may ever rest on them.

/// The annotation of a CertificateSigningRequest with the reason for which it is held, one word.
pub const REASON_ANNOTATION: &str = "rollcall.dev/reason";

/// The annotation with what was seen, in sentences.
pub const MESSAGE_ANNOTATION: &str = "rollcall.dev/message";
