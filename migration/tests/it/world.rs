//! A database without any table, and short ways to fill it and to look at it.

use sea_orm_migration::sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement,
};

pub(crate) struct World {
    pub(crate) db: DatabaseConnection,
    _database: testkit::Database,
}

impl World {
    pub(crate) async fn postgres() -> Self {
        Self::over(testkit::Database::postgres_empty().await).await
    }

    pub(crate) async fn sqlite() -> Self {
        Self::over(testkit::Database::sqlite_empty().await).await
    }

    async fn over(database: testkit::Database) -> Self {
        let mut options = ConnectOptions::new(database.url());
        options.max_connections(1).sqlx_logging(false);
        options.map_sqlx_sqlite_opts(|options| options.foreign_keys(true));
        Self {
            db: Database::connect(options).await.unwrap(),
            _database: database,
        }
    }

    /// Runs a statement that must change one row.
    pub(crate) async fn execute(&self, sql: &str) {
        let done = self.db.execute_unprepared(sql).await;
        assert_eq!(done.unwrap().rows_affected(), 1, "{sql}");
    }

    /// The columns of a table's only row as texts, nulls as "null".
    pub(crate) async fn only(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let texts: Vec<String> = columns
            .iter()
            .map(|column| format!("coalesce(CAST({column} AS text), 'null')"))
            .collect();
        let sql = format!("SELECT {} FROM {table}", texts.join(", "));
        let statement = Statement::from_string(self.db.get_database_backend(), sql);
        let rows = self.db.query_all_raw(statement).await.unwrap();
        assert_eq!(rows.len(), 1, "{table}");
        let text = |index| rows[0].try_get_by_index(index).unwrap();
        (0..columns.len()).map(text).collect()
    }
}
