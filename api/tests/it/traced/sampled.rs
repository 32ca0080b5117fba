//! Which requests are recorded: those that the configured sampler wants, whichever way they take.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};
use proptest::prelude::*;
use tracing::info_span;

use super::recorded::Recorded;

/// Those that the standard variables can ask for.
fn sampler() -> impl Strategy<Value = Sampler> {
    let root = prop_oneof![
        Just(Sampler::AlwaysOn),
        Just(Sampler::AlwaysOff),
        prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..1.0].prop_map(Sampler::TraceIdRatioBased),
    ];
    (root, any::<bool>()).prop_map(|(root, parent_based)| {
        if parent_based {
            Sampler::ParentBased(Box::new(root))
        } else {
            root
        }
    })
}

/// What a client may send, and what it means where it means something.
fn parent() -> impl Strategy<Value = (Option<String>, Option<(u128, u64, bool)>)> {
    let good = (1..=u128::MAX, 1..=u64::MAX, any::<bool>());
    let good = good.prop_map(|(trace, span, sampled)| {
        let sent = format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled));
        (Some(sent), Some((trace, span, sampled)))
    });
    let bad = [
        "",
        "00-0-0-01",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    let bad = proptest::sample::select(bad.to_vec()).prop_map(|bad| (Some(bad.to_owned()), None));
    prop_oneof![Just((None, None)), good, bad]
}

/// What the SDK's sampler says by itself.
fn wanted(sampler: &Sampler, root: TraceId, parent: Option<(u128, u64, bool)>) -> bool {
    let (trace, parent) = match parent {
        None => (root, Context::new()),
        Some((trace, span, sampled)) => {
            let flags = TraceFlags::default().with_sampled(sampled);
            let (trace, span) = (TraceId::from(trace), SpanId::from(span));
            let sent = SpanContext::new(trace, span, flags, true, TraceState::default());
            (trace, Context::new().with_remote_span_context(sent))
        }
    };
    let said = sampler.should_sample(Some(&parent), trace, "name", &SpanKind::Server, &[], &[]);
    said.decision == SamplingDecision::RecordAndSample
}

proptest! {
    #[test]
    fn a_request_is_recorded_exactly_if_the_sampler_says_so(
        sampler in sampler(),
        root in 1..=u128::MAX,
        (sent, parent) in parent(),
    ) {
        let root = TraceId::from(root);
        let recorded = Recorded::with_trace(sampler.clone(), root);
        let wanted = wanted(&sampler, root, parent);

        let mut asked = false;
        let spans = recorded.ended_spans();
        spans.server("name", (sent.as_deref(), None), Duration::ZERO, || {
            asked = true;
            Vec::new()
        });
        let at_once = recorded.take();
        prop_assert_eq!(asked, wanted, "attributes are for what is recorded");
        prop_assert_eq!(at_once.len(), usize::from(wanted));

        // The router's way.
        let _default = recorded.subscribe();
        let span = info_span!("name");
        telemetry::set_parent(&span, sent.as_deref(), None);
        span.in_scope(|| ());
        drop(span);
        let by_router = recorded.take();
        prop_assert_eq!(by_router.len(), usize::from(wanted));

        for (one, other) in at_once.iter().zip(&by_router) {
            let trace = parent.map_or(root, |(trace, ..)| TraceId::from(trace));
            prop_assert_eq!(one.span_context.trace_id(), trace);
            prop_assert_eq!(other.span_context.trace_id(), trace);
            prop_assert_eq!(one.parent_span_id, other.parent_span_id);
        }
    }
}
