//! The configuration of node-agent on the machine: an environment file that its unit reads.

use std::fmt::Write as _;

use super::layout::Layout;
use crate::UserDataArgs;
use crate::cli::flag::FlagError;

/// The file, which `rollcall-node-agent.service` names as its `EnvironmentFile`.
pub(super) const PATH: &str = "/etc/rollcall/node-agent.env";
/// The unit that runs node-agent.
pub(super) const SERVICE: &str = "rollcall-node-agent.service";
/// Where the machine's join key goes.
pub(super) const JOIN_KEY: &str = "/etc/rollcall/join-key.pem";

/// The flag that gives one of node-agent's.
const FLAG: &str = "--agent-flag";
/// Flags of node-agent that follow from flags of `user-data`.
const OURS: [(&str, &str); 5] = [
    ("bootstrap-kubeconfig", "--flavour"),
    ("kubeconfig", "--flavour"),
    ("cert-dir", "--flavour"),
    ("join-key", "--join-key"),
    ("node-name-from", "--node-name-from"),
];
/// Flags of node-agent that may be given besides; a test compares them with its own.
const KNOWN: [&str; 11] = [
    "allow-exec",
    "client-ca",
    "expiration-seconds",
    "keep-bootstrap",
    "log-format",
    "metadata-url",
    "name-file",
    "node-name",
    "resubmit-after",
    "state-dir",
    "timeout",
];

/// The environment file, and warnings.
pub(super) fn environment(
    args: &UserDataArgs,
    layout: &Layout,
) -> Result<(String, Vec<String>), FlagError> {
    let mut text = String::new();
    let mut add = |name: &str, value: &str| {
        let variable = name.to_ascii_uppercase().replace('-', "_");
        // Writing to a String cannot fail.
        writeln!(text, "ROLLCALL_{variable}={}", quoted(value)).ok();
    };
    add("bootstrap-kubeconfig", layout.bootstrap_kubeconfig);
    add("kubeconfig", layout.kubeconfig);
    add("cert-dir", layout.cert_dir);
    if let Some(sources) = &args.node_name_from {
        check_value("--node-name-from", sources)?;
        add("node-name-from", sources);
    }
    if args.join_key.is_some() {
        add("join-key", JOIN_KEY);
    }
    let mut warnings = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for pair in &args.agent_flags {
        let (name, value) = split(pair)?;
        if seen.contains(&name) {
            return Err(FlagError::new(FLAG, format!("{name} is given twice")));
        }
        seen.push(name);
        if !KNOWN.contains(&name) {
            warnings.push(format!(
                "the rollcall-node-agent of this version has no flag --{name}; one that does not know it ignores it"
            ));
        }
        add(name, value);
    }
    Ok((text, warnings))
}

fn split(pair: &str) -> Result<(&str, &str), FlagError> {
    let Some((name, value)) = pair.split_once('=') else {
        let message = format!("{pair:?} is not NAME=VALUE, such as timeout=30m");
        return Err(FlagError::new(FLAG, message));
    };
    let fits = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if !fits || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        let message = format!("{name:?} is no name of a flag; leave its dashes out");
        return Err(FlagError::new(FLAG, message));
    }
    if let Some((_, ours)) = OURS.iter().find(|(flag, _)| *flag == name) {
        let message = format!("{name} follows from {ours}");
        return Err(FlagError::new(FLAG, message));
    }
    check_value(FLAG, value)?;
    Ok((name, value))
}

fn check_value(flag: &str, value: &str) -> Result<(), FlagError> {
    if value.is_empty() || value.chars().any(char::is_control) {
        let message = format!("{value:?} is empty or holds a control character");
        return Err(FlagError::new(flag, message));
    }
    Ok(())
}

/// A value as systemd reads it in an environment file (systemd.exec(5), `EnvironmentFile=`).
fn quoted(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@,+=".contains(&byte);
    if value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut text = "\"".to_owned();
    for character in value.chars() {
        if matches!(character, '"' | '\\' | '`' | '$') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn values_are_quoted_where_systemd_would_read_them_otherwise() {
        assert_eq!(quoted("ec2,hostname"), "ec2,hostname");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted(r#"a"b\c$d`e#"#), r#""a\"b\\c\$d\`e#""#);
    }

    /// The flags are read from node-agent's own source: its crate is another program's.
    #[test]
    fn the_flags_are_node_agents() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../node-agent/src/args.rs");
        let source = std::fs::read_to_string(path).unwrap();
        let there: BTreeSet<String> = source
            .split("\"ROLLCALL_")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(|variable| variable.to_ascii_lowercase().replace('_', "-"))
            .filter(|flag| !OURS.iter().any(|(ours, _)| ours == flag))
            .collect();
        assert_eq!(there, KNOWN.map(str::to_owned).into());
    }
}
