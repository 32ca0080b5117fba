//! From attributes as found to records, or to the reason why not.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::super::record::{Counts, Event, Reason, SellMode, WarningKind, Zone};
use super::super::{Context, Limits};
use super::price::ten_thousandths;
use super::raw::{RawBase, RawEvent, RawZone};
use super::time::{Moment, NoMoment, moment};

/// What an event has from its base. A base is never set aside itself: each of its events is.
#[derive(Debug)]
pub(super) struct Base {
    id: Result<String, Reason>,
    title: Result<String, Reason>,
    sell_mode: SellMode,
    organizer_company_id: Option<String>,
    /// Warnings about the base, which count for each of its events.
    warnings: Vec<WarningKind>,
    /// Whether it stands where the format has none.
    misplaced: bool,
}

impl Base {
    /// Whether the base's own attributes cost its events.
    pub(super) fn is_at_fault(&self) -> bool {
        self.id.is_err() || self.title.is_err()
    }
}

/// Why an event was not taken, and which one it is if that can be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: Reason,
    pub(super) identity: Option<(String, String)>,
}

/// Converts by a provider's context and counts what it had to drop.
#[derive(Debug)]
pub(super) struct Converter<'a> {
    timezone: &'a TimeZone,
    limits: &'a Limits,
    pub(super) warnings: Counts<WarningKind>,
}

impl<'a> Converter<'a> {
    pub(super) fn new(context: &Context<'a>) -> Self {
        Self {
            timezone: context.timezone,
            limits: context.limits,
            warnings: Counts::new(),
        }
    }

    pub(super) fn base(&self, raw: RawBase<'_>, misplaced: bool) -> Base {
        let limits = self.limits;
        let mut warnings = Vec::new();
        let sell_mode = match raw.sell_mode.as_deref().map(str::trim) {
            Some(mode) if mode.eq_ignore_ascii_case("online") => SellMode::Online,
            Some(mode) if !mode.eq_ignore_ascii_case("offline") => {
                warnings.push(WarningKind::BadSellMode);
                SellMode::Offline
            }
            _ => SellMode::Offline,
        };
        let organizer_company_id = match present(raw.organizer_company_id) {
            None => {
                warnings.push(WarningKind::MissingOrganizer);
                None
            }
            Some(id) if id.len() > limits.max_id_bytes => {
                warnings.push(WarningKind::TooLong);
                None
            }
            Some(id) => Some(id.into_owned()),
        };
        Base {
            id: required(raw.id, limits.max_id_bytes, Reason::MissingBaseId).map(Cow::into_owned),
            title: required(raw.title, limits.max_title_bytes, Reason::MissingTitle)
                .map(Cow::into_owned),
            sell_mode,
            organizer_company_id,
            warnings,
            misplaced,
        }
    }

    /// An event without its zones. One that does not stand in a base is `misplaced` and not taken;
    /// `base` is then whichever it stands in further up.
    pub(super) fn event(
        &mut self,
        base: Option<&Base>,
        misplaced: bool,
        raw: RawEvent<'_>,
    ) -> Result<Event, Refused> {
        let event_id = required(raw.id, self.limits.max_id_bytes, Reason::MissingEventId);
        let refuse = |reason| {
            let base_id = base.and_then(|base| base.id.as_deref().ok());
            let identity = base_id.zip(event_id.as_deref().ok());
            Err(Refused {
                reason,
                identity: identity.map(|(base, event)| (base.to_owned(), event.to_owned())),
            })
        };

        let base = match base {
            Some(base) if !misplaced && !base.misplaced => base,
            _ => return refuse(Reason::Misplaced),
        };
        let (base_id, title) = match (&base.id, &event_id, &base.title) {
            (Ok(base_id), Ok(_), Ok(title)) => (base_id, title),
            (Err(reason), ..) | (_, Err(reason), _) | (.., Err(reason)) => return refuse(*reason),
        };
        let (start, end) = match (present(raw.start), present(raw.only_date)) {
            (Some(start), _) => (start, present(raw.end)),
            (None, Some(only_date)) => (only_date, None),
            (None, None) => return refuse(Reason::MissingStart),
        };
        let start = match moment(&start, self.timezone) {
            Ok(start) => start,
            Err(NoMoment::NoSuchDay) => return refuse(Reason::NoSuchDay),
            Err(NoMoment::Unreadable) => return refuse(Reason::BadStart),
        };
        let end = match end.map(|end| moment(&end, self.timezone)) {
            None => None,
            Some(Ok(end)) if end.at < start.at => self.warn(WarningKind::EndBeforeStart),
            Some(Ok(end)) => Some(end),
            Some(Err(NoMoment::NoSuchDay)) => return refuse(Reason::NoSuchDay),
            Some(Err(NoMoment::Unreadable)) => self.warn(WarningKind::BadEnd),
        };

        let event_id = event_id
            .map_err(|reason| Refused {
                reason,
                identity: None,
            })?
            .into_owned();
        for &warning in &base.warnings {
            self.warn::<()>(warning);
        }
        Ok(Event {
            base_id: base_id.clone(),
            event_id,
            title: title.clone(),
            starts_at: start.at,
            ends_at: end.map(|end| end.at),
            starts_local: start.local,
            ends_local: end.map(|end| end.local),
            sell_from: self.sale(raw.sell_from, WarningKind::BadSellFrom),
            sell_to: self.sale(raw.sell_to, WarningKind::BadSellTo),
            sold_out: self
                .boolean(raw.sold_out, WarningKind::BadSoldOut)
                .unwrap_or(false),
            sell_mode: base.sell_mode,
            organizer_company_id: base.organizer_company_id.clone(),
            zones: Vec::new(),
            min_price: None,
            max_price: None,
        })
    }

    pub(super) fn zone(&mut self, raw: RawZone<'_>) -> Result<Zone, Reason> {
        let price = match raw.price.or(raw.old_price) {
            None => None,
            Some(price) => Some(ten_thousandths(&price).ok_or(Reason::BadPrice)?),
        };
        let id = match present(raw.id) {
            None => self.warn(WarningKind::MissingZoneId),
            id => self.bounded(id, self.limits.max_id_bytes),
        };
        Ok(Zone {
            id,
            name: self.bounded(present(raw.name), self.limits.max_title_bytes),
            capacity: match raw.capacity.as_deref().map(capacity) {
                Some(None) => self.warn(WarningKind::BadCapacity),
                capacity => capacity.flatten(),
            },
            price,
            numbered: self.boolean(raw.numbered, WarningKind::BadNumbered),
        })
    }

    fn sale(
        &mut self,
        value: Option<Cow<'_, str>>,
        warning: WarningKind,
    ) -> Option<chrono::DateTime<chrono::Utc>> {
        match moment(&present(value)?, self.timezone) {
            Ok(Moment { at, .. }) => Some(at),
            Err(_) => self.warn(warning),
        }
    }

    fn boolean(&mut self, value: Option<Cow<'_, str>>, warning: WarningKind) -> Option<bool> {
        match value?.trim_ascii() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => self.warn(warning),
        }
    }

    fn bounded(&mut self, value: Option<Cow<'_, str>>, max_bytes: usize) -> Option<String> {
        match value? {
            value if value.len() > max_bytes => self.warn(WarningKind::TooLong),
            value => Some(value.into_owned()),
        }
    }

    /// Counts a warning; its value is the null that takes the bad value's place.
    pub(super) fn warn<T>(&mut self, warning: WarningKind) -> Option<T> {
        *self.warnings.entry(warning).or_default() += 1;
        None
    }
}

/// A value without the white space around it; an empty one counts as missing.
fn present(value: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    let value = value?;
    let trimmed = value.trim();
    if trimmed.is_empty() {
        None
    } else if trimmed.len() == value.len() {
        Some(value)
    } else {
        Some(Cow::Owned(trimmed.to_owned()))
    }
}

fn required(
    value: Option<Cow<'_, str>>,
    max_bytes: usize,
    missing: Reason,
) -> Result<Cow<'_, str>, Reason> {
    match present(value) {
        None => Err(missing),
        Some(value) if value.len() > max_bytes => Err(Reason::TooLong),
        Some(value) => Ok(value),
    }
}

fn capacity(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}
