//! What a sync needs, over servers of this machine.

use entity::Database;
use worker::fetch::{Fetcher, Networks};
use worker::{Tools, fetch, format};

/// The defaults, with loopback allowed.
pub(crate) fn tools(db: &Database) -> anyhow::Result<Tools> {
    let fetch = fetch::Config {
        allow: Networks::loopback(),
        ..fetch::Config::default()
    };
    Ok(Tools {
        db: db.clone(),
        http: Fetcher::new(fetch)?,
        format: format::Limits::default(),
    })
}
