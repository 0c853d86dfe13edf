//! MIME multi-part: several pieces of user-data in one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};

use super::parts::{CLOUD_CONFIG, Kind, Part};

/// How our part is merged into cloud-config that came before it. cloud-init's own way would be to replace the lists
/// `write_files` and `runcmd` of that by ours (`cloudinit/handlers/cloud_config.py`, `DEF_MERGERS`).
const MERGE: &str = "list(append)+dict(no_replace,recurse_list)+str()";

/// Characters of base64 in a line (RFC 2045, section 6.8).
const LINE: usize = 76;

/// Puts the parts in their order before ours, so that our files are written last.
pub(super) fn join(parts: &[Part], ours: &str) -> String {
    let boundary = boundary(parts, ours);
    let mut text =
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for part in parts {
        text.push_str(&format!("--{boundary}\n"));
        match part.kind {
            Kind::Message => text.push_str(&part.content),
            Kind::Typed(kind) => text.push_str(&entity(kind, &part.name, "", &part.content)),
        }
        text.push('\n');
    }
    let merge = format!("Merge-Type: {MERGE}\n");
    let ours = entity(CLOUD_CONFIG, "rollcall.yaml", &merge, ours);
    text.push_str(&format!("--{boundary}\n{ours}\n--{boundary}--\n"));
    text
}

fn entity(kind: &str, name: &str, more: &str, content: &str) -> String {
    // What is not ASCII gets through every parser only in base64; the rest stays readable, and small.
    let (encoding, charset, body) = if content.is_ascii() {
        ("7bit", "us-ascii", content.to_owned())
    } else {
        ("base64", "utf-8", folded(content))
    };
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && c != '"' && c != '\\' {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!(
        "Content-Type: {kind}; charset=\"{charset}\"\nContent-Transfer-Encoding: {encoding}\n\
         Content-Disposition: attachment; filename=\"{name}\"\n{more}\n{body}"
    )
}

fn folded(content: &str) -> String {
    let mut text = String::new();
    for (number, character) in STANDARD.encode(content).chars().enumerate() {
        if number > 0 && number.is_multiple_of(LINE) {
            text.push('\n');
        }
        text.push(character);
    }
    text
}

/// A boundary that stands in no part: a digest of all of them, so that the same parts give the same one.
fn boundary(parts: &[Part], ours: &str) -> String {
    let mut context = Context::new(&SHA256);
    for content in parts.iter().map(|part| part.content.as_str()).chain([ours]) {
        context.update(content.as_bytes());
        context.update(&[0]);
    }
    let digest = context.finish();
    let digits: String = digest
        .as_ref()
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("rollcall-{digits}")
}
