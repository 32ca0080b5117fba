//! What the API reads from: whether it is a replica of our primary, and keeps up.

use std::collections::BTreeMap;
use std::time::Duration;

use entity::server::{self as asked, Following};
use entity::{Database, Kind};

use super::finding::{Finding, Group};
use super::postgres;
use crate::cli::All;
use crate::command::migrate;
use crate::show;

const GROUP: Group = Group::Replica;
const SETTING: &str = "FANFARE_DATABASE_READ_URL";
const NAMES: [&str; 2] = ["hot_standby_feedback", "max_standby_streaming_delay"];

/// What is known of it.
#[derive(Debug, Clone)]
struct Facts {
    following: Following,
    /// Whether it was held against the primary's position.
    compared: bool,
    /// Whether it has the primary's history; `None` if one of them does not tell.
    same_system: Option<bool>,
    same_epoch: Option<bool>,
    /// How far it may be behind.
    lag: Duration,
    settings: BTreeMap<String, String>,
}

/// Looks at the replica, if there is one, and holds it against the primary, if that could be asked.
pub(super) async fn look(options: &All, primary: Option<&Database>, found: &mut Vec<Finding>) {
    let Some(url) = &options.database.database_read_url else {
        return;
    };
    if url.kind() == Kind::Sqlite {
        return found.push(GROUP.error(
            "address",
            "it leads to a file, and only PostgreSQL has replicas",
            format!("unset {SETTING}"),
        ));
    }
    // Before the replica is asked, so that it may know of it.
    let position = match primary {
        Some(primary) => asked::position(&primary.write).await.ok(),
        None => None,
    };
    let Some((replica, identity)) = postgres::enter(GROUP, SETTING, url, options, found).await
    else {
        return;
    };
    found.push(GROUP.ok(
        "server",
        format!(
            "PostgreSQL {}",
            identity.version.split(' ').next().unwrap_or_default()
        ),
    ));
    let origin = position.as_deref().unwrap_or("0/0");
    match asked::following(&replica.write, origin).await {
        Ok(following) => {
            let facts = Facts {
                following,
                compared: position.is_some(),
                same_system: same(primary, &replica, async |db| {
                    asked::system(&db.write).await.ok()
                })
                .await,
                same_epoch: same(primary, &replica, async |db| {
                    let version = entity::dataset::version(&db.write).await.ok()?;
                    Some(version.epoch)
                })
                .await,
                lag: options
                    .api
                    .config(1)
                    .map_or(Duration::MAX, |config| config.replica_lag),
                settings: asked::settings(&replica.write, &NAMES)
                    .await
                    .unwrap_or_default(),
            };
            found.extend(judge(&facts));
        }
        Err(error) => found.push(GROUP.warning(
            "following",
            format!("the server does not tell: {error}"),
            "let this user read the system's views, as every user may unless that was taken away",
        )),
    }
    found.push(postgres::judge_schema(
        GROUP,
        migrate::schema(&replica).await,
    ));
    replica.close().await;
}

/// Whether both say the same; `None` if one of them does not say.
async fn same<T: PartialEq>(
    primary: Option<&Database>,
    replica: &Database,
    ask: impl AsyncFn(&Database) -> Option<T>,
) -> Option<bool> {
    Some(ask(primary?).await? == ask(replica).await?)
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let Following {
        in_recovery,
        streaming,
        paused,
        caught_up,
        shown_ms,
    } = facts.following;
    if facts.same_system == Some(false) {
        return vec![GROUP.error(
            "following",
            "this is another server's history, not our primary's: clients would read other events",
            format!(
                "lead {SETTING} to a replica of the server in {}",
                postgres::SETTING
            ),
        )];
    }
    if !in_recovery {
        return vec![match facts.same_epoch {
            Some(false) => GROUP.error(
                "following",
                "a primary with a dataset of its own: clients would read other events",
                format!("lead {SETTING} to a replica of the server in {}", postgres::SETTING),
            ),
            _ => GROUP.warning(
                "following",
                "no replica, but a primary: nothing is taken off the primary's shoulders, and if this was one that \
                 was promoted, it shows what it had then",
                format!("unset {SETTING}, or lead it to a streaming replica"),
            ),
        }];
    }
    let mut found = Vec::new();
    if paused {
        found.push(GROUP.warning(
            "replay",
            "paused: it shows nothing new",
            "SELECT pg_wal_replay_resume();",
        ));
    }
    if !streaming {
        found.push(GROUP.warning(
            "stream",
            "nothing of the primary's log arrives",
            "see its log: primary_conninfo, the replication user's password, pg_hba.conf of the primary, or a slot \
             that is gone; if the log it needs is gone as well, make it anew by pg_basebackup",
        ));
    }
    let caught_up = facts.compared.then_some(caught_up);
    found.push(lag(facts.lag, caught_up, shown_ms));
    if facts.same_epoch == Some(false) && caught_up == Some(true) {
        found.push(GROUP.error(
            "epoch",
            "not the primary's, although it shows all that the primary has",
            format!(
                "lead {SETTING} and {} to the same database",
                postgres::SETTING
            ),
        ));
    }
    found.extend(conflicts(&facts.settings));
    found
}

fn lag(most: Duration, caught_up: Option<bool>, shown_ms: Option<i64>) -> Finding {
    const CHECK: &str = "lag";
    match caught_up {
        Some(true) => return GROUP.ok(CHECK, "it shows all that the primary has"),
        Some(false) => {}
        None => {
            let shown = shown_ms.map(|ms| format!("; what it shows is of {} ago", show::rough(ms)));
            return GROUP.note(
                CHECK,
                format!(
                    "not known: the primary could not be asked{}",
                    shown.unwrap_or_default()
                ),
            );
        }
    }
    let behind = shown_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
    let found = match behind {
        Some(behind) => format!("behind by up to {:.1} s", behind.as_secs_f64()),
        // It has replayed no commit since its start.
        None => "behind, and it does not tell how far".to_owned(),
    };
    if behind.is_some_and(|behind| behind <= most) {
        return GROUP.ok(CHECK, found);
    }
    GROUP.warning(
        CHECK,
        format!("{found}: beyond FANFARE_REPLICA_LAG the API reads from the primary"),
        "see whether it lacks CPU or disk, whether long queries hold its replay up (pg_stat_activity there), and \
         the network between; or raise FANFARE_REPLICA_LAG",
    )
}

/// What the replay does with a query that is in its way.
fn conflicts(settings: &BTreeMap<String, String>) -> Option<Finding> {
    if settings
        .get("hot_standby_feedback")
        .is_none_or(|it| it == "on")
    {
        return None;
    }
    let delay = settings
        .get("max_standby_streaming_delay")
        .map_or("", String::as_str);
    Some(GROUP.hint(
        "conflicts",
        format!(
            "hot_standby_feedback is off: a query that needs what vacuum has removed on the primary holds the replay up \
             for {delay}, and is cancelled then"
        ),
        "on the replica: ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf();",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::{State, told};

    fn facts() -> Facts {
        Facts {
            following: Following {
                in_recovery: true,
                streaming: true,
                paused: false,
                caught_up: true,
                shown_ms: Some(3_600_000),
            },
            compared: true,
            same_system: Some(true),
            same_epoch: Some(true),
            lag: Duration::from_secs(5),
            settings: BTreeMap::from([("hot_standby_feedback".to_owned(), "on".to_owned())]),
        }
    }

    fn following(change: impl FnOnce(&mut Following)) -> Facts {
        let mut facts = facts();
        change(&mut facts.following);
        facts
    }

    #[test]
    fn a_replica_is_judged_by_what_it_follows_and_how() {
        // What it showed last is an hour old, for nothing was committed since.
        let states = told::states(&judge(&facts()));
        assert_eq!(states, [("lag", State::Ok)]);
        let off = BTreeMap::from([("hot_standby_feedback".to_owned(), "off".to_owned())]);
        let behind = |ms| {
            following(|it| {
                it.caught_up = false;
                it.shown_ms = ms;
            })
        };
        for (facts, check, state) in [
            (following(|it| it.paused = true), "replay", State::Warning),
            (
                following(|it| it.streaming = false),
                "stream",
                State::Warning,
            ),
            (behind(Some(5_000)), "lag", State::Ok),
            (behind(Some(5_001)), "lag", State::Warning),
            (behind(None), "lag", State::Warning),
            (
                Facts {
                    settings: off,
                    ..facts()
                },
                "conflicts",
                State::Note,
            ),
            (
                Facts {
                    same_epoch: Some(false),
                    ..facts()
                },
                "epoch",
                State::Error,
            ),
            (
                Facts {
                    same_system: Some(false),
                    ..facts()
                },
                "following",
                State::Error,
            ),
            (
                following(|it| it.in_recovery = false),
                "following",
                State::Warning,
            ),
            (
                Facts {
                    same_epoch: Some(false),
                    ..following(|it| it.in_recovery = false)
                },
                "following",
                State::Error,
            ),
            (
                Facts {
                    compared: false,
                    ..facts()
                },
                "lag",
                State::Note,
            ),
            (
                Facts {
                    same_system: None,
                    same_epoch: None,
                    ..facts()
                },
                "lag",
                State::Ok,
            ),
        ] {
            let found = judge(&facts);
            assert_eq!(told::of(&found, check).state, state, "{check}: {facts:?}");
        }
        // It may only be late to show the primary's.
        let unknown = Facts {
            compared: false,
            same_epoch: Some(false),
            ..facts()
        };
        assert_eq!(told::states(&judge(&unknown)), [("lag", State::Note)]);
    }
}
