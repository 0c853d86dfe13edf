//! The faults between this machine and the API server, classified by their remedy.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use kube::core::Status;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::words;

/// The reason of a status that kube creates for an unreadable response (kube-client `handle_api_errors`).
const NOT_A_STATUS: &str = "Failed to parse error data";

/// The maximum length of a foreign message, in characters.
const MESSAGE_LIMIT: usize = 300;

/// A failed call. All but [`Fault::Invalid`] can be temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 403: the credential is valid but lacks a permission.
    Forbidden {
        /// The message of the API server, which names the permission.
        message: String,
    },
    /// 400, 415, 422 and the like: a retry would fail again.
    Invalid {
        /// The HTTP status.
        code: u16,
        /// The message of the API server.
        message: String,
    },
    /// The response is not from an API server, but for example from a load balancer that has no back end yet.
    NotAnApiServer {
        /// The response.
        detail: String,
    },
    /// 5xx.
    ServerError {
        /// The HTTP status.
        code: u16,
        /// The message of the API server.
        message: String,
    },
    /// The server's certificate has expired, or this machine's clock is ahead.
    ServerCertificateExpired {
        /// The expiry of the certificate.
        not_after: Timestamp,
        /// The time of this machine's clock.
        now: Timestamp,
    },
    /// The server's certificate is not valid yet, or this machine's clock is behind.
    ServerCertificateNotYetValid {
        /// The start of the certificate's validity.
        not_before: Timestamp,
        /// The time of this machine's clock.
        now: Timestamp,
    },
    /// 429: retry later.
    Throttled {
        /// The requested delay.
        after: Duration,
    },
    /// TLS failed for another reason.
    TlsFailed {
        /// The reason.
        detail: String,
    },
    /// 401: the credential is unknown.
    Unauthorized,
    /// No connection, or a broken one.
    Unreachable {
        /// The innermost cause.
        detail: String,
    },
    /// The server's certificate is from another CA.
    UntrustedServer,
    /// The server's certificate is for other names.
    WrongServerName,
}

/// The names that messages about faults use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The source of the CA.
    pub authority_name: String,
    /// The credential in use, like "the token in FILE".
    pub credential_name: String,
    /// The URL of the API server.
    pub server: String,
}

impl Fault {
    /// Classifies an error of the client.
    pub fn of(error: &kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::of_status(status);
        }
        if let kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) = error {
            return Self::NotAnApiServer {
                detail: "an answer that is not the Kubernetes API's".to_owned(),
            };
        }
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        let mut innermost = error.to_string();
        while let Some(current) = cause {
            if let Some(error) = tls_error(current) {
                return Self::of_tls(error);
            }
            innermost = current.to_string();
            cause = current.source();
        }
        Self::Unreachable {
            detail: words::shortened(&innermost, MESSAGE_LIMIT),
        }
    }

    /// Classifies an error response.
    pub fn of_status(status: &Status) -> Self {
        let message = words::shortened(&status.message, MESSAGE_LIMIT);
        let code = status.code;
        // Codes that are meaningful from any sender are classified before the sender is checked.
        match code {
            401 => Self::Unauthorized,
            403 if status.reason != NOT_A_STATUS => Self::Forbidden { message },
            429 => {
                let seconds = status
                    .details
                    .as_ref()
                    .map_or(0, |details| details.retry_after_seconds);
                Self::Throttled {
                    after: Duration::from_secs(seconds.into()),
                }
            }
            500..=599 => Self::ServerError { code, message },
            404 => Self::NotAnApiServer {
                detail: "404 Not Found".to_owned(),
            },
            409 => Self::ServerError { code, message },
            _ if status.reason == NOT_A_STATUS => Self::NotAnApiServer {
                detail: format!("status {code}"),
            },
            _ => Self::Invalid { code, message },
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(problem) = error else {
            return Self::TlsFailed {
                detail: error.to_string(),
            };
        };
        if let CertificateError::ExpiredContext { time, not_after } = problem {
            return Self::ServerCertificateExpired {
                not_after: moment(*not_after),
                now: moment(*time),
            };
        }
        if let CertificateError::NotValidYetContext { time, not_before } = problem {
            return Self::ServerCertificateNotYetValid {
                not_before: moment(*not_before),
                now: moment(*time),
            };
        }
        if let CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } =
            problem
        {
            return Self::WrongServerName;
        }
        // Every kubeadm CA has the same name, so another cluster's CA shows as a bad signature, not as unknown.
        if let CertificateError::UnknownIssuer | CertificateError::BadSignature = problem {
            return Self::UntrustedServer;
        }
        Self::TlsFailed {
            detail: error.to_string(),
        }
    }

    /// The stable word, which changes when the cause does.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Forbidden { .. } => "Forbidden",
            Self::Invalid { .. } => "Invalid",
            Self::NotAnApiServer { .. } => "NotAnApiServer",
            Self::ServerCertificateExpired { .. } => "ServerCertificateExpired",
            Self::ServerCertificateNotYetValid { .. } => "ServerCertificateNotYetValid",
            Self::ServerError { .. } => "ServerError",
            Self::Throttled { .. } => "Throttled",
            Self::TlsFailed { .. } => "TlsFailed",
            Self::Unauthorized => "Unauthorized",
            Self::Unreachable { .. } => "Unreachable",
            Self::UntrustedServer => "UntrustedServer",
            Self::WrongServerName => "WrongServerName",
        }
    }

    /// Returns a message that names the server and, if relevant, the CA, the credential or both times.
    pub fn describe(&self, place: &Place) -> String {
        let Place {
            authority_name,
            credential_name,
            server,
        } = place;
        match self {
            Self::Forbidden { message } => {
                format!("{server} knows {credential_name} but it lacks a right: {message}")
            }
            Self::Invalid { code, message } => {
                format!("{server} does not take the request ({code}): {message}")
            }
            Self::NotAnApiServer { detail } => {
                format!("{server} does not answer as a Kubernetes API server: {detail}")
            }
            Self::ServerError { code, message } => format!("{server} answers {code}: {message}"),
            Self::ServerCertificateExpired { not_after, now } => format!(
                "the certificate of {server} expired at {}, and this machine's clock says {}, {} later; if that is \
                 wrong, set the clock",
                words::moment(*not_after),
                words::moment(*now),
                words::span(words::distance(*now, *not_after)),
            ),
            Self::ServerCertificateNotYetValid { not_before, now } => format!(
                "the certificate of {server} is valid from {} on, but this machine's clock says {}, {} earlier; the \
                 clock is probably wrong",
                words::moment(*not_before),
                words::moment(*now),
                words::span(words::distance(*now, *not_before)),
            ),
            Self::Throttled { .. } => format!("{server} is busy and asks to come back later"),
            Self::TlsFailed { detail } => format!("TLS with {server} fails: {detail}"),
            Self::Unauthorized => {
                format!("{server} does not accept {credential_name} (401 Unauthorized)")
            }
            Self::Unreachable { detail } => format!("{server} cannot be reached: {detail}"),
            Self::UntrustedServer => {
                format!("the certificate of {server} is not signed by the CA in {authority_name}")
            }
            Self::WrongServerName => {
                format!("the certificate of {server} is for other names than that")
            }
        }
    }
}

/// Returns the TLS error in a link of an error chain. `io::Error` hides the error it wraps from `source`.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(error);
    }
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    tls_error(inner)
}

fn moment(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            authority_name: "/ca.crt".to_owned(),
            credential_name: "the token in /boot.conf".to_owned(),
            server: "https://api:6443".to_owned(),
        }
    }

    fn wrapped(error: rustls::Error) -> kube::Error {
        kube::Error::Service(Box::new(io::Error::other(io::Error::new(
            io::ErrorKind::InvalidData,
            error,
        ))))
    }

    #[test]
    fn tls_errors_are_found_inside_io_errors() {
        let unknown = wrapped(CertificateError::UnknownIssuer.into());
        assert_eq!(Fault::of(&unknown), Fault::UntrustedServer);
        assert_eq!(
            Fault::of(&unknown).describe(&place()),
            "the certificate of https://api:6443 is not signed by the CA in /ca.crt"
        );
        assert_eq!(
            Fault::of(&wrapped(CertificateError::BadSignature.into())),
            Fault::UntrustedServer
        );
        assert_eq!(
            Fault::of(&wrapped(CertificateError::NotValidForName.into())),
            Fault::WrongServerName
        );
    }

    #[test]
    fn a_wrong_clock_shows_both_times() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let early = CertificateError::NotValidYetContext {
            time: at(0),
            not_before: at(86_400),
        };
        let sentence = Fault::of(&wrapped(early.into())).describe(&place());
        for part in [
            "1970-01-02T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "1d earlier",
            "clock",
            "https://api:6443",
        ] {
            assert!(sentence.contains(part), "{sentence}");
        }
        let late = CertificateError::ExpiredContext {
            time: at(86_400),
            not_after: at(0),
        };
        let sentence = Fault::of(&wrapped(late.into())).describe(&place());
        assert!(
            sentence.contains("1d later") && sentence.contains("clock"),
            "{sentence}"
        );
    }

    #[test]
    fn the_innermost_cause_of_a_broken_connection_is_told() {
        let error =
            kube::Error::Service(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)));
        let sentence = Fault::of(&error).describe(&place());
        assert_eq!(
            sentence,
            "https://api:6443 cannot be reached: connection refused"
        );
    }

    #[test]
    fn answers_are_told_apart_by_code() {
        let fault = |code, reason| Fault::of_status(&Status::failure("m", reason).with_code(code));
        assert_eq!(fault(401, "Unauthorized"), Fault::Unauthorized);
        assert_eq!(
            fault(403, "Forbidden"),
            Fault::Forbidden {
                message: "m".to_owned()
            }
        );
        assert_eq!(fault(403, NOT_A_STATUS).as_str(), "NotAnApiServer");
        assert_eq!(fault(404, "NotFound").as_str(), "NotAnApiServer");
        assert_eq!(fault(400, NOT_A_STATUS).as_str(), "NotAnApiServer");
        assert_eq!(
            fault(422, "Invalid"),
            Fault::Invalid {
                code: 422,
                message: "m".to_owned()
            }
        );
        assert_eq!(fault(503, "ServiceUnavailable").as_str(), "ServerError");
    }

    #[test]
    fn throttling_keeps_the_time_that_was_asked_for() {
        let status = r#"{"code": 429, "details": {"retryAfterSeconds": 7}}"#;
        let status = serde_json::from_str(status).unwrap();
        assert_eq!(
            Fault::of_status(&status),
            Fault::Throttled {
                after: Duration::from_secs(7)
            }
        );
    }
}
