//! Items on their way to the sink, in bounded batches.

use std::mem;
use std::ops::ControlFlow;

use super::super::record::{Counts, Event, Item, Reason, SetAside};
use super::super::{Batch, Limits, ParseError};
use super::convert::Refused;

pub(super) struct Delivery<'c, 's> {
    sink: &'s mut dyn FnMut(Batch) -> ControlFlow<()>,
    limits: &'c Limits,
    batch: Batch,
    /// Zones of the batch's events.
    zones: usize,
    position: u64,
    events: u64,
    set_aside: u64,
    set_aside_by_reason: Counts<Reason>,
}

impl<'c, 's> Delivery<'c, 's> {
    pub(super) fn new(
        limits: &'c Limits,
        sink: &'s mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Self {
        Self {
            sink,
            limits,
            batch: Batch::default(),
            zones: 0,
            position: 0,
            events: 0,
            set_aside: 0,
            set_aside_by_reason: Counts::new(),
        }
    }

    /// Says that the next event of the feed begins, whatever becomes of it.
    pub(super) fn next_position(&mut self) {
        self.position += 1;
    }

    pub(super) fn event(&mut self, event: Event) -> Result<(), ParseError> {
        self.events += 1;
        if self.batch.events.is_empty() {
            self.batch
                .events
                .reserve(self.limits.batch_events.min(4096));
        }
        self.zones += event.zones.len();
        self.batch.events.push(event);
        if self.zones >= self.limits.batch_zones {
            return self.flush();
        }
        self.flush_if(|held, limit| held >= limit)
    }

    /// Hands over what was not taken; past the limit without the parts that cost something to write.
    #[cold]
    pub(super) fn set_aside(
        &mut self,
        item: Item,
        refused: Refused,
        path: impl FnOnce() -> String,
        snippet: impl FnOnce() -> String,
    ) -> Result<(), ParseError> {
        let in_full = self.set_aside < self.limits.max_set_aside;
        self.set_aside += 1;
        *self.set_aside_by_reason.entry(refused.reason).or_default() += 1;
        self.batch.set_aside.push(SetAside {
            position: self.position,
            path: if in_full { path() } else { String::new() },
            item,
            reason: refused.reason,
            identity: refused.identity,
            snippet: if in_full { snippet() } else { String::new() },
        });
        self.flush_if(|held, limit| held >= limit)
    }

    /// Hands over the last batch; the number of events, and of what was set aside by reason.
    pub(super) fn finish(mut self) -> Result<(u64, Counts<Reason>), ParseError> {
        self.flush_if(|held, _| held > 0)?;
        Ok((self.events, self.set_aside_by_reason))
    }

    #[inline]
    fn flush_if(&mut self, full: fn(usize, usize) -> bool) -> Result<(), ParseError> {
        let held = self.batch.events.len() + self.batch.set_aside.len();
        if !full(held, self.limits.batch_events) {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), ParseError> {
        self.zones = 0;
        match (self.sink)(mem::take(&mut self.batch)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ParseError::Stopped),
        }
    }
}
