//! What a feed means, and what a reader of several rounds must have stored.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::world::{Base, BaseFlaw, Plan, PlanFlaw, World, Zone};
use crate::xml::Spelling;

/// One event as a feed gives it, faults that do not cost the event already made null. Times are local to the
/// provider; prices are in ten-thousandths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the design's words")]
pub struct TruthEvent {
    pub base_id: String,
    pub event_id: String,
    pub title: String,
    pub starts_local: NaiveDateTime,
    /// Null in the oldest spelling, and where the feed's end is before the start.
    pub ends_local: Option<NaiveDateTime>,
    pub sell_from: Option<NaiveDateTime>,
    pub sell_to: Option<NaiveDateTime>,
    pub sold_out: bool,
    /// Whether the base is sold online in this round; a missing sell mode is offline.
    pub online: bool,
    pub organizer_company_id: Option<String>,
    /// In feed order, without those that are set aside.
    pub zones: Vec<TruthZone>,
    /// The least price over all zones; null if none has one.
    pub min_price: Option<i64>,
    pub max_price: Option<i64>,
}

/// One zone of an event; ids repeat within an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the design's words")]
pub struct TruthZone {
    pub id: String,
    pub name: String,
    pub capacity: Option<u64>,
    /// In ten-thousandths; null if the feed gives none.
    pub price: Option<i64>,
    pub numbered: bool,
}

/// An event or a zone that a reader must set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Null if the feed does not give it.
    pub base_id: Option<String>,
    /// Null if the feed does not give it.
    pub event_id: Option<String>,
    /// Set if only this zone is set aside and its event stays.
    pub zone_id: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why something is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reason {
    MissingTitle,
    MissingBaseId,
    MissingEventId,
    MissingStart,
    ImpossibleDay,
    BadPrice,
}

/// How much of a feed is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAsideCount {
    /// Whole events.
    pub events: usize,
    /// Zones of events that stay.
    pub zones: usize,
}

/// An event as a reader of several rounds must know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedEvent {
    /// Its latest known values.
    #[serde(flatten)]
    pub event: TruthEvent,
    /// Absent from the last round. An event that is set aside there with a readable identity is not gone.
    pub gone: bool,
    /// Online in any of the rounds in which its values could be read.
    pub ever_online: bool,
}

/// A round's feed, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) events: Vec<TruthEvent>,
    pub(crate) set_aside: Vec<SetAside>,
}

pub(crate) fn read(world: World, spelling: Spelling) -> Reading {
    let mut reading = Reading::default();
    for base in world.bases() {
        for plan in &base.plans {
            reading.add(&base, plan, spelling);
        }
    }
    reading
}

impl Reading {
    fn add(&mut self, base: &Base, plan: &Plan, spelling: Spelling) {
        let aside = |zone_id, reason| SetAside {
            base_id: (base.flaw != Some(BaseFlaw::NoId)).then(|| base.id.clone()),
            event_id: (plan.flaw != Some(PlanFlaw::NoId)).then(|| plan.id.clone()),
            zone_id,
            reason,
        };
        if let Some(reason) = costs_the_event(base, plan) {
            self.set_aside.push(aside(None, reason));
            return;
        }
        let bad_price = matches!(plan.flaw, Some(PlanFlaw::BadPrice | PlanFlaw::FinePrice));
        if let Some(zone) = plan.zones.first().filter(|_| bad_price) {
            self.set_aside
                .push(aside(Some(zone.id.clone()), Reason::BadPrice));
        }
        self.events
            .push(event(base, plan, spelling, usize::from(bad_price)));
    }

    pub(crate) fn set_aside_count(&self) -> SetAsideCount {
        let zones = self
            .set_aside
            .iter()
            .filter(|item| item.zone_id.is_some())
            .count();
        SetAsideCount {
            events: self.set_aside.len() - zones,
            zones,
        }
    }
}

fn costs_the_event(base: &Base, plan: &Plan) -> Option<Reason> {
    match (base.flaw, plan.flaw) {
        (Some(BaseFlaw::NoTitle), _) => Some(Reason::MissingTitle),
        (Some(BaseFlaw::NoId), _) => Some(Reason::MissingBaseId),
        (None, Some(PlanFlaw::NoId)) => Some(Reason::MissingEventId),
        (None, Some(PlanFlaw::NoStart)) => Some(Reason::MissingStart),
        (None, Some(PlanFlaw::ImpossibleDay)) => Some(Reason::ImpossibleDay),
        _ => None,
    }
}

fn event(base: &Base, plan: &Plan, spelling: Spelling, bad_zones: usize) -> TruthEvent {
    let flawed = |flaw| plan.flaw == Some(flaw);
    let mut zones: Vec<TruthZone> = plan.zones.iter().skip(bad_zones).map(zone).collect();
    if let Some(first) = zones.first_mut().filter(|_| flawed(PlanFlaw::BadCapacity)) {
        first.capacity = None;
    }
    let prices = || zones.iter().filter_map(|zone| zone.price);
    TruthEvent {
        base_id: base.id.clone(),
        event_id: plan.id.clone(),
        title: base.title.clone(),
        starts_local: plan.starts,
        ends_local: Some(plan.ends)
            .filter(|_| spelling.end.is_some() && !flawed(PlanFlaw::EndBeforeStart)),
        sell_from: Some(plan.sell_from).filter(|_| !flawed(PlanFlaw::BadSellFrom)),
        sell_to: Some(plan.sell_to).filter(|_| !flawed(PlanFlaw::BadSellTo)),
        sold_out: plan.sold_out,
        online: base.sell_mode == Some("online"),
        organizer_company_id: base.organizer.clone(),
        min_price: prices().min(),
        max_price: prices().max(),
        zones,
    }
}

fn zone(zone: &Zone) -> TruthZone {
    TruthZone {
        id: zone.id.clone(),
        name: zone.name.to_owned(),
        capacity: Some(zone.capacity),
        price: zone.price,
        numbered: zone.numbered,
    }
}

/// Folds the rounds that a reader has stored, in their order, into what it must know: in order of identity.
pub(crate) fn fold(readings: impl Iterator<Item = Reading>) -> Vec<ExpectedEvent> {
    let mut known: BTreeMap<(String, String), ExpectedEvent> = BTreeMap::new();
    for reading in readings {
        known.values_mut().for_each(|event| event.gone = true);
        for event in reading.events {
            let identity = (event.base_id.clone(), event.event_id.clone());
            let before = known.get(&identity).is_some_and(|event| event.ever_online);
            let ever_online = before || event.online;
            known.insert(
                identity,
                ExpectedEvent {
                    event,
                    gone: false,
                    ever_online,
                },
            );
        }
        for item in reading.set_aside {
            let identity = item.base_id.zip(item.event_id);
            if let Some(stored) = identity.and_then(|identity| known.get_mut(&identity)) {
                stored.gone = false;
            }
        }
    }
    known.into_values().collect()
}
