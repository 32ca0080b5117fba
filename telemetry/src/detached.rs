//! Spans that are around no piece of code: begun here and ended there, or long over.

use std::time::SystemTime;

use opentelemetry::global::{self, BoxedSpan};
use opentelemetry::trace::{Link, Span, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};

use crate::{SCOPE, context, sampling};

/// A span that its holder ends; one that is dropped ends as well.
///
/// It is made by the process' tracer, which [`crate::init`] sets. Where its trace is not sampled it
/// costs little more than its ids. Code that runs meanwhile is not within it.
#[derive(Debug)]
#[must_use = "a span ends when it is dropped"]
pub struct DetachedSpan(BoxedSpan);

/// Which trace a span joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joins<'a> {
    /// That of its parent, a `traceparent`; one of its own, if there is none or it is malformed.
    Parent(Option<&'a str>),
    /// One of its own, which refers to the span of this `traceparent`, and is sampled if that one is.
    Linked(Option<&'a str>),
}

impl DetachedSpan {
    /// Begins now.
    pub fn begin(name: &'static str, kind: SpanKind, joins: Joins<'_>) -> Self {
        Self::build(SpanBuilder::from_name(name).with_kind(kind), joins)
    }

    /// Began then.
    pub fn began_at(
        name: &'static str,
        kind: SpanKind,
        joins: Joins<'_>,
        start: SystemTime,
    ) -> Self {
        let span = SpanBuilder::from_name(name).with_kind(kind);
        Self::build(span.with_start_time(start), joins)
    }

    /// Began then, as a child of the span that the caller is within.
    pub fn child_began_at(name: &'static str, kind: SpanKind, start: SystemTime) -> Self {
        let span = SpanBuilder::from_name(name).with_kind(kind);
        Self::start(span.with_start_time(start), &Context::current())
    }

    fn build(span: SpanBuilder, joins: Joins<'_>) -> Self {
        match joins {
            Joins::Parent(parent) => {
                Self::start(span, &context::remote(parent, None).unwrap_or_default())
            }
            Joins::Linked(to) => match context::remote(to, None) {
                None => Self::start(span, &Context::new()),
                Some(to) => {
                    let link = Link::with_context(to.span().span_context().clone());
                    Self::start(span.with_links(vec![link]), &sampling::following(&to))
                }
            },
        }
    }

    fn start(span: SpanBuilder, parent: &Context) -> Self {
        Self(global::tracer(SCOPE).build_with_context(span, parent))
    }

    /// What continues the trace from here; `None` where the process makes no traces.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let span = self.0.span_context();
        span.is_valid().then(|| context::format(span))
    }

    /// Adds attributes, which are made only if the trace is sampled.
    pub fn tell<const N: usize>(&mut self, attributes: impl FnOnce() -> [KeyValue; N]) {
        if self.0.is_recording() {
            self.0.set_attributes(attributes());
        }
    }

    /// Marks it as failed, by one of few words.
    pub fn fail(&mut self, error_type: &'static str) {
        self.tell(|| [KeyValue::new("error.type", error_type)]);
        self.0.set_status(Status::error(""));
    }

    /// It ended then.
    pub fn ended_at(mut self, end: SystemTime) {
        self.0.end_with_timestamp(end);
    }
}
