//! Whose hand decides, and how it writes: the condition, then the Event that tells of it.

use anyhow::{Context as _, anyhow};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::PostParams;
use kube::{Api, Client};
use rollcall_approver_core::{Finding, Settlement};
use tokio::time::timeout;

use crate::announce::{Announcement, Place, publish_now};
use crate::cli::print::complain;
use crate::cli::scene::Entry;
use crate::convert::to_reference;
use crate::errors::describe;
use crate::listing::CALL_LIMIT;
use crate::object_name::get_opt;
use crate::write::{Side, write};

/// A person, as the API server knows them.
pub(super) struct Hand {
    client: Client,
    who: String,
}

/// How a write ended.
pub(super) enum Written {
    /// The request changed meanwhile: read it, and judge it again.
    Changed,
    /// It is written.
    Done,
    /// It is not written, or nobody knows, and why.
    Failed(Settlement, String),
}

impl Hand {
    /// Asks the API server who the credentials belong to.
    pub(super) async fn of_whoever_asks(client: Client) -> anyhow::Result<Self> {
        let api: Api<SelfSubjectReview> = Api::all(client.clone());
        let (params, question) = (PostParams::default(), SelfSubjectReview::default());
        let unknown =
            "the API server does not say who you are, and that has to stand in the condition";
        let review = timeout(CALL_LIMIT, api.create(&params, &question))
            .await
            .map_err(|_| anyhow!("no answer for {} s", CALL_LIMIT.as_secs()))
            .and_then(|answer| answer.map_err(|error| anyhow!(describe(&error))))
            .context(unknown)?;
        let who = review
            .status
            .and_then(|status| status.user_info)
            .and_then(|user| user.username)
            .filter(|who| !who.is_empty())
            .context(unknown)?;
        Ok(Self::of(client, &who))
    }

    /// The hand of somebody whose name is known.
    pub(super) fn of(client: Client, who: &str) -> Self {
        let who = who.to_owned();
        Self { client, who }
    }

    /// The user name.
    pub(super) fn who(&self) -> &str {
        &self.who
    }

    /// Reads a request anew.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Entry>, String> {
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let object = timeout(CALL_LIMIT, get_opt(&api, name))
            .await
            .map_err(|_| format!("no answer for {} s", CALL_LIMIT.as_secs()))?
            .map_err(|error| describe(&error))?;
        object
            .map(Entry::read)
            .transpose()
            .map_err(|error| format!("it cannot be read: {error}"))
    }

    /// Writes a decision, and tells of it in an Event.
    pub(super) async fn write(
        &self,
        entry: &Entry,
        side: Side,
        finding: Finding,
        warning: bool,
    ) -> Written {
        let Some(known) = &entry.known else {
            let trouble = "it asks a signer that is not for nodes".to_owned();
            return Written::Failed(Settlement::Undone, trouble);
        };
        let target = &known.1;
        let requests = Api::all(self.client.clone());
        let outcome = write(requests, target, side, &finding).await;
        match (outcome.settlement, outcome.trouble) {
            (Settlement::Written, _) => {}
            (Settlement::Undone, None) => return Written::Changed,
            (settlement, trouble) => {
                return Written::Failed(settlement, trouble.unwrap_or_default());
            }
        }
        let announcement = Announcement {
            place: Place::Cluster,
            about: to_reference(target),
            warning,
            reason: finding.reason.as_str(),
            action: match side {
                Side::Approved => "Approve",
                Side::Denied => "Deny",
            },
            note: finding.message,
        };
        if let Err(error) = publish_now(&self.client, announcement).await {
            let sentence = format!(
                "the decision on {} is written, but not its Event: {}",
                entry.name,
                describe(&error)
            );
            complain("warning", &sentence);
        }
        Written::Done
    }
}
