//! What an answer may replace.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use super::*;

fn deliver(path: &Path, overwrite: bool) -> Result<(), String> {
    let delivery = Delivery::open(Some(path), overwrite).map_err(|error| error.to_string())?;
    delivery.write(b"answer").map_err(|error| error.to_string())
}

#[test]
fn only_a_regular_file_gives_way_to_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let fifo = std::process::Command::new("mkfifo")
        .arg(at("fifo"))
        .status();
    assert!(fifo.unwrap().success());
    symlink("/dev/null", at("to-device")).unwrap();
    symlink(at("to-device"), at("to-link")).unwrap();
    symlink(at("folder"), at("to-folder")).unwrap();
    symlink(at("fifo"), at("to-fifo")).unwrap();
    symlink(at("nothing"), at("to-nothing")).unwrap();
    let special = [
        ("/dev/null".into(), "no regular file"),
        ("/dev/stdout".into(), ""),
        (at("folder"), "is a directory"),
        (at("socket"), "no regular file"),
        (at("fifo"), "no regular file"),
        (at("to-device"), "no regular file"),
        (at("to-link"), "no regular file"),
        (at("to-folder"), "a directory"),
        (at("to-fifo"), "no regular file"),
        (at("to-nothing"), "leads nowhere"),
    ];
    for (path, words) in special {
        let before = path.symlink_metadata().unwrap().file_type();
        // What standard output is depends on who runs the test.
        if path.is_file() {
            continue;
        }
        for overwrite in [false, true] {
            let refusal = deliver(&path, overwrite).unwrap_err();
            assert!(
                refusal.contains("--to") && refusal.contains(words),
                "{refusal}"
            );
            assert_eq!(path.symlink_metadata().unwrap().file_type(), before);
        }
    }
}

#[test]
fn a_file_is_replaced_where_that_was_asked_for_and_links_stay() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    deliver(&at("new"), false).unwrap();
    let mode = at("new").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    symlink(at("new"), at("link")).unwrap();
    for name in ["new", "link"] {
        std::fs::write(at("new"), "old").unwrap();
        assert!(deliver(&at(name), false).unwrap_err().contains("--force"));
        deliver(&at(name), true).unwrap();
        assert_eq!(std::fs::read(at("new")).unwrap(), b"answer");
    }
    assert!(at("link").is_symlink());
}
