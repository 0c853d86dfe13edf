//! Inventories in YAML, read as Ansible's plug-in `yaml` reads them; but what it skips with a warning is an error here.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::{ADDRESSES, Inventory, OURS, RESOLVE, Variables, variable};
use crate::cli::expect::draft::{Given, Wrong};

/// The groups of an inventory, in the order of the file.
#[derive(Debug)]
pub(in crate::cli::expect) struct Root(Vec<(Spanned<String>, Group)>);

impl Root {
    /// Reads the mapping that a document is.
    pub(in crate::cli::expect) fn read<'de, A>(mut map: A) -> Result<Self, A::Error>
    where
        A: MapAccess<'de>,
    {
        let mut groups = Vec::new();
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            let what = match name.value.as_str() {
                "_meta" => "is what an inventory script writes",
                "plugin" => "configures a plug-in of Ansible",
                _ => {
                    groups.push((name, map.next_value()?));
                    continue;
                }
            };
            let name = name.value;
            let message = format!("{name}: this {what}; hand in what {RESOLVE} writes");
            return Err(A::Error::custom(message));
        }
        Ok(Self(groups))
    }

    /// Puts everything into an inventory.
    ///
    /// # Errors
    /// If hosts are written in a way that cannot be understood.
    pub(in crate::cli::expect) fn add(self, file: &str, to: &mut Inventory) -> Result<(), Wrong> {
        for (name, group) in self.0 {
            group.add(file, given(file, &name).text(), to)?;
        }
        Ok(())
    }
}

/// What is said of a group at one place.
#[derive(Debug, Default)]
struct Group {
    children: Option<Spanned<Entries<Self>>>,
    hosts: Option<Spanned<Entries<Host>>>,
    vars: Option<Spanned<Entries<IgnoredAny>>>,
}

impl Group {
    /// Puts it into an inventory. It is as deep as its YAML, which the reader limits.
    fn add(self, file: &str, name: &str, to: &mut Inventory) -> Result<(), Wrong> {
        to.groups.declare(name);
        for (variable, _) in entries(file, self.vars) {
            to.add_group_variable(name, variable);
        }
        for (pattern, host) in entries(file, self.hosts) {
            for unknown in &host.unknown {
                to.add_unknown(&given(file, unknown));
            }
            to.add_hosts(name, &pattern, &host.variables(file))?;
        }
        for (child, group) in entries(file, self.children) {
            group.add(file, child.text(), to)?;
            to.groups.add_child(name, child);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Group {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Group;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a group of an Ansible inventory: a mapping of hosts, children or vars")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Group::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut group = Group::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "children" => group.children = map.next_value()?,
                        "hosts" => group.hosts = map.next_value()?,
                        "vars" => group.vars = map.next_value()?,
                        _ => {
                            return Err(A::Error::unknown_field(
                                &key,
                                &["hosts", "children", "vars"],
                            ));
                        }
                    }
                }
                Ok(group)
            }
        }

        deserializer.deserialize_any(Visit)
    }
}

fn given(file: &str, spanned: &Spanned<String>) -> Given {
    let place = format!("{file}:{}", spanned.referenced.line());
    Given::at(&place, &spanned.value)
}

/// A mapping from names, in the order of the file. A single name may stand there without a colon.
#[derive(Debug)]
struct Entries<V>(Vec<(Spanned<String>, V)>);

/// Its names with their places.
fn entries<V>(
    file: &str,
    entries: Option<Spanned<Entries<V>>>,
) -> impl Iterator<Item = (Given, V)> {
    entries.into_iter().flat_map(move |entries| {
        let place = entries.referenced;
        entries.value.0.into_iter().map(move |(mut name, value)| {
            if name.referenced == Location::UNKNOWN {
                name.referenced = place;
            }
            (given(file, &name), value)
        })
    })
}

impl<'de, V: Deserialize<'de> + Default> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de> + Default> Visitor<'de> for Visit<V> {
            type Value = Entries<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping, with a colon after each name")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                let unknown = Location::UNKNOWN;
                let name = Spanned::new(name.to_owned(), unknown, unknown);
                Ok(Entries(vec![(name, V::default())]))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_any(Visit(PhantomData))
    }
}

/// What is said of a host.
#[derive(Debug, Default)]
struct Host {
    values: Vec<(&'static str, Vec<Spanned<String>>)>,
    unknown: Vec<Spanned<String>>,
}

impl Host {
    fn variables(self, file: &str) -> Variables {
        let given = |text: &Spanned<String>| given(file, text);
        let values = self.values.into_iter();
        let values = values.map(|(name, texts)| (name, texts.iter().map(given).collect()));
        values.collect()
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Host;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the variables of a host: a mapping")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Host::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut host = Host::default();
                while let Some(name) = map.next_key::<Spanned<String>>()? {
                    let Some(variable) = variable(&name.value) else {
                        map.next_value::<IgnoredAny>()?;
                        if name.value.starts_with(OURS) {
                            host.unknown.push(name);
                        }
                        continue;
                    };
                    let texts = if variable == ADDRESSES {
                        let list: Option<Spanned<Texts>> = map.next_value()?;
                        list.map(|list| list.value.at(list.referenced))
                    } else {
                        let text: Option<Spanned<String>> = map.next_value()?;
                        text.map(|text| vec![text])
                    };
                    host.values.extend(texts.map(|texts| (variable, texts)));
                }
                Ok(host)
            }
        }

        deserializer.deserialize_any(Visit)
    }
}

/// A list of texts, or one.
#[derive(Debug)]
enum Texts {
    Many(Vec<Spanned<String>>),
    One(String),
}

impl Texts {
    fn at(self, place: Location) -> Vec<Spanned<String>> {
        match self {
            Self::Many(texts) => texts,
            Self::One(text) => vec![Spanned::new(text, place, place)],
        }
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of addresses")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Texts::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts::Many(texts))
            }
        }

        deserializer.deserialize_any(Visit)
    }
}
