//! One run in, rows out: a worker fetches a provider's feed, reads it and stores what changed.

pub mod format;
