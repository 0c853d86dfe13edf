//! A token of a ServiceAccount, which expires by itself and goes with its account.

use anyhow::{Context as _, anyhow};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};

use super::Made;
use super::call::{failed, limited};
use super::order::Name;
use crate::cli::bootstrap::{Credential, Ends};
use crate::cli::words::duration;
use crate::errors::{Failure, classify};

/// How much shorter than asked for a token may be without a word: the time that the call takes.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// Makes a token.
pub(super) async fn make(
    client: &Client,
    name: &Name,
    ttl: SignedDuration,
    now: Timestamp,
) -> anyhow::Result<Made> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name.namespace);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(ttl.as_secs()),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let params = PostParams::default();
    let call = accounts.create_token_request(&name.name, &params, &request);
    let answer = limited(call)
        .await?
        .map_err(|error| refusal(name, &error))?;
    let token = answer
        .status
        .map(|status| status.token)
        .filter(|token| !token.is_empty())
        .with_context(|| format!("the API server gave no token of the ServiceAccount {name}"))?;
    let credential = Credential::of_token(token);
    let end = match credential.ends() {
        Ends::At(end) => Some(end),
        Ends::Never | Ends::Unknown => None,
    };
    let mut warnings = Vec::new();
    let life = end.map(|end| end.duration_since(now));
    let account = match (end, life) {
        (Some(end), Some(life)) => {
            let difference = life.checked_sub(ttl).map(SignedDuration::abs);
            if difference.is_none_or(|difference| difference > TOLERANCE) {
                warnings.push(format!(
                    "the API server made the token valid for {}, and not for {}",
                    duration(life),
                    duration(ttl)
                ));
            }
            format!("a token of the ServiceAccount {name}, valid until {end}")
        }
        _ => format!(
            "a token of the ServiceAccount {name}, which does not say until when it is valid"
        ),
    };
    Ok(Made {
        credential,
        account,
        undo: format!("it expires by itself, or with its account {name}"),
        warnings,
    })
}

fn refusal(name: &Name, error: &kube::Error) -> anyhow::Error {
    if classify(error) == Failure::NotFound {
        return anyhow!(
            "there is no ServiceAccount {name}; make it: kubectl -n {} create serviceaccount {}",
            name.namespace,
            name.name
        );
    }
    failed(&format!("get a token of the ServiceAccount {name}"), error)
}
