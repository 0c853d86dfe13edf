//! Metrics, health and the report of an audit over HTTP. Nothing here writes, and only that report names objects. Any pod in
//! the cluster may be able to connect, so connections are few, short and limited for each peer.

mod connections;

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use crate::audit::{Audit, Report};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::tasks::Tasks;

/// The media type of OpenMetrics text (OpenMetrics 1.0.0, section 4).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The media type of JSON (RFC 8259, section 11).
const JSON: &str = "application/json";

/// The addresses to serve at, if any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// All endpoints.
    pub(crate) metrics: Option<SocketAddr>,
    /// Probes only.
    pub(crate) probes: Option<SocketAddr>,
}

/// Starts the servers that have an address. Returns the channel for readiness.
///
/// # Errors
/// If an address cannot be bound: a busy port stops the start.
pub(crate) async fn start(
    tasks: &mut Tasks,
    addresses: Addresses,
    health: Health,
    (metrics, audit): (Metrics, Audit),
) -> anyhow::Result<watch::Sender<bool>> {
    let (ready, is_ready) = watch::channel(false);
    let probes = probes(health, is_ready);
    if let Some(address) = addresses.probes {
        let listener = listen(address).await?;
        info!(address = %listener.local_addr()?, "serving probes: /healthz and /readyz");
        tasks.forever("probes", connections::serve(listener, probes.clone()));
    }
    if let Some(address) = addresses.metrics {
        let listener = listen(address).await?;
        info!(address = %listener.local_addr()?, "serving /metrics, /healthz, /readyz and /audit");
        let router = probes.merge(numbers(metrics, audit));
        tasks.forever("metrics server", connections::serve(listener, router));
    }
    Ok(ready)
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

/// The probe endpoints. Ready means: every watch has been complete once.
fn probes(health: Health, ready: watch::Receiver<bool>) -> Router {
    let healthy = move || async move {
        match health.trouble() {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
        }
    };
    let readiness = move || async move {
        if *ready.borrow() {
            (StatusCode::OK, "ready\n")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "not every watch has been complete yet\n",
            )
        }
    };
    Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(readiness))
}

/// The endpoints of the metrics and of the audit.
fn numbers(metrics: Metrics, audit: Audit) -> Router {
    let numbers = move || async move {
        match metrics.text() {
            Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    };
    let report = move || async move { to_response(audit.report()) };
    Router::new()
        .route("/audit", get(report))
        .route("/metrics", get(numbers))
}

/// The report as JSON.
fn to_response(report: Option<Report>) -> Response {
    let Some(report) = report else {
        let none = "nothing has been audited: the approver has not run in mode audit\n";
        return (StatusCode::NOT_FOUND, none).into_response();
    };
    match serde_json::to_string_pretty(&report) {
        Ok(text) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
