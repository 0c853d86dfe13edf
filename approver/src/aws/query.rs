//! One call of a query API: a signed form, and XML that comes back.

use std::time::{Duration, SystemTime};

use ::http::header::{CONTENT_TYPE, DATE, HOST};
use ::http::{Request, Uri};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use axum::body::Bytes;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::debug;

use super::environment::Service;
use super::http::{Answer, Http};
use super::{Aws, Error};

/// The limit of one call.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// The first pause before a call that may work the next time; each next one is twice as long, and all vary.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The number of retries: with the pause doubled each time, about four seconds in all.
const RETRIES: usize = 3;
/// The media type of a form (WHATWG URL Standard, section 5).
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// More pages than any answer has: a server that never ends a list is broken.
pub(super) const MAX_PAGES: usize = 1000;

/// The parameters of a call, in order.
pub(super) type Parameters = Vec<(String, String)>;

/// A call and what it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    pub(super) service: Service,
    pub(super) name: &'static str,
}

impl Action {
    /// The form that is sent.
    pub(super) fn form(self, parameters: &Parameters) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", self.name);
        form.append_pair("Version", self.service.version());
        form.extend_pairs(parameters).finish()
    }

    /// The answer of a call that went well, or what went wrong.
    pub(super) fn read<T: DeserializeOwned>(
        self,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<T, Error> {
        let text = String::from_utf8_lossy(&answer.body);
        if !answer.status.is_success() {
            return Err(self.failure(answer, &text, now));
        }
        quick_xml::de::from_str(&text).map_err(|error| Error::Malformed {
            call: self.name,
            message: error.to_string(),
        })
    }

    fn failure(self, answer: &Answer, text: &str, now: Timestamp) -> Error {
        let (call, status) = (self.name, answer.status.as_u16());
        let told: Failure = quick_xml::de::from_str(text).unwrap_or_default();
        let Told { code, message } = told.first();
        // The Query API guides of EC2, Auto Scaling and STS list these among their common errors.
        match code.as_str() {
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "SlowDown"
            | "EC2ThrottledException" => Error::Throttled { call, code },
            "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Error::Clock {
                code,
                ahead: ahead(answer, now),
            },
            "SignatureDoesNotMatch" | "InvalidSignatureException"
                if message.contains("expired") || message.contains("not yet current") =>
            {
                Error::Clock {
                    code,
                    ahead: ahead(answer, now),
                }
            }
            _ if status == 429 => Error::Throttled { call, code },
            _ if answer.status.is_server_error() => Error::Unwell { call, code, status },
            _ => Error::Refused {
                call,
                code,
                message,
                status,
            },
        }
    }
}

/// The time by which the local clock is ahead of the one that dated the answer.
fn ahead(answer: &Answer, now: Timestamp) -> Option<SignedDuration> {
    let date = answer.headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(now.duration_since(theirs))
}

/// An error as the two families of query APIs write it.
#[derive(Debug, Default, Deserialize)]
struct Failure {
    /// EC2: `Response/Errors/Error`.
    #[serde(rename = "Errors", default)]
    errors: Errors,
    /// All others: `ErrorResponse/Error`.
    #[serde(rename = "Error")]
    error: Option<Told>,
}

#[derive(Debug, Default, Deserialize)]
struct Errors {
    #[serde(rename = "Error", default)]
    all: Vec<Told>,
}

#[derive(Clone, Debug, Deserialize)]
struct Told {
    #[serde(rename = "Code", default)]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

impl Failure {
    fn first(self) -> Told {
        let told = self.error.or_else(|| self.errors.all.into_iter().next());
        told.unwrap_or_else(|| Told {
            code: "no code".to_owned(),
            message: "AWS gave no reason".to_owned(),
        })
    }
}

/// A POST of a form, not signed.
pub(super) fn post(endpoint: &Uri, form: String) -> Result<Request<Bytes>, Error> {
    let authority = endpoint
        .authority()
        .map(ToString::to_string)
        .unwrap_or_default();
    Request::post(endpoint)
        .header(HOST, authority)
        .header(CONTENT_TYPE, FORM)
        .body(Bytes::from(form))
        .map_err(|error| Error::Setting(format!("{endpoint} cannot be asked: {error}")))
}

/// Signs a request (AWS Signature Version 4).
pub(super) fn sign_request(
    request: &mut Request<Bytes>,
    credentials: Credentials,
    (service, region): (&str, &str),
    time: SystemTime,
) -> Result<(), Error> {
    let wrong = |message: String| Error::Setting(format!("a request cannot be signed: {message}"));
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| wrong(error.to_string()))?
        .into();
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let uri = request.uri().to_string();
    let signable = SignableRequest::new(
        request.method().as_str(),
        &uri,
        headers.into_iter(),
        SignableBody::Bytes(request.body()),
    );
    let (instructions, _signature) = signable
        .and_then(|signable| sign(signable, &parameters))
        .map_err(|error| wrong(error.to_string()))?
        .into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

/// Sends a call until it works, fails for good, or has failed often enough. `request` makes each try anew.
pub(super) async fn persist<T: DeserializeOwned, F>(
    http: &Http,
    action: Action,
    request: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<Request<Bytes>, Error>>,
{
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_times(RETRIES)
        .with_jitter()
        .build();
    loop {
        let outcome = match http.send(request().await?, CALL_LIMIT).await {
            Ok(answer) => action.read(&answer, Timestamp::now()),
            Err(error) => Err(error),
        };
        let error = match outcome {
            Err(error) if error.is_transient() => error,
            outcome => return outcome,
        };
        let Some(pause) = pauses.next() else {
            return Err(error);
        };
        debug!(%error, ?pause, "AWS is asked again");
        tokio::time::sleep(pause).await;
    }
}

impl Aws {
    /// Makes a call.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        action: Action,
        parameters: &Parameters,
    ) -> Result<T, Error> {
        let endpoint = self.environment.endpoint(action.service, &self.region)?;
        let form = action.form(parameters);
        persist(&self.http, action, || async {
            let mut request = post(&endpoint, form.clone())?;
            let scope = (action.service.name(), self.region());
            let credentials = self.credentials.get().await?;
            sign_request(&mut request, credentials, scope, SystemTime::now())?;
            Ok(request)
        })
        .await
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
