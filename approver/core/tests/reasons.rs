//! `docs/reasons.md` and the code have the same words, so that a user finds each reason there.
#![expect(clippy::disallowed_methods, reason = "the document is a file")]
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::path::Path;

use rollcall_approver_core::Reason;
use rollcall_csr::ParseError;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons.md");
    std::fs::read_to_string(path).unwrap()
}

/// The second-level sections: title and text.
fn sections(document: &str) -> Vec<(&str, &str)> {
    let sections = document.split("\n## ").skip(1);
    sections
        .map(|section| section.split_once('\n').unwrap())
        .collect()
}

#[test]
fn every_reason_has_a_section_and_every_section_is_a_reason() {
    let document = document();
    let titles: Vec<&str> = sections(&document)
        .into_iter()
        .map(|(title, _)| title)
        .collect();
    let reasons = Reason::ALL.map(Reason::as_str);
    assert_eq!(titles, reasons);
}

#[test]
fn every_section_says_where_to_look_and_what_to_do() {
    let document = document();
    for (title, text) in sections(&document) {
        for part in ["\n- Look at: ", "\n- Do: "] {
            assert_eq!(text.matches(part).count(), 1, "{title}: {part:?}");
        }
        // The meaning comes first.
        assert!(
            text.trim_start().starts_with(char::is_alphanumeric)
                || text.trim_start().starts_with('`'),
            "{title}"
        );
    }
}

#[test]
fn every_word_of_the_parser_is_explained_and_no_other() {
    let document = document();
    let malformed = sections(&document)
        .into_iter()
        .find(|(title, _)| *title == Reason::RequestMalformed.as_str());
    let (_, text) = malformed.unwrap();
    let words: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(word, meaning)| {
            assert!(meaning.ends_with(". |"), "{word}: {meaning}");
            word
        })
        .collect();
    assert_eq!(words, ParseError::ALL_WORDS);
}
