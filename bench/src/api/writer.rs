//! Commits as workers make them.

use anyhow::{Context, bail};
use entity::Database;
use entity::commit::{self, Changes, Committed, Finish, Upsert};
use entity::event::{self, Content};
use entity::run::Outcome;

use super::dataset::PROVIDER;
use crate::begin::begin;

/// Stores them in one run, all of them known or none, and gives the dataset version that it made.
pub(super) async fn store(
    db: &Database,
    contents: Vec<Content>,
    known: bool,
) -> anyhow::Result<i64> {
    let begun = begin(db).await?;
    let mut upserts: Vec<Upsert> = contents
        .into_iter()
        .map(|content| Upsert {
            id: event::id(PROVIDER, &content.base_id, &content.event_id),
            digest: content.digest(),
            content,
            known,
        })
        .collect();
    upserts.sort_by_key(|upsert| upsert.id);
    let changes = Changes {
        upserts: upserts.into(),
        ..Changes::default()
    };
    let finish = Finish::new(Outcome::Stored, begun.at, begun.provider.revision);
    match commit::commit(db, &begun.held, &finish, &changes).await? {
        Committed::Yes(version) => version.context("nothing has changed"),
        Committed::Fenced => bail!("the run was fenced"),
    }
}
