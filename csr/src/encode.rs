//! Writes DER (ITU-T X.690 section 10), as far as evidence needs it: the counterpart of [`crate::der`].

/// Encodes one value: its tag, its minimal length (X.690 section 10.1), and its contents, given in parts.
pub(crate) fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let length = contents.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let length = length.get(zeros..).unwrap_or_default();
    let mut der = vec![tag];
    match length {
        [] => der.push(0),
        [short @ 0..=0x7f] => der.push(*short),
        long => {
            // X.690 section 8.1.3.5: 0x80 and the number of bytes that follow, at most eight here.
            der.push(
                long.iter()
                    .fold(0x80, |count: u8, _| count.saturating_add(1)),
            );
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(&contents);
    der
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::{OCTET_STRING, Reader};

    #[test]
    fn the_reader_takes_every_length_that_is_written() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let contents = vec![7; length];
            let der = encode(OCTET_STRING, &[&contents]);
            let mut reader = Reader::new(&der, "test");
            assert_eq!(reader.tagged(OCTET_STRING).unwrap().contents, contents);
            assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn parts_are_written_one_after_the_other() {
        assert_eq!(encode(0x30, &[&[4, 0], &[5, 0]]), [0x30, 4, 4, 0, 5, 0]);
        assert_eq!(encode(4, &[&[0; 0x10000]])[..5], [4, 0x83, 1, 0, 0]);
    }
}
