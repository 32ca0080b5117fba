//! XML, hardened: a document is walked tag by tag and must be well-formed to its last byte.
//!
//! quick-xml splits the document; it leaves to its caller the rules about what stands before, after
//! and twice at the root, about names, references and characters. They are kept here. References are
//! the five predefined ones and characters; a DOCTYPE is allowed, and nothing that it declares is used.

mod attributes;
mod chars;
mod fault;
mod input;

use std::borrow::Cow;
use std::cell::Cell;
use std::io::BufRead;
use std::ops::Range;
use std::sync::Arc;

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use self::attributes::Stop;
use self::chars::{is_char, is_name, is_space};
pub use self::fault::Fault;
use self::input::{Input, Refusal, Spot};
use super::{Limits, ParseError};

/// One step through a document.
pub(super) enum Step<'a> {
    /// A start tag, or an empty element if [`Tag::empty`]; no `Close` follows an empty element.
    Open(Tag<'a>),
    /// The end of the innermost open element.
    Close,
    /// Text, a comment and the like.
    Other,
    /// The end of a document that was well-formed.
    End,
}

/// A document being read.
pub(super) struct Document<'l, R> {
    reader: Reader<Input<R>>,
    limits: &'l Limits,
    stage: Stage,
    depth: usize,
    token: Vec<u8>,
    seen: Cell<Vec<Range<usize>>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Start,
    Prolog { doctype: bool },
    Root,
    Epilog,
}

impl<'l, R: BufRead> Document<'l, R> {
    /// Reads the first bytes; what is plainly no XML is refused here.
    pub(super) fn open(reader: R, limits: &'l Limits) -> Result<Self, ParseError> {
        let mut input = Input::open(reader, limits.max_token_bytes)
            .map_err(|error| refused(Arc::new(error), limits, 1))?;
        let head = input
            .fill_buf()
            .map_err(|error| refused(Arc::new(error), limits, 1))?
            .trim_ascii_start();
        if head.first().is_some_and(|&first| first != b'<') {
            return Err(ParseError::NotXml { found: shown(head) });
        }
        let mut reader = Reader::from_reader(input);
        reader.config_mut().enable_all_checks(true);
        Ok(Self {
            reader,
            limits,
            stage: Stage::Start,
            depth: 0,
            token: Vec::new(),
            seen: Cell::default(),
        })
    }

    /// Goes on to the next tag, text or end.
    #[inline]
    pub(super) fn step(&mut self) -> Result<Step<'_>, ParseError> {
        self.token.clear();
        self.reader.get_mut().begin_token();
        let byte = self.reader.buffer_position();
        let result = self.reader.read_event_into(&mut self.token);
        let input = self.reader.get_ref();
        let (limits, spot) = (self.limits, input.spot(byte));
        let event = match result {
            Ok(event) => event,
            Err(error) => return Err(failed(error, limits, spot, self.reader.error_position())),
        };
        if input.token_too_long() {
            let what = "the bytes of a tag or text";
            return Err(exceeded(what, limits.max_token_bytes, spot));
        }
        if input.has_control() {
            return Err(not_well_formed(Fault::IllegalCharacter, spot));
        }

        let seen = &self.seen;
        let tag = |start, empty| Tag {
            start,
            empty,
            seen,
            limits,
            spot,
        };

        let stage = self.stage;
        if stage == Stage::Start {
            self.stage = Stage::Prolog { doctype: false };
        }
        let checked = match event {
            Event::Start(_) | Event::Empty(_) if stage == Stage::Epilog => Err(Fault::SecondRoot),
            Event::Start(start) | Event::Empty(start) if !is_name(start.name().into_inner()) => {
                Err(Fault::BadName)
            }
            Event::Start(start) => {
                self.stage = Stage::Root;
                self.depth += 1;
                if self.depth > limits.max_depth {
                    return Err(exceeded("the depth of elements", limits.max_depth, spot));
                }
                return Ok(Step::Open(tag(start, false)));
            }
            Event::Empty(start) => {
                if self.depth == 0 {
                    self.stage = Stage::Epilog;
                }
                return Ok(Step::Open(tag(start, true)));
            }
            Event::End(_) => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.stage = Stage::Epilog;
                }
                return Ok(Step::Close);
            }
            Event::Text(text) if is_space(&text) => Ok(()),
            Event::Text(text) => match stage {
                Stage::Root if text.contains("]]>") => Err(Fault::CdataEndInText),
                Stage::Root => Ok(()),
                _ => Err(Fault::TextOutsideRoot),
            },
            Event::CData(_) | Event::GeneralRef(_) if stage != Stage::Root => {
                Err(Fault::TextOutsideRoot)
            }
            Event::GeneralRef(reference) => check_reference(&reference),
            Event::Decl(declaration) if stage == Stage::Start => {
                declaration.version().map(drop).map_err(Fault::from)
            }
            Event::Decl(_) => Err(Fault::LateDeclaration),
            Event::DocType(_) => match stage {
                Stage::Start | Stage::Prolog { doctype: false } => {
                    self.stage = Stage::Prolog { doctype: true };
                    Ok(())
                }
                _ => Err(Fault::LateDoctype),
            },
            Event::PI(instruction) if !is_name(instruction.target()) => Err(Fault::BadName),
            Event::PI(_) | Event::CData(_) | Event::Comment(_) => Ok(()),
            Event::Eof => match stage {
                Stage::Epilog => return Ok(Step::End),
                Stage::Root => Err(Fault::CutOff),
                Stage::Start | Stage::Prolog { .. } => return Err(ParseError::Empty),
            },
        };
        checked
            .map(|()| Step::Other)
            .map_err(|fault| not_well_formed(fault, spot))
    }
}

/// A start tag or an empty element. Its attributes must be read, because that is what checks them.
pub(super) struct Tag<'a> {
    start: BytesStart<'a>,
    /// Whether the element ends with this tag.
    pub(super) empty: bool,
    seen: &'a Cell<Vec<Range<usize>>>,
    limits: &'a Limits,
    spot: Spot<'a>,
}

impl Tag<'_> {
    /// The element's name, with its prefix if it has one.
    #[inline]
    pub(super) fn name(&self) -> &str {
        self.start.name().into_inner()
    }

    /// Gives `each` the name and the normalised value of every attribute.
    #[inline]
    pub(super) fn attributes<'s>(
        &'s self,
        each: impl FnMut(&'s str, Cow<'s, str>),
    ) -> Result<(), ParseError> {
        let limits = self.limits;
        let mut seen = self.seen.take();
        let result = attributes::for_each(
            self.start.attributes_raw(),
            &mut seen,
            (limits.max_attributes, limits.max_attribute_bytes),
            each,
        );
        self.seen.set(seen);
        result.map_err(|stop| match stop {
            Stop::Fault(fault) => not_well_formed(fault, self.spot),
            Stop::TooMany => {
                let what = "the number of attributes";
                exceeded(what, limits.max_attributes, self.spot)
            }
            Stop::TooLong => {
                let what = "the bytes of an attribute";
                exceeded(what, limits.max_attribute_bytes, self.spot)
            }
        })
    }

    /// The tag as it stands in the document, cut after `max_bytes`.
    pub(super) fn snippet(&self, max_bytes: usize) -> String {
        let end = if self.empty { "/>" } else { ">" };
        let mut snippet = format!("<{}{end}", &*self.start);
        truncate(&mut snippet, max_bytes);
        snippet
    }
}

#[cold]
fn failed(error: quick_xml::Error, limits: &Limits, spot: Spot<'_>, byte: u64) -> ParseError {
    match error {
        quick_xml::Error::Io(error) => refused(error, limits, spot.line()),
        quick_xml::Error::Encoding(_) => ParseError::WrongEncoding {
            encoding: "UTF-8",
            line: spot.line(),
        },
        error => not_well_formed(error.into(), spot.at(byte)),
    }
}

#[cold]
fn not_well_formed(source: Fault, spot: Spot<'_>) -> ParseError {
    ParseError::NotWellFormed {
        line: spot.line(),
        byte: spot.byte,
        source,
    }
}

#[cold]
fn exceeded(what: &'static str, limit: usize, spot: Spot<'_>) -> ParseError {
    let line = spot.line();
    ParseError::LimitExceeded { what, limit, line }
}

/// Takes our own refusals out of the I/O error that carried them.
fn refused(error: Arc<std::io::Error>, limits: &Limits, line: u64) -> ParseError {
    let refusal = error.get_ref().and_then(|inner| inner.downcast_ref());
    match refusal {
        Some(Refusal::TokenTooLong) => ParseError::LimitExceeded {
            what: "the bytes of a tag or text",
            limit: limits.max_token_bytes,
            line,
        },
        Some(Refusal::UnknownEncoding(label)) => ParseError::UnknownEncoding {
            label: label.clone(),
        },
        Some(&Refusal::WrongEncoding(encoding)) => ParseError::WrongEncoding { encoding, line },
        None => ParseError::Read(error),
    }
}

fn check_reference(reference: &BytesRef<'_>) -> Result<(), Fault> {
    match reference.resolve_char_ref()? {
        Some(character) if is_char(character) => Ok(()),
        Some(_) => Err(Fault::IllegalCharacter),
        None if resolve_predefined_entity(reference).is_some() => Ok(()),
        None => Err(Fault::unknown_entity(reference)),
    }
}

/// The first characters of something unexpected, on one line.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for character in String::from_utf8_lossy(&bytes[..bytes.len().min(160)]).chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    truncate(&mut shown, 40);
    shown
}

fn truncate(text: &mut String, max_bytes: usize) {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes));
        text.push('…');
    }
}
