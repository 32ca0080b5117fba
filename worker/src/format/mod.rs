//! Feed formats: bytes in, typed records out.
//!
//! This file is the seam. A format is one folder beside it with its raw shape, its conversion and its
//! entry point apart; what any of them yields stands in `record`. `docs/FORMATS.md` says what each
//! attribute of a feed means.

mod plan_list;
mod record;
mod xml;

use std::fmt;
use std::io::{self, BufRead};
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use jiff::tz::TimeZone;

pub use record::{
    Counts, Event, Item, Reason, SellMode, SetAside, Spelling, Summary, WarningKind, Zone,
};
pub use xml::Fault;

/// Raised whenever the same feed would be read differently, so that a feed which did not change is
/// read again after an upgrade.
pub const PARSER_REVISION: i32 = 1;

/// The formats that a provider can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// XML in the spellings `planList` and `eventList`.
    PlanList,
}

impl Format {
    /// Every format, in the order in which they are told to users.
    pub const ALL: [Self; 1] = [Self::PlanList];

    /// The name that stands in a provider's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::PlanList => "plan-list",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat { name: name.into() })
    }
}

/// A format's name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{name}`, expected one of: {}", Format::ALL.map(Format::name).join(", "))]
pub struct UnknownFormat {
    name: String,
}

/// What a feed may ask of us. A feed past one of the first four limits fails as a whole, since no
/// honest feed comes near them; the others cost an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Elements within elements. Default 32.
    pub max_depth: usize,
    /// Bytes of one tag, comment or stretch of text, which is what is held in memory. Default 1 MiB.
    pub max_token_bytes: usize,
    /// Attributes of one element. Default 64.
    pub max_attributes: usize,
    /// Bytes of one attribute's value. Default 64 KiB.
    pub max_attribute_bytes: usize,
    /// Bytes of an id, which the database has to index. Default 255.
    pub max_id_bytes: usize,
    /// Bytes of a title or name. Default 4096.
    pub max_title_bytes: usize,
    /// Zones of one event. Default 10 000.
    pub max_zones_per_event: usize,
    /// Items set aside with their path and snippet; all are delivered and counted. Default 1000.
    pub max_set_aside: u64,
    /// Bytes of the snippet of an item set aside. Default 512.
    pub max_snippet_bytes: usize,
    /// Items in one batch, from 1. Default 500.
    pub batch_events: usize,
    /// Zones of a batch's events, from 1; the event that reaches it is the batch's last. Default 2000.
    pub batch_zones: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_depth: 32,
            max_token_bytes: 1 << 20,
            max_attributes: 64,
            max_attribute_bytes: 64 << 10,
            max_id_bytes: 255,
            max_title_bytes: 4096,
            max_zones_per_event: 10_000,
            max_set_aside: 1000,
            max_snippet_bytes: 512,
            batch_events: 500,
            batch_zones: 2000,
        }
    }
}

/// What the parser has to know about the provider.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The zone of naive times, and of the local times of every event.
    pub timezone: &'a TimeZone,
    /// What the feed may ask of us.
    pub limits: &'a Limits,
}

/// Some items in feed order; events and items set aside together are at most
/// [`Limits::batch_events`], and only the last event goes past [`Limits::batch_zones`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Events taken.
    pub events: Vec<Event>,
    /// Events and zones not taken.
    pub set_aside: Vec<SetAside>,
}

/// Reads a whole feed and hands it over in batches, in feed order.
///
/// Blocking: call it off the async threads. Memory follows the batch and the longest token, not the
/// feed. Only `Ok` says that the document was whole: on an error, throw away what was handed over
/// before. An identity that comes twice is handed over twice.
pub fn parse(
    format: Format,
    reader: impl BufRead,
    context: &Context<'_>,
    sink: &mut dyn FnMut(Batch) -> ControlFlow<()>,
) -> Result<Summary, ParseError> {
    match format {
        Format::PlanList => plan_list::parse(reader, context, sink),
    }
}

/// Why a feed as a whole cannot be used. Lines count from 1; `byte` is the offset in the document,
/// after its byte order mark and as UTF-8.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Nothing in it, or nothing but white space and comments.
    #[error("the feed is empty, expected an XML document")]
    Empty,
    /// Something else came, such as JSON.
    #[error("the feed is not XML: it starts with `{found}`")]
    NotXml {
        /// The first characters, bounded.
        found: String,
    },
    /// XML, but of another kind.
    #[error("the root element is `{found}`, expected {expected}")]
    UnexpectedRoot {
        /// The root's name, bounded.
        found: String,
        /// The names that the format knows.
        expected: &'static str,
    },
    /// The document breaks a rule of XML, or is cut off.
    #[error("the document is not well-formed at line {line} (byte {byte})")]
    NotWellFormed {
        /// Line of the tag or text at fault.
        line: u64,
        /// Offset of the same.
        byte: u64,
        /// The rule.
        source: Fault,
    },
    /// One of the limits that fail a feed.
    #[error("{what} at line {line} exceeds the limit of {limit}")]
    LimitExceeded {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
        /// Line of the tag or text at fault.
        line: u64,
    },
    /// The declaration names an encoding that we cannot read.
    #[error("the declared encoding `{label}` is not known")]
    UnknownEncoding {
        /// As declared, bounded.
        label: String,
    },
    /// Bytes that are no text in the encoding that the document declares or is taken to have.
    #[error("the text at line {line} is not {encoding}")]
    WrongEncoding {
        /// The encoding's standard name.
        encoding: &'static str,
        /// Line on which the bad text begins, or a line shortly before it.
        line: u64,
    },
    /// The reader failed.
    #[error("cannot read the feed")]
    Read(#[source] Arc<io::Error>),
    /// The sink asked to stop.
    #[error("the reading was stopped")]
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_names_go_there_and_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
    }

    #[test]
    fn unknown_format_is_answered_with_the_known_ones() {
        let error = "planlist".parse::<Format>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown format `planlist`, expected one of: plan-list"
        );
    }
}
