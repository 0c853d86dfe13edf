//! The API server's side of a test: takes one call after the other and sends the responses of the test.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt as _;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use http::{Request, Response};
use hyper::body::{Body, Bytes, Frame};
use kube::Client;
use serde_json::{Value, json};
use tower_test::mock::{Handle, SendResponse, pair};

/// A body that the test continues to write.
pub(crate) struct Chunks(UnboundedReceiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_next_unpin(context)
            .map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

type Reply = Response<Chunks>;

pub(crate) struct Api(Pin<Box<Handle<Request<kube::client::Body>, Reply>>>);

impl Api {
    pub(crate) fn new() -> (Self, Client) {
        let (service, handle) = pair();
        (Self(Box::pin(handle)), Client::new(service, "default"))
    }

    /// The next call, which must come within an hour of the test's time.
    pub(crate) async fn call(&mut self) -> Call {
        let next = tokio::time::timeout(Duration::from_hours(1), self.0.next_request());
        let (request, reply) = next.await.unwrap().unwrap();
        let (parts, body) = request.into_parts();
        let body = pin!(body.collect_bytes()).await.unwrap();
        let line = format!("{} {}", parts.method, parts.uri);
        Call {
            line,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            reply,
        }
    }

    /// The next call, which must match this line; `*` at its end matches anything.
    pub(crate) async fn expect(&mut self, line: &str) -> Call {
        let call = self.call().await;
        let matches = match line.strip_suffix('*') {
            Some(beginning) => call.line.starts_with(beginning),
            None => call.line == line,
        };
        assert!(matches, "expected {line}, got {}", call.line);
        call
    }

    /// Asserts that no call comes for this time.
    pub(crate) async fn quiet(&mut self, time: Duration) {
        let call = tokio::time::timeout(time, self.0.next_request()).await;
        assert!(
            call.is_err(),
            "unexpected {:?}",
            call.unwrap().map(|(request, _)| request)
        );
    }
}

/// A call that waits for its response.
pub(crate) struct Call {
    pub(crate) line: String,
    pub(crate) body: Value,
    reply: SendResponse<Reply>,
}

impl Call {
    pub(crate) fn answer(self, code: u16, body: &Value) {
        self.answer_text(code, &body.to_string());
    }

    pub(crate) fn answer_text(self, code: u16, body: &str) {
        let (sender, receiver) = unbounded();
        sender.unbounded_send(Bytes::from(body.to_owned())).unwrap();
        self.reply.send_response(
            Response::builder()
                .status(code)
                .body(Chunks(receiver))
                .unwrap(),
        );
    }

    /// Answers with a status as the API server sends it with an error.
    pub(crate) fn refuse(self, code: u16, reason: &str, message: &str) {
        self.answer(code, &status(code, reason, message));
    }

    /// Answers a read: a list of these at this version.
    pub(crate) fn list(self, version: &str, items: &[&Value]) {
        let kind = "CertificateSigningRequestList";
        let api_version = "certificates.k8s.io/v1";
        let metadata = json!({ "resourceVersion": version });
        let list = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items });
        self.answer(200, &list);
    }

    /// Opens a watch; it ends when the returned value is dropped.
    pub(crate) fn open(self) -> Watch {
        let (sender, receiver) = unbounded();
        self.reply.send_response(Response::new(Chunks(receiver)));
        Watch(sender)
    }

    pub(crate) fn disconnect(self) {
        self.reply
            .send_error(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
    }
}

/// An open watch.
pub(crate) struct Watch(UnboundedSender<Bytes>);

impl Watch {
    pub(crate) fn send(&self, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({ "type": kind, "object": object }));
        self.0.unbounded_send(Bytes::from(line)).unwrap();
    }
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message,
    })
}

/// The object created from a POST's body.
pub(crate) fn stored(body: &Value, version: &str) -> Value {
    let mut object = body.clone();
    object["metadata"]["resourceVersion"] = version.into();
    object["metadata"]["creationTimestamp"] = crate::machine::NOW.into();
    object
}

pub(crate) fn with_condition(object: &Value, kind: &str, reason: &str, message: &str) -> Value {
    let mut object = object.clone();
    let condition = json!({ "type": kind, "status": "True", "reason": reason, "message": message });
    object["status"]["conditions"] = json!([condition]);
    object
}
