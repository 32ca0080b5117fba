//! Where a commit takes the events from that it stores: more than may fit into memory.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use uuid::Uuid;

use crate::event::{Content, DIGEST_BYTES};

/// An event to insert or to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upsert {
    /// See [`crate::event::id`].
    pub id: Uuid,
    /// What the feed says.
    pub content: Content,
    /// Of the content.
    pub digest: [u8; DIGEST_BYTES],
    /// Whether it is stored already, in whatever state.
    pub known: bool,
}

impl Upsert {
    pub(crate) fn zones_json(&self) -> String {
        serde_json::to_string(&self.content.zones).expect("zones are strings and numbers")
    }
}

/// Events chunk by chunk, in the order of their ids.
pub type Chunks = BoxStream<'static, io::Result<Vec<Upsert>>>;

/// Gives the events to store, as often as it is asked: a transaction may have to come again. Each
/// chunk is held in memory as a whole, and again as the statement's parameters.
pub trait Source: fmt::Debug + Send + Sync {
    /// All chunks, from the first one on.
    fn chunks(&self) -> Chunks;
}

impl Source for Vec<Upsert> {
    fn chunks(&self) -> Chunks {
        let chunk = self.clone();
        stream::once(async { Ok(chunk) }).boxed()
    }
}

/// Any source of events to store; by default an empty one.
#[derive(Debug, Clone)]
pub struct Upserts(Arc<dyn Source>);

impl Upserts {
    /// From the source.
    pub fn new(source: impl Source + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// All chunks, from the first one on.
    pub fn chunks(&self) -> Chunks {
        self.0.chunks()
    }
}

impl Default for Upserts {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<Upsert>> for Upserts {
    fn from(upserts: Vec<Upsert>) -> Self {
        Self::new(upserts)
    }
}
