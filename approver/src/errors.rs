//! Errors of calls to the API server, as sentences that name the next step.

use std::error::Error as _;

/// The class of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The object changed meanwhile.
    Conflict,
    /// A right is missing, or the credentials are invalid.
    Forbidden,
    /// The object, or the whole resource, does not exist.
    NotFound,
    /// The server will never accept this.
    Refused,
    /// The server did not accept it now, or was not reached, and certainly did nothing.
    Later,
    /// The call cannot be made at all: nothing was sent, and a retry cannot change that.
    Unsendable,
    /// It is unknown if it was done: the connection broke after the call was sent.
    Unknown,
}

/// Classifies a failed call.
pub(crate) fn classify(error: &kube::Error) -> Failure {
    if matches!(
        error,
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_)
    ) {
        return Failure::Unsendable;
    }
    let kube::Error::Api(status) = error else {
        return if is_before_sending(error) {
            Failure::Later
        } else {
            Failure::Unknown
        };
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

/// Returns true if a call failed before a byte of it was sent: without credentials, or without a connection.
fn is_before_sending(error: &kube::Error) -> bool {
    if matches!(error, kube::Error::Auth(_)) {
        return true;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(failed) = inner.downcast_ref::<hyper_util::client::legacy::Error>() {
            return failed.is_connect();
        }
        cause = inner.source();
    }
    false
}

/// Formats an error with its causes, each once.
pub(crate) fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.code {
            401 => "the API server does not accept the credentials (401 Unauthorized)".to_owned(),
            403 => forbidden(&status.message),
            _ => format!("{} ({})", status.message, status.code),
        };
    }
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        causes.push(inner.to_string());
        cause = inner.source();
    }
    // The outer layers only name the library that passed the error on.
    let root = causes.last().cloned().unwrap_or_default();
    if causes
        .iter()
        .any(|cause| cause.contains("invalid peer certificate"))
    {
        return format!(
            "the API server's certificate is not accepted: {root}; is the CA in the kubeconfig the one that signed it, \
             is the name right, and the clock?"
        );
    }
    if causes.iter().any(|cause| cause.contains("(Connect)")) {
        return format!("the API server cannot be reached: {root}");
    }
    causes.dedup_by(|inner, outer| outer.contains(inner.as_str()));
    causes.join(": ")
}

/// Names the missing right. The API server's own message names verb and resource, except for signers.
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
        let broken = kube::Error::Service("connection reset by peer".into());
        assert_eq!(classify(&broken), Failure::Unknown);
    }

    #[tokio::test]
    async fn what_was_never_sent_is_not_done() {
        let name = kube::core::request::Error::Validation("no name".to_owned());
        let unbuilt = kube::Error::BuildRequest(name);
        assert_eq!(classify(&unbuilt), Failure::Unsendable);
        // A port that was free a moment ago has no listener.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let refused = client.apiserver_version().await.unwrap_err();
        assert_eq!(classify(&refused), Failure::Later, "{refused:?}");
    }
}
