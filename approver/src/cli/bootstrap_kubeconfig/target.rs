//! Which API server the machines will ask, and the CA that it is known by.

use jiff::Timestamp;
use kube::Config;
use rustls::pki_types::CertificateDer;

use crate::BootstrapKubeconfigArgs;
use crate::cli::bootstrap::check_server;
use crate::cli::certificates::Authority;
use crate::cli::flag::{self, FlagError};

/// The cluster part of a kubeconfig.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) server: String,
    pub(super) authority: Authority,
    pub(super) tls_server_name: Option<String>,
}

impl Target {
    /// What the flags say, else what this connection uses.
    pub(super) fn of(
        connection: &Config,
        args: &BootstrapKubeconfigArgs,
        now: Timestamp,
    ) -> Result<Self, FlagError> {
        let context = "the current context";
        if connection.accept_invalid_certs {
            let message = "it has insecure-skip-tls-verify, so nobody knows which server would make the credential, and \
                           machines would hand it to anybody; remove that and name the CA";
            return Err(FlagError::new(context, message));
        }
        // Only in a pod is the CA a file that is read again and again.
        let in_pod = connection.root_cert_file.as_deref();
        let server = match &args.server {
            Some(server) => {
                check_server(server).map_err(|message| FlagError::new("--server", message))?;
                server.clone()
            }
            None if in_pod.is_some() => {
                let message =
                    "is needed in a pod, whose address of the API server no machine can reach";
                return Err(FlagError::new("--server", message));
            }
            None => {
                let server = connection.cluster_url.to_string();
                let server = server.trim_end_matches('/');
                check_server(server).map_err(|message| FlagError::new(context, message))?;
                server.to_owned()
            }
        };
        let authority = match (&args.ca, in_pod) {
            (Some(path), _) => Authority::from_pem(&flag::read("--ca", path)?, now)
                .map_err(|message| FlagError::file("--ca", path, message))?,
            (None, Some(path)) => Authority::from_pem(&flag::read("the pod's CA", path)?, now)
                .map_err(|message| FlagError::file("the pod's CA", path, message))?,
            (None, None) => {
                of_context(connection, now).map_err(|message| FlagError::new(context, message))?
            }
        };
        // A name belongs to the address that it was meant for.
        let same = args.server.is_none();
        Ok(Self {
            server,
            authority,
            tls_server_name: connection.tls_server_name.clone().filter(|_| same),
        })
    }
}

fn of_context(connection: &Config, now: Timestamp) -> Result<Authority, String> {
    let Some(certificates) = &connection.root_cert else {
        return Err(
            "it names no CA, and machines know no other; name the API server's with --ca FILE"
                .to_owned(),
        );
    };
    let certificates = certificates.iter().cloned().map(CertificateDer::from);
    Authority::from_der(certificates.collect(), now)
        .map_err(|message| format!("its certificate authority {message}"))
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
