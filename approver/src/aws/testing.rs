//! A server on loopback that answers as AWS would, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{HeaderMap, Method, StatusCode, Uri};
use axum::Router;
use axum::body::Bytes;
use axum::response::IntoResponse as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Asked {
    /// A header; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    body: String,
    date: Option<String>,
    after: Duration,
}

impl Reply {
    pub(crate) fn ok(body: &str) -> Self {
        Self::status(200, body)
    }

    pub(crate) fn status(status: u16, body: &str) -> Self {
        Self {
            status,
            body: body.to_owned(),
            date: None,
            after: Duration::ZERO,
        }
    }

    pub(crate) fn dated(self, date: &str) -> Self {
        Self {
            date: Some(date.to_owned()),
            ..self
        }
    }

    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

/// The server. It gives its answers in order, and 500 when it has no more.
pub(crate) struct FakeAws {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl FakeAws {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Arc::new(Mutex::new(replies.into_iter().collect::<VecDeque<_>>()));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let reply = replies.lock().unwrap().pop_front();
            heard.lock().unwrap().push(Asked {
                method,
                path: uri.path().to_owned(),
                headers,
                body: String::from_utf8(body.to_vec()).unwrap(),
            });
            let reply = reply.unwrap_or_else(|| Reply::status(500, "no more answers"));
            tokio::time::sleep(reply.after).await;
            let mut response =
                (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
            if let Some(date) = reply.date {
                let date = date.parse().unwrap();
                response.headers_mut().insert(::http::header::DATE, date);
            }
            response
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, task }
    }

    /// The requests it received so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection to such a server, with credentials from the environment.
pub(crate) async fn connected(server: &FakeAws) -> super::Aws {
    let environment = super::Environment::of(&[
        ("AWS_ENDPOINT_URL", &server.url),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "eu-west-1"),
    ]);
    super::Aws::connect(environment, None).await.unwrap()
}
