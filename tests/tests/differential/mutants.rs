//! Requests with one change each: of a byte, of a value in the tree of values, or of the armour. They are made in
//! full, not at random, so that a failure comes back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, SigningKey as _};

use crate::go::Input;

const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// Says of a tag that the value is made of values (X.690 section 8.1.2.5).
const CONSTRUCTED: u8 = 0x20;

/// What other values are turned into: every universal type that requests or their readers know, in both forms where
/// readers may confuse them, and the context-specific tags of names and attributes.
const TAGS: &[u8] = &[
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x17, 0x1a, 0x1b, 0x1c,
    0x1e, 0x24, 0x2c, 0x30, 0x31, 0x33, 0x80, 0x81, 0x82, 0x86, 0x87, 0x88, 0xa0, 0xa1, 0xa2, 0xa4,
    0xa6, 0xa7,
];

/// A request of rcgen, and the key to sign changed ones with.
pub(crate) struct Seed {
    key: KeyPair,
    info: Value,
}

/// A request for each of: no names; one DNS name; names of all four forms.
pub(crate) fn seeds() -> Vec<Seed> {
    let text = |name: &str| Ia5String::try_from(name).unwrap();
    let dns = SanType::DnsName(text("worker-0"));
    let all = [
        dns.clone(),
        SanType::IpAddress("10.0.0.1".parse().unwrap()),
        SanType::IpAddress("fd00::1".parse().unwrap()),
        SanType::Rfc822Name(text("a@b")),
        SanType::URI(text("spiffe://cluster.local/x")),
    ];
    [vec![], vec![dns], all.to_vec()]
        .into_iter()
        .map(Seed::new)
        .collect()
}

impl Seed {
    fn new(names: Vec<SanType>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "system:nodes");
        params
            .distinguished_name
            .push(DnType::CommonName, "system:node:worker-0");
        params.subject_alt_names = names;
        let request = Value::read_all(params.serialize_request(&key).unwrap().der()).unwrap();
        let info = request
            .first()
            .unwrap()
            .children()
            .unwrap()
            .first()
            .unwrap()
            .clone();
        Self { key, info }
    }

    /// The part that is signed.
    pub(crate) fn info(&self) -> Vec<u8> {
        self.info.der()
    }

    /// The request with this signed part.
    pub(crate) fn request(&self, info: Vec<u8>) -> Input {
        // ecdsa-with-SHA256 (RFC 5758 section 3.2).
        let algorithm = tlv(
            SEQUENCE,
            &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
        );
        let signature = tlv(0x03, &[&[0], &self.key.sign(&info).unwrap()[..]].concat());
        Input {
            data: tlv(SEQUENCE, &[info, algorithm, signature].concat()),
            pem: false,
        }
    }

    /// Each byte of the signed part set to every other value.
    pub(crate) fn with_one_byte_changed(&self) -> impl Iterator<Item = Input> {
        let info = self.info();
        (0..info.len()).flat_map(move |index| {
            let info = info.clone();
            (0..=u8::MAX).filter_map(move |byte| {
                let mut changed = info.clone();
                let old = std::mem::replace(changed.get_mut(index).unwrap(), byte);
                (old != byte).then(|| self.request(changed))
            })
        })
    }

    /// Each value of the signed part left out, doubled, turned into another type, followed by a foreign one, or
    /// replaced by each of the others; the lengths around it are right again.
    pub(crate) fn with_one_value_changed(&self) -> impl Iterator<Item = Input> {
        let mut all = vec![];
        self.info.collect(&mut all);
        let null = Value::Leaf(0x05, vec![]);
        let mut mutants = vec![];
        for (index, value) in all.iter().enumerate() {
            let value = || value.clone();
            let mut put = vec![
                vec![],
                vec![value(), null.clone()],
                vec![null.clone(), value()],
            ];
            put.extend(TAGS.iter().map(|tag| vec![value().tagged(*tag)]));
            put.extend(all.iter().map(|other| vec![other.clone()]));
            put.extend(all.iter().map(|other| vec![value(), other.clone()]));
            for values in put {
                let changed = self.info.replace(&mut index.clone(), &values);
                mutants.push(self.request(changed.iter().flat_map(Value::der).collect()));
            }
        }
        mutants.into_iter()
    }

    /// The armour of request and evidence with each byte left out, each line doubled or swapped with the next one, and bytes that PEM readers
    /// treat in a special way put in everywhere, alone and in place of what was there.
    pub(crate) fn with_armour_changed(&self) -> impl Iterator<Item = Input> {
        let encoded = STANDARD.encode(self.request(self.info()).data);
        let body: Vec<&[u8]> = encoded.as_bytes().chunks(64).collect();
        let begin = &b"-----BEGIN CERTIFICATE REQUEST-----"[..];
        let end = &b"-----END CERTIFICATE REQUEST-----"[..];
        let evidence = [
            &b"-----BEGIN ROLLCALL EVIDENCE-----"[..],
            b"AAAA",
            b"-----END ROLLCALL EVIDENCE-----",
        ];
        let lines = [&[begin], &body[..], &[end], &evidence, &[b""]].concat();
        let text = lines.join(&b'\n');
        let mut changed = vec![text.clone()];
        for index in 0..text.len() {
            let (before, after) = text.split_at(index);
            changed.push([before, after.get(1..).unwrap_or_default()].concat());
            for put in [
                &b"\n"[..],
                b"\r",
                b"\r\n",
                b" ",
                b"\t",
                b"\x0c",
                b"\0",
                b":",
                b"-",
                b"=",
                b"\n\n",
                b"\n-----END X-----\n",
                b"\xef\xbb\xbf",
            ] {
                changed.push([before, put, after].concat());
                changed.push([before, put, after.get(1..).unwrap_or_default()].concat());
            }
        }
        for index in 0..lines.len() {
            let (before, after) = lines.split_at(index);
            changed.push(
                [before, after.get(..1).unwrap_or_default(), after]
                    .concat()
                    .join(&b'\n'),
            );
            let mut swapped = lines.clone();
            swapped.swap(index, index.saturating_sub(1));
            changed.push(swapped.join(&b'\n'));
        }
        changed.push([&text[..], b" \t\r\n\n"].concat());
        changed.push([b" \r\n\t\n", &text[..]].concat());
        changed.push(text.strip_suffix(b"\n").unwrap().to_vec());
        changed.into_iter().map(|data| Input { data, pem: true })
    }
}

/// A value in DER: its tag and its bytes, or the values in it. An OCTET STRING that holds values counts as made of them.
#[derive(Clone)]
enum Value {
    Branch(u8, Vec<Self>),
    Leaf(u8, Vec<u8>),
}

impl Value {
    /// All values that these bytes are, if they are.
    fn read_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut values = vec![];
        while let [tag, rest @ ..] = bytes {
            let (length, rest) = match rest {
                [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
                [0x81, length, rest @ ..] => (usize::from(*length), rest),
                [0x82, high, low, rest @ ..] => {
                    (usize::from(u16::from_be_bytes([*high, *low])), rest)
                }
                _ => return None,
            };
            let (contents, rest) = rest.split_at_checked(length)?;
            let made_of_values = tag & CONSTRUCTED != 0 || *tag == OCTET_STRING;
            values.push(match Self::read_all(contents) {
                Some(children) if made_of_values => Self::Branch(*tag, children),
                _ => Self::Leaf(*tag, contents.to_vec()),
            });
            bytes = rest;
        }
        Some(values)
    }

    fn children(&self) -> Option<&[Self]> {
        match self {
            Self::Branch(_, children) => Some(children),
            Self::Leaf(..) => None,
        }
    }

    fn der(&self) -> Vec<u8> {
        match self {
            Self::Branch(tag, children) => tlv(
                *tag,
                &children.iter().flat_map(Self::der).collect::<Vec<_>>(),
            ),
            Self::Leaf(tag, contents) => tlv(*tag, contents),
        }
    }

    fn tagged(&self, tag: u8) -> Self {
        match self {
            Self::Branch(_, children) => Self::Branch(tag, children.clone()),
            Self::Leaf(_, contents) => Self::Leaf(tag, contents.clone()),
        }
    }

    /// This value and all in it, in the order in which [`Value::replace`] counts them.
    fn collect(&self, all: &mut Vec<Self>) {
        all.push(self.clone());
        self.children()
            .into_iter()
            .flatten()
            .for_each(|child| child.collect(all));
    }

    /// This value with the one at `index` replaced by these.
    fn replace(&self, index: &mut usize, values: &[Self]) -> Vec<Self> {
        let here = *index == 0;
        *index = index.wrapping_sub(1);
        match self {
            _ if here => values.to_vec(),
            Self::Branch(tag, children) => {
                let children = children
                    .iter()
                    .flat_map(|child| child.replace(index, values))
                    .collect();
                vec![Self::Branch(*tag, children)]
            }
            Self::Leaf(..) => vec![self.clone()],
        }
    }
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap();
    let [high, low] = length.to_be_bytes();
    let header = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&header, contents].concat()
}
