//! The trace that each claimed run belongs to: whoever claims decides, before the run is stored.

use uuid::Uuid;

/// A run that is being claimed.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Which.
    pub run: Uuid,
    /// The fan-out that it is claimed for.
    pub fan_out: Uuid,
    /// The trace context of that fan-out.
    pub traceparent: Option<&'a str>,
    /// How many runs that fan-out has besides, claimed before this one.
    pub before: u64,
}

/// Gives the `traceparent` that is kept with a run. It is asked once for each run that is being
/// claimed, within the transaction, which may still fail; it must not wait for anything.
pub type Trace<'a> = dyn FnMut(Claim<'_>) -> Option<String> + Send + 'a;

/// Gives each run the trace context of its fan-out.
#[must_use]
pub fn of_fan_out(claim: Claim<'_>) -> Option<String> {
    claim.traceparent.map(str::to_owned)
}

/// What runs are claimed for.
#[derive(Clone, Copy)]
pub(super) struct FanOut<'a> {
    pub(super) id: Uuid,
    pub(super) traceparent: Option<&'a str>,
    /// Runs that it has already.
    pub(super) runs: u64,
}

impl<'a> FanOut<'a> {
    /// Asks `trace` for one run of the fan-out after the other.
    pub(super) fn traces(
        self,
        trace: &'a mut Trace<'_>,
    ) -> impl FnMut(Uuid) -> Option<String> + Send + 'a {
        let mut before = self.runs;
        move |run| {
            let claim = Claim {
                run,
                fan_out: self.id,
                traceparent: self.traceparent,
                before,
            };
            before += 1;
            trace(claim)
        }
    }
}
