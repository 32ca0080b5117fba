//! PostgreSQL as the primary: whether it lets us in, is what we need, and lets us do what we do.

mod door;
mod rights;
mod server;
mod settings;
mod upkeep;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use entity::server::{self as asked, Identity, Place};
use entity::{Database, DatabaseUrl, DbErr, Session};

use super::finding::{Finding, Group};
use super::{clock, reach};
use crate::cli::All;
use crate::command::migrate::{self, Schema};
use crate::show;

const GROUP: Group = Group::Database;
pub(super) const SETTING: &str = "FANFARE_DATABASE_URL";
/// What one way in may take.
const WITHIN: Duration = Duration::from_secs(4);

/// Looks at the primary. Gives the connection if our tables can be asked, and whether the server is on
/// this machine.
pub(super) async fn look(options: &All, found: &mut Vec<Finding>) -> Option<(Database, bool)> {
    let url = &options.database.database_url;
    let (db, identity) = enter(GROUP, SETTING, url, options, found).await?;
    found.extend(server::judge(&identity, url));
    found.extend(look_at(&db, &identity, options).await);
    let schema = migrate::schema(&db).await;
    let usable = schema
        .as_ref()
        .is_ok_and(|schema| schema.missing.is_empty());
    found.push(judge_schema(GROUP, schema));
    if !usable {
        db.close().await;
        return None;
    }
    match asked::tables(&db.write).await {
        Ok(tables) => found.extend(rights::judge(&identity, &tables)),
        Err(error) => found.push(not_told("permissions", &error)),
    }
    found.push(listening(&db).await);
    Some((db, identity.local))
}

/// Goes in as a role would: over the network, past the door, and into a session with our limits.
pub(super) async fn enter(
    group: Group,
    setting: &str,
    url: &DatabaseUrl,
    options: &All,
    found: &mut Vec<Finding>,
) -> Option<(Database, Identity)> {
    if let Some(Place::Tcp(host, port)) = asked::place(url) {
        match reach::reach(group, &host, port, setting).await {
            Ok((_, finding)) => found.push(finding),
            Err(finding) => {
                found.push(finding);
                return None;
            }
        }
    }
    match asked::knock(url, WITHIN).await {
        Ok(told) => found.extend(door::pooler(group, told)),
        Err(knock) => {
            found.push(door::judge(group, setting, url, &knock));
            return None;
        }
    }
    let mut config = entity::Config::new(url.clone());
    config.max_connections = 2;
    config.timeout = WITHIN;
    config.application_name = "fanfare doctor".to_owned();
    config.session = Session::below_lease(options.lease.lease);
    let db = match entity::connect(&config).await {
        Ok(db) => db,
        Err(error) => {
            found.push(door::judge_session(group, setting, &error));
            return None;
        }
    };
    match asked::identity(&db.write).await {
        Ok(identity) => Some((db, identity)),
        Err(error) => {
            found.push(door::no_session(group, setting, &error.to_string()));
            db.close().await;
            None
        }
    }
}

async fn look_at(db: &Database, identity: &Identity, options: &All) -> Vec<Finding> {
    let mut found = Vec::new();
    match asked::settings(&db.write, &settings::NAMES).await {
        Ok(told) => found.extend(settings::judge(&told, identity, options.lease.lease)),
        Err(error) => found.push(not_told("settings", &error)),
    }
    match asked::sessions(&db.write).await {
        Ok(sessions) => {
            let needed = i64::from(options.database.database_connections) + upkeep::BESIDES_POOL;
            found.push(upkeep::judge_sessions(&sessions, needed));
        }
        Err(error) => found.push(not_told("connections", &error)),
    }
    match asked::upkeep(&db.write).await {
        Ok(told) => found.extend(upkeep::judge_upkeep(&told)),
        Err(error) => found.push(not_told("upkeep", &error)),
    }
    match asked::invalid_indexes(&db.write).await {
        Ok(indexes) => found.extend(upkeep::judge_indexes(&indexes)),
        Err(error) => found.push(not_told("indexes", &error)),
    }
    if !identity.in_recovery {
        match asked::slots(&db.write).await {
            Ok(slots) => found.extend(upkeep::judge_slots(&slots)),
            Err(error) => found.push(not_told("replication slots", &error)),
        }
    }
    match timed(db).await {
        Ok((server, here, round_trip)) => {
            found.push(clock::judge(GROUP, server, here, round_trip));
            found.push(upkeep::judge_round_trip(round_trip));
        }
        Err(error) => found.push(not_told("clock", &error)),
    }
    found
}

/// The database's time, ours at that moment, and how long the quickest of a few answers took.
async fn timed(db: &Database) -> Result<(DateTime<Utc>, DateTime<Utc>, Duration), DbErr> {
    let mut best: Option<(DateTime<Utc>, DateTime<Utc>, Duration)> = None;
    for _ in 0..5 {
        let (begun, before) = (Instant::now(), Utc::now());
        let server = entity::clock::now(&db.write).await?;
        let took = begun.elapsed();
        if best.is_none_or(|(_, _, least)| took < least) {
            best = Some((server, before + took / 2, took));
        }
    }
    best.ok_or_else(|| DbErr::RecordNotFound("no time".to_owned()))
}

/// How the schema stands, by the very look that `migrate --check` takes.
pub(super) fn judge_schema(group: Group, schema: anyhow::Result<Schema>) -> Finding {
    const CHECK: &str = "schema";
    match schema {
        Err(error) => group.error(
            CHECK,
            show::told(&error),
            "let this user read the table seaql_migrations, or run `fanfare migrate` as its owner",
        ),
        Ok(Schema { missing, .. }) if !missing.is_empty() => group.error(
            CHECK,
            format!("behind this build: {} missing ({})", missing.len(), missing.join(", ")),
            "run `fanfare migrate`, as the owner of the tables",
        ),
        Ok(Schema { newer, .. }) if !newer.is_empty() => group.note(
            CHECK,
            format!(
                "up to date, and a newer release has added {}: this build works with it, and is to be \
                 replaced by that one",
                newer.join(", ")
            ),
        ),
        Ok(_) => group.ok(CHECK, "up to date"),
    }
}

async fn listening(db: &Database) -> Finding {
    match entity::dataset::listen(db).await {
        Ok(_) => GROUP.ok("notifications", "can be listened to"),
        Err(error) => GROUP.warning(
            "notifications",
            format!("can't be listened to: {error}; the API sees a commit up to a quarter of a second later"),
            "connect to the primary itself, past poolers that give sessions out by the transaction",
        ),
    }
}

pub(super) fn not_told(check: &'static str, error: &DbErr) -> Finding {
    GROUP.warning(
        check,
        format!("the server does not tell: {error}"),
        "let this user read the system's views, as every user may unless that was taken away",
    )
}

/// Where a server is that was reached, for who looks at its machine.
pub(super) fn is_here(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    #[test]
    fn a_schema_behind_is_an_error_and_one_ahead_is_not() {
        let schema = |missing: &[&str], newer: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            judge_schema(
                GROUP,
                Ok(Schema {
                    missing: owned(missing),
                    newer: owned(newer),
                }),
            )
        };
        assert_eq!(schema(&[], &[]).state, State::Ok);
        assert_eq!(schema(&[], &["m2"]).state, State::Note);
        for newer in [&[][..], &["m3"]] {
            let behind = schema(&["m1"], newer);
            assert_eq!(behind.state, State::Error);
            assert!(behind.fix.unwrap().contains("fanfare migrate"));
        }
        assert_eq!(
            judge_schema(GROUP, Err(anyhow::anyhow!("x"))).state,
            State::Error
        );
    }
}
