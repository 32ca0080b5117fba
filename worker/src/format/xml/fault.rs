//! What can be wrong with a document as XML.

use quick_xml::errors::{IllFormedError, SyntaxError};
use quick_xml::escape::EscapeError;

use super::shown;

/// The rule of XML that a document breaks.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error(transparent)]
    Syntax(SyntaxError),
    #[error(transparent)]
    IllFormed(IllFormedError),
    #[error(transparent)]
    Other(quick_xml::Error),
    #[error("the document ends before its root element is closed")]
    CutOff,
    #[error("text stands outside the root element")]
    TextOutsideRoot,
    #[error("a second root element follows the first")]
    SecondRoot,
    #[error("the XML declaration does not stand at the very start")]
    LateDeclaration,
    #[error("a DOCTYPE does not stand once, before the root element")]
    LateDoctype,
    #[error("a name is not a name")]
    BadName,
    #[error("a character that XML forbids")]
    IllegalCharacter,
    #[error("`]]>` in text")]
    CdataEndInText,
    #[error("entity `&{0};` is none of &lt; &gt; &amp; &apos; &quot;")]
    UnknownEntity(String),
    #[error("`&` begins no reference; by itself it is written `&amp;`")]
    BareAmpersand,
    #[error("a character reference that refers to no character")]
    BadCharacterReference,
    #[error("attribute `{0}` stands twice")]
    DuplicateAttribute(String),
    #[error("no white space before an attribute")]
    NoSpaceBeforeAttribute,
    #[error("an attribute has no value")]
    AttributeWithoutValue,
    #[error("an attribute's value is not quoted")]
    UnquotedAttribute,
    #[error("an attribute's value is not closed")]
    UnclosedAttribute,
    #[error("`<` in an attribute's value")]
    LessThanInAttribute,
}

impl From<quick_xml::Error> for Fault {
    fn from(error: quick_xml::Error) -> Self {
        match error {
            quick_xml::Error::Syntax(error) => Self::Syntax(error),
            quick_xml::Error::IllFormed(IllFormedError::UnclosedReference) => Self::BareAmpersand,
            quick_xml::Error::IllFormed(error) => Self::IllFormed(error),
            quick_xml::Error::Escape(error) => match error {
                EscapeError::UnrecognizedEntity(_, name) => Self::unknown_entity(&name),
                EscapeError::UnterminatedEntity(_) => Self::BareAmpersand,
                _ => Self::BadCharacterReference,
            },
            error => Self::Other(error),
        }
    }
}

impl Fault {
    pub(super) fn unknown_entity(name: &str) -> Self {
        Self::UnknownEntity(shown(name.as_bytes()))
    }
}
