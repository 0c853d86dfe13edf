//! A proxy to the API server that injects faults: calls are slow, are refused, or get no response until a test ends that. All
//! other calls pass at once.

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

/// The effect on calls.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// No response while this rule is active; they pass afterwards.
    Hang,
    /// They pass after this delay.
    Slow(Duration),
    /// They are refused with this status, as by the API server.
    Refused(u16),
}

/// A fault, and the calls it applies to.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Only calls with this method; `None` for any.
    pub method: Option<Method>,
    /// Only calls whose path contains this text.
    pub path: &'static str,
    /// The fault.
    pub fault: Fault,
}

impl Rule {
    /// Returns a rule for every call whose path contains this text.
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

/// The proxy. Its clients use HTTP without TLS, and act as the user of `client`.
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
    /// Listens on loopback; calls whose path contains `resource` get no response at first.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(client: kube::Client, resource: &'static str) -> Result<Self> {
        Self::start_with(client, vec![Rule::on(resource, Fault::Hang)]).await
    }

    /// Listens on loopback; the first rule that matches a call applies.
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

    /// The URL to connect to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces all rules.
    pub fn rule(&self, rules: Vec<Rule>) {
        self.rules.send_replace(rules);
    }

    /// Answers all calls from now on, including held ones.
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
