//! Inventories in INI, read as Ansible's plug-in `ini` reads them.

use super::{Inventory, UNGROUPED, Variables, variable};
use crate::cli::expect::draft::{Given, Wrong};
use crate::cli::input::Text;

/// Whether a text is an inventory in INI: by its name, or because a line of it is a section, and no list of YAML or JSON.
pub(in crate::cli::expect) fn is(text: &Text) -> bool {
    let is_usual = |c: char| c.is_alphanumeric() || ['_', '-', '.'].contains(&c);
    let is_section = |line: &str| {
        let section = Section::read(line.trim_end());
        section.is_some_and(|section| section.group.chars().all(is_usual))
    };
    text.name.ends_with(".ini") || text.content.lines().any(is_section)
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with(['#', ';'])
}

/// Reads an inventory.
///
/// # Errors
/// If a line of it cannot be understood.
pub(in crate::cli::expect) fn read(text: &Text, inventory: &mut Inventory) -> Result<(), Wrong> {
    let mut section = Section {
        group: UNGROUPED,
        kind: Kind::Hosts,
    };
    for (number, line) in (1_usize..).zip(text.content.lines()) {
        let line = line.trim();
        if is_comment(line) {
            continue;
        }
        let given = Given::at(&format!("{}:{number}", text.name), line);
        if let Some(begun) = Section::read(line) {
            section = begun;
            // Variables alone make no group.
            if section.kind != Kind::Vars {
                inventory.groups.declare(section.group);
            }
        } else if line.starts_with('[') && line.ends_with(']') {
            let message =
                format!("{line} is no section such as [nodes], [nodes:children] or [nodes:vars]");
            return Err(given.wrong("section", message));
        } else {
            section.read_line(&given, inventory)?;
        }
    }
    Ok(())
}

/// Which lines follow.
struct Section<'t> {
    group: &'t str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Children,
    Hosts,
    Vars,
}

impl<'t> Section<'t> {
    /// Reads `[group]` or `[group:kind]`.
    fn read(line: &'t str) -> Option<Self> {
        let (inside, after) = line.strip_prefix('[')?.split_once(']')?;
        let (group, kind) = inside.split_once(':').unwrap_or((inside, "hosts"));
        let kind = match kind {
            "children" => Kind::Children,
            "hosts" => Kind::Hosts,
            "vars" => Kind::Vars,
            _ => return None,
        };
        (is_group(group) && is_end(after)).then_some(Self { group, kind })
    }

    fn read_line(&self, line: &Given, inventory: &mut Inventory) -> Result<(), Wrong> {
        match self.kind {
            Kind::Children => {
                let text = line.text();
                let (child, after) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
                if !is_group(child) || !is_end(after) {
                    let message = format!("{text:?} is no name of a group");
                    return Err(line.wrong("children", message));
                }
                let child = Given::at(line.place(), child);
                inventory.groups.add_child(self.group, child);
            }
            Kind::Hosts => {
                let (pattern, variables) = host(line, inventory)?;
                inventory.add_hosts(self.group, &pattern, &variables)?;
            }
            Kind::Vars => {
                let name = line.text().split('=').next().unwrap_or_default();
                inventory.add_group_variable(self.group, Given::at(line.place(), name));
            }
        }
        Ok(())
    }
}

/// Ansible takes all of this for a name.
fn is_group(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == ':' || c == ']')
}

/// Whether nothing follows but a comment.
fn is_end(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty() || text.starts_with('#')
}

/// Reads `PATTERN key=value...`, quoted as for a shell.
fn host(line: &Given, inventory: &mut Inventory) -> Result<(Given, Variables), Wrong> {
    let mut words = shlex::Shlex::new(line.text());
    let pattern = words.next();
    let mut variables = Variables::new();
    for word in words.by_ref() {
        let Some((name, value)) = word.split_once('=') else {
            let message = format!("{word:?} is no key=value; a value with blanks stands in quotes");
            return Err(line.wrong("host", message));
        };
        match variable(name) {
            Some(name) => variables.push((name, vec![Given::at(line.place(), value)])),
            None => inventory.add_unknown(&Given::at(line.place(), name)),
        }
    }
    match pattern {
        Some(pattern) if !words.had_error => Ok((Given::at(line.place(), &pattern), variables)),
        _ => Err(line.wrong("host", "a quote or an escape is not ended".to_owned())),
    }
}
