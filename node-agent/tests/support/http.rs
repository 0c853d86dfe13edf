//! A metadata service on loopback that a test scripts: raw HTTP, one answer per connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// One received query.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Method and target.
    pub(crate) line: String,
    headers: Vec<String>,
}

impl Asked {
    /// The value of a header; its name may be in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| {
            let (found, value) = header.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The response to a query.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A status, headers (each with its line end) and a body.
    Reply(u16, &'static str, String),
    /// No response for this time; then the connection is closed.
    Silence(Duration),
}

/// 200 with this body.
pub(crate) fn ok(body: &str) -> Answer {
    Answer::Reply(200, "", body.to_owned())
}

/// A status without a body.
pub(crate) fn status(code: u16) -> Answer {
    Answer::Reply(code, "", String::new())
}

/// A running service.
pub(crate) struct Service {
    address: SocketAddr,
    asked: Receiver<Asked>,
}

impl Service {
    /// Answers the first queries with these, and every later one with the last.
    pub(crate) fn start(answers: Vec<Answer>) -> Self {
        Self::start_at([127, 0, 0, 1].into(), answers)
    }

    pub(crate) fn start_at(address: IpAddr, answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            let mut left = answers.into_iter().peekable();
            let mut last = status(500);
            for stream in listener.incoming() {
                if let Some(next) = left.next() {
                    last = next;
                }
                let stream = stream.unwrap();
                // A test that has ended needs no more queries.
                if sender.send(read(&stream)).is_err() {
                    return;
                }
                answer(stream, &last);
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All queries so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

fn read(stream: &TcpStream) -> Asked {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let line = lines.next().unwrap_or_default();
    Asked {
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        headers: lines.take_while(|line| !line.is_empty()).collect(),
    }
}

fn answer(mut stream: TcpStream, answer: &Answer) {
    match answer {
        Answer::Reply(code, headers, body) => {
            let text = format!(
                "HTTP/1.1 {code} Status\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            );
            // The client may have closed the connection.
            stream.write_all(text.as_bytes()).ok();
        }
        Answer::Silence(time) => std::thread::sleep(*time),
    }
}
