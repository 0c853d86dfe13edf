//! A way to the API server on which calls go wrong as a test says: they are slow, are refused, or get no answer until the test
//! says otherwise. Everything else goes through at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to calls.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// They get no answer while this rule is in force, and go through afterwards.
    Hang,
    /// They go through this much later.
    Slow(Duration),
    /// They are refused with this status, as the API server refuses them.
    Refused(u16),
}

/// What happens to which calls.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Only calls of this method; otherwise of any.
    pub method: Option<Method>,
    /// Only calls whose path holds this text.
    pub path: &'static str,
    /// What happens to them.
    pub fault: Fault,
}

impl Rule {
    /// A fault of every call whose path holds this text.
    pub fn on(path: &'static str, fault: Fault) -> Self {
        Self {
            method: None,
            path,
            fault,
        }
    }

    fn is_for(&self, request: &Request) -> bool {
        let method = self.method.as_ref();
        method.is_none_or(|method| method == request.method())
            && request.uri().path().contains(self.path)
    }
}

/// Such a way. Whoever comes here speaks HTTP without TLS, and is to the API server whoever `client` is.
#[derive(Debug)]
pub struct SlowApi {
    address: SocketAddr,
    rules: watch::Sender<Vec<Rule>>,
    task: JoinHandle<()>,
}

struct Way {
    client: kube::Client,
    rules: watch::Receiver<Vec<Rule>>,
}

impl SlowApi {
    /// Listens on loopback; calls whose path holds `resource` get no answer at first.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(client: kube::Client, resource: &'static str) -> Result<Self> {
        Self::start_with(client, vec![Rule::on(resource, Fault::Hang)]).await
    }

    /// Listens on loopback; the first of these rules that fits a call is in force.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start_with(client: kube::Client, rules: Vec<Rule>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        let (sender, rules) = watch::channel(rules);
        let way = Way { client, rules };
        let router = Router::new().fallback(carry).with_state(Arc::new(way));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the slow way to the API server ended");
            }
        });
        Ok(Self {
            address,
            rules: sender,
            task,
        })
    }

    /// What to connect to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has these rules in force from here on, and no other.
    pub fn rule(&self, rules: Vec<Rule>) {
        self.rules.send_replace(rules);
    }

    /// Answers everything from here on, what was held back too.
    pub fn answer(&self) {
        self.rule(Vec::new());
    }
}

impl Drop for SlowApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(State(way): State<Arc<Way>>, request: Request) -> Response {
    let mut rules = way.rules.clone();
    loop {
        let rule = rules
            .borrow_and_update()
            .iter()
            .find(|rule| rule.is_for(&request))
            .cloned();
        match rule.map(|rule| rule.fault) {
            None => break,
            Some(Fault::Slow(duration)) => {
                tokio::time::sleep(duration).await;
                break;
            }
            Some(Fault::Refused(code)) => return refusal(code, "the test refuses this"),
            Some(Fault::Hang) if rules.changed().await.is_err() => {
                return refusal(502, "the test is over");
            }
            Some(Fault::Hang) => {}
        }
    }
    match pass_on(&way.client, request).await {
        Ok(response) => response,
        Err(error) => refusal(502, &error.to_string()),
    }
}

async fn pass_on(client: &kube::Client, request: Request) -> Result<Response> {
    let (mut head, body) = request.into_parts();
    head.headers.remove(AUTHORIZATION);
    head.headers.remove(HOST);
    let body = body.collect().await?.to_bytes();
    let request = http::Request::from_parts(head, kube::client::Body::from(body.to_vec()));
    let response = client.send(request).await?;
    Ok(response.map(Body::new))
}

fn refusal(code: u16, message: &str) -> Response {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "code": code,
    });
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
    response
}
