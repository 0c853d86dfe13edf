//! The cases that both programs have in common, each decided as client-go does.

use super::*;

const CONTEXT: &str = "current-context: a\ncontexts: [{name: a, context: {cluster: b, user: c}}]\n";

fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "{CONTEXT}clusters:\n- name: b\n  cluster: {{server: 'https://api'{cluster}}}\nusers:\n- name: c\n  user:\n{user}\n"
    )
}

fn of(text: &str) -> Result<Selected, Unusable> {
    select(&parse(text.as_bytes(), Path::new("/folder"))?)
}

fn refusal(text: &str) -> String {
    of(text)
        .err()
        .unwrap_or_else(|| panic!("not refused: {text}"))
        .to_string()
}

fn token(user: &str) -> String {
    let selected = of(&kubeconfig("", user)).unwrap();
    selected.token().unwrap().unwrap().text.to_string()
}

#[test]
fn each_missing_entry_is_named() {
    let missing = read(Path::new("/nonexistent/config"));
    assert!(matches!(missing, Err(Unusable::Missing)));
    let folder = std::env::temp_dir();
    assert!(matches!(read(&folder), Err(Unusable::Unreadable(_))));
    assert!(refusal("").contains("no current-context"));
    assert!(refusal("current-context: a").contains("no context \"a\""));
    assert!(refusal(CONTEXT).contains("no cluster \"b\""));
    let no_user = format!("{CONTEXT}clusters: [{{name: b, cluster: {{}}}}]");
    assert!(refusal(&no_user).contains("no user \"c\""));
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place_and_without_its_text() {
    let message = refusal("users:\n- name: a\n  user: {token: abcdef.secret\nclusters: 7\n");
    assert!(
        message.contains("line ") && !message.contains("secret"),
        "{message}"
    );
    for bytes in [
        &b"\x00\x01"[..],
        b"\xff\xfe\x41",
        b"\xff\xff",
        b"\xfe\xff\xd8\x00",
    ] {
        let refused = parse(bytes, Path::new("")).unwrap_err().to_string();
        assert!(refused.contains("not a kubeconfig in YAML"), "{refused}");
    }
}

#[test]
fn white_space_around_a_token_is_no_part_of_it() {
    for user in [
        "    token: abcdef.0123456789abcdef",
        "    token: |\n      abcdef.0123456789abcdef",
        "    token: |+\n      abcdef.0123456789abcdef\n\n",
        "    token: >\n      abcdef.0123456789abcdef",
        "    token: \"abcdef.0123456789abcdef\\r\\n\"",
        "    token: \" \\tabcdef.0123456789abcdef \"",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "\n abcdef.0123456789abcdef\r\n\n").unwrap();
        assert_eq!(token(user), "abcdef.0123456789abcdef", "{user}");
        let in_file = kubeconfig("", &format!("    tokenFile: {}", file.display()));
        let selected = of(&in_file).unwrap();
        let found = selected.token().unwrap().unwrap();
        assert_eq!(found.text.as_str(), "abcdef.0123456789abcdef");
        assert_eq!(found.file.as_deref(), Some(file.as_path()));
        // The bytes that kube would send unchanged.
        let sent = selected.user.token.unwrap();
        assert_eq!(sent.expose_secret(), "abcdef.0123456789abcdef");
    }
}

#[test]
fn a_token_that_no_header_holds_is_refused_by_its_field() {
    for bad in [
        "a b", "a\\nb", "a\\tb", "a\\0b", "a\\x7fb", "\\u00e4", "\\n", " ",
    ] {
        let message = refusal(&kubeconfig("", &format!("    token: \"{bad}\"")));
        assert!(
            message.contains("users[c].user.token"),
            "{bad:?}: {message}"
        );
        assert!(message.contains("no Authorization header"), "{message}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let user = format!("    tokenFile: {}", file.display());
    for (content, words) in [
        (&b""[..], "is empty"),
        (b" \n", "is empty"),
        (b"a b", "no Authorization"),
        (b"a\nb\n", "no Authorization"),
        (b"\xff", "no Authorization"),
        (b"\xef\xbb\xbfabc", "no Authorization"),
    ] {
        std::fs::write(&file, content).unwrap();
        let message = refusal(&kubeconfig("", &user));
        let name = file.display().to_string();
        for word in ["users[c].user.tokenFile", &name, words] {
            assert!(message.contains(word), "{content:?}: {message}");
        }
    }
    std::fs::remove_file(&file).unwrap();
    assert!(refusal(&kubeconfig("", &user)).contains("cannot be read"));
}

/// client-go `transport/round_trippers.go`: the file takes precedence over the token in the kubeconfig while it is
/// readable.
#[test]
fn a_token_file_comes_before_a_token_as_long_as_it_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let user = format!("    token: inline\n    tokenFile: {}", file.display());
    assert_eq!(token(&user), "inline");
    std::fs::write(&file, "of-the-file\n").unwrap();
    assert_eq!(token(&user), "of-the-file");
}

#[test]
fn base64_may_have_line_ends_and_nothing_else() {
    for data in [
        "Y2E=",
        "|\n      Y2\n      E=\n",
        "\"Y2\\r\\nE=\\n\"",
        "Y2F=",
    ] {
        let text = kubeconfig("", &format!("    client-certificate-data: {data}"));
        let found = of(&text).unwrap().client_certificate().unwrap().unwrap();
        assert_eq!(*found.contents, b"ca", "{data}");
        let text = kubeconfig("", &format!("    client-key-data: {data}"));
        let found = of(&text).unwrap().client_key().unwrap().unwrap();
        assert_eq!(*found.contents, b"ca", "{data}");
    }
    for data in [
        ">\n      Y2\n      E=\n",
        "\"Y2 E=\"",
        "Y2E",
        "'%'",
        "Y2E=Y2E=",
        "Y2_-",
    ] {
        let message = refusal(&kubeconfig(
            "",
            &format!("    client-certificate-data: {data}"),
        ));
        assert!(
            message.contains("client-certificate-data what is not base64"),
            "{message}"
        );
    }
    let none = kubeconfig(
        ", certificate-authority-data: '', certificate-authority: ca",
        "    {}",
    );
    let selected = of(&none).unwrap();
    assert_eq!(
        selected.cluster.certificate_authority.as_deref(),
        Some("/folder/ca")
    );
    assert!(selected.certificate_authority().is_err());
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let sound = kubeconfig("", "    token: t");
    for (list, twice) in [
        (
            "clusters",
            sound.replace("clusters:\n", "clusters:\n- name: b\n"),
        ),
        (
            "contexts",
            sound.replace("contexts: [", "contexts: [{name: a}, "),
        ),
        ("users", sound.replace("users:\n", "users:\n- name: c\n")),
        (
            "users",
            sound.replace("users:\n", "users:\n- name: unused\n- name: unused\n"),
        ),
    ] {
        let message = refusal(&twice);
        assert!(
            message.contains("two entries named") && message.contains(list),
            "{message}"
        );
    }
}

#[test]
fn the_first_document_is_the_only_one() {
    let sound = kubeconfig("", "    token: t");
    let other = sound.replace("token: t", "token: other");
    for text in [
        format!("{sound}---\n{other}"),
        format!("# a comment\n---\n{sound}---\n[broken"),
        format!("%YAML 1.2\n--- # begins\n{sound}...\n---\n{other}"),
        format!("\n\n{sound}--- \n\n"),
        sound.replace('\n', "\r\n"),
    ] {
        assert_eq!(
            of(&text).unwrap().token().unwrap().unwrap().text.as_str(),
            "t",
            "{text}"
        );
    }
    let late = format!("---\n---\n{sound}");
    assert!(refusal(&late).contains("no current-context in its first YAML document"));
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let sound = kubeconfig("", "    token: t");
    let utf16 = |unit: fn(u16) -> [u8; 2]| {
        let text = format!("\u{feff}{sound}");
        text.encode_utf16().flat_map(unit).collect::<Vec<u8>>()
    };
    let utf8 = format!("\u{feff}{sound}").into_bytes();
    for bytes in [utf8, utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)] {
        let all = parse(&bytes, Path::new("")).unwrap();
        assert_eq!(
            select(&all)
                .unwrap()
                .token()
                .unwrap()
                .unwrap()
                .text
                .as_str(),
            "t"
        );
    }
}

#[test]
fn another_kind_is_named() {
    let sound = kubeconfig("", "    token: t");
    let of_kind =
        |version: &str, kind: &str| format!("apiVersion: {version}\nkind: {kind}\n{sound}");
    assert!(of(&of_kind("v1", "Config")).is_ok());
    for (version, kind) in [
        ("v1", "Secret"),
        ("v1beta1", "Config"),
        ("rollcall.dev/v1alpha1", "ApproverConfig"),
    ] {
        let message = refusal(&of_kind(version, kind));
        assert!(
            message.contains(kind) && message.contains(version),
            "{message}"
        );
    }
}

#[test]
fn only_the_selected_entries_are_handed_on() {
    let text = kubeconfig(
        "",
        "    token: t\n- name: admin\n  user: {token: of-an-administrator}",
    );
    let selected = of(&text).unwrap();
    let all = format!("{:?}", selected.all);
    assert!(!all.contains("admin"), "{all}");
    assert_eq!(selected.user_field("token"), "users[c].user.token");
    assert_eq!(
        selected.cluster_field("server"),
        "clusters[b].cluster.server"
    );
}
