//! The time of day as the API server has it: which of two clocks is wrong decides over a certificate from the future.

use http::Request;
use http::header::DATE;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::Client;
use kube::client::Body;

use crate::requests::limited;

/// What every API server answers, whoever asks (Kubernetes `system:public-info-viewer`). A refusal has a date as well.
const ANYTHING: &str = "/version";

/// The time by the clock of the API server, to the second; nothing when it cannot be asked or does not say.
pub(crate) async fn ask(client: &Client) -> Option<Timestamp> {
    let request = Request::get(ANYTHING).body(Body::empty()).ok()?;
    let answer = limited(client.send(request)).await.ok()?;
    let date = answer.headers().get(DATE)?.to_str().ok()?;
    // The one form that is sent (RFC 9110 section 5.6.7) is also one of RFC 2822.
    let date = rfc2822::DateTimeParser::new().parse_zoned(date).ok()?;
    Some(date.timestamp())
}
