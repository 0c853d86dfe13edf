//! What went wrong with a call to the API server, in a sentence that names the next step.

use std::error::Error as _;

/// How a failed call is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The object changed meanwhile.
    Conflict,
    /// A right is missing, or the credentials are not accepted.
    Forbidden,
    /// The object, or the whole resource, is not there.
    NotFound,
    /// The server will never take this.
    Refused,
    /// The server did not take it now, and certainly did nothing.
    Later,
    /// Nobody knows whether it was done: the connection broke.
    Unknown,
}

/// Sorts a failed call.
pub(crate) fn classify(error: &kube::Error) -> Failure {
    let kube::Error::Api(status) = error else {
        return Failure::Unknown;
    };
    match status.code {
        401 | 403 => Failure::Forbidden,
        404 => Failure::NotFound,
        409 => Failure::Conflict,
        429 | 503 => Failure::Later,
        500..=599 => Failure::Unknown,
        _ => Failure::Refused,
    }
}

/// Tells an error with its causes, each once.
pub(crate) fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.code {
            401 => "the API server does not accept the credentials (401 Unauthorized)".to_owned(),
            403 => forbidden(&status.message),
            _ => format!("{} ({})", status.message, status.code),
        };
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = inner.source();
    }
    text
}

/// Names the right that is missing. The API server's own message names verb and resource; only for signers it does not.
fn forbidden(message: &str) -> String {
    const SIGNER: &str = "not permitted to approve requests with signerName";
    if message.contains(SIGNER) {
        return format!(
            "a right is missing: verb approve on resource signers in API group certificates.k8s.io \
             for the signer ({message}); see the ClusterRole in deploy/"
        );
    }
    format!("a right is missing: {message}; see the roles in deploy/")
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure(message, "Reason").with_code(code)))
    }

    #[test]
    fn missing_rights_are_named() {
        let nodes = "nodes is forbidden: User \"u\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
        assert!(describe(&api(403, nodes)).contains("cannot list resource \"nodes\""));
        let signer = "certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: \
                      user not permitted to approve requests with signerName \"s\"";
        assert!(describe(&api(403, signer)).contains("verb approve on resource signers"));
    }

    #[test]
    fn only_a_clear_answer_is_certain() {
        assert_eq!(classify(&api(409, "")), Failure::Conflict);
        assert_eq!(classify(&api(404, "")), Failure::NotFound);
        assert_eq!(classify(&api(422, "")), Failure::Refused);
        assert_eq!(classify(&api(429, "")), Failure::Later);
        assert_eq!(classify(&api(500, "")), Failure::Unknown);
        assert_eq!(classify(&api(504, "")), Failure::Unknown);
        assert_eq!(
            classify(&kube::Error::LinesCodecMaxLineLengthExceeded),
            Failure::Unknown
        );
    }
}
