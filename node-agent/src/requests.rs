//! The API calls for the request object, each returning an [`Event`].

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
};
use kube::api::{Api, ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::core::Status;
use rollcall_csr::{MESSAGE_ANNOTATION, REASON_ANNOTATION, Signer};
use tokio::time::Instant;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::clock::Clock;
use crate::fault::Fault;
use crate::step::{Event, RequestStatus, Seen, Verdict};
use crate::words;

/// The timeout of a single call; the API server itself ends any call but a watch after 60 s. A call that takes longer
/// than this should be retried, on another server behind the same name.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The duration of one watch, in seconds. A silently broken connection is noticed no later.
const WATCH_SECONDS: u32 = 60;

/// The time after [`WATCH_SECONDS`] at which the connection is considered broken.
const WATCH_GRACE: Duration = Duration::from_secs(5);

/// The maximum length of the approver's reason for holding a request, in characters: it is one word.
const LONGEST_REASON: usize = 64;

/// The maximum length of the message with that reason, in characters: some lines of a console.
const LONGEST_MESSAGE: usize = 500;

type Watch =
    Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<CertificateSigningRequest>>> + Send>>;

/// The content of a request, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRequest {
    /// A digest of the content, so that the same request is found again.
    pub name: String,
    /// The certification request in PEM, followed by any evidence.
    pub pem: String,
}

/// This machine's request objects: one at a time, with names that depend only on their content.
pub struct Requests {
    api: Api<CertificateSigningRequest>,
    base_name: String,
    clock: Clock,
    expiration_seconds: Option<i32>,
    request_pem: String,
    spki_der: Vec<u8>,
    version: String,
    watch: Option<(Watch, Instant)>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("base_name", &self.base_name)
            .finish_non_exhaustive()
    }
}

impl Requests {
    /// Creates the requests for a key, from its public key and the request that it signed, with its name.
    pub fn new(
        client: kube::Client,
        spki_der: Vec<u8>,
        NamedRequest { name, pem }: NamedRequest,
        expiration_seconds: Option<i32>,
        clock: Clock,
    ) -> Self {
        Self {
            api: Api::all(client),
            base_name: name,
            clock,
            expiration_seconds,
            request_pem: pem,
            spki_der,
            version: String::new(),
            watch: None,
        }
    }

    /// Returns the name for an attempt: the digest that kubelet would use, then the same with a number.
    pub fn name(&self, attempt: u32) -> String {
        match attempt {
            0 => self.base_name.clone(),
            _ => format!("{}-{attempt}", self.base_name),
        }
    }

    fn selector(&self, attempt: u32) -> String {
        format!("metadata.name={}", self.name(attempt))
    }

    /// Files the request.
    pub async fn create(&mut self, attempt: u32) -> Event {
        let signer = Signer::KubeApiserverClientKubelet;
        let request = CertificateSigningRequest {
            metadata: ObjectMeta {
                name: Some(self.name(attempt)),
                ..ObjectMeta::default()
            },
            spec: CertificateSigningRequestSpec {
                expiration_seconds: self.expiration_seconds,
                request: ByteString(self.request_pem.clone().into_bytes()),
                signer_name: signer.name().to_owned(),
                usages: Some(signer.usages().map(str::to_owned).to_vec()),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        };
        self.watch = None;
        match limited(self.api.create(&PostParams::default(), &request)).await {
            Ok(created) => Event::Created(self.seen(&created)),
            Err(Failure::Status(status)) if status.reason == "AlreadyExists" => Event::Exists,
            Err(failure) => Event::Faulted(failure.into_fault()),
        }
    }

    /// Reads the request, as a list of one. The resource version of a list is the server's current one; that of the
    /// request itself can predate the server's start, and watching from there would always be refused.
    pub async fn read(&mut self, attempt: u32) -> Event {
        self.watch = None;
        let params = ListParams::default().fields(&self.selector(attempt));
        match limited(self.api.list(&params)).await {
            Ok(list) => match list.items.first() {
                Some(request) => {
                    let seen = self.seen(request);
                    self.version = list.metadata.resource_version.unwrap_or_default();
                    Event::Observed(seen)
                }
                None => Event::Gone,
            },
            Err(failure) => Event::Faulted(failure.into_fault()),
        }
    }

    /// Waits until the request changes, the watch ends or `until` has passed. An open watch is reused.
    pub async fn watch(&mut self, attempt: u32, until: Instant) -> Event {
        let (mut watch, opened) = match self.watch.take() {
            Some(open) => open,
            None => match self.open(attempt).await {
                Ok(watch) => (watch, Instant::now()),
                Err(event) => return event,
            },
        };
        let dead = opened
            .checked_add(Duration::from_secs(WATCH_SECONDS.into()))
            .and_then(|end| end.checked_add(WATCH_GRACE));
        let deadline = dead.map_or(until, |dead| until.min(dead));
        loop {
            let Ok(item) = tokio::time::timeout_at(deadline, watch.next()).await else {
                if deadline < until {
                    return Event::WatchEnded {
                        lasted: opened.elapsed(),
                    };
                }
                self.watch = Some((watch, opened));
                return Event::Woke;
            };
            return match item {
                Some(Ok(WatchEvent::Added(request) | WatchEvent::Modified(request))) => {
                    let seen = self.seen(&request);
                    self.watch = Some((watch, opened));
                    Event::Observed(seen)
                }
                Some(Ok(WatchEvent::Deleted(_))) => Event::Gone,
                Some(Ok(WatchEvent::Bookmark(_))) => continue,
                Some(Ok(WatchEvent::Error(status))) => ended(&status, opened.elapsed()),
                Some(Err(kube::Error::Api(status))) => ended(&status, opened.elapsed()),
                // A stopping API server breaks the connection.
                Some(Err(_)) | None => Event::WatchEnded {
                    lasted: opened.elapsed(),
                },
            };
        }
    }

    async fn open(&self, attempt: u32) -> Result<Watch, Event> {
        let params = WatchParams::default()
            .fields(&self.selector(attempt))
            .timeout(WATCH_SECONDS);
        match limited(self.api.watch(&params, &self.version)).await {
            Ok(watch) => Ok(Box::pin(watch)),
            Err(Failure::Status(status)) => Err(ended(&status, Duration::ZERO)),
            Err(failure) => Err(Event::Faulted(failure.into_fault())),
        }
    }

    /// Returns the relevant fields of the request; a later watch starts after this version.
    fn seen(&mut self, request: &CertificateSigningRequest) -> Seen {
        self.version = request
            .metadata
            .resource_version
            .clone()
            .unwrap_or_default();
        let created = request
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0);
        let age = created
            .and_then(|created| Duration::try_from(self.clock.now().duration_since(created)).ok());
        Seen {
            age: age.unwrap_or_default(),
            ours: self.is_ours(&request.spec),
            status: status(request),
        }
    }

    /// Returns true if a request of our name has the same content: key, signer and usages.
    fn is_ours(&self, spec: &CertificateSigningRequestSpec) -> bool {
        let signer = Signer::KubeApiserverClientKubelet;
        let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&spec.request.0) else {
            return false;
        };
        let Ok((_, request)) = X509CertificationRequest::from_der(&pem.contents) else {
            return false;
        };
        request.certification_request_info.subject_pki.raw == self.spki_der
            && spec.signer_name == signer.name()
            && spec
                .usages
                .as_ref()
                .is_some_and(|usages| signer.allows_usages(usages))
    }
}

/// Handles the end of a watch: gone (410) only means that the version is too old; anything else is a fault.
fn ended(status: &Status, lasted: Duration) -> Event {
    if status.code == 410 {
        Event::WatchEnded { lasted }
    } else {
        Event::Faulted(Fault::of_status(status))
    }
}

/// A failed call.
pub(crate) enum Failure {
    /// The API server returned the reason.
    Status(Box<Status>),
    /// There was no valid response.
    Fault(Fault),
}

impl Failure {
    /// Converts it to a fault.
    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Self::Status(status) => Fault::of_status(&status),
            Self::Fault(fault) => fault,
        }
    }
}

/// Runs a call with a timeout.
pub(crate) async fn limited<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(Failure::Status(status)),
        Ok(Err(error)) => Err(Failure::Fault(Fault::of(&error))),
        Err(_) => {
            let detail = format!("no answer within {} s", CALL_TIMEOUT.as_secs());
            Err(Failure::Fault(Fault::Unreachable { detail }))
        }
    }
}

/// Returns the state of the request. Final states take precedence.
fn status(request: &CertificateSigningRequest) -> RequestStatus {
    let condition = |kind: &str| {
        let status = request.status.as_ref()?;
        let conditions = status.conditions.as_deref().unwrap_or_default();
        conditions
            .iter()
            .find(|condition| condition.type_ == kind && condition.status == "True")
            .map(verdict)
    };
    if let Some(verdict) = condition("Denied") {
        return RequestStatus::Denied(verdict);
    }
    if let Some(verdict) = condition("Failed") {
        return RequestStatus::Failed(verdict);
    }
    let Some(verdict) = condition("Approved") else {
        return held(request).map_or(RequestStatus::Pending, RequestStatus::Held);
    };
    let certificate = request.status.as_ref().and_then(|status| {
        let certificate = status.certificate.as_ref()?;
        (!certificate.0.is_empty()).then(|| certificate.0.clone())
    });
    certificate.map_or(RequestStatus::Approved(verdict), RequestStatus::Issued)
}

/// Returns the approver's reason for holding the request. It is only shown, so it is shortened.
fn held(request: &CertificateSigningRequest) -> Option<Verdict> {
    let annotations = request.metadata.annotations.as_ref()?;
    let text = |key, limit| {
        let text: Option<&String> = annotations.get(key);
        text.map(|text| words::shortened(text, limit))
    };
    let reason = text(REASON_ANNOTATION, LONGEST_REASON).filter(|reason| !reason.is_empty())?;
    let message = text(MESSAGE_ANNOTATION, LONGEST_MESSAGE).unwrap_or_default();
    Some(Verdict { reason, message })
}

fn verdict(condition: &CertificateSigningRequestCondition) -> Verdict {
    Verdict {
        reason: condition.reason.clone().unwrap_or_default(),
        message: condition.message.clone().unwrap_or_default(),
    }
}
