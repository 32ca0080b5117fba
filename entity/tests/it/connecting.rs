//! How a database is reached, and what is said when it is not.

use std::time::Duration;

use entity::{Access, Config, ConnectError, DatabaseUrl, Session, connect};
use sea_orm::{ConnectionTrait, TransactionTrait};
use testkit::PostgresServer;

use crate::world::{PATIENCE, World};

fn config(url: &str) -> Config {
    let mut config = Config::new(url.parse().unwrap());
    config.timeout = Duration::from_secs(1);
    config
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address_and_without_the_password() {
    let port = testkit::free_port();
    let url = format!("postgres://me:hunter2@127.0.0.1:{port}/fanfare");
    let error = connect(&config(&url)).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "no answer from the database at postgres://me:***@127.0.0.1:{port}/fanfare \
             within 1 s: check that it runs there and can be reached"
        )
    );
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let silent = testkit::free_listener();
    let url = format!("postgres://me@{}/fanfare", silent.local_addr().unwrap());
    let error = connect(&config(&url)).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error:?}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_told_by_the_servers_own_words() {
    let server = testkit::postgres_url().await;
    let (address, _) = server.rsplit_once('/').unwrap();
    let url = format!("{address}/nowhere");
    let error = connect(&config(&url)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains(r#"database "nowhere" does not exist"#),
        "{error}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("hba");
    let text = "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    std::fs::write(&rules, text).unwrap();
    open_to_all(folder.path());
    let server = PostgresServer::start_with(&[&format!("hba_file={}", rules.display())]).await;
    let admin = connect(&config(&server.url())).await.unwrap();
    let role = "CREATE ROLE guarded LOGIN PASSWORD 'right'";
    admin.write.execute_unprepared(role).await.unwrap();
    let with = |password| {
        server
            .url()
            .replace("postgres@", &format!("guarded:{password}@"))
    };
    connect(&config(&with("right"))).await.unwrap();
    let error = connect(&config(&with("hunter2"))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("password authentication failed"),
        "{message}"
    );
    assert!(
        !format!("{message}{error:?}").contains("hunter2"),
        "{error:?}"
    );
}

/// The server may run as another user.
fn open_to_all(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, mode).unwrap();
}

#[tokio::test]
async fn an_embedded_database_has_one_process_with_roles_and_names_it() {
    let database = testkit::Database::sqlite().await;
    let mut roles = config(database.url());
    roles.access = Access::Roles;
    let first = connect(&roles).await.unwrap();
    let error = connect(&roles).await.unwrap_err();
    assert!(matches!(error, ConnectError::InUse { .. }), "{error:?}");
    let message = error.to_string();
    let holder = format!("(process {})", std::process::id());
    assert!(message.contains(&holder), "{message}");
    // A command beside them is welcome.
    connect(&config(database.url()))
        .await
        .unwrap()
        .close()
        .await;
    first.close().await;
    connect(&roles).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite_file(&folder.path().join("missing/fanfare.db"));
    let mut roles = Config::new(url);
    roles.access = Access::Roles;
    let error = connect(&roles).await.unwrap_err();
    assert!(matches!(error, ConnectError::Lock { .. }), "{error:?}");
    assert!(
        error.to_string().contains("missing/fanfare.db.lock"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reader_cannot_write_to_an_embedded_database() {
    let world = World::sqlite().await;
    let written = world
        .db
        .read
        .execute_unprepared("UPDATE dataset SET version = 9")
        .await;
    assert!(written.is_err());
    assert_eq!(world.version().await, 0);
}

async fn limited(world: &World, session: Session) -> entity::Database {
    let mut config = Config::new(world.database.url().parse().unwrap());
    config.session = session;
    config.application_name = "limited".to_owned();
    connect(&config).await.unwrap()
}

const LIMIT: Option<Duration> = Some(Duration::from_millis(200));

#[tokio::test]
async fn the_server_ends_a_transaction_that_a_frozen_process_left_idle() {
    let world = World::postgres().await;
    let session = Session {
        idle_in_transaction: LIMIT,
        ..Session::default()
    };
    let frozen = limited(&world, session).await;
    world.add(&["acme"]).await;
    let tx = frozen.begin().await.unwrap();
    tx.execute_unprepared("UPDATE provider SET token = 9")
        .await
        .unwrap();
    // Waits for the row's lock, which only the server can free.
    world
        .execute("UPDATE provider SET token = token + 1", vec![])
        .await;
    assert_eq!(world.provider("acme").await.token, 1);
    assert!(tx.execute_unprepared("SELECT 1").await.is_err());
    assert!(tx.commit().await.is_err());
}

#[tokio::test]
async fn statements_and_waits_for_locks_end_at_their_limits() {
    let world = World::postgres().await;
    world.add(&["acme"]).await;
    let statement = Session {
        statement: LIMIT,
        ..Session::default()
    };
    let limits = limited(&world, statement).await;
    let error = limits.write.execute_unprepared("SELECT pg_sleep(60)").await;
    assert!(error.unwrap_err().to_string().contains("statement timeout"));

    let lock = Session {
        lock: LIMIT,
        ..Session::default()
    };
    let limits = limited(&world, lock).await;
    let holder = world.db.write.begin().await.unwrap();
    let sql = "UPDATE provider SET token = token + 1";
    holder.execute_unprepared(sql).await.unwrap();
    let waiting = tokio::time::timeout(PATIENCE, limits.write.execute_unprepared(sql));
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("lock timeout"), "{error}");
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn a_session_says_who_it_is_and_stays_below_the_lease() {
    let world = World::postgres().await;
    let session = Session::below_lease(Duration::from_secs(20));
    let limits = limited(&world, session).await;
    let setting = async |name: &str| {
        let sql = format!("SHOW {name}");
        let row = limits
            .write
            .query_one_raw(world.statement(&sql, vec![]))
            .await;
        row.unwrap().unwrap().try_get_by_index::<String>(0).unwrap()
    };
    assert_eq!(setting("application_name").await, "limited");
    for name in [
        "idle_in_transaction_session_timeout",
        "statement_timeout",
        "lock_timeout",
    ] {
        assert_eq!(setting(name).await, "15s", "{name}");
    }
    assert_eq!(setting("tcp_keepalives_idle").await, "5");
}
