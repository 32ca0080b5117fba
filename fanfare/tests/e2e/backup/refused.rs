//! What goes wrong changes nothing, and says what to do; and no password is shown.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use testkit::{Database, PostgresServer};

use super::scripts::{backup, fails, programs, query, restore, script, script_at};
use super::{empty, feed};
use crate::dump::dump;
use crate::feed::Feeds;
use crate::world::{World, ended, text_of};

/// A world with a provider and its events.
async fn filled() -> World {
    let world = World::postgres().await;
    let feeds = Feeds::start();
    feeds.set("north", feed(&["A show"]));
    world.apply(&[("north", &feeds.url("north"))]).await;
    let serving = world.all().await;
    world.sync("north").await;
    crate::world::stop(&serving.process, testkit::Signal::TERM).await;
    world
}

#[tokio::test]
async fn a_database_that_is_not_empty_is_replaced_only_if_one_says_so_and_nobody_uses_it() {
    let world = filled().await;
    let file = backup(&world).await;
    world
        .run(&["provider", "pause", "north", "--reason", "later"])
        .await
        .well();
    let before = dump(&world).await;
    fails(
        script(&world, "restore", &[&file]),
        &["not empty", "--replace"],
    )
    .await;
    assert_eq!(dump(&world).await, before);

    let serving = world.serve(&["api"]).await;
    let replace = ["--replace", &file];
    fails(
        script(&world, "restore", &replace),
        &["in use, by: ", "fanfare api"],
    )
    .await;
    assert_eq!(dump(&world).await, before);
    crate::world::stop(&serving.process, testkit::Signal::TERM).await;

    restore(&world, &replace).await;
    assert_eq!(
        query(&world, "SELECT paused_reason FROM provider").await,
        ""
    );
    assert_eq!(query(&world, "SELECT count(*) FROM event").await, "2");
}

#[tokio::test]
async fn a_backup_that_is_damaged_or_none_changes_nothing() {
    let world = filled().await;
    let file = backup(&world).await;
    let bytes = std::fs::read(&file).unwrap();
    let target = empty().await;
    let restored = |name: &str, bytes: &[u8]| {
        let path = world.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        script(&target, "restore", &[&text_of(&path)])
    };
    let cut = bytes.len() * 2 / 3;
    fails(restored("cut", &bytes[..cut]), &["restore: "]).await;
    let mut wrong = bytes.clone();
    // Amid the data, which stands at the end.
    let end = wrong.len();
    wrong[end - 200..end - 150].fill(0x55);
    fails(restored("wrong", &wrong), &["is damaged"]).await;
    fails(
        restored("text", b"SELECT 1;"),
        &["no backup that pg_restore can read"],
    )
    .await;
    fails(
        restored("nothing", b""),
        &["no backup that pg_restore can read"],
    )
    .await;
    let missing = script(&target, "restore", &["/nonexistent/fanfare.dump"]);
    fails(missing, &["no file that can be read"]).await;
    assert_eq!(dump(&target).await.len(), 0);
    // It is the damage that is refused.
    restore(&target, &[&file]).await;
}

#[tokio::test]
async fn a_restore_that_fails_on_its_way_takes_everything_back() {
    let world = filled().await;
    let file = backup(&world).await;
    let before = dump(&world).await;
    // As if the connection or the disk failed after most of it: the last tables can't be made.
    let trap = "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS \
        $$ BEGIN IF EXISTS (SELECT FROM pg_indexes WHERE indexname = 'run_to_push') \
        THEN RAISE EXCEPTION 'the disk is full'; END IF; END $$; \
        CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE INDEX') \
        EXECUTE FUNCTION refuse()";
    query(&world, trap).await;
    let words = ["the disk is full", "the database is as it was"];
    fails(script(&world, "restore", &["--replace", &file]), &words).await;
    assert_eq!(dump(&world).await, before);
}

#[tokio::test]
async fn what_is_no_database_of_fanfare_is_not_backed_up() {
    let world = World::over(Database::postgres_empty().await);
    let folder = text_of(world.folder.path());
    fails(
        script(&world, "backup", &[&folder]),
        &["no database of Fanfare"],
    )
    .await;
    fails(script(&world, "backup", &["/nonexistent"]), &["no folder"]).await;
    fails(script(&world, "backup", &[]), &["give a folder"]).await;
    fails(script(&world, "renew-epoch", &[]), &["dataset"]).await;
    for url in ["", "mysql://db/x", "postgres://db", "sqlite://fanfare.db"] {
        fails(script_at(url, "backup", &[&folder]), &["backup: "]).await;
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn the_newest_backups_stay_and_other_files_too() {
    let world = filled().await;
    let folder = world.folder.path().join("kept");
    std::fs::create_dir(&folder).unwrap();
    for name in [
        "fanfare-20200101T000000Z.dump",
        "fanfare-20210101T000000Z.dump",
        "notes",
    ] {
        std::fs::write(folder.join(name), name).unwrap();
    }
    let made = ended(script(
        &world,
        "backup",
        &["--keep", "2", &text_of(&folder)],
    ))
    .await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let mode = std::fs::metadata(made.out.trim())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| text_of(&entry.unwrap().path()))
        .collect();
    names.sort();
    let path = |name: &str| text_of(&folder.join(name));
    let expected = [
        path("fanfare-20210101T000000Z.dump"),
        made.out.trim().to_owned(),
        path("notes"),
    ];
    assert_eq!(names, expected);
    fails(
        script(&world, "backup", &["--keep", "0", &text_of(&folder)]),
        &["--keep"],
    )
    .await;
}

#[tokio::test]
async fn a_renewed_epoch_reaches_an_api_that_runs() {
    let world = filled().await;
    let serving = world.serve(&["api"]).await;
    let (before, version) = super::dataset(&serving.api).await;
    let renewed = ended(script(&world, "renew-epoch", &[])).await.well();
    assert_ne!(renewed.trim(), before);
    testkit::eventually(crate::world::PATIENCE, "the new epoch", async || {
        super::dataset(&serving.api).await == (renewed.trim().to_owned(), version)
    })
    .await;
    crate::world::stop(&serving.process, testkit::Signal::TERM).await;
}

/// One that a shell, an address and a password file would each like to read otherwise.
const PASSWORD: &str = r"s:e\c%r$e t'&";
const ENCODED: &str = "s%3Ae%5Cc%25r%24e%20t%27%26";

/// A server on which the user `locked` needs its password.
async fn locked() -> (PostgresServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let rules = folder.path().join("pg_hba.conf");
    let text = "host all locked 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    std::fs::write(&rules, text).unwrap();
    let server = PostgresServer::start_with(&[&format!("hba_file={}", rules.display())]).await;
    let mut psql = Command::new("psql");
    let role = format!(
        "CREATE ROLE locked LOGIN PASSWORD '{}'",
        PASSWORD.replace('\'', "''")
    );
    psql.args([
        "--no-psqlrc",
        "--quiet",
        "--dbname",
        &server.url(),
        "--command",
        &role,
    ]);
    psql.args(["--command", "CREATE DATABASE fanfare OWNER locked"]);
    psql.args(["--command", "CREATE DATABASE other OWNER locked"]);
    psql.env("PATH", programs());
    ended(psql).await.well();
    // What only a superuser may make, and so restore. Not every server has it.
    let mut psql = Command::new("psql");
    let fanfare = format!("{}fanfare", server.url().strip_suffix("postgres").unwrap());
    psql.args(["--no-psqlrc", "--quiet", "--dbname", &fanfare]);
    psql.args(["--command", "CREATE EXTENSION pg_stat_statements"]);
    psql.args(["--command", "COMMENT ON SCHEMA public IS 'of Fanfare'"]);
    psql.env("PATH", programs());
    ended(psql).await;
    (server, folder)
}

/// A folder with PostgreSQL's programs that write down what they are called with.
fn overheard(folder: &Path) -> std::ffi::OsString {
    for name in ["psql", "pg_dump", "pg_restore"] {
        let path = folder.join(name);
        let text = format!(
            "#!/bin/sh\necho \"$0 $*\" >>'{0}/heard'\nPATH=${{PATH#*:}} exec {name} \"$@\"\n",
            folder.display()
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let path = programs();
    let folders = std::env::split_paths(&path);
    std::env::join_paths(std::iter::once(folder.to_owned()).chain(folders)).unwrap()
}

#[tokio::test]
async fn a_password_is_taken_from_the_address_and_shown_nowhere() {
    let (server, folder) = locked().await;
    let at = |user: &str, name: &str| {
        server
            .url()
            .replace("postgres@", user)
            .replace("/postgres", &format!("/{name}"))
    };
    let ways = [
        at(&format!("locked:{ENCODED}@"), "fanfare"),
        format!(
            "{}?password={ENCODED}&statement-cache-capacity=10",
            at("locked@", "other")
        ),
    ];
    let path = overheard(folder.path());
    let migrate = crate::world::fanfare(&["migrate", "--database-url", &ways[0]]);
    ended(migrate).await.well();
    let mut backup = script_at(&ways[0], "backup", &[&text_of(folder.path())]);
    let backup = ended({
        backup.env("PATH", &path);
        backup
    })
    .await;
    assert_eq!(backup.code, Some(0), "{backup:?}");
    let mut restore = script_at(&ways[1], "restore", &[backup.out.trim()]);
    let restore = ended({
        restore.env("PATH", &path);
        restore
    })
    .await;
    assert_eq!(restore.code, Some(0), "{restore:?}");
    let wrong = script_at(&at("locked:wrong-one@", "other"), "renew-epoch", &[]);
    let wrong = fails(wrong, &["password authentication failed"]).await;

    let heard = std::fs::read_to_string(folder.path().join("heard")).unwrap();
    for program in ["/psql ", "/pg_dump ", "/pg_restore "] {
        assert!(heard.contains(program), "{heard}");
    }
    let all = format!("{heard}{}{}{}", backup.text(), restore.text(), wrong.text());
    for secret in [PASSWORD, ENCODED, "wrong-one"] {
        assert!(!all.contains(secret), "{all}");
    }
}
