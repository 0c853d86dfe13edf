//! A client for metadata services: plain HTTP to one address, no proxy, no redirects, small answers.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::words;

/// The port of a URL without one (RFC 9110 section 4.2.1).
const HTTP_PORT: u16 = 80;

/// Largest accepted response, in bytes; instance metadata are a few kilobytes.
const ANSWER_LIMIT: usize = 256 * 1024;

/// The maximum length of a foreign text in messages, in characters.
const SHOWN: usize = 100;

/// A metadata service.
#[derive(Clone, Debug)]
pub struct Metadata {
    url: String,
    timeout: Duration,
}

/// A response, with any status.
#[derive(Debug)]
pub struct Reply {
    response: Response<Bytes>,
}

impl Metadata {
    /// Creates a client of the service at this URL, which has no path.
    pub fn new(url: &str, timeout: Duration) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            timeout,
        }
    }

    /// Sends a GET for a path.
    ///
    /// # Errors
    /// If no response arrives in time.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Reply, HttpError> {
        self.ask(Method::GET, path, headers).await
    }

    /// Sends a PUT without a body.
    ///
    /// # Errors
    /// As [`Metadata::get`].
    pub async fn put(&self, path: &str, headers: &[(&str, &str)]) -> Result<Reply, HttpError> {
        self.ask(Method::PUT, path, headers).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Reply, HttpError> {
        let url: Uri = format!("{}{path}", self.url)
            .parse()
            .map_err(|error| HttpError::Url(format!("{}{path} is no URL: {error}", self.url)))?;
        let (Some("http"), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(HttpError::Url(format!("{} is no http:// URL", self.url)));
        };
        let target = url
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request::builder().method(method).uri(target);
        request = request.header(http::header::HOST, authority.as_str());
        for (name, value) in headers {
            let invalid = |_| HttpError::Foreign(format!("its {name} cannot be sent back"));
            let value = HeaderValue::from_str(value).map_err(invalid)?;
            let name: HeaderName = name
                .parse()
                .map_err(|_| HttpError::Url(format!("{name} is no header")))?;
            request = request.header(name, value);
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| HttpError::Url(error.to_string()))?;
        // The brackets of an IPv6 address are part of the URL.
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(HTTP_PORT);
        let asked = async {
            let stream = TcpStream::connect((host, port))
                .await
                .map_err(|error| HttpError::Unreachable(error.kind().to_string()))?;
            exchange(stream, request).await
        };
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(HttpError::Slow(self.timeout)),
        }
    }
}

async fn exchange(stream: TcpStream, request: Request<Empty<Bytes>>) -> Result<Reply, HttpError> {
    let broken = |error: hyper::Error| HttpError::Unreachable(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let answer = async {
        let (parts, body) = sender
            .send_request(request)
            .await
            .map_err(broken)?
            .into_parts();
        let body = Limited::new(body, ANSWER_LIMIT)
            .collect()
            .await
            .map_err(|error| HttpError::Foreign(error.to_string()))?;
        Ok(Reply {
            response: Response::from_parts(parts, body.to_bytes()),
        })
    };
    // The connection only works while it is polled, and is not needed after the response.
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(broken(error)),
        },
    }
}

impl Reply {
    /// Returns the response itself, if its status is 200.
    ///
    /// # Errors
    /// If it has another status.
    pub fn ok(self) -> Result<Self, HttpError> {
        match self.response.status().as_u16() {
            200 => Ok(self),
            code => Err(HttpError::Status { code }),
        }
    }

    /// Returns the body as one line of text, trimmed.
    ///
    /// # Errors
    /// If it is empty or not text.
    pub fn text(&self) -> Result<&str, HttpError> {
        let text = std::str::from_utf8(self.response.body())
            .unwrap_or_default()
            .trim();
        if text.is_empty() {
            return Err(HttpError::Foreign("it is empty or no text".to_owned()));
        }
        Ok(text)
    }

    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }
}

/// The reason why a query failed. The text follows the name of the service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The response is not the service's.
    #[error("gives an answer that is not its own: {}", words::shortened(.0, SHOWN))]
    Foreign(String),
    /// No response in time.
    #[error("did not answer within {}", words::span(*.0))]
    Slow(Duration),
    /// A status other than 200.
    #[error("answers {code}{}", hint(*code))]
    Status {
        /// The status.
        code: u16,
    },
    /// No connection.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// The URL is invalid.
    #[error("cannot be asked: {0}")]
    Url(String),
}

/// The meaning of a status in the clouds.
fn hint(code: u16) -> &'static str {
    match code {
        401 => " (it wants a token that it gave)",
        403 => " (the metadata service is turned off for this instance, or a firewall answers)",
        404 | 410 => " (it does not know this machine yet)",
        429 => " (it is asked too often)",
        500..=599 => " (it is not ready)",
        _ => "",
    }
}
