//! A feed's bytes, made chunk by chunk, so that memory does not follow a feed's size.

use bytes::Bytes;

use crate::world::{Bases, World};
use crate::xml::Spelling;

/// Raised with every change to what a given (seed, provider, round) looks like: part of the `ETag`.
pub(crate) const GENERATION: u32 = 1;
/// A chunk is sent once it is this long.
const CHUNK_BYTES: usize = 32 * 1024;

/// How a document differs from the round's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// What the round's feed is.
    Sound,
    /// No base at all.
    Empty,
    /// The end tag of `<output>` has another name.
    Mismatched,
    /// The root has another name.
    WrongRoot,
    /// Bases without end.
    Endless,
}

/// An iterator over the chunks of one document.
#[derive(Debug)]
pub(crate) struct Document {
    spelling: Spelling,
    variant: Variant,
    bases: Bases,
    next: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Bases,
    Nothing,
}

impl Document {
    pub(crate) fn new(mut world: World, spelling: Spelling, variant: Variant) -> Self {
        match variant {
            Variant::Empty => world.slots = 0,
            Variant::Endless => world.slots = u64::MAX,
            Variant::Sound | Variant::Mismatched | Variant::WrongRoot => {}
        }
        Self {
            spelling,
            variant,
            bases: world.bases(),
            next: Part::Head,
        }
    }

    fn root(&self) -> &'static str {
        match self.variant {
            Variant::WrongRoot => "catalogue",
            _ => self.spelling.root,
        }
    }

    fn close(&self, out: &mut String) {
        let output = if self.variant == Variant::Mismatched {
            "event_plan"
        } else {
            "output"
        };
        self.spelling.close(out, self.root(), output);
    }
}

impl Iterator for Document {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        if self.next == Part::Head {
            self.spelling.open(&mut out, self.root());
            self.next = Part::Bases;
        }
        while self.next == Part::Bases && out.len() < CHUNK_BYTES {
            match self.bases.next() {
                Some(base) => self.spelling.base(&mut out, &base),
                None => {
                    self.close(&mut out);
                    self.next = Part::Nothing;
                }
            }
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    }
}
