//! How hosts are written in an inventory: a name, perhaps with a port, perhaps with ranges such as `worker-[01:50]`.

use std::net::Ipv6Addr;

/// How many hosts ranges may stand for, in all inventories together. Far more than one control plane has nodes (5,000:
/// "Considerations for large clusters" of Kubernetes), and few enough for a slip of the finger to do no harm.
pub(super) const MAX_FROM_RANGES: usize = 10_000;
/// The longest DNS name (RFC 1123, section 2.1), and so the longest name of a node.
const MAX_NAME: usize = 253;
/// The letters of a range, in Ansible's order (Python's `string.ascii_letters`).
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A part of a name: some text, or what takes its place one after the other.
enum Part<'t> {
    Range(Range),
    Text(&'t str),
}

/// The names that a pattern stands for, in Ansible's order. A port is left out.
///
/// # Errors
/// If it cannot be understood, or its ranges stand for more hosts than there is room for.
pub(super) fn names(pattern: &str, room: usize) -> Result<Vec<String>, String> {
    let name = without_port(pattern)?;
    if !name.contains('[') {
        return Ok(vec![name.to_owned()]);
    }
    let parts = parts(name)?;
    let mut count = 1_usize;
    let mut text_length = 0_usize;
    for part in &parts {
        match part {
            Part::Range(range) => count = count.saturating_mul(range.count()),
            Part::Text(text) => text_length = text_length.saturating_add(text.len()),
        }
    }
    if count > room {
        return Err(format!(
            "{pattern:?} is too much: ranges may stand for {MAX_FROM_RANGES} hosts in all"
        ));
    }
    if text_length > MAX_NAME {
        return Err(format!("a name has at most {MAX_NAME} characters"));
    }
    let mut names = vec![String::new()];
    for part in parts {
        match part {
            Part::Range(range) => {
                let texts = range.texts();
                let longer = |name: String| texts.iter().map(move |text| format!("{name}{text}"));
                names = names.into_iter().flat_map(longer).collect();
            }
            Part::Text(text) => names.iter_mut().for_each(|name| name.push_str(text)),
        }
    }
    Ok(names)
}

/// Leaves out `:PORT`, and the brackets around an address that only a port calls for.
fn without_port(pattern: &str) -> Result<&str, String> {
    if pattern.parse::<Ipv6Addr>().is_ok() {
        return Ok(pattern);
    }
    let Some((host, port)) = pattern.rsplit_once(':') else {
        return Ok(pattern);
    };
    let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    if let Some(address) = bracketed.filter(|address| address.parse::<Ipv6Addr>().is_ok())
        && is_number(port)
    {
        return Ok(address);
    }
    let is_inside_brackets = host.rfind('[') > host.rfind(']');
    if is_inside_brackets {
        return Ok(pattern);
    }
    if port.is_empty() {
        return Err(format!("{pattern:?} lacks the port after its colon"));
    }
    if is_number(port) && !outside_of_ranges(host).any(|c| c == ':') {
        return Ok(host);
    }
    Err(format!(
        "{pattern:?} is neither a name nor an address, with a port or without"
    ))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn outside_of_ranges(text: &str) -> impl Iterator<Item = char> {
    let mut inside = false;
    text.chars().filter(move |c| {
        inside = (inside || *c == '[') && *c != ']';
        !inside
    })
}

fn parts(name: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        let (range, after) = after
            .split_once(']')
            .ok_or_else(|| format!("{name:?} lacks the ] of its range"))?;
        parts.push(Part::Text(before));
        let range = Range::read(range)
            .ok_or_else(|| format!("[{range}] is no range such as [01:50], [a:f] or [0:100:10]"))?;
        parts.push(Part::Range(range));
        rest = after;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// What stands between brackets: `BEGIN:END` or `BEGIN:END:STEP`, both ends included.
struct Range {
    begin: usize,
    end: usize,
    step: usize,
    form: Form,
}

enum Form {
    /// Places in [`LETTERS`].
    Letters,
    /// Numbers of at least so many digits.
    Numbers(usize),
}

impl Range {
    /// Nothing when it is none, or one without an element.
    fn read(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let (begin, end) = (fields.next()?, fields.next()?);
        let step = fields.next().map_or(Some(1), number)?;
        if fields.next().is_some() || step == 0 {
            return None;
        }
        let range = match (letter(begin), letter(end)) {
            (Some(begin), Some(end)) => Self {
                begin,
                end,
                step,
                form: Form::Letters,
            },
            _ => Self {
                begin: if begin.is_empty() { 0 } else { number(begin)? },
                end: number(end)?,
                step,
                form: Form::Numbers(width(begin, end)?),
            },
        };
        (range.begin <= range.end).then_some(range)
    }

    /// How many elements it has.
    fn count(&self) -> usize {
        let span = self.end.saturating_sub(self.begin);
        let steps = span.checked_div(self.step).unwrap_or(0);
        steps.saturating_add(1)
    }

    fn texts(&self) -> Vec<String> {
        (self.begin..=self.end)
            .step_by(self.step)
            .map(|at| match self.form {
                Form::Letters => LETTERS.chars().nth(at).into_iter().collect(),
                Form::Numbers(width) => format!("{at:0width$}"),
            })
            .collect()
    }
}

/// How many digits the numbers of a range have at least: a zero at its begin asks for as many as stand there.
fn width(begin: &str, end: &str) -> Option<usize> {
    let padded = begin.len() > 1 && begin.starts_with('0');
    if !padded {
        return Some(1);
    }
    (begin.len() == end.len() && begin.len() <= MAX_NAME).then_some(begin.len())
}

fn number(text: &str) -> Option<usize> {
    // No sign: "+1" is a number to Rust.
    is_number(text).then(|| text.parse().ok()).flatten()
}

fn letter(text: &str) -> Option<usize> {
    let mut letters = text.chars();
    let letter = letters.next().filter(|_| letters.next().is_none())?;
    LETTERS.find(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_names() {
        for (pattern, expected) in [
            ("worker-1.example", "worker-1.example"),
            ("worker-1:2222", "worker-1"),
            ("10.0.0.1:22", "10.0.0.1"),
            ("2001:db8::22", "2001:db8::22"),
            ("2001:db8::", "2001:db8::"),
            ("[2001:db8::1]:22", "2001:db8::1"),
            ("w-[01:03]", "w-01 w-02 w-03"),
            ("w-[01:03]:22", "w-01 w-02 w-03"),
            ("w-[8:11]", "w-8 w-9 w-10 w-11"),
            ("w-[098:101]", "w-098 w-099 w-100 w-101"),
            (
                "w-[00:20:10].example",
                "w-00.example w-10.example w-20.example",
            ),
            ("w-[:2]", "w-0 w-1 w-2"),
            ("w-[0:0]", "w-0"),
            ("w-[a:c]", "w-a w-b w-c"),
            ("w-[a:f:2]", "w-a w-c w-e"),
            ("w-[y:B]", "w-y w-z w-A w-B"),
            ("[1:2]-w", "1-w 2-w"),
            ("[1:2]", "1 2"),
            ("[1:2]:22", "1 2"),
            ("r[1:2]-w[a:b]", "r1-wa r1-wb r2-wa r2-wb"),
            ("r[1:2]w[a:b]:22", "r1wa r1wb r2wa r2wb"),
            ("10.0.0.[1:3]", "10.0.0.1 10.0.0.2 10.0.0.3"),
        ] {
            let read = names(pattern, MAX_FROM_RANGES).map(|names| names.join(" "));
            assert_eq!(read.as_deref(), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_so() {
        for (pattern, expected) in [
            ("worker:", "lacks the port"),
            ("worker-[1:3]:", "lacks the port"),
            ("worker:ssh", "neither a name nor an address"),
            ("a:b:22", "neither a name nor an address"),
            ("w-[1:3", "\"w-[1:3\" lacks the ]"),
            ("w-[1", "lacks the ]"),
            ("w-[]", "[] is no range"),
            ("w-[1]", "[1] is no range"),
            ("w-[1:]", "[1:] is no range"),
            ("w-[3:1]", "[3:1] is no range"),
            ("w-[c:a]", "[c:a] is no range"),
            ("w-[a:3]", "[a:3] is no range"),
            ("w-[aa:bb]", "[aa:bb] is no range"),
            ("w-[01:100]", "[01:100] is no range"),
            ("w-[1:3:0]", "[1:3:0] is no range"),
            ("w-[1:3:1:1]", "[1:3:1:1] is no range"),
            ("w-[-1:3]", "[-1:3] is no range"),
            ("w-[+1:3]", "[+1:3] is no range"),
            ("w-[1:[2:3]]", "[1:[2:3] is no range"),
            ("w-[1:99999999999999999999]", "is no range"),
            ("w-[1:10001]", "10000 hosts in all"),
            ("w-[0:18446744073709551615]", "10000 hosts in all"),
            (
                "[1:9999][1:9999][1:9999][1:9999][1:9999]",
                "10000 hosts in all",
            ),
        ] {
            let error = names(pattern, MAX_FROM_RANGES).unwrap_err();
            assert!(error.contains(expected), "{pattern}: {error}");
        }
        for (text, zeros) in [(300, 1), (1, 100_000)] {
            let (text, zeros) = ("w".repeat(text), "0".repeat(zeros));
            let long = format!("{text}[{zeros}1:{zeros}2]");
            assert!(names(&long, MAX_FROM_RANGES).is_err());
        }
        assert!(names("w-[1:3]", 2).is_err());
    }
}
