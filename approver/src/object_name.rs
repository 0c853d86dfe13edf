//! Names of objects in the paths of calls. kube inserts a name into the path unencoded, and kube-apiserver accepts almost
//! any name for a request. An unencoded name can end the path early, add a query or make the call impossible.

use std::fmt::{Debug, Write as _};

use kube::{Api, Resource, ResourceExt as _, core};
use serde::de::DeserializeOwned;

/// The longest path segment that is sent. A URI may have 65,534 bytes (`http`, `Uri`), and the names of all real requests are
/// shorter than 253 bytes (Kubernetes: `apimachinery/pkg/util/validation`, DNS-1123 subdomain).
const MAX_SEGMENT: usize = 8 * 1024;

/// Returns a name as one segment of a path (RFC 3986 section 3.3): all but unreserved characters are percent-encoded.
///
/// # Errors
/// If no object can have this name (Kubernetes: `apimachinery/pkg/api/validation/path`), or it is too long to be sent.
pub(crate) fn segment(name: &str) -> kube::Result<String> {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String never fails.
            write!(encoded, "%{byte:02X}").ok();
        }
    }
    let trouble = match name {
        "" | "." | ".." => "no object can have this name",
        _ if name.contains(['/', '%']) => "no object can have a name with / or %",
        _ if encoded.len() > MAX_SEGMENT => "the name is too long to be sent",
        _ => return Ok(encoded),
    };
    let error = core::request::Error::Validation(trouble.to_owned());
    Err(kube::Error::BuildRequest(error))
}

/// Reads the object of this name, if it exists. Returns `None` for a name that no object can have.
///
/// # Errors
/// If the call fails, or the answer is another object.
pub(crate) async fn get_opt<K>(api: &Api<K>, name: &str) -> kube::Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let Ok(segment) = segment(name) else {
        return Ok(None);
    };
    match api.get_opt(&segment).await? {
        Some(object) if object.name_any() != name => {
            let other = object.name_any();
            let trouble =
                format!("{name:?} was asked for, but the API server answered with {other:?}");
            Err(kube::Error::Service(trouble.into()))
        }
        object => Ok(object),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures::{csr, server};
    use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        for (name, expected) in [
            ("node-csr-AZaz09_~.", "node-csr-AZaz09_~."),
            ("zz evil", "zz%20evil"),
            ("X?dryRun=All&y", "X%3FdryRun%3DAll%26y"),
            ("X#y", "X%23y"),
            ("a\nb\u{1b}[2J\0", "a%0Ab%1B%5B2J%00"),
            ("\u{202e}gpj", "%E2%80%AEgpj"),
            ("a:b\\c`<>\"{}|^+", "a%3Ab%5Cc%60%3C%3E%22%7B%7D%7C%5E%2B"),
            ("...", "..."),
        ] {
            assert_eq!(segment(name).unwrap(), expected, "{name:?}");
        }
        assert_eq!(segment(&"x".repeat(300)).unwrap().len(), 300);
    }

    #[test]
    fn what_no_object_is_called_is_not_sent() {
        for name in ["", ".", "..", "a/b", "../a", "a%2fb"] {
            assert!(segment(name).is_err(), "{name:?}");
        }
        assert!(segment(&" ".repeat(MAX_SEGMENT)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_object_that_was_asked_for_is_read_and_no_other() {
        const PATH: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/X%3Fy";
        for (answered, taken) in [("X?y", true), ("X", false)] {
            let (client, mut server) = server();
            let api: Api<CertificateSigningRequest> = Api::all(client);
            let reading = tokio::spawn(async move { get_opt(&api, "X?y").await });
            let mut object = csr("csr-0", "worker-0");
            object["metadata"]["name"] = json!(answered);
            server.expect("GET", PATH).await.answer(&object);
            assert_eq!(reading.await.unwrap().is_ok(), taken, "{answered}");
        }
    }
}
