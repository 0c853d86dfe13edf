//! A way to the API server that answers some questions only when it is told to, as an aggregated or converted kind does whose
//! own server hangs. Everything else goes through at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use http::header::{AUTHORIZATION, HOST};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Such a way. Whoever comes here speaks HTTP without TLS, and is to the API server whoever `client` is.
#[derive(Debug)]
pub struct SlowApi {
    address: SocketAddr,
    answers: watch::Sender<bool>,
    task: JoinHandle<()>,
}

struct Way {
    client: kube::Client,
    resource: String,
    answers: watch::Receiver<bool>,
}

impl SlowApi {
    /// Listens on loopback; questions whose path holds `resource` get no answer at first.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(client: kube::Client, resource: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        let (sender, answers) = watch::channel(false);
        let way = Way {
            client,
            resource: resource.to_owned(),
            answers,
        };
        let router = Router::new().fallback(carry).with_state(Arc::new(way));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the slow way to the API server ended");
            }
        });
        Ok(Self {
            address,
            answers: sender,
            task,
        })
    }

    /// What to connect to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers everything from here on, what was held back too.
    pub fn answer(&self) {
        self.answers.send_replace(true);
    }
}

impl Drop for SlowApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(State(way): State<Arc<Way>>, request: Request) -> Response {
    let mut answers = way.answers.clone();
    let is_slow = request.uri().path().contains(&way.resource);
    if is_slow && answers.wait_for(|answers| *answers).await.is_err() {
        return refusal("the test is over");
    }
    match pass_on(&way.client, request).await {
        Ok(response) => response,
        Err(error) => refusal(&error.to_string()),
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

fn refusal(message: &str) -> Response {
    let mut response = Response::new(Body::from(message.to_owned()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
