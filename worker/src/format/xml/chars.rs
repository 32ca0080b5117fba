//! The characters of XML 1.0, by table where every byte of a document passes.

const NAME_START: u8 = 1;
const NAME: u8 = 2;
const SPACE: u8 = 4;
const VALUE_STOP: u8 = 8;

/// What a byte can be. Any character past ASCII is taken for a letter.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        classes[index] = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | b':' | 0x80.. => NAME_START | NAME,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            b'\t' | b'\r' | b'\n' => SPACE | VALUE_STOP,
            b' ' => SPACE,
            b'"' | b'\'' | b'<' | b'&' => VALUE_STOP,
            _ => 0,
        };
        index += 1;
    }
    classes
};

#[inline]
fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

#[inline]
fn end_of(bytes: &[u8], start: usize, class: u8) -> usize {
    let rest = &bytes[start..];
    start + rest.iter().take_while(|&&byte| is(byte, class)).count()
}

/// Where the white space that may begin at `start` ends.
#[inline]
pub(super) fn space_end(bytes: &[u8], start: usize) -> usize {
    end_of(bytes, start, SPACE)
}

/// Where the name that should begin at `start` ends; `start` if there is none.
#[inline]
pub(super) fn name_end(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start) {
        Some(&byte) if is(byte, NAME_START) => end_of(bytes, start + 1, NAME),
        _ => start,
    }
}

/// Where from `start` on stands the first byte that means something in an attribute's value.
#[inline]
pub(super) fn value_stop(bytes: &[u8], start: usize) -> Option<usize> {
    let mut rest = bytes[start..].iter();
    rest.position(|&byte| is(byte, VALUE_STOP))
        .map(|length| start + length)
}

#[inline]
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name_end(name.as_bytes(), 0) == name.len()
}

#[inline]
pub(super) fn is_space(text: &str) -> bool {
    space_end(text.as_bytes(), 0) == text.len()
}

pub(super) fn is_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}
