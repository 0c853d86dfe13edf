//! What people hand in, and what is made of it.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const YAML: &str = "apiVersion: v1\nkind: Node\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What the program `tar` makes of these files.
fn tar_of(format: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let made = std::process::Command::new("tar")
        .args(["--create", "--format", format, "."])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(made.status.success());
    made.stdout
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn text_is_read_in_every_encoding_that_tools_write() {
    let marked = format!("\u{feff}{YAML}");
    for bytes in [
        YAML.as_bytes().to_vec(),
        marked.as_bytes().to_vec(),
        utf16(&marked, u16::to_le_bytes),
        utf16(&marked, u16::to_be_bytes),
        utf16(YAML, u16::to_le_bytes),
        utf16(YAML, u16::to_be_bytes),
        gzip(YAML.as_bytes()),
        gzip(&utf16(&marked, u16::to_le_bytes)),
        [gzip(b"apiVersion: v1\n"), gzip(b"kind: Node\n")].concat(),
    ] {
        assert_eq!(read(bytes).unwrap(), Content::Text(YAML.to_owned()));
    }
    assert_eq!(read(Vec::new()).unwrap(), Content::Text(String::new()));
    assert_eq!(
        read(b"a: \xff".to_vec()).unwrap(),
        Content::Text("a: \u{fffd}".to_owned())
    );
}

#[test]
fn archives_are_read_file_by_file() {
    let long = format!(
        "must-gather/{}/{}/node.yaml",
        "a".repeat(120),
        "b".repeat(120)
    );
    let files = [
        ("a.yaml", YAML),
        ("dir/empty.json", ""),
        (long.as_str(), "kind: Machine\n"),
    ];
    for format in ["gnu", "pax", "ustar"] {
        // The old form has no room for the longest.
        let files = if format == "ustar" {
            &files[..2]
        } else {
            &files[..]
        };
        let tar = tar_of(format, files);
        for bytes in [tar.clone(), gzip(&tar)] {
            let Content::Members(mut members) = read(bytes).unwrap() else {
                panic!("no archive: {format}");
            };
            members.sort();
            let mut expected: Vec<_> = files
                .iter()
                .map(|(name, content)| (format!("./{name}"), content.as_bytes().to_vec()))
                .collect();
            expected.sort();
            assert_eq!(members, expected, "{format}");
        }
        let cut = tar.get(..700).unwrap().to_vec();
        let broken = read(cut).unwrap_err();
        assert!(broken.contains("cut off"), "{broken}");
    }
}

#[test]
fn what_is_no_dump_is_named_with_the_remedy() {
    let table = "NAME        AGE   SIGNERNAME                      REQUESTOR   REQUESTEDDURATION   CONDITION\ncsr-1   1m\n";
    let all = "NAMESPACE   NAME   PHASE\n";
    let mut broken = gzip(YAML.as_bytes());
    broken.truncate(12);
    for (bytes, words) in [
        (table.as_bytes().to_vec(), "-o yaml"),
        (all.as_bytes().to_vec(), "table"),
        (
            utf16(&format!("\u{feff}{table}"), u16::to_le_bytes),
            "table",
        ),
        (b"PK\x03\x04...".to_vec(), "zip archive; unpack it"),
        (b"\xfd7zXZ\x00...".to_vec(), "xz"),
        (b"\x28\xb5\x2f\xfd...".to_vec(), "zstd"),
        (b"BZh9...".to_vec(), "bzip2"),
        (broken, "gzip, but broken"),
        (b"\xff\xfe\x00\xd8".to_vec(), "UTF-16, but broken"),
        (b"\xff\xfea".to_vec(), "UTF-16, but broken"),
    ] {
        let message = read(bytes).unwrap_err();
        assert!(message.contains(words), "{message}");
    }
    for text in ["NAME: x\n", "NAME\n", "name age\n", "NAME = x\n"] {
        assert_eq!(read(text.into()).unwrap(), Content::Text(text.to_owned()));
    }
}
