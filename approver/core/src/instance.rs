//! Provider ids: compares ids that are written in different forms.
//!
//! The form of an instance's id differs between controllers: `aws:///us-east-1a/i-0` and `aws://us-east-1/i-0`,
//! `openstack:///UUID` and `openstack://region/UUID`, `baremetalhost:///NAMESPACE/HOST/UID` and `metal3://UID`, other case, or
//! the id alone. Only ids that are unique by themselves are compared without their location: an EC2 id and a UUID.

use std::collections::BTreeSet;

/// The schemes of Metal3's bare-metal hosts: OpenShift's Machine API writes one, Cluster API the other.
const BARE_METAL: [&str; 2] = ["baremetalhost", "metal3"];

/// The parts of a provider id.
struct Parts<'a> {
    /// Empty if the id has no provider.
    scheme: &'a str,
    path: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(id: &'a str) -> Self {
        let (scheme, path) = id.split_once("://").unwrap_or(("", id));
        let path = path.split('/').filter(|part| !part.is_empty());
        Self {
            scheme,
            path: path.collect(),
        }
    }

    fn is_bare_metal(&self) -> bool {
        BARE_METAL.iter().any(|known| same(self.scheme, known))
    }

    /// The id that is unique globally, or in the clouds of one provider.
    fn unique(&self) -> Option<&'a str> {
        let last = self.path.last().copied()?;
        let is_ec2 = |id: &str| {
            let hex = id.strip_prefix("i-");
            hex.is_some_and(|hex| hex.len() >= 8 && hex.chars().all(|c| c.is_ascii_hexdigit()))
        };
        (same(self.scheme, "aws") || is_uuid(last) || is_ec2(last)).then_some(last)
    }

    /// The namespace and name of a bare-metal host.
    fn host(&self) -> Option<[&'a str; 2]> {
        match self.path.as_slice() {
            [namespace, host] | [namespace, host, _] => Some([namespace, host]),
            _ => None,
        }
    }

    fn is_same_path(&self, other: &Self) -> bool {
        let mut pairs = self.path.iter().zip(&other.path);
        self.path.len() == other.path.len() && pairs.all(|(one, other)| same(one, other))
    }
}

/// Returns true if two provider ids name the same instance; `None` if their forms are not comparable.
pub(crate) fn compare(one: &str, other: &str) -> Option<bool> {
    let (one, other) = (Parts::of(one), Parts::of(other));
    // `aws:///` has no id.
    if one.path.is_empty() || other.path.is_empty() {
        return None;
    }
    if one.is_bare_metal() && other.is_bare_metal() {
        return compare_hosts(&one, &other);
    }
    let named = !one.scheme.is_empty() && !other.scheme.is_empty();
    if named && !same(one.scheme, other.scheme) {
        return Some(false);
    }
    match (one.unique(), other.unique()) {
        (Some(one), Some(other)) => Some(same(one, other)),
        _ if !named && one.scheme.is_empty() != other.scheme.is_empty() => None,
        _ if one.path.len() == other.path.len() => Some(one.is_same_path(&other)),
        _ => None,
    }
}

/// Compares `metal3://UID`, `metal3://NAMESPACE/HOST/MACHINE` and `baremetalhost:///NAMESPACE/HOST/UID`.
fn compare_hosts(one: &Parts<'_>, other: &Parts<'_>) -> Option<bool> {
    if let (Some(one), Some(other)) = (one.unique(), other.unique()) {
        return Some(same(one, other));
    }
    // One host is successively several machines: in the same form all parts count.
    if same(one.scheme, other.scheme) && one.path.len() == other.path.len() {
        return Some(one.is_same_path(other));
    }
    let ([namespace, host], [other_namespace, other_host]) = (one.host()?, other.host()?);
    // Hosts in different namespaces are not comparable: one id may be that of a mirrored host.
    (same(namespace, other_namespace) && same(host, other_host)).then_some(true)
}

/// The index keys of an instance, the same for each form of its id.
pub(crate) fn keys(id: &str) -> BTreeSet<String> {
    let parts = Parts::of(id);
    let unique = parts.unique().map(str::to_ascii_lowercase);
    let host = parts.host().filter(|_| parts.is_bare_metal());
    let host = host.map(|host| host.join("/").to_ascii_lowercase());
    let path = (!parts.path.is_empty()).then(|| parts.path.join("/").to_ascii_lowercase());
    unique.or(path).into_iter().chain(host).collect()
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Returns true if a text is a UUID (RFC 9562 section 4) that can be unique: firmware without one reports all zeros or all ones.
pub(crate) fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let digits = || text.chars().filter(|c| *c != '-');
    let first = digits().next();
    lengths == [8, 4, 4, 4, 12]
        && digits().all(|c| c.is_ascii_hexdigit())
        && digits().any(|c| Some(c) != first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "a2b7c8d9-1111-4222-8333-444455556666";

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn one_instance_is_known_whichever_way_its_id_is_written() {
        let other = "a2b7c8d9-1111-4222-8333-444455556667";
        let cases = [
            ("aws:///us-east-1a/i-0", "aws://us-east-1/i-0", Some(true)),
            (
                "aws:///us-east-1a/i-0",
                "aws:///us-east-1a/i-1",
                Some(false),
            ),
            ("AWS:///us-east-1a/i-0", "aws:///us-east-1a/I-0", Some(true)),
            (
                "i-0123456789abcdef0",
                "aws:///a/i-0123456789abcdef0",
                Some(true),
            ),
            (
                "i-0123456789abcdef0",
                "aws:///a/i-0123456789abcdef1",
                Some(false),
            ),
            ("worker-0", "gce://project/zone/worker-0", None),
            ("gce://p/zone-a/w-0", "gce://p/zone-b/w-0", Some(false)),
            ("gce://p/zone-a/w-0", "gce://p/zone-a/w-0", Some(true)),
            (
                "azure:///subscriptions/S/vm/W-0",
                "azure:///subscriptions/s/vm/w-0",
                Some(true),
            ),
            (
                "azure:///s/vmss/a/vm/0",
                "azure:///s/vmss/b/vm/0",
                Some(false),
            ),
            ("openstack:///UID", "openstack://region/UID", Some(true)),
            ("vsphere://UID", "UID", Some(true)),
            ("vsphere://UID", "openstack:///UID", Some(false)),
            ("baremetalhost:///ns/host-0/UID", "metal3://UID", Some(true)),
            (
                "baremetalhost:///ns/host-0/UID",
                "metal3://OTHER",
                Some(false),
            ),
            (
                "baremetalhost:///ns/host-0/UID",
                "metal3://ns/host-0/m3m-0",
                Some(true),
            ),
            (
                "baremetalhost:///ns/host-0/UID",
                "metal3://ns/host-1/m3m-0",
                None,
            ),
            (
                "metal3://ns/host-0/m3m-0",
                "metal3://ns/host-0/m3m-1",
                Some(false),
            ),
            ("metal3://ns/host-0/m3m-0", "metal3://UID", None),
            ("aws:///", "aws:///", None),
            ("", "", None),
        ];
        for (one, another, expected) in cases {
            let [one, another] =
                [one, another].map(|id| id.replace("UID", UID).replace("OTHER", other));
            assert_eq!(compare(&one, &another), expected, "{one} and {another}");
            assert_eq!(compare(&another, &one), expected, "{another} and {one}");
            let found = !keys(&one).is_disjoint(&keys(&another));
            assert!(found || expected != Some(true), "{one} and {another}");
        }
    }

    #[test]
    fn what_firmware_says_that_knows_no_uuid_is_none() {
        assert!(is_uuid(UID) && is_uuid(&UID.to_uppercase()));
        for text in [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "Not Settable",
            "",
        ] {
            assert!(!is_uuid(text), "{text:?}");
        }
    }
}
