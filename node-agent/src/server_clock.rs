//! The API server's time of day: shows which of two clocks is wrong if a certificate is from the future.

use http::Request;
use http::header::DATE;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::Client;
use kube::client::Body;

use crate::requests::limited;

/// A path that every API server answers for any user (Kubernetes `system:public-info-viewer`). A refusal has a date
/// too.
const ANYTHING: &str = "/version";

/// Returns the time by the API server's clock, to the second; `None` if it is unreachable or sends no date.
pub(crate) async fn ask(client: &Client) -> Option<Timestamp> {
    let request = Request::get(ANYTHING).body(Body::empty()).ok()?;
    let answer = limited(client.send(request)).await.ok()?;
    let date = answer.headers().get(DATE)?.to_str().ok()?;
    // The one form that may be sent (RFC 9110 section 5.6.7) is also valid in RFC 2822.
    let date = rfc2822::DateTimeParser::new().parse_zoned(date).ok()?;
    Some(date.timestamp())
}
