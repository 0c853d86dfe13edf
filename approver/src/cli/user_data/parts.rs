//! User-data of somebody's own, and what cloud-init takes it for.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::flag::{self, FlagError};

const FLAG: &str = "--merge";

/// The first bytes of a gzip file (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The type of our own part.
pub(super) const CLOUD_CONFIG: &str = "text/cloud-config";

/// Content types by the begin of a part (cloud-init, `cloudinit/handlers/__init__.py`, `INCLUSION_TYPES_MAP`). Of two
/// that fit, the longer one counts.
const TYPES: [(&str, &str); 9] = [
    ("## template: jinja", "text/jinja2"),
    ("#!", "text/x-shellscript"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#cloud-config", CLOUD_CONFIG),
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("#include", "text/x-include-url"),
    ("#include-once", "text/x-include-once-url"),
    ("#part-handler", "text/part-handler"),
];

/// One file to go with ours.
pub(super) struct Part {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) content: String,
    /// The files that it writes, as far as it is cloud-config.
    pub(super) files: Vec<String>,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message with headers of its own, which may hold parts.
    Message,
    /// One of cloud-init's types.
    Typed(&'static str),
}

/// Reads the files in their order.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Part>, FlagError> {
    let mut parts = Vec::new();
    for path in paths {
        let wrong = |message: String| FlagError::file(FLAG, path, message);
        let bytes = flag::read(FLAG, path)?;
        if bytes.starts_with(&GZIP) {
            return Err(wrong("is compressed; unpack it, and use --gzip".to_owned()));
        }
        let content =
            String::from_utf8(bytes).map_err(|_| wrong("is not text in UTF-8".to_owned()))?;
        let kind = kind(&content).map_err(wrong)?;
        let files = match kind {
            Kind::Typed(CLOUD_CONFIG) => files(&content).map_err(wrong)?,
            Kind::Message | Kind::Typed(_) => Vec::new(),
        };
        let name = path.file_name().unwrap_or(path.as_os_str());
        parts.push(Part {
            name: name.to_string_lossy().into_owned(),
            kind,
            content,
            files,
        });
    }
    Ok(parts)
}

fn kind(content: &str) -> Result<Kind, String> {
    let first = content.lines().next().unwrap_or_default();
    if first.trim().is_empty() {
        return Err(
            "begins with an empty line; cloud-init knows the type of user-data by its first one"
                .to_owned(),
        );
    }
    let header = first.to_ascii_lowercase();
    if header.starts_with("content-type:") || header.starts_with("mime-version:") {
        return Ok(Kind::Message);
    }
    let fitting = TYPES.iter().filter(|(begin, _)| content.starts_with(begin));
    let Some((_, kind)) = fitting.max_by_key(|(begin, _)| begin.len()) else {
        let known: Vec<&str> = TYPES.iter().map(|(begin, _)| *begin).collect();
        return Err(format!(
            "begins with none of what cloud-init knows: {}, or the headers of a MIME message",
            known.join(", ")
        ));
    };
    Ok(Kind::Typed(kind))
}

/// The paths that a cloud-config document writes to.
fn files(content: &str) -> Result<Vec<String>, String> {
    let document: Value = flag::parse_yaml(content)?;
    if !document.is_object() {
        return Err("is no mapping, so it is no cloud-config".to_owned());
    }
    let files = document.get("write_files").and_then(Value::as_array);
    let paths = files
        .into_iter()
        .flatten()
        .filter_map(|file| file.get("path")?.as_str());
    Ok(paths.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_what_a_part_is() {
        for (content, expected) in [
            ("#cloud-config\na: 1\n", "text/cloud-config"),
            ("#cloud-config-archive\n- {}\n", "text/cloud-config-archive"),
            ("#cloud-config-jsonp\n[]\n", "text/cloud-config-jsonp"),
            ("#!/bin/sh\n", "text/x-shellscript"),
            ("#include\nhttps://a\n", "text/x-include-url"),
            ("#include-once\nhttps://a\n", "text/x-include-once-url"),
            ("#cloud-boothook\n#!/bin/sh\n", "text/cloud-boothook"),
            ("#part-handler\n", "text/part-handler"),
            ("## template: jinja\n#cloud-config\n", "text/jinja2"),
        ] {
            assert_eq!(kind(content), Ok(Kind::Typed(expected)), "{content}");
        }
        assert_eq!(kind("MIME-Version: 1.0\n"), Ok(Kind::Message));
        assert_eq!(kind("Content-Type: multipart/mixed\n"), Ok(Kind::Message));
        for wrong in ["", "\n#cloud-config\n", "runcmd: []\n"] {
            assert!(kind(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_files_that_cloud_config_writes_are_known() {
        let document = "#cloud-config\nwrite_files:\n- path: /a\n- {content: x}\n- path: /b\n";
        assert_eq!(files(document).unwrap(), ["/a", "/b"]);
        assert_eq!(files("#cloud-config\n{}\n").unwrap(), [""; 0]);
        for wrong in [
            "#cloud-config\n- a\n",
            "#cloud-config\na: [\n",
            "#cloud-config\n",
        ] {
            assert!(files(wrong).is_err(), "{wrong:?}");
        }
    }
}
