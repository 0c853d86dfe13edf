//! Files and units of somebody's own, which go to the machine besides.

use std::path::Path;

use super::agent;
use super::document::{CloudConfig, PUBLIC, SECRET};
use crate::cli::flag::{self, FlagError};

const FILE_FLAG: &str = "--file";
const UNIT_FLAG: &str = "--unit";

/// Where units go that an administrator adds (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system";
/// What a unit's name may end in (systemd.unit(5)).
const SUFFIXES: [&str; 9] = [
    ".automount",
    ".device",
    ".mount",
    ".path",
    ".service",
    ".slice",
    ".socket",
    ".target",
    ".timer",
];

/// Adds a file that is given as `PATH[:MODE]=FILE`.
pub(super) fn add_file(document: &mut CloudConfig, given: &str) -> Result<(), FlagError> {
    let wrong = |message: String| FlagError::new(FILE_FLAG, message);
    let (target, source) = given.split_once('=').ok_or_else(|| {
        wrong(format!(
            "{given:?} is not PATH[:MODE]=FILE, such as /etc/motd:0644=motd"
        ))
    })?;
    let (path, mode) = match target.rsplit_once(':') {
        None => (target, SECRET),
        Some((path, digits)) => (path, mode(digits).map_err(wrong)?),
    };
    let absolute = path.starts_with('/') && !path.ends_with('/');
    let tidy = path
        .split('/')
        .skip(1)
        .all(|part| !matches!(part, "" | "." | ".."));
    if !absolute || !tidy || path.chars().any(char::is_control) {
        return Err(wrong(format!(
            "{path:?} is no absolute path of a file without . and .."
        )));
    }
    let content = flag::read(FILE_FLAG, Path::new(source))?;
    if document.file(path, mode, content) {
        Ok(())
    } else {
        Err(wrong(format!("{path} is written already")))
    }
}

/// Permissions in octal digits.
fn mode(digits: &str) -> Result<u32, String> {
    let octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|_| octal && matches!(digits.len(), 3 | 4))
        .ok_or_else(|| {
            format!("{digits:?} is no mode; write three or four octal digits, such as 0600")
        })
}

/// Adds a unit. Returns its name if it is to be enabled and started: if it says by what it is wanted.
pub(super) fn add_unit(
    document: &mut CloudConfig,
    path: &Path,
    node_service: &str,
) -> Result<Option<String>, FlagError> {
    let wrong = |message: &str| FlagError::file(UNIT_FLAG, path, message);
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|name| is_unit_name(name))
        .ok_or_else(|| wrong("has no name of a unit, such as my-mount.service"))?;
    if name == agent::SERVICE || name == node_service {
        return Err(wrong(
            "is a unit that the image brings; add a drop-in with --file",
        ));
    }
    let text = flag::read_text(UNIT_FLAG, path)?;
    if !text.lines().any(|line| line.trim().starts_with('[')) {
        return Err(wrong("has no section, such as [Service], so it is no unit"));
    }
    if !document.file(&format!("{UNITS}/{name}"), PUBLIC, text.as_str()) {
        return Err(wrong("is given twice"));
    }
    // A template is started by whoever names its instance.
    let installs = text.lines().any(|line| line.trim() == "[Install]") && !name.contains("@.");
    Ok(installs.then(|| name.to_owned()))
}

/// Whether systemd would take this name (systemd.unit(5)).
pub(super) fn is_unit_name(name: &str) -> bool {
    let prefix = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    prefix.is_some_and(|prefix| !prefix.is_empty()) && name.len() < 256 && name.bytes().all(fits)
}

/// A drop-in of a unit.
pub(super) fn drop_in(unit: &str) -> String {
    format!("{UNITS}/{unit}.d/10-rollcall.conf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("0644"), Ok(0o644));
        assert_eq!(mode("600"), Ok(0o600));
        for wrong in ["", "6", "0o600", "0699", "rw-", "+600", "00600"] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_units_have_a_known_suffix() {
        for name in ["a.service", "dev-sdb.mount", "a@b.timer", "a@.service"] {
            assert!(is_unit_name(name), "{name}");
        }
        for name in [".service", "a", "a.conf", "a b.service", "a/b.service", ""] {
            assert!(!is_unit_name(name), "{name}");
        }
    }
}
