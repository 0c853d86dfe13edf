//! A machine as somebody wrote it down, and what has to be right before it is expected.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use rollcall_csr::NodeName;
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use crate::ExpectArgs;
use crate::cli::input::InputError;
use crate::expected_machine::{ExpectedMachine, ExpectedMachineSpec, MAX_ADDRESSES};

/// A text, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    place: String,
    text: String,
    field: Option<&'static str>,
}

impl Given {
    /// A text and its place: a file with its line, or the command line.
    pub(super) fn at(place: &str, text: &str) -> Self {
        Self {
            place: place.to_owned(),
            text: text.trim().to_owned(),
            field: None,
        }
    }

    /// The same, where its file has another name for the field.
    pub(super) fn called(self, field: &'static str) -> Self {
        let field = Some(field);
        Self { field, ..self }
    }

    /// Another text at the same place.
    pub(super) fn saying(&self, text: &str) -> Self {
        Self {
            field: self.field,
            ..Self::at(&self.place, text)
        }
    }

    /// What it says.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong with it.
    pub(super) fn wrong(&self, field: &str, message: String) -> Wrong {
        Wrong {
            place: self.place.clone(),
            field: self.field.unwrap_or(field).to_owned(),
            message,
        }
    }

    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Something that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    place: String,
    field: String,
    message: String,
}

impl Wrong {
    /// The same, where nothing can be made of the file.
    pub(super) fn fatal(self) -> InputError {
        InputError::Malformed {
            name: self.place.into(),
            message: format!("{}: {}", self.field, self.message),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.field, self.message)
    }
}

/// A machine, unchecked. An empty text counts as none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) name: Given,
    pub(super) node_name: Option<Given>,
    pub(super) addresses: Vec<Given>,
    pub(super) provider_id: Option<Given>,
    pub(super) join_by: Option<Given>,
    pub(super) join_key: Option<Given>,
    pub(super) pool: Option<Given>,
    /// What is known to be wrong already.
    pub(super) wrong: Vec<Wrong>,
}

impl Draft {
    /// A machine of which only the name is known.
    pub(super) fn named(name: Given) -> Self {
        Self {
            name,
            node_name: None,
            addresses: Vec::new(),
            provider_id: None,
            join_by: None,
            join_key: None,
            pool: None,
            wrong: Vec::new(),
        }
    }

    /// The machine that the command line describes.
    ///
    /// # Errors
    /// If the file with its key cannot be used.
    pub(super) fn of_arguments(name: &str, args: &ExpectArgs) -> Result<Self, InputError> {
        let flag = |flag: &str, text: &String| Given::at(flag, text);
        let join_key = args.join_key.as_deref().map(public_key).transpose()?;
        Ok(Self {
            node_name: args
                .node_name
                .as_ref()
                .map(|text| flag("--node-name", text)),
            addresses: args
                .addresses
                .iter()
                .map(|text| flag("--address", text))
                .collect(),
            provider_id: args
                .provider_id
                .as_ref()
                .map(|text| flag("--provider-id", text)),
            join_key: join_key.map(|text| flag("--join-key", &text)),
            ..Self::named(Given::at("the command line", name))
        }
        .with_defaults(args))
    }

    /// Takes what the flags say for all machines, where this one says nothing.
    pub(super) fn with_defaults(mut self, args: &ExpectArgs) -> Self {
        let fill = |field: &mut Option<Given>, flag: &str, text: &Option<String>| {
            if field.as_ref().is_none_or(Given::is_empty) {
                *field = text.as_ref().map(|text| Given::at(flag, text));
            }
        };
        fill(&mut self.join_by, "--join-by", &args.join_by);
        fill(&mut self.pool, "--pool", &args.pool);
        self
    }

    /// What it says that the node is called.
    pub(super) fn node_text(&self) -> &str {
        let said = self.node_name.as_ref().filter(|given| !given.is_empty());
        said.unwrap_or(&self.name).text()
    }

    /// Where it stands.
    pub(super) fn place(&self) -> String {
        self.name.place.clone()
    }

    /// The record, or everything that is wrong.
    pub(super) fn check(self, now: Timestamp) -> Result<ExpectedMachine, Vec<Wrong>> {
        let mut wrong = self.wrong;
        let node_name = self.node_name.filter(|given| !given.is_empty());
        let node_name = node_name.unwrap_or_else(|| self.name.clone());
        let name = subdomain("name", &self.name, &mut wrong);
        let node_name = subdomain("nodeName", &node_name, &mut wrong);
        let addresses = addresses(&self.name, &self.addresses, &mut wrong);
        let join_by = set(self.join_by)
            .and_then(|given| keep(deadline(&given, now), "joinBy", &given, &mut wrong));
        let join_key = set(self.join_key)
            .and_then(|given| keep(key(&given.text), "joinKey", &given, &mut wrong));
        let provider_id = set(self.provider_id)
            .and_then(|given| keep(provider_id(&given.text), "providerID", &given, &mut wrong));
        let pool =
            set(self.pool).and_then(|given| keep(pool(&given.text), "pool", &given, &mut wrong));
        match (name, node_name) {
            (Some(name), Some(node_name)) if wrong.is_empty() => Ok(ExpectedMachine::new(
                name.as_str(),
                ExpectedMachineSpec {
                    node_name: node_name.to_string(),
                    addresses,
                    provider_id,
                    join_by,
                    join_key,
                    pool,
                    ..ExpectedMachineSpec::default()
                },
            )),
            _ => Err(wrong),
        }
    }
}

fn set(given: Option<Given>) -> Option<Given> {
    given.filter(|given| !given.is_empty())
}

fn keep<T>(
    read: Result<T, String>,
    field: &str,
    given: &Given,
    wrong: &mut Vec<Wrong>,
) -> Option<T> {
    read.map_err(|message| wrong.push(given.wrong(field, message)))
        .ok()
}

fn subdomain(field: &str, given: &Given, wrong: &mut Vec<Wrong>) -> Option<NodeName> {
    let name = given.text.parse::<NodeName>().map_err(|error| {
        // The error is worded for node names; a record's name obeys the same rules.
        let error = error.to_string().replace("the node name", "the name");
        format!("{:?}: {error}", given.text)
    });
    keep(name, field, given, wrong)
}

fn addresses(name: &Given, given: &[Given], wrong: &mut Vec<Wrong>) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for given in given.iter().filter(|given| !given.is_empty()) {
        let read = keep(address(&given.text), "addresses", given, wrong);
        addresses.extend(read.filter(|address| !addresses.contains(address)));
    }
    if addresses.len() > MAX_ADDRESSES {
        let message = format!(
            "{} are too many; {MAX_ADDRESSES} are allowed",
            addresses.len()
        );
        wrong.push(name.wrong("addresses", message));
    }
    addresses
}

/// An address in its one form: the API server compares texts.
fn address(text: &str) -> Result<String, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        if ip.is_loopback() || ip.is_unspecified() {
            return Err(format!("{text}: no machine is reached by this address"));
        }
        return Ok(ip.to_string());
    }
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    match NodeName::from_dns_name(text) {
        Ok(name) if !name.as_str().rsplit('.').next().is_some_and(numeric) => Ok(name.to_string()),
        _ => Err(format!("{text:?} is neither an IP address nor a DNS name")),
    }
}

/// A time, or how long from now.
fn deadline(given: &Given, now: Timestamp) -> Result<Timestamp, String> {
    let text = &given.text;
    let read = match text.parse::<SignedDuration>() {
        Ok(duration) => now.checked_add(duration).ok(),
        Err(_) => text.parse().ok(),
    };
    let at = read.ok_or_else(|| {
        format!("{text:?} is neither a duration like 2h nor a time like 2026-11-24T18:00:00Z")
    })?;
    if at <= now {
        return Err(format!("{text:?} has passed already; it is {now:.0}"));
    }
    // Nobody needs fractions of a second, and the API server keeps none in its own times.
    Timestamp::from_second(at.as_second()).map_err(|error| error.to_string())
}

fn key(text: &str) -> Result<String, String> {
    match BASE64_STANDARD.decode(text) {
        Ok(der) if is_public_key(&der) => Ok(text.to_owned()),
        _ => Err(
            "it is no public key: base64 of the DER of a SubjectPublicKeyInfo, as between the lines of a PUBLIC KEY in PEM"
                .to_owned(),
        ),
    }
}

/// A SubjectPublicKeyInfo is a SEQUENCE (RFC 5280, section 4.1); whether the key is good is for the approver to say.
fn is_public_key(der: &[u8]) -> bool {
    der.first() == Some(&0x30)
}

fn public_key(path: &Path) -> Result<String, InputError> {
    let wrong = |message: String| InputError::Malformed {
        name: path.display().to_string().into(),
        message,
    };
    let key = SubjectPublicKeyInfoDer::from_pem_file(path).map_err(|error| {
        wrong(format!(
            "it holds no PUBLIC KEY in PEM ({error}); make one with: openssl pkey -in KEY -pubout"
        ))
    })?;
    Ok(BASE64_STANDARD.encode(&key))
}

fn provider_id(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some((provider, rest)) if !provider.is_empty() && !rest.is_empty() => Ok(text.to_owned()),
        _ => Err(format!(
            "{text:?} is no provider ID such as aws:///eu-west-1a/i-0123456789abcdef0"
        )),
    }
}

fn pool(text: &str) -> Result<String, String> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let outside = |c: char| c.is_ascii_alphanumeric();
    if text.len() <= 253
        && text.chars().all(inside)
        && text.starts_with(outside)
        && text.ends_with(outside)
    {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no name of a pool: letters, digits, '-', '.' and '_'"
    ))
}
