//! The annotations with the reason why a request is held: the approver writes them, node-agent shows them. The requestor can
//! set them to any text, so no decision may depend on them.

/// The annotation on a CertificateSigningRequest with the reason why it is held, one word.
pub const REASON_ANNOTATION: &str = "rollcall.dev/reason";

/// The annotation with the findings, in sentences.
pub const MESSAGE_ANNOTATION: &str = "rollcall.dev/message";
