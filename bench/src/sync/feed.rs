//! Feeds of exactly so many events and zones, in the spelling `planList`.

use std::io::{self, Write};

/// What a feed is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) events: usize,
    /// Of each event.
    pub(super) zones: usize,
    /// Tells feeds of the same content apart by their bytes.
    pub(super) stamp: u32,
    /// One in so many events is not what it is in other feeds; 0 for none.
    pub(super) changed_one_in: usize,
}

impl Shape {
    pub(super) fn new(events: usize, zones: usize) -> Self {
        Self {
            events,
            zones,
            stamp: 0,
            changed_one_in: 0,
        }
    }

    /// Writes the document.
    pub(super) fn write(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(
            out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<planList version=\"1.0\" generated=\"{}\">\n<output>",
            self.stamp
        )?;
        for number in 0..self.events {
            let changed = self.changed_one_in > 0 && number.is_multiple_of(self.changed_one_in);
            self.event(&mut out, number, changed)?;
        }
        writeln!(out, "</output>\n</planList>")?;
        out.flush()
    }

    fn event(&self, out: &mut impl Write, number: usize, changed: bool) -> io::Result<()> {
        let (day, month) = (1 + number % 28, 1 + number / 28 % 12);
        writeln!(
            out,
            "<base_plan base_plan_id=\"{number}\" sell_mode=\"online\" organizer_company_id=\"{}\" \
             title=\"Concert {number} at the old theatre\">\n\
             <plan plan_id=\"{number}\" plan_start_date=\"2037-{month:02}-{day:02}T21:00:00\" \
             plan_end_date=\"2037-{month:02}-{day:02}T22:30:00\" sell_from=\"2036-07-01T00:00:00\" \
             sell_to=\"2037-{month:02}-{day:02}T20:00:00\" sold_out=\"{changed}\">",
            number % 50
        )?;
        for zone in 0..self.zones {
            writeln!(
                out,
                "<zone zone_id=\"{}\" capacity=\"{}\" price=\"{}.{:02}\" name=\"Zone {zone}\" \
                 numbered=\"true\" />",
                zone * 7,
                100 + zone,
                10 + zone,
                number % 100
            )?;
        }
        writeln!(out, "</plan>\n</base_plan>")
    }

    /// The document in memory.
    pub(super) fn bytes(&self) -> bytes::Bytes {
        let mut bytes = Vec::new();
        self.write(&mut bytes)
            .expect("writing to memory does not fail");
        bytes.into()
    }
}
