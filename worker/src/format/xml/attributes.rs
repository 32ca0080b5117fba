//! The attributes of one tag.
//!
//! quick-xml's own iterator takes `<` in a value and attributes that touch (`a="1"b="2"`), and
//! allocates for each tag; this one refuses what XML refuses and keeps its memory.

use std::borrow::Cow;
use std::ops::Range;

use quick_xml::XmlVersion;
use quick_xml::events::attributes::Attribute;
use quick_xml::name::QName;

use super::Fault;
use super::chars::{is_char, name_end, space_end, value_stop};

/// What stops the reading of a tag.
#[derive(Debug)]
pub(super) enum Stop {
    Fault(Fault),
    TooMany,
    TooLong,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Gives `each` the name and the normalised value of every attribute in `text`, the part of a tag that
/// follows its name. `seen` is scratch space.
#[inline]
pub(super) fn for_each<'a>(
    text: &'a str,
    seen: &mut Vec<Range<usize>>,
    (max_count, max_bytes): (usize, usize),
    mut each: impl FnMut(&'a str, Cow<'a, str>),
) -> Result<(), Stop> {
    seen.clear();
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let start = space_end(bytes, at);
        if start == bytes.len() {
            return Ok(());
        }
        if start == at {
            return Err(Fault::NoSpaceBeforeAttribute.into());
        }
        let name = start..name_end(bytes, start);
        let key = &text[name.clone()];
        at = space_end(bytes, name.end);
        if name.is_empty() {
            return Err(Fault::BadName.into());
        }
        if bytes.get(at) != Some(&b'=') {
            return Err(Fault::AttributeWithoutValue.into());
        }
        if seen.iter().any(|other| text[other.clone()] == *key) {
            return Err(Fault::DuplicateAttribute(key.to_owned()).into());
        }
        if seen.len() == max_count {
            return Err(Stop::TooMany);
        }
        seen.push(name);

        at = space_end(bytes, at + 1);
        let quote = match bytes.get(at) {
            Some(&quote @ (b'"' | b'\'')) => quote,
            _ => return Err(Fault::UnquotedAttribute.into()),
        };
        let start = at + 1;
        let (end, plain) = value_end(bytes, start, quote)?;
        if end - start > max_bytes {
            return Err(Stop::TooLong);
        }
        let value = &text[start..end];
        each(
            key,
            if plain {
                Cow::Borrowed(value)
            } else {
                normalise(key, value)?
            },
        );
        at = end + 1;
    }
}

/// Where the value ends, and whether it is free of references and of white space to normalise.
#[inline]
fn value_end(bytes: &[u8], start: usize, quote: u8) -> Result<(usize, bool), Fault> {
    let (mut at, mut plain) = (start, true);
    while let Some(stop) = value_stop(bytes, at) {
        match bytes[stop] {
            byte if byte == quote => return Ok((stop, plain)),
            b'<' => return Err(Fault::LessThanInAttribute),
            b'"' | b'\'' => {}
            _ => plain = false,
        }
        at = stop + 1;
    }
    Err(Fault::UnclosedAttribute)
}

/// Normalises as XML 1.0 does (section 3.3.3): references resolved, white space to spaces.
#[cold]
fn normalise<'a>(key: &'a str, value: &'a str) -> Result<Cow<'a, str>, Fault> {
    let attribute = Attribute {
        key: QName(key),
        value: Cow::Borrowed(value),
    };
    let value = attribute.normalized_value(XmlVersion::Explicit1_0)?;
    if value.chars().all(is_char) {
        Ok(value)
    } else {
        Err(Fault::IllegalCharacter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, Stop> {
        let mut found = Vec::new();
        for_each(text, &mut Vec::new(), (3, 12), |name, value| {
            found.push((name.to_owned(), value.into_owned()));
        })?;
        Ok(found)
    }

    fn fault(text: &str) -> String {
        match read(text) {
            Err(Stop::Fault(fault)) => fault.to_string(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn values_are_normalised_and_references_resolved() {
        let found = read(" a = 'x\r\ny\tz' b=\"&lt;&#x41;'\"\n").unwrap();
        assert_eq!(found[0], ("a".into(), "x y z".into()));
        assert_eq!(found[1], ("b".into(), "<A'".into()));
    }

    #[test]
    fn a_tag_without_attributes_has_none() {
        assert!(read("").unwrap().is_empty());
        assert!(read(" \n").unwrap().is_empty());
    }

    #[test]
    fn what_xml_forbids_is_refused() {
        for (text, expected) in [
            (" a='1' a='2'", "attribute `a` stands twice"),
            (" a='1'b='2'", "no white space before an attribute"),
            (" a", "an attribute has no value"),
            (" a=1", "an attribute's value is not quoted"),
            (" a='1", "an attribute's value is not closed"),
            (" a='<'", "`<` in an attribute's value"),
            (" 1a='1'", "a name is not a name"),
            (
                " a='&#0;'",
                "a character reference that refers to no character",
            ),
            (
                " a='&#xD800;'",
                "a character reference that refers to no character",
            ),
            (" a='&#1;'", "a character that XML forbids"),
            (" a='&#xFFFF;'", "a character that XML forbids"),
            (" a='&nbsp;'", "entity `&nbsp;` is none of"),
            (" a='&amp'", "`&` begins no reference"),
        ] {
            assert!(fault(text).starts_with(expected), "{text}: {}", fault(text));
        }
    }

    #[test]
    fn attributes_are_limited_in_number_and_length() {
        assert!(matches!(read(" a='' b='' c='' d=''"), Err(Stop::TooMany)));
        assert_eq!(read(" a='123456789012'").unwrap().len(), 1);
        assert!(matches!(read(" a='1234567890123'"), Err(Stop::TooLong)));
    }
}
