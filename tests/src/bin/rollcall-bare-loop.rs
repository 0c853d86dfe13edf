//! The baseline of the load test: a loop that approves every request without a check. No approver that writes one call
//! per approval through the same client can be significantly faster.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
    CertificateSigningRequestStatus,
};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config};
use rollcall_csr::Signer;
use rollcall_e2e::requests;
use tokio::task::JoinError;

/// The number of concurrent writes, the same as the approver's (`WRITES` in `approver/src/engine.rs`).
const WRITES: usize = 64;

#[tokio::main]
async fn main() -> Result<()> {
    let kubeconfig = std::env::args_os()
        .nth(1)
        .context("usage: rollcall-bare-loop KUBECONFIG")?;
    let kubeconfig = Kubeconfig::read_from(Path::new(&kubeconfig))?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.proxy_url = None;
    let api: Api<CertificateSigningRequest> = Api::all(Client::try_from(config)?);
    let signer = Signer::KubeApiserverClientKubelet.name();
    let selected = watcher::Config::default().fields(&format!("spec.signerName={signer}"));
    watcher(api.clone(), selected)
        .map_err(anyhow::Error::new)
        .try_filter_map(|event| async move {
            Ok(match event {
                Event::Apply(request) | Event::InitApply(request) => Some(request),
                Event::InitDone => {
                    say("watching");
                    None
                }
                Event::Delete(_) | Event::Init => None,
            })
        })
        .try_filter(|request| std::future::ready(requests::is_pending(request)))
        // Each write is its own task, so that both use all cores.
        .map_ok(|request| tokio::spawn(approve(api.clone(), request)).map(flatten))
        .try_buffer_unordered(WRITES)
        .for_each(|outcome| async {
            if let Err(error) = outcome {
                say(&format!("{error:#}"));
            }
        })
        .await;
    Ok(())
}

/// Sends the same call as the approver: one PUT with the condition and without the fields that the API server ignores.
async fn approve(
    api: Api<CertificateSigningRequest>,
    request: CertificateSigningRequest,
) -> Result<()> {
    let name = request.metadata.name.context("a request without a name")?;
    let condition = CertificateSigningRequestCondition {
        message: Some("approved by a loop that approves everything".to_owned()),
        reason: Some("BareLoop".to_owned()),
        status: "True".to_owned(),
        type_: "Approved".to_owned(),
        ..CertificateSigningRequestCondition::default()
    };
    let body = CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            uid: request.metadata.uid,
            resource_version: request.metadata.resource_version,
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            signer_name: request.spec.signer_name,
            ..CertificateSigningRequestSpec::default()
        },
        status: Some(CertificateSigningRequestStatus {
            conditions: Some(vec![condition]),
            certificate: None,
        }),
    };
    api.replace_subresource("approval", &name, &PostParams::default(), &body)
        .await
        .with_context(|| format!("cannot approve {name}"))?;
    Ok(())
}

fn flatten(ended: Result<Result<()>, JoinError>) -> Result<()> {
    ended?
}

fn say(line: &str) {
    // The log is a file; a failed write is ignored.
    drop(writeln!(std::io::stderr(), "{line}"));
}
