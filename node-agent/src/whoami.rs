//! The node name and the instance identity of this machine, from a list of sources.
//!
//! Local sources are read once. A cloud's metadata service is retried as long as the agent may wait: a slow service
//! must not lead to another name than the one the cluster expects.

mod clouds;
mod http;
mod local;
mod name;
mod source;

use std::path::Path;
use std::time::Duration;

use rollcall_csr::NodeName;

use crate::backoff;
use crate::console::Topic;
use crate::record::Record;
use crate::surroundings::Surroundings;
use crate::words;

pub use clouds::Cloud;
pub use http::{HttpError, Metadata, Reply};
pub use local::Instance;
pub use name::{Refusal, accept};
pub use source::Source;

/// The address of every cloud's metadata service (link-local, RFC 3927).
pub const METADATA_URL: &str = "http://169.254.169.254";

/// EC2's own address for instances without IPv4.
const METADATA_URL_IPV6: &str = "http://[fd00:ec2::254]";

/// The timeout of a query to a metadata service. Busy services answer within a second or two.
const QUESTION: Duration = Duration::from_secs(5);

/// The longest pause between two queries: metadata services are near and cheap to query, and a machine waits.
const CEILING: Duration = Duration::from_secs(10);

/// The inputs of the name.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The root of the host's files: `/`, except in tests.
    pub host: &'a Path,
    /// The kernel's host name.
    pub host_name: &'a str,
    /// The sources to query, in order; if empty, those that apply to this machine.
    pub sources: &'a [Source],
    /// The URL of the metadata service, without a path.
    pub metadata_url: Option<&'a str>,
    /// The record of an identity installed here.
    pub record: Option<&'a Record>,
}

/// Returns the instance identity, from local files only.
pub fn instance(host: &Path) -> Instance {
    local::instance(host)
}

/// Returns the name of this machine's node.
///
/// # Errors
/// If no source has a valid node name; lists each source's problem.
pub async fn name(question: Question<'_>, around: &Surroundings) -> Result<NodeName, NoName> {
    // Another query could return another name (a cloud lets users rename an instance), and needs a network.
    if let Some(record) = question.record
        && record.instance.same_as(&local::instance(question.host))
        && let Ok(node) = record.node.parse()
    {
        return Ok(node);
    }
    let automatic;
    let sources = if question.sources.is_empty() {
        automatic = source::automatic(question.host);
        automatic.as_slice()
    } else {
        question.sources
    };
    let mut tried = Vec::new();
    for source in sources {
        let found = match source {
            Source::CloudInit => local::cloud_init_name(question.host),
            Source::HostName => Ok(question.host_name.to_owned()),
            Source::Cloud(cloud) => Ok(ask(*cloud, question.metadata_url, around).await),
        };
        match found.and_then(|name| accept(&name)) {
            Ok(node) => {
                let message = format!("the node is called {node}, by {source}");
                around.console.say(Topic::Identity, &message);
                return Ok(node);
            }
            Err(refusal) => tried.push(format!("{source}: {refusal}")),
        }
    }
    Err(NoName(tried))
}

/// Queries a metadata service until it answers, and logs each change of the problem.
async fn ask(cloud: Cloud, url: Option<&str>, around: &Surroundings) -> String {
    let urls: &[&str] = match &url {
        Some(url) => std::slice::from_ref(url),
        None if cloud.has_ipv6() => &[METADATA_URL, METADATA_URL_IPV6],
        None => &[METADATA_URL],
    };
    let mut told = None;
    let mut tries = 0_u32;
    loop {
        let mut trouble = None;
        for url in urls {
            match clouds::name(cloud, &Metadata::new(url, QUESTION)).await {
                Ok(name) => return name,
                // The first address is the usual one, so its error is reported.
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        if let Some(trouble) = trouble.filter(|trouble| told.as_ref() != Some(trouble)) {
            let message = format!("{cloud}'s metadata service {trouble}; asking until it answers");
            around.console.warn(Topic::Identity, &message);
            around
                .console
                .wait_for(&format!("{cloud}'s metadata service, which {trouble}"));
            told = Some(trouble);
        }
        tokio::time::sleep(backoff::pause(tries, 0.0).min(CEILING)).await;
        tries = tries.saturating_add(1);
    }
}

/// The error that no source has a valid node name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoName(pub Vec<String>);

impl std::fmt::Display for NoName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tried = words::printable(&self.0.join("; "));
        write!(
            f,
            "this machine has no name that a node can have ({tried}); set its host name or use --node-name"
        )
    }
}

impl std::error::Error for NoName {}
