//! What comes before a sync.

use std::time::Duration;

use anyhow::{Context, bail};
use entity::host::Politeness;
use entity::lease::{self, Ask, Begin, Begun};
use entity::{Database, claim};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

/// Makes the one provider due, claims it and begins its run.
pub(crate) async fn begin(db: &Database) -> anyhow::Result<Begun> {
    db.write
        .execute_unprepared("UPDATE provider SET next_due_at = '2000-01-01T00:00:00+00:00'")
        .await?;
    let claimed = claim::claim_due(db, Uuid::now_v7(), None, 1).await?;
    let run = claimed
        .and_then(|runs| Some(runs.first()?.id))
        .context("the provider is not due")?;
    let ask = Ask {
        worker: "bench",
        lease: Duration::from_secs(600),
        politeness: Politeness::default(),
        holds_suspect: false,
    };
    match lease::begin(db, run, ask).await? {
        Begin::Begun(begun) => Ok(*begun),
        _ => bail!("the run is not to be begun"),
    }
}
