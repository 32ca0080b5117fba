//! Everything that a database holds, as text.

use std::collections::BTreeMap;

use entity::Kind;
use sea_orm::{ConnectionTrait, Statement};

use crate::world::World;

/// The rows of every table, in an order of their own.
pub(crate) async fn dump(world: &World) -> BTreeMap<String, Vec<String>> {
    let db = world.db().await;
    let texts = async |sql: String| {
        let statement = Statement::from_string(db.write.get_database_backend(), sql);
        let rows = db.write.query_all_raw(statement).await.unwrap();
        let text = |row: &sea_orm::QueryResult| row.try_get_by_index::<String>(0).unwrap();
        let mut texts: Vec<_> = rows.iter().map(text).collect();
        texts.sort();
        texts
    };
    let tables = match db.kind() {
        Kind::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Kind::Postgres => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
    };
    let mut dump = BTreeMap::new();
    for table in texts(tables.to_owned()).await {
        let row = match db.kind() {
            Kind::Postgres => "CAST(t AS text)".to_owned(),
            Kind::Sqlite => {
                let columns =
                    format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')");
                texts(columns).await.join(" || ',' || ")
            }
        };
        let rows = texts(format!("SELECT {row} FROM \"{table}\" AS t")).await;
        dump.insert(table, rows);
    }
    db.close().await;
    dump
}
