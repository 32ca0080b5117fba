//! How an answer stands in Redis: one byte of version, four of the key's length (big endian), the
//! key's text, the answer, and the first 16 bytes of the BLAKE3 hash of all that.

use bytes::Bytes;

use super::Key;

/// To be raised when the layout changes.
const VERSION: u8 = 1;

const CHECKSUM: usize = 16;

/// Bytes before the key's text.
const HEAD: usize = 5;

pub(super) fn encode(key: &Key, answer: &[u8]) -> Vec<u8> {
    let text = key.text();
    let len = u32::try_from(text.len()).expect("a question came in a request's head");
    let mut value = Vec::with_capacity(HEAD + text.len() + answer.len() + CHECKSUM);
    value.push(VERSION);
    value.extend_from_slice(&len.to_be_bytes());
    value.extend_from_slice(text);
    value.extend_from_slice(answer);
    let checksum = checksum(&value);
    value.extend_from_slice(&checksum);
    value
}

/// The answer, if this is one, whole, and to that question.
pub(super) fn decode(value: Vec<u8>, key: &Key) -> Option<Bytes> {
    let (content, found) = value.split_last_chunk::<CHECKSUM>()?;
    let (&[version, len @ ..], rest) = content.split_first_chunk::<HEAD>()?;
    let len = usize::try_from(u32::from_be_bytes(len)).ok()?;
    let (text, answer) = rest.split_at_checked(len)?;
    if version != VERSION || text != key.text() || *found != checksum(content) {
        return None;
    }
    let start = HEAD + text.len();
    let end = start + answer.len();
    Some(Bytes::from(value).slice(start..end))
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&blake3::hash(content).as_bytes()[..CHECKSUM]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("epoch-7 1 starts_at=2021-02-01 br")
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        for answer in [&b""[..], b"{}", &[0; 5_000]] {
            let value = encode(&key(), answer);
            assert_eq!(decode(value, &key()).unwrap(), answer);
        }
        let nameless = Key::new("");
        assert_eq!(decode(encode(&nameless, b"{}"), &nameless).unwrap(), "{}");
    }

    #[test]
    fn the_layout_is_the_one_that_is_told() {
        let value = encode(&Key::new("ab"), b"xyz");
        let (content, checksum) = value.split_at(value.len() - 16);
        assert_eq!(content, b"\x01\0\0\0\x02abxyz");
        assert_eq!(checksum, &blake3::hash(content).as_bytes()[..16]);
    }

    #[test]
    fn the_answer_to_another_question_is_none() {
        let value = encode(&key(), b"{}");
        for text in [
            "",
            "epoch-7 1 starts_at=2021-02-01 b",
            "epoch-8 1 starts_at=2021-02-01 br",
        ] {
            assert_eq!(decode(value.clone(), &Key::new(text)), None, "{text}");
        }
        let longer = Key::new(format!("{}{}", key().0, "{}"));
        assert_eq!(decode(value, &longer), None);
    }

    #[test]
    fn another_version_is_none_even_when_whole() {
        let value = encode(&key(), b"{}");
        let mut content = value[..value.len() - CHECKSUM].to_vec();
        content[0] = VERSION + 1;
        let checksum = checksum(&content);
        assert_eq!(decode([&content[..], &checksum].concat(), &key()), None);
    }

    #[test]
    fn a_value_that_lost_or_changed_any_byte_is_none() {
        let value = encode(&key(), b"{\"data\":null}");
        for at in 0..value.len() {
            assert_eq!(decode(value[..at].to_vec(), &key()), None, "cut at {at}");
            assert_eq!(decode(value[at + 1..].to_vec(), &key()), None, "from {at}");
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert_eq!(decode(changed, &key()), None, "changed at {at}");
        }
        assert_eq!(decode([&value[..], b"x"].concat(), &key()), None);
        assert_eq!(decode(vec![0xff; 100], &key()), None);
    }
}
