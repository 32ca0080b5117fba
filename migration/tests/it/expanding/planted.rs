//! Migrations as they should not be, and as they may be.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use super::{Catalog, breaches};
use crate::world::World;

pub(crate) struct Planted {
    pub(crate) sql: &'static str,
    /// What is said of it.
    pub(crate) found: &'static str,
}

impl Planted {
    /// What it breaks. Nothing is left of it.
    pub(crate) async fn breaches(&self, world: &World) -> Vec<String> {
        let before = Catalog::of(world).await;
        let run = async |sql: &str| world.db.execute_unprepared(sql).await.map(drop);
        run("BEGIN").await.unwrap();
        let done = run(self.sql).await;
        done.unwrap_or_else(|error| panic!("{}: {error}", self.sql));
        let after = Catalog::of(world).await;
        run("ROLLBACK").await.unwrap();
        breaches(&before, &after)
    }
}

fn planted(sql: &'static str, found: &'static str) -> Planted {
    Planted { sql, found }
}

/// One for each rule, and for each way in which the database lets one break it.
pub(crate) fn bad(world: &World) -> Vec<Planted> {
    let mut all = vec![
        planted("DROP TABLE set_aside", "table set_aside is gone"),
        planted("ALTER TABLE host RENAME TO hosts", "table host is gone"),
        planted("ALTER TABLE run DROP COLUMN error", "column error is gone"),
        planted(
            "ALTER TABLE run RENAME COLUMN bytes TO body_bytes",
            "column bytes is gone",
        ),
        planted(
            "CREATE UNIQUE INDEX x ON provider (url)",
            "unique by [\"url\"]",
        ),
        planted(
            "ALTER TABLE run ADD COLUMN shard bigint DEFAULT 0; CREATE UNIQUE INDEX x ON run (shard)",
            "unique by [\"shard\"]",
        ),
        planted("DROP INDEX run_open", "nothing does what index"),
        planted("DROP INDEX event_updated", "nothing does what index"),
        planted(
            "DROP INDEX run_lease; CREATE INDEX run_lease ON run (lease_until) WHERE state = 'queued'",
            "nothing does what index",
        ),
        planted(
            "ALTER TABLE run ADD COLUMN shard bigint CHECK (shard > bytes)",
            "must hold now: CHECK",
        ),
    ];
    all.extend(match world.db.get_database_backend() {
        DbBackend::Sqlite => sqlite(),
        _ => postgres(),
    });
    all
}

fn postgres() -> Vec<Planted> {
    vec![
        planted(
            "ALTER TABLE run ADD COLUMN shard bigint NOT NULL",
            "new column shard",
        ),
        planted(
            "ALTER TABLE run ALTER bytes SET NOT NULL",
            "bytes takes no null",
        ),
        planted(
            "ALTER TABLE run ALTER bytes TYPE integer",
            "bytes was bigint and is integer",
        ),
        planted(
            "ALTER TABLE event ALTER title TYPE varchar(80)",
            "title was text",
        ),
        planted(
            "ALTER TABLE run ALTER events_new DROP DEFAULT",
            "events_new has another default",
        ),
        planted(
            "ALTER TABLE provider ALTER id DROP IDENTITY",
            "id has another default",
        ),
        planted(
            "ALTER TABLE run ADD CHECK (bytes >= 0)",
            "must hold now: CHECK",
        ),
        planted(
            "ALTER TABLE run ADD CHECK (bytes >= 0) NOT VALID",
            "must hold now: CHECK",
        ),
        planted(
            "ALTER TABLE run ADD FOREIGN KEY (worker) REFERENCES worker",
            "must hold now: FOREIGN KEY",
        ),
        planted(
            "ALTER TABLE run ADD UNIQUE (traceparent)",
            "unique by [\"traceparent\"]",
        ),
        planted(
            "ALTER TABLE run DROP CONSTRAINT run_state_check",
            "no longer holds: CHECK",
        ),
        planted(
            "ALTER TABLE provider DROP CONSTRAINT provider_name_key",
            "no longer holds: UNIQUE",
        ),
        planted("ALTER TABLE host ENABLE ROW LEVEL SECURITY", "row security"),
        planted(
            "CREATE RULE r AS ON DELETE TO host DO INSTEAD NOTHING",
            "rule r",
        ),
        planted(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
             CREATE TRIGGER t BEFORE INSERT ON host FOR EACH ROW EXECUTE FUNCTION f()",
            "trigger t",
        ),
    ]
}

/// It changes columns by making the table anew.
fn sqlite() -> Vec<Planted> {
    vec![
        planted(
            "DROP TABLE host; CREATE TABLE host (name text PRIMARY KEY, started_at text, not_before text)",
            "started_at was timestamp_with_timezone_text and is TEXT",
        ),
        planted(
            "DROP TABLE host; CREATE TABLE host (name text PRIMARY KEY, started_at \
             timestamp_with_timezone_text NOT NULL, not_before timestamp_with_timezone_text)",
            "started_at takes no null",
        ),
        planted(
            "DROP TABLE host; CREATE TABLE host (name text PRIMARY KEY, started_at \
             timestamp_with_timezone_text, not_before timestamp_with_timezone_text, shard bigint NOT NULL)",
            "new column shard",
        ),
        planted(
            "DROP TABLE worker; CREATE TABLE worker (name text PRIMARY KEY, version text NOT NULL, \
             concurrency bigint NOT NULL CHECK (concurrency > 0), started_at \
             timestamp_with_timezone_text NOT NULL, seen_at timestamp_with_timezone_text NOT NULL)",
            "must hold now: CHECK (concurrency > 0)",
        ),
        planted(
            "DROP TABLE dataset; CREATE TABLE dataset (id bigint PRIMARY KEY, version bigint NOT NULL, \
             epoch uuid_blob NOT NULL, secret blob)",
            "no longer holds: CHECK (id = 1)",
        ),
        planted(
            "CREATE TRIGGER t BEFORE INSERT ON host BEGIN SELECT RAISE(ABORT, 'no'); END",
            "trigger t",
        ),
    ]
}

pub(crate) fn good() -> Vec<Planted> {
    [
        "CREATE TABLE venue (id bigint PRIMARY KEY, name text NOT NULL UNIQUE)",
        "ALTER TABLE event ADD COLUMN venue text",
        "ALTER TABLE event ADD COLUMN venue text NOT NULL DEFAULT ''",
        "ALTER TABLE event ADD COLUMN seats bigint CHECK (seats > 0)",
        "ALTER TABLE event ADD COLUMN code text; CREATE UNIQUE INDEX x ON event (provider_id, code)",
        "CREATE INDEX x ON event (organizer_company_id)",
        "DROP INDEX event_updated; CREATE INDEX x ON event (changed_at, id) WHERE ever_online",
        "CREATE TABLE venue (id bigint PRIMARY KEY, provider_id bigint REFERENCES provider (id))",
        "UPDATE dataset SET version = version",
    ]
    .map(|sql| planted(sql, ""))
    .into()
}
