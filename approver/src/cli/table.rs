//! Tables for people: at most 100 columns, with a wrapped note under a row where there is more to say.

use crate::text::plain;

/// The widest line, in columns.
const WIDTH: usize = 100;
/// Between two columns.
const GAP: usize = 2;
/// How far notes are indented.
const INDENT: usize = 4;
/// No column is shortened to less.
const NARROWEST: usize = 8;

/// The colour of a word, on a terminal (ECMA-48, select graphic rendition).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Dim,
    Green,
    Red,
    Yellow,
}

impl Colour {
    /// The colour for a verdict, or for what was decided or done.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "approve" | "approved" | "bind" | "bound" | "changed" | "create" | "created" => {
                Self::Green
            }
            "denied" | "deny" | "failed" | "refused" => Self::Red,
            "hold" | "left" => Self::Yellow,
            _ => Self::Dim,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Dim => "2",
            Self::Green => "32",
            Self::Red => "31",
            Self::Yellow => "33",
        }
    }
}

/// One cell.
#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    colour: Option<Colour>,
    /// A word that must stand there whole.
    rigid: bool,
}

impl Cell {
    /// A name, which may be shortened.
    pub(super) fn name(text: &str) -> Self {
        Self {
            text: plain(if text.is_empty() { "-" } else { text }),
            colour: None,
            rigid: false,
        }
    }

    /// A word, which stands there whole.
    pub(super) fn word(text: &str) -> Self {
        Self {
            rigid: true,
            ..Self::name(text)
        }
    }

    /// A word in the colour of what it says.
    pub(super) fn verdict(text: &str) -> Self {
        Self {
            colour: Some(Colour::of(text)),
            ..Self::word(text)
        }
    }
}

/// A table in the making.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<(Vec<Cell>, Option<String>)>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|heading| Cell::word(heading)).collect();
        Self {
            rows: vec![(headings, None)],
        }
    }

    /// Adds a row, and what is to be said below it.
    pub(super) fn row(&mut self, cells: Vec<Cell>, note: Option<&str>) {
        self.rows.push((cells, note.map(plain)));
    }

    /// The table as text.
    pub(super) fn render(&self, colours: bool) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for (cells, note) in &self.rows {
            let mut line = String::new();
            for (cell, width) in cells.iter().zip(&widths) {
                let shown = shorten(&cell.text, *width);
                let padding = width
                    .saturating_sub(shown.chars().count())
                    .saturating_add(GAP);
                match cell.colour.filter(|_| colours) {
                    Some(colour) => {
                        line.push_str(&format!("\u{1b}[{}m{shown}\u{1b}[0m", colour.code()));
                    }
                    None => line.push_str(&shown),
                }
                line.extend(std::iter::repeat_n(' ', padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
            for line in note.iter().flat_map(|note| wrap(note)) {
                text.push_str(&" ".repeat(INDENT));
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }

    /// As wide as the widest cell; where that is too much, the widest column of names gives way.
    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(|(cells, _)| cells.len()).max();
        let mut columns: Vec<(usize, bool)> = (0..columns.unwrap_or(0))
            .map(|column| {
                let cells = || {
                    self.rows
                        .iter()
                        .filter_map(move |(cells, _)| cells.get(column))
                };
                let width = cells().map(|cell| cell.text.chars().count()).max();
                // The heading is a word; a column of names holds names below it.
                let rigid = cells().skip(1).all(|cell| cell.rigid);
                (width.unwrap_or(0), rigid)
            })
            .collect();
        let gaps = columns.len().saturating_sub(1).saturating_mul(GAP);
        loop {
            let total = columns
                .iter()
                .fold(gaps, |sum, (width, _)| sum.saturating_add(*width));
            let widest = columns
                .iter_mut()
                .filter(|(width, rigid)| !rigid && *width > NARROWEST)
                .max_by_key(|(width, _)| *width);
            match widest {
                Some((width, _)) if total > WIDTH => *width = width.saturating_sub(1),
                _ => return columns.into_iter().map(|(width, _)| width).collect(),
            }
        }
    }
}

/// Cuts a text to a width. The end of a name tells more than its middle, so that is what goes.
fn shorten(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let tail = kept.div_ceil(2);
    let head = kept.saturating_sub(tail);
    text.chars()
        .take(head)
        .chain(['…'])
        .chain(text.chars().skip(length.saturating_sub(tail)))
        .collect()
}

/// Breaks a note into lines, between words where it can.
fn wrap(note: &str) -> Vec<String> {
    let width = WIDTH.saturating_sub(INDENT);
    let (mut lines, mut line, mut length) = (Vec::new(), String::new(), 0_usize);
    for word in note.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        let needed = length.saturating_add(1).saturating_add(rest.len());
        if length > 0 && needed > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length = length.saturating_add(1);
        }
        while rest.len() > width {
            let tail = rest.split_off(width);
            lines.push(rest.into_iter().collect());
            rest = tail;
        }
        length = length.saturating_add(rest.len());
        line.extend(rest);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_give_way_and_words_do_not() {
        let mut table = Table::new(&["CSR", "NODE", "REASON"]);
        let long = "n".repeat(120);
        let cells = vec![
            Cell::name("csr-1"),
            Cell::name(&long),
            Cell::word("RequestorNotAllowed"),
        ];
        table.row(cells, Some(&"word ".repeat(60)));
        let text = table.render(false);
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(
            text.lines().any(|line| line.chars().count() == WIDTH),
            "{text}"
        );
        assert!(
            text.contains("RequestorNotAllowed") && text.contains('…'),
            "{text}"
        );
        assert!(
            text.lines()
                .skip(2)
                .all(|line| line.starts_with("    word")),
            "{text}"
        );
    }

    #[test]
    fn what_is_written_by_others_cannot_steer_the_terminal() {
        let mut table = Table::new(&["CSR"]);
        table.row(vec![Cell::name("a\u{1b}[2Jb")], Some("c\rd \u{202e}e"));
        assert_eq!(
            table.render(true),
            "CSR\na\u{fffd}[2Jb\n    c\u{fffd}d \u{fffd}e\n"
        );
    }

    #[test]
    fn a_word_longer_than_a_line_is_broken() {
        let lines = wrap(&format!("a {}", "w".repeat(200)));
        assert_eq!(
            lines.iter().map(String::len).collect::<Vec<_>>(),
            [1, 96, 96, 8]
        );
    }
}
