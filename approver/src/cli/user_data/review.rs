//! What the API server says of the credential that is about to go to machines: whose it is, and what it may do.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};

use crate::cli::bootstrap::check_groups;
use crate::cli::bootstrap_kubeconfig::{Deed, TOO_MUCH};
use crate::cli::flag::FlagError;
use crate::errors::describe;

/// How long all of it may take: user-data is made on machines, too, that reach no API server.
const LIMIT: Duration = Duration::from_secs(5);

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);

/// What was found out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Review {
    pub(super) warnings: Vec<String>,
    /// What was checked, if all of it was.
    pub(super) checked: Option<String>,
}

/// Asks the API server of this kubeconfig, with the credential in it. What cannot be asked is a warning.
///
/// # Errors
/// When the credential is that of an administrator or of a node.
pub(super) async fn review(kubeconfig: &str) -> Result<Review, FlagError> {
    let asked = async {
        let client = client(kubeconfig).await.map_err(Answer::Unknown)?;
        ask(&client).await
    };
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(review)) => Ok(review),
        Ok(Err(Answer::Refused(message))) => Err(FlagError::new("--bootstrap-kubeconfig", message)),
        Ok(Err(Answer::Unknown(why))) => Ok(unchecked(&why)),
        Err(_) => Ok(unchecked(&format!(
            "no answer within {} s",
            LIMIT.as_secs()
        ))),
    }
}

fn unchecked(why: &str) -> Review {
    Review {
        warnings: vec![format!(
            "what the credential may do was not checked, because its API server could not be asked: {why}; only what it says \
             of itself was (--offline asks nothing)"
        )],
        checked: None,
    }
}

/// Why there is no review.
enum Answer {
    Refused(String),
    Unknown(String),
}

async fn client(kubeconfig: &str) -> Result<Client, String> {
    let all = rollcall_kubeconfig::parse(kubeconfig.as_bytes(), std::path::Path::new(""));
    let selected = all.and_then(|all| rollcall_kubeconfig::select(&all));
    let all = selected.map_err(|error| error.to_string())?.all;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(all, &options).await;
    let mut config = config.map_err(|error| error.to_string())?;
    config.connect_timeout = Some(CONNECT);
    config.default_retry = false;
    config.proxy_url = None;
    Client::try_from(config).map_err(|error| error.to_string())
}

async fn ask(client: &Client) -> Result<Review, Answer> {
    let unknown = |error: kube::Error| Answer::Unknown(describe(&error));
    let (user, groups) = holder(client).await.map_err(unknown)?;
    check_groups(&groups).map_err(|why| Answer::Refused(format!("{user} {why}")))?;
    let mut warnings = Vec::new();
    for (deed, consequence) in &TOO_MUCH {
        if !may(client, deed).await.map_err(unknown)? {
            continue;
        }
        let sentence = format!("the credential is that of {user}, who may {deed}, {consequence}");
        if deed.is_everything() {
            return Err(Answer::Refused(format!(
                "{sentence}, and user-data is no secret; make a credential with rollcall-approver bootstrap-kubeconfig"
            )));
        }
        warnings.push(sentence);
    }
    let checked = format!(
        "the API server knows the credential as that of {user}, who is no administrator and no node"
    );
    Ok(Review {
        warnings,
        checked: Some(checked),
    })
}

/// Who the API server says has the credential, for sentences, and the groups.
async fn holder(client: &Client) -> kube::Result<(String, Vec<String>)> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let params = PostParams::default();
    let answer = reviews.create(&params, &SelfSubjectReview::default()).await;
    let review = match answer {
        // Before Kubernetes 1.28 it does not say, but it does say what the holder may do.
        Err(kube::Error::Api(status)) if status.code == 404 => {
            return Ok(("somebody whom it cannot name".to_owned(), Vec::new()));
        }
        answer => answer?,
    };
    let who = review
        .status
        .and_then(|status| status.user_info)
        .unwrap_or_default();
    let user = who.username.unwrap_or_default();
    Ok((format!("{user:?}"), who.groups.unwrap_or_default()))
}

async fn may(client: &Client, deed: &Deed) -> kube::Result<bool> {
    let question = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(deed.attributes()),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &question).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
#[path = "review_tests.rs"]
mod tests;
