//! Whether a trace is recorded: decided where it begins, and carried.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// The standard sampler, except that a trace which is linked to another follows that one's decision.
#[derive(Debug, Clone)]
pub(crate) struct Carried(Sampler);

/// The decision that a context carries for the trace that begins in it.
struct Decided {
    sampled: bool,
}

/// A context for a trace of its own, which is recorded if the one that it is linked to is.
pub(crate) fn following(linked: &Context) -> Context {
    let sampled = linked.span().span_context().is_sampled();
    Context::new().with_value(Decided { sampled })
}

impl Carried {
    /// As `OTEL_TRACES_SAMPLER` and its argument have it, read through `variable`; they have been
    /// looked at before.
    pub(crate) fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let ratio = || {
            let share = variable("OTEL_TRACES_SAMPLER_ARG")?.parse().ok()?;
            Some(Sampler::TraceIdRatioBased(share))
        };
        let ratio = || ratio().unwrap_or(Sampler::AlwaysOn);
        let root = match variable("OTEL_TRACES_SAMPLER").as_deref() {
            Some("always_on") => return Self(Sampler::AlwaysOn),
            Some("always_off") => return Self(Sampler::AlwaysOff),
            Some("traceidratio") => return Self(ratio()),
            Some("parentbased_always_off") => Sampler::AlwaysOff,
            Some("parentbased_traceidratio") => ratio(),
            _ => Sampler::AlwaysOn,
        };
        Self(Sampler::ParentBased(Box::new(root)))
    }
}

impl ShouldSample for Carried {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let decided = parent.and_then(|context| context.get::<Decided>());
        let Some(decided) = decided else {
            let sampler = &self.0;
            return sampler.should_sample(parent, trace_id, name, kind, attributes, links);
        };
        SamplingResult {
            decision: if decided.sampled {
                SamplingDecision::RecordAndSample
            } else {
                SamplingDecision::Drop
            },
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::remote;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    fn sampler(name: &str, share: &str) -> Carried {
        Carried::from_variables(|asked| {
            let value = match asked {
                "OTEL_TRACES_SAMPLER" => name,
                _ => share,
            };
            (!value.is_empty()).then(|| value.to_owned())
        })
    }

    fn samples(sampler: &Carried, parent: &Context, id: u128) -> bool {
        let id = TraceId::from(id);
        let result = sampler.should_sample(Some(parent), id, "", &SpanKind::Internal, &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    fn parent(flags: &str) -> Context {
        remote(Some(&format!("{TRACE}-{flags}")), None).unwrap()
    }

    #[test]
    fn linked_trace_follows_the_one_that_it_is_linked_to_whatever_the_sampler_says() {
        for name in ["always_off", "parentbased_always_off", ""] {
            let sampler = sampler(name, "");
            assert!(samples(&sampler, &following(&parent("01")), 1), "{name}");
        }
        for name in ["always_on", "parentbased_always_on", ""] {
            let sampler = sampler(name, "");
            assert!(!samples(&sampler, &following(&parent("00")), 1), "{name}");
        }
    }

    #[test]
    fn everything_else_is_as_the_standard_variables_have_it() {
        const LOW: u128 = 1;
        const HIGH: u128 = u128::MAX;
        let none = Context::new();
        for (name, share, begins, sampled, unsampled) in [
            ("", "", [true, true], true, false),
            ("always_on", "", [true, true], true, true),
            ("always_off", "", [false, false], false, false),
            ("traceidratio", "0.5", [true, false], false, false),
            ("parentbased_always_on", "", [true, true], true, false),
            ("parentbased_always_off", "", [false, false], true, false),
            (
                "parentbased_traceidratio",
                "0.5",
                [true, false],
                true,
                false,
            ),
        ] {
            let sampler = sampler(name, share);
            let begun = [LOW, HIGH].map(|id| samples(&sampler, &none, id));
            assert_eq!(begun, begins, "{name}");
            assert_eq!(samples(&sampler, &parent("01"), HIGH), sampled, "{name}");
            assert_eq!(samples(&sampler, &parent("00"), HIGH), unsampled, "{name}");
        }
    }
}
