//! Shared parts of the tests of API calls: a simulated API server behind a real client, and objects in the API's form.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body as Answer;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Client;
use kube::client::Body;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rollcall_csr::{NODES_GROUP, NodeName};
use serde_json::{Value, json};
use tower_test::mock;

/// The time within which an expected call must come. Tests with paused time do not wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// The simulated API server.
pub(crate) struct Server(mock::Handle<http::Request<Body>, http::Response<Answer>>);

/// A received call that waits for its answer.
pub(crate) struct Call {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    reply: mock::SendResponse<http::Response<Answer>>,
}

/// A client, and its server.
pub(crate) fn server() -> (Client, Server) {
    let (service, handle) = mock::pair();
    (Client::new(service, "rollcall"), Server(handle))
}

impl Server {
    /// The next call, whatever it is.
    pub(crate) async fn call(&mut self) -> Call {
        let next = tokio::time::timeout(PATIENCE, self.next());
        next.await
            .expect("a call has to come")
            .expect("the client lives")
    }

    /// The next call, without a time limit; `None` when the client is gone.
    pub(crate) async fn next(&mut self) -> Option<Call> {
        let (request, reply) = self.0.next_request().await?;
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        Some(Call {
            method: head.method,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            reply,
        })
    }

    /// The next call, which has to be this one.
    pub(crate) async fn expect(&mut self, method: &str, path: &str) -> Call {
        let call = self.call().await;
        assert_eq!((call.method.as_str(), call.path.as_str()), (method, path));
        call
    }

    /// Asserts that no call comes for a while.
    pub(crate) async fn expect_none(&mut self, during: Duration) {
        let next = tokio::time::timeout(during, self.0.next_request()).await;
        if let Ok(Some((request, _))) = next {
            panic!("an extra call came: {} {}", request.method(), request.uri());
        }
    }
}

impl Call {
    /// Answers with an object.
    pub(crate) fn answer(self, object: &Value) {
        self.send(200, Answer::from(object.to_string()));
    }

    /// Answers with a failure in the API server's form.
    pub(crate) fn fail(self, code: u16, message: &str) {
        let reason = match code {
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            429 => "TooManyRequests",
            _ => "Unknown",
        };
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        self.send(code, Answer::from(status.to_string()));
    }

    /// Breaks the connection.
    pub(crate) fn break_off(self) {
        self.reply.send_error("connection reset by peer");
    }

    /// Answers a watch with these events, and then ends it or keeps it open.
    pub(crate) fn events(self, events: &[Value], ends: bool) {
        let lines: Vec<io::Result<String>> = events
            .iter()
            .map(|event| Ok(format!("{event}\n")))
            .collect();
        let lines = futures::stream::iter(lines);
        let body = if ends {
            Answer::from_stream(lines)
        } else {
            Answer::from_stream(lines.chain(futures::stream::pending()))
        };
        self.send(200, body);
    }

    fn send(self, code: u16, body: Answer) {
        let response = http::Response::builder().status(code).body(body).unwrap();
        self.reply.send_response(response);
    }
}

/// Log lines, kept in memory.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Captures the log lines of this thread from now on, until the guard is dropped.
    pub(crate) fn subscribe(&self) -> tracing::subscriber::DefaultGuard {
        // `tracing_core::callsite` caches if a line is wanted, as the first subscriber decides: that may be the one of
        // another test's thread, and its decision counts for this one.
        let everywhere = tracing_subscriber::fmt().with_writer(io::sink).finish();
        tracing::subscriber::set_global_default(everywhere).ok();
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || lines.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// Everything that was logged.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A bootstrapper's pending request for a node, made now, in the API's form; the uid is its name.
pub(crate) fn csr(name: &str, node: &str) -> Value {
    csr_for(name, node, Vec::new())
}

/// The same with subject alternative names.
pub(crate) fn csr_for(name: &str, node: &str, names: Vec<SanType>) -> Value {
    let node: NodeName = node.parse().unwrap();
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, NODES_GROUP);
    subject.push(DnType::CommonName, node.username());
    params.distinguished_name = subject;
    params.subject_alt_names = names;
    let request = params
        .serialize_request(&KeyPair::generate().unwrap())
        .unwrap();
    let pem = k8s_openapi::ByteString(request.pem().unwrap().into_bytes());
    json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {
            "name": name, "uid": name, "resourceVersion": "7", "creationTimestamp": Timestamp::now(),
        },
        "spec": {
            "request": pem,
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"],
            "username": "system:serviceaccount:openshift-machine-config-operator:node-bootstrapper",
            "groups": ["system:authenticated"],
        },
    })
}

/// Reads a request object.
pub(crate) fn read(object: &Value) -> CertificateSigningRequest {
    serde_json::from_value(object.clone()).unwrap()
}

/// A provisioned OpenShift Machine made a minute ago, in the API's form; the uid is its name.
pub(crate) fn machine(name: &str, node: &str) -> Value {
    let made = Timestamp::now()
        .checked_sub(SignedDuration::from_mins(1))
        .unwrap();
    json!({
        "apiVersion": "machine.openshift.io/v1beta1",
        "kind": "Machine",
        "metadata": {
            "name": name, "namespace": "openshift-machine-api", "uid": name, "resourceVersion": "5",
            "creationTimestamp": made,
        },
        "spec": {},
        "status": {"phase": "Provisioned", "addresses": [{"type": "InternalDNS", "address": node}]},
    })
}
