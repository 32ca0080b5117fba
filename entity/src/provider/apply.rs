//! Brings the database's providers in line with a provider file, and tells the difference.

use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;

use super::{Model, Spec, by_name};
use crate::Database;
use crate::dialect::Dialect;

/// What applying does to one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "change")]
pub enum Change {
    /// It is new, or comes back from retirement.
    Added,
    /// Each field that differs, as `field: before -> after`.
    Updated {
        /// The differences.
        fields: Vec<String>,
    },
    /// It is not in the file and `prune` was asked for.
    Retired,
}

/// One provider that applying changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Which.
    pub name: String,
    /// How.
    #[serde(flatten)]
    pub change: Change,
}

/// Adds and updates providers as `specs` has them, all or none, and with `prune` retires the
/// others. With `dry_run` it only tells. A new provider is due at once.
///
/// # Errors
/// Whatever the database answers; nothing is applied then.
pub async fn apply(
    db: &Database,
    specs: &[Spec],
    prune: bool,
    dry_run: bool,
) -> Result<Vec<Applied>, DbErr> {
    let tx = db.begin().await?;
    take_turn(&tx).await?;
    let mut applied = Vec::new();
    for spec in specs {
        let change = match by_name(&tx, &spec.name).await? {
            None => Some(insert(&tx, spec).await?),
            Some(model) => update(&tx, &model, spec).await?,
        };
        applied.extend(change.map(|change| Applied {
            name: spec.name.clone(),
            change,
        }));
    }
    if prune {
        for model in super::active(&tx).await? {
            if !specs.iter().any(|spec| spec.name == model.name) {
                super::stop(&tx, &model.name, "retired_at = {now}", Vec::new()).await?;
                applied.push(Applied {
                    name: model.name,
                    change: Change::Retired,
                });
            }
        }
    }
    if dry_run {
        tx.rollback().await?;
    } else {
        tx.commit().await?;
    }
    Ok(applied)
}

/// Key of the advisory lock under which providers are applied ("applyfan" in ASCII).
const TURN: i64 = 0x6170_706c_7966_616e;

/// Schedulers that start together apply the same file, and each would add what none has yet.
async fn take_turn(tx: &impl ConnectionTrait) -> Result<(), DbErr> {
    if let Some(lock) = Dialect::of(tx).lock_advisory(TURN) {
        tx.execute_unprepared(&lock).await?;
    }
    Ok(())
}

async fn insert(tx: &impl ConnectionTrait, spec: &Spec) -> Result<Change, DbErr> {
    let dialect = Dialect::of(tx);
    let now = dialect.now();
    let sql = format!(
        "INSERT INTO provider (name, url, host, format, interval_ms, timezone, timeout_ms, access, \
         max_interval_ms, max_body, hold_percent, hold_events, created_at, next_due_at, late_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, {}, $9, $10, $11, $12, {now}, {now}, {})",
        dialect.as_json("$8"),
        dialect.now_plus_ms("$5")
    );
    tx.execute_raw(dialect.statement(sql, settings(spec)))
        .await?;
    Ok(Change::Added)
}

async fn update(
    tx: &impl ConnectionTrait,
    model: &Model,
    spec: &Spec,
) -> Result<Option<Change>, DbErr> {
    let fields = differences(model, spec);
    if fields.is_empty() && model.retired_at.is_none() {
        return Ok(None);
    }
    let dialect = Dialect::of(tx);
    let now = dialect.now();
    // A changed provider is due at once, for what it says may now mean something else.
    let sql = format!(
        "UPDATE provider SET url = $2, host = $3, format = $4, interval_ms = $5, timezone = $6, \
         timeout_ms = $7, access = {}, max_interval_ms = $9, max_body = $10, hold_percent = $11, \
         hold_events = $12, revision = revision + 1, retired_at = NULL, moved_to = NULL, \
         next_due_at = {now}, late_at = {} WHERE name = $1",
        dialect.as_json("$8"),
        dialect.now_plus_ms("$5")
    );
    tx.execute_raw(dialect.statement(sql, settings(spec)))
        .await?;
    Ok(Some(if model.retired_at.is_some() {
        Change::Added
    } else {
        Change::Updated { fields }
    }))
}

fn settings(spec: &Spec) -> Vec<sea_orm::Value> {
    vec![
        spec.name.clone().into(),
        spec.url.to_string().into(),
        spec.host().into(),
        spec.format.clone().into(),
        millis(spec.interval).into(),
        spec.timezone.clone().into(),
        millis(spec.timeout).into(),
        serde_json::to_string(&spec.access)
            .expect("references have a JSON form")
            .into(),
        spec.max_interval.map(millis).into(),
        spec.max_body
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
            .into(),
        i64::from(spec.hold.percent).into(),
        i64::from(spec.hold.events).into(),
    ]
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn differences(model: &Model, spec: &Spec) -> Vec<String> {
    let show = |duration| humantime::format_duration(duration).to_string();
    let or_default = |text: Option<String>| text.unwrap_or_else(|| "default".to_owned());
    [
        ("url", model.url.clone(), spec.url.to_string()),
        ("format", model.format.clone(), spec.format.clone()),
        ("interval", show(model.interval()), show(spec.interval)),
        ("timezone", model.timezone.clone(), spec.timezone.clone()),
        ("timeout", show(model.timeout()), show(spec.timeout)),
        ("access", model.access.to_string(), spec.access.to_string()),
        (
            "max_interval",
            or_default(model.max_interval_ms.map(|_| show(model.max_interval()))),
            or_default(spec.max_interval.map(show)),
        ),
        (
            "max_body",
            or_default(model.max_body.map(|bytes| bytes.to_string())),
            or_default(spec.max_body.map(|bytes| bytes.to_string())),
        ),
        (
            "hold_percent",
            model.hold_percent.to_string(),
            spec.hold.percent.to_string(),
        ),
        (
            "hold_events",
            model.hold_events.to_string(),
            spec.hold.events.to_string(),
        ),
    ]
    .into_iter()
    .filter(|(_, before, after)| before != after)
    .map(|(field, before, after)| format!("{field}: {before} -> {after}"))
    .collect()
}
