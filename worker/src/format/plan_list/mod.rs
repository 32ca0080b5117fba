//! `plan-list`: an XML document in which everything is told by attributes.
//!
//! ```text
//! planList                                              eventList, in the older spellings
//!   output
//!     base_plan  base_plan_id title sell_mode …         base_event  base_event_id …
//!       plan     plan_id plan_start_date …              event       event_id event_start_date …
//!         zone   zone_id price capacity …               zone        zone_id price (or max_price) …
//! ```
//!
//! Unknown elements are ignored with all that is in them. A known one in a wrong place is not: its
//! events are set aside, so that a provider who moves an element does not make its events vanish.

mod convert;
mod delivery;
mod place;
mod price;
mod raw;
mod time;
mod walk;

#[cfg(test)]
mod tests;

use std::io::BufRead;
use std::ops::ControlFlow;

use self::raw::{Names, ROOTS};
use self::walk::Walk;
use super::xml::{Document, Step, shown};
use super::{Batch, Context, ParseError, Summary};

/// Reads a whole document; see [`super::parse`].
pub(super) fn parse(
    reader: impl BufRead,
    context: &Context<'_>,
    sink: &mut dyn FnMut(Batch) -> ControlFlow<()>,
) -> Result<Summary, ParseError> {
    let mut document = Document::open(reader, context.limits)?;
    let mut walk = loop {
        match document.step()? {
            Step::Open(root) => {
                let names =
                    Names::of_root(root.name()).ok_or_else(|| ParseError::UnexpectedRoot {
                        found: shown(root.name().as_bytes()),
                        expected: ROOTS,
                    })?;
                root.attributes(|_, _| ())?;
                break Walk::new(names, context, sink);
            }
            Step::Other | Step::Close | Step::End => {}
        }
    };
    loop {
        match document.step()? {
            Step::Open(tag) => walk.open(&tag)?,
            Step::Close => walk.close()?,
            Step::Other => {}
            Step::End => return walk.finish(),
        }
    }
}
