//! The way through a document: which element stands where, and what becomes of it.

use std::ops::ControlFlow;

use super::super::record::{Event, Item, Reason, Spelling, Summary, WarningKind};
use super::super::xml::Tag;
use super::super::{Batch, Context, Limits, ParseError};
use super::convert::{Base, Converter, Refused};
use super::delivery::Delivery;
use super::place::{Kind, Place, path};
use super::raw::{Names, OUTPUT, RawBase, RawEvent, RawZone, ZONE};

/// The state between two tags.
pub(super) struct Walk<'c, 's> {
    names: &'static Names,
    spelling: Spelling,
    convert: Converter<'c>,
    limits: &'c Limits,
    /// The open elements, from the root on.
    places: Vec<Place>,
    /// The bases among them, innermost last; more than one only in a document that is astray.
    bases: Vec<OpenBase>,
    /// The event that is being collected.
    event: Option<Event>,
    delivery: Delivery<'c, 's>,
}

struct OpenBase {
    base: Base,
    /// Its tag, if that is what an item set aside has to show.
    snippet: Option<String>,
}

impl<'c, 's> Walk<'c, 's> {
    /// Begins within the root element.
    pub(super) fn new(
        names: &'static Names,
        context: &Context<'c>,
        sink: &'s mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Self {
        Self {
            names,
            spelling: names.spelling,
            convert: Converter::new(context),
            limits: context.limits,
            places: vec![Place::new(Kind::Root, 1)],
            bases: Vec::new(),
            event: None,
            delivery: Delivery::new(context.limits, sink),
        }
    }

    /// Takes a start tag or an empty element.
    #[inline]
    pub(super) fn open(&mut self, tag: &Tag<'_>) -> Result<(), ParseError> {
        let parent = self.parent().kind;
        let name = tag.name();
        if parent == Kind::Ignored {
            self.ignore(tag)
        } else if name == ZONE {
            self.zone(tag)
        } else if name == self.names.event {
            self.event(tag)
        } else if name == self.names.base {
            self.base(tag)
        } else if name == OUTPUT && parent == Kind::Root {
            self.output(tag)
        } else {
            self.ignore(tag)
        }
    }

    /// Takes the end of the innermost open element.
    #[inline]
    pub(super) fn close(&mut self) -> Result<(), ParseError> {
        match self.places.pop().map(|place| place.kind) {
            Some(Kind::Event) => match self.event.take() {
                Some(event) => self.delivery.event(event),
                None => Ok(()),
            },
            Some(Kind::Base) => {
                self.bases.pop();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Hands over the rest and tells what the feed came to.
    pub(super) fn finish(self) -> Result<Summary, ParseError> {
        let (events, set_aside_by_reason) = self.delivery.finish()?;
        Ok(Summary {
            events,
            set_aside: set_aside_by_reason.values().sum(),
            set_aside_by_reason,
            warnings: self.convert.warnings,
            spelling: self.spelling,
        })
    }

    fn ignore(&mut self, tag: &Tag<'_>) -> Result<(), ParseError> {
        tag.attributes(|_, _| ())?;
        self.enter(tag, Kind::Ignored, 1)
    }

    fn output(&mut self, tag: &Tag<'_>) -> Result<(), ParseError> {
        tag.attributes(|_, _| ())?;
        let parent = self.parent();
        parent.outputs += 1;
        let ordinal = parent.outputs;
        self.enter(tag, Kind::Output, ordinal)
    }

    fn base(&mut self, tag: &Tag<'_>) -> Result<(), ParseError> {
        let names = self.names;
        let mut raw = RawBase::default();
        tag.attributes(|name, value| raw.set(names, name, value))?;

        let parent = self.parent();
        parent.bases += 1;
        let (ordinal, misplaced) = (parent.bases, parent.kind != Kind::Output);
        let base = self.convert.base(raw, misplaced);
        let snippet = base
            .is_at_fault()
            .then(|| tag.snippet(self.limits.max_snippet_bytes));
        self.bases.push(OpenBase { base, snippet });
        self.enter(tag, Kind::Base, ordinal)
    }

    fn event(&mut self, tag: &Tag<'_>) -> Result<(), ParseError> {
        let names = self.names;
        let mut raw = RawEvent::default();
        tag.attributes(|name, value| raw.set(names, name, value))?;
        if raw.start.is_none() && raw.only_date.is_some() {
            self.spelling = Spelling::EventDate;
        }

        let parent = self.parent();
        parent.events += 1;
        let (ordinal, misplaced) = (parent.events, parent.kind != Kind::Base);
        self.delivery.next_position();
        let open_base = self.bases.last();
        let base = open_base.map(|open| &open.base);
        match self.convert.event(base, misplaced, raw) {
            Ok(event) => {
                self.event = Some(event);
                self.enter(tag, Kind::Event, ordinal)
            }
            Err(refused) => {
                self.places.push(Place::new(Kind::Event, ordinal));
                self.delivery.set_aside(
                    Item::Event,
                    refused,
                    || path(self.names, &self.places),
                    || match open_base.and_then(|open| open.snippet.as_ref()) {
                        Some(snippet) => snippet.clone(),
                        None => tag.snippet(self.limits.max_snippet_bytes),
                    },
                )?;
                self.places.pop();
                self.enter(tag, Kind::Ignored, ordinal)
            }
        }
    }

    #[inline]
    fn zone(&mut self, tag: &Tag<'_>) -> Result<(), ParseError> {
        let names = self.names;
        let mut raw = RawZone::default();
        tag.attributes(|name, value| raw.set(names, name, value))?;

        let parent = self.parent();
        parent.zones += 1;
        let ordinal = parent.zones;
        let in_event = parent.kind == Kind::Event;
        let Some(event) = self.event.as_mut().filter(|_| in_event) else {
            self.convert.warn::<()>(WarningKind::MisplacedZone);
            return self.enter(tag, Kind::Zone, ordinal);
        };
        if ordinal > self.limits.max_zones_per_event as u64 {
            return self.give_up_event(tag);
        }
        match self.convert.zone(raw) {
            Ok(zone) => {
                event.push_zone(zone);
                self.enter(tag, Kind::Zone, ordinal)
            }
            Err(reason) => {
                let refused = Refused {
                    reason,
                    identity: Some((event.base_id.clone(), event.event_id.clone())),
                };
                self.places.push(Place::new(Kind::Zone, ordinal));
                self.delivery.set_aside(
                    Item::Zone,
                    refused,
                    || path(self.names, &self.places),
                    || tag.snippet(self.limits.max_snippet_bytes),
                )?;
                self.places.pop();
                self.enter(tag, Kind::Zone, ordinal)
            }
        }
    }

    /// Sets the open event aside at its first zone too many.
    #[cold]
    fn give_up_event(&mut self, tag: &Tag<'_>) -> Result<(), ParseError> {
        if let Some(event) = self.event.take() {
            let refused = Refused {
                reason: Reason::TooManyZones,
                identity: Some((event.base_id, event.event_id)),
            };
            self.delivery.set_aside(
                Item::Event,
                refused,
                || path(self.names, &self.places),
                || tag.snippet(self.limits.max_snippet_bytes),
            )?;
        }
        self.parent().kind = Kind::Ignored;
        self.enter(tag, Kind::Ignored, 1)
    }

    #[inline]
    fn parent(&mut self) -> &mut Place {
        self.places
            .last_mut()
            .expect("the root is open as long as there are tags")
    }

    #[inline]
    fn enter(&mut self, tag: &Tag<'_>, kind: Kind, ordinal: u64) -> Result<(), ParseError> {
        if tag.empty && matches!(kind, Kind::Zone | Kind::Ignored) {
            return Ok(());
        }
        self.places.push(Place::new(kind, ordinal));
        if tag.empty { self.close() } else { Ok(()) }
    }
}
