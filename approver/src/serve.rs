//! Metrics and health over HTTP; nothing here writes, and nothing names an object.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use crate::metrics::Metrics;
use crate::tasks::Tasks;

/// The media type of OpenMetrics text (OpenMetrics 1.0.0, section 4).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Starts the server, if an address was given. Returns where readiness is told.
///
/// # Errors
/// When the address cannot be bound: a busy port stops the start.
pub(crate) async fn start(
    tasks: &mut Tasks,
    address: Option<SocketAddr>,
    metrics: Metrics,
) -> anyhow::Result<watch::Sender<bool>> {
    let (ready, is_ready) = watch::channel(false);
    if let Some(address) = address {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
        tasks.add("metrics server", serve(listener, metrics, is_ready));
    }
    Ok(ready)
}

/// Serves until the process ends. Ready means: every watch has been complete once.
async fn serve(
    listener: TcpListener,
    metrics: Metrics,
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
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(numbers))
        .route("/readyz", get(readiness));
    axum::serve(listener, router)
        .await
        .context("the metrics server ended")
}
