//! Where in a document we are.

use std::fmt::Write as _;

use super::raw::{Names, OUTPUT, ZONE};

/// An open element, its ordinal among its like, and how many of each kind it has within it so far.
pub(super) struct Place {
    pub(super) kind: Kind,
    ordinal: u64,
    pub(super) outputs: u64,
    pub(super) bases: u64,
    pub(super) events: u64,
    pub(super) zones: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Root,
    Output,
    Base,
    Event,
    Zone,
    /// Unknown, or an event that was set aside; nothing within it is looked at.
    Ignored,
}

impl Place {
    #[inline]
    pub(super) fn new(kind: Kind, ordinal: u64) -> Self {
        Self {
            kind,
            ordinal,
            outputs: 0,
            bases: 0,
            events: 0,
            zones: 0,
        }
    }
}

/// The last of `places` as an `XPath` from the root. What is nearly always alone has no index then.
pub(super) fn path(names: &Names, places: &[Place]) -> String {
    let mut path = String::new();
    for place in places {
        let ordinal = place.ordinal;
        let written = match place.kind {
            Kind::Root => write!(path, "{}", names.root),
            Kind::Output if ordinal == 1 => write!(path, "/{OUTPUT}"),
            Kind::Output => write!(path, "/{OUTPUT}[{ordinal}]"),
            Kind::Base => write!(path, "/{}[{ordinal}]", names.base),
            Kind::Event => write!(path, "/{}[{ordinal}]", names.event),
            Kind::Zone => write!(path, "/{ZONE}[{ordinal}]"),
            Kind::Ignored => Ok(()),
        };
        written.expect("writing to a string does not fail");
    }
    path
}
