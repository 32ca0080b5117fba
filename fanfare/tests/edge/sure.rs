//! What is held of nginx while the APIs are sure of their answers, which a busy machine may prevent.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Instant;

use futures::FutureExt;
use testkit::eventually;

use crate::client::{Answer, unsure};
use crate::nginx::Edge;
use crate::world::PATIENCE;

/// Asks until the answer is kept, for nginx keeps none that the API was not sure of.
pub(crate) async fn kept(edge: &Edge, path: &str) -> Answer {
    eventually(PATIENCE, "it is kept", async || {
        let answer = edge.client.get(path).await;
        answer.is_hit().then_some(answer)
    })
    .await
}

/// Runs a scenario at an address that nobody has asked for, and once more at another one if an API said
/// amid it that it was not sure: a busy machine may keep it from its database for a second, and then
/// nginx is to keep nothing.
pub(crate) async fn while_sure(scenario: impl AsyncFn(&str)) {
    let deadline = Instant::now() + PATIENCE;
    for limit in 10.. {
        let before = unsure();
        let path = format!("/v1/events/search?limit={limit}");
        let held = AssertUnwindSafe(scenario(&path)).catch_unwind().await;
        match held {
            Ok(()) => break,
            Err(_) if unsure() > before && Instant::now() < deadline => {}
            Err(fault) => resume_unwind(fault),
        }
    }
}
