//! The trace that a job belongs to.

use std::convert::Infallible;

use apalis_core::task::{
    Task,
    from_request::FromRequest,
    metadata::{Metadata, MetadataStore},
};

pub(crate) const TRACEPARENT: &str = "traceparent";
pub(crate) const TRACESTATE: &str = "tracestate";

/// W3C trace context headers as they stood when the job was pushed; not validated here.
///
/// It travels in the task's metadata beside the payload. A handler asks for it as an argument
/// after the job, and gets an empty one when the job was pushed without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The `traceparent` header.
    pub traceparent: Option<String>,
    /// The `tracestate` header.
    pub tracestate: Option<String>,
}

impl Metadata for TraceContext {
    type Error = Infallible;

    fn extract(store: &MetadataStore) -> Result<Self, Infallible> {
        Ok(Self {
            traceparent: store.get(TRACEPARENT).map(str::to_owned),
            tracestate: store.get(TRACESTATE).map(str::to_owned),
        })
    }

    fn inject(&self, store: &mut MetadataStore) -> Result<(), Infallible> {
        for (key, value) in [
            (TRACEPARENT, &self.traceparent),
            (TRACESTATE, &self.tracestate),
        ] {
            if let Some(value) = value {
                store.replace(key, value);
            }
        }
        Ok(())
    }
}

impl<Args: Sync> FromRequest<Task<Args>> for TraceContext {
    type Error = Infallible;

    async fn from_request(task: &Task<Args>) -> Result<Self, Infallible> {
        task.metadata().extract_as()
    }
}
