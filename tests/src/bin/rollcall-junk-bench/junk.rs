//! The junk: very many requests of one credential, generated before they are filed.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use futures::{StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_e2e::requests::{self, NodeRequest};
use tokio::sync::watch;

/// The number of concurrent calls: enough to keep the API server busy.
const CALLS: usize = 128;

/// The pause if the API server accepts no more calls.
const PAUSE: Duration = Duration::from_millis(200);

/// The number of keys that request one name: more than the approver examines for a crowd.
const KEYS: u32 = 128;

/// The name that a crowd requests.
pub(crate) const CROWDED: &str = "crowded";

/// The defect of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Invalid usages, each for another name: denied.
    Denied,
    /// Invalid usages, all for one name, which an expected Machine owns.
    DeniedOne,
    /// Each for another name, which no Machine owns: held.
    Held,
    /// All for one name, for which a Machine is created once all are pending.
    Crowd,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::Denied, Self::DeniedOne, Self::Held, Self::Crowd];

    /// Returns true if the approver denies them.
    pub(crate) fn is_denied(self) -> bool {
        matches!(self, Self::Denied | Self::DeniedOne)
    }

    /// Generates this many of them, with one key if that makes no difference.
    pub(crate) fn generate(self, count: u32) -> Result<Vec<CertificateSigningRequest>> {
        let request = NodeRequest::client(CROWDED)?;
        match self {
            Self::Denied | Self::Held => (0..count)
                .map(|number| {
                    let name = format!("system:node:junk-{number}");
                    self.spoil(request.clone().common_name(&name)).object()
                })
                .collect(),
            Self::DeniedOne => {
                let object = self.spoil(request).object()?;
                Ok((0..count).map(|_| object.clone()).collect())
            }
            Self::Crowd => {
                let keys = (0..KEYS).map(|_| NodeRequest::client(CROWDED)?.object());
                let keys: Vec<_> = keys.collect::<Result<_>>()?;
                let turns = keys.iter().cycle().cloned();
                Ok(turns.take(usize::try_from(count)?).collect())
            }
        }
    }

    fn spoil(self, request: NodeRequest) -> NodeRequest {
        match self {
            Self::Denied | Self::DeniedOne => request.usage("server auth"),
            Self::Held | Self::Crowd => request,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Denied => "denied, one name each",
            Self::DeniedOne => "denied, all for one expected Machine",
            Self::Held => "held, one name each",
            Self::Crowd => "held, all for one Machine that comes later",
        })
    }
}

/// Files all of them as fast as the API server accepts them, and sends the count meanwhile.
pub(crate) async fn file(
    client: &Client,
    junk: &[CertificateSigningRequest],
    filed: &watch::Sender<usize>,
) -> Result<()> {
    let api = &requests::api(client);
    futures::stream::iter(junk)
        .map(|request| create(api, request))
        .buffer_unordered(CALLS)
        .try_for_each(|()| {
            filed.send_modify(|filed| *filed = filed.saturating_add(1));
            std::future::ready(Ok(()))
        })
        .await
        .context("cannot file junk")
}

/// Creates one, with retries while the API server is too busy for it (API Priority and Fairness).
async fn create(
    api: &Api<CertificateSigningRequest>,
    request: &CertificateSigningRequest,
) -> Result<()> {
    loop {
        match api.create(&PostParams::default(), request).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == StatusCode::TOO_MANY_REQUESTS => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_kind_has_as_many_different_requests_as_it_says() {
        let different = |kind: Kind| {
            let junk = kind.generate(200).unwrap();
            assert_eq!(junk.len(), 200, "{kind}");
            let contents = junk.iter().map(|request| request.spec.request.0.clone());
            contents.collect::<HashSet<_>>().len()
        };
        assert_eq!(Kind::ALL.map(different), [200, 1, 200, 128]);
    }
}
