use sea_orm::{ConnectionTrait, Database as SeaOrm, DatabaseConnection, DbBackend, Statement};
use testkit::Database;

async fn run(database: &DatabaseConnection, sql: &str) {
    let done = database.execute_unprepared(sql).await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn number(database: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await;
    let row = row.unwrap_or_else(|error| panic!("{sql}: {error}"));
    row.expect("one row").try_get_by_index(0).expect("a number")
}

async fn fresh_database_is_migrated_empty_and_isolated(first: Database, second: Database) {
    let one = SeaOrm::connect(first.url()).await.expect("a connection");
    let two = SeaOrm::connect(second.url()).await.expect("a connection");

    assert_eq!(number(&one, "SELECT count(*) FROM event").await, 0);
    run(&one, "CREATE TABLE mine (id bigint)").await;
    run(&one, "DELETE FROM dataset").await;

    run(&two, "CREATE TABLE mine (id bigint)").await;
    assert_eq!(number(&two, "SELECT count(*) FROM dataset").await, 1);
}

#[tokio::test]
async fn fresh_postgres_database_is_migrated_empty_and_isolated() {
    let (first, second) = tokio::join!(Database::postgres(), Database::postgres());
    fresh_database_is_migrated_empty_and_isolated(first, second).await;
}

#[tokio::test]
async fn fresh_sqlite_database_is_migrated_empty_and_isolated() {
    let (first, second) = tokio::join!(Database::sqlite(), Database::sqlite());
    fresh_database_is_migrated_empty_and_isolated(first, second).await;
}

#[tokio::test]
async fn empty_databases_have_no_tables() {
    let postgres = Database::postgres_empty().await;
    let connection = SeaOrm::connect(postgres.url()).await.unwrap();
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(number(&connection, tables).await, 0);

    let sqlite = Database::sqlite_empty().await;
    let connection = SeaOrm::connect(sqlite.url()).await.unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema";
    assert_eq!(number(&connection, tables).await, 0);
}

#[tokio::test]
async fn database_goes_with_its_owner_although_a_connection_is_open() {
    let server = testkit::postgres_url().await;
    let database = Database::postgres().await;
    let name = database.url().rsplit('/').next().unwrap().to_owned();
    let connection = SeaOrm::connect(database.url()).await.unwrap();
    run(&connection, "BEGIN").await;

    drop(database);

    let admin = SeaOrm::connect(&*server).await.unwrap();
    let found = admin
        .query_one_raw(Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT 1 FROM pg_database WHERE datname = $1",
            [name.into()],
        ))
        .await
        .unwrap();
    assert!(found.is_none());
}

#[tokio::test]
async fn sqlite_file_goes_with_its_owner() {
    let database = Database::sqlite().await;
    let file = database.url().strip_prefix("sqlite://").unwrap();
    let file = std::path::PathBuf::from(file.split('?').next().unwrap());
    assert!(file.exists());

    drop(database);

    assert!(!file.exists());
    assert!(!file.parent().unwrap().exists());
}
