//! Metrics, health and the report of an audit over HTTP. Nothing here writes, and nothing but that report names an object.

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
use crate::metrics::Metrics;
use crate::tasks::Tasks;

/// The media type of OpenMetrics text (OpenMetrics 1.0.0, section 4).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The media type of JSON (RFC 8259, section 11).
const JSON: &str = "application/json";

/// Starts the server of what was counted and audited, if an address was given. Returns where readiness is told.
///
/// # Errors
/// When the address cannot be bound: a busy port stops the start.
pub(crate) async fn start(
    tasks: &mut Tasks,
    address: Option<SocketAddr>,
    (metrics, audit): (Metrics, Audit),
) -> anyhow::Result<watch::Sender<bool>> {
    let (ready, is_ready) = watch::channel(false);
    if let Some(address) = address {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        info!(address = %listener.local_addr()?, "serving /metrics, /healthz, /readyz and /audit");
        tasks.add("metrics server", serve(listener, metrics, audit, is_ready));
    }
    Ok(ready)
}

/// Serves until the process ends. Ready means: every watch has been complete once.
async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    audit: Audit,
    ready: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let numbers = move || async move {
        match metrics.text() {
            Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
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
    let report = move || async move { to_response(audit.report()) };
    let router = Router::new()
        .route("/audit", get(report))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(numbers))
        .route("/readyz", get(readiness));
    axum::serve(listener, router)
        .await
        .context("the metrics server ended")
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
