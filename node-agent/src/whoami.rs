//! Who this machine is: the name of its node and the identity of its instance, from a list of sources.
//!
//! What is local is read; what a cloud's metadata service says is waited for, as long as the agent may wait at all. A
//! service that is slow or not ready must not lead to another name than the one the cluster expects.

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

/// The address at which every cloud's metadata service answers (link-local, RFC 3927).
pub const METADATA_URL: &str = "http://169.254.169.254";

/// EC2's own address for instances without IPv4.
const METADATA_URL_IPV6: &str = "http://[fd00:ec2::254]";

/// How long one question to a metadata service may take. Services that are busy answer within a second or two.
const QUESTION: Duration = Duration::from_secs(5);

/// The longest pause between two questions: metadata services are near and cheap to ask, and a machine waits.
const CEILING: Duration = Duration::from_secs(10);

/// What decides about the name.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Where the host's files are: `/`, but for tests.
    pub host: &'a Path,
    /// The name that the kernel has.
    pub host_name: &'a str,
    /// The sources to ask, in order; none for those that apply to this machine.
    pub sources: &'a [Source],
    /// The URL of the metadata service, without a path.
    pub metadata_url: Option<&'a str>,
    /// What was recorded when an identity was installed here.
    pub record: Option<&'a Record>,
}

/// What identifies the instance, from local files only.
pub fn instance(host: &Path) -> Instance {
    local::instance(host)
}

/// The name of this machine's node.
///
/// # Errors
/// When no source has a name that a node can have; with what each of them said.
pub async fn name(question: Question<'_>, around: &Surroundings) -> Result<NodeName, NoName> {
    // Asking again could give another name (a cloud lets people rename an instance), and needs a network.
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

/// Asks a metadata service until it answers, and says what is waited for when the reason changes.
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
                // The first address is the usual one, so its trouble is the one to tell.
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

/// No source has a name that a node can have.
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
