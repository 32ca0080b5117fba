//! What a database says of its tables, as far as a release depends on it.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::world::World;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Catalog {
    pub(crate) tables: BTreeMap<String, Table>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: BTreeMap<String, Column>,
    pub(crate) indexes: BTreeSet<Index>,
    /// Conditions on rows, as the database writes them.
    pub(crate) constraints: BTreeSet<String>,
    /// What else acts when rows are written: triggers, rules, policies.
    pub(crate) actors: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) kind: String,
    pub(crate) not_null: bool,
    /// As the database writes it; empty without one.
    pub(crate) default: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Index {
    pub(crate) unique: bool,
    /// Columns or expressions, in their order.
    pub(crate) columns: Vec<String>,
    pub(crate) condition: String,
}

/// Table, column, type, whether null is refused, default.
const COLUMNS: [&str; 2] = [
    "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod) || a.attgenerated::text, \
     a.attnotnull::text, coalesce(pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity::text, ''), '') \
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
     WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace",
    // A key that is an integer numbers itself.
    "SELECT t.name, c.name, c.type || CASE c.hidden WHEN 0 THEN '' ELSE ' generated' END, \
     CASE WHEN c.\"notnull\" OR c.pk THEN 'true' ELSE 'false' END, \
     coalesce(c.dflt_value, CASE WHEN c.pk AND c.type = 'integer' THEN 'a' ELSE '' END) \
     FROM sqlite_master t, pragma_table_xinfo(t.name) c WHERE t.type = 'table'",
];

/// Table, name, position, column or expression, whether unique, condition.
const INDEXES: [&str; 2] = [
    "SELECT c.relname::text, i.indexrelid::regclass::text, n::text, pg_get_indexdef(i.indexrelid, n, true), \
     i.indisunique::text, coalesce(pg_get_expr(i.indpred, i.indrelid), '') \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid, generate_series(1, i.indnkeyatts) n \
     WHERE c.relnamespace = 'public'::regnamespace",
    "SELECT t.name, i.name, printf('%03d', c.seqno), coalesce(c.name, 'expression'), \
     CASE WHEN i.\"unique\" THEN 'true' ELSE 'false' END, \
     coalesce(substr(s.sql, nullif(instr(s.sql, 'WHERE'), 0)), '') \
     FROM sqlite_master t, pragma_index_list(t.name) i, pragma_index_info(i.name) c \
     LEFT JOIN sqlite_master s ON s.name = i.name WHERE t.type = 'table'",
];

/// Table and definition. SQLite has checks in the text of a table only.
const CONSTRAINTS: [&str; 2] = [
    "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint \
     WHERE connamespace = 'public'::regnamespace AND conrelid <> 0",
    "SELECT t.name, 'FOREIGN KEY (' || f.\"from\" || ') REFERENCES ' || f.\"table\" || '(' \
     || coalesce(f.\"to\", '') || ') ON DELETE ' || f.on_delete || ' ON UPDATE ' || f.on_update \
     FROM sqlite_master t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'",
];

/// Table and what acts on it.
const ACTORS: [&str; 2] = [
    "SELECT tgrelid::regclass::text, 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal \
     UNION ALL SELECT tablename, 'rule ' || rulename FROM pg_rules WHERE schemaname = 'public' \
     UNION ALL SELECT relname, 'row security' FROM pg_class WHERE relrowsecurity",
    "SELECT tbl_name, 'trigger ' || name FROM sqlite_master WHERE type = 'trigger'",
];

impl Catalog {
    pub(crate) async fn of(world: &World) -> Self {
        let mut catalog = Self::default();
        for row in rows(world, COLUMNS, 5).await {
            let [table, name, kind, not_null, default] = row.try_into().unwrap();
            let column = Column {
                kind,
                not_null: not_null == "true",
                default,
            };
            catalog.table(&table).columns.insert(name, column);
        }
        let mut indexes: BTreeMap<(String, String), Index> = BTreeMap::new();
        for row in rows(world, INDEXES, 6).await {
            let [table, name, _, column, unique, condition] = row.try_into().unwrap();
            let empty = Index {
                unique: unique == "true",
                columns: Vec::new(),
                condition,
            };
            let index = indexes.entry((table, name)).or_insert(empty);
            index.columns.push(column);
        }
        for ((table, _), index) in indexes {
            catalog.table(&table).indexes.insert(index);
        }
        for row in rows(world, CONSTRAINTS, 2).await {
            let [table, definition] = row.try_into().unwrap();
            catalog.table(&table).constraints.insert(definition);
        }
        for row in rows(world, ACTORS, 2).await {
            let [table, actor] = row.try_into().unwrap();
            catalog.table(&table).actors.insert(actor);
        }
        if world.db.get_database_backend() == DbBackend::Sqlite {
            let tables = "SELECT name, sql FROM sqlite_master WHERE type = 'table'";
            for row in rows(world, ["", tables], 2).await {
                let [table, sql] = row.try_into().unwrap();
                catalog.table(&table).constraints.extend(checks(&sql));
            }
        }
        // The books of the migrations themselves, and SQLite's own.
        catalog
            .tables
            .retain(|name, _| name != "seaql_migrations" && !name.starts_with("sqlite_"));
        catalog
    }

    fn table(&mut self, name: &str) -> &mut Table {
        self.tables.entry(name.to_owned()).or_default()
    }
}

/// The rows of PostgreSQL's query or of SQLite's, in order.
async fn rows(world: &World, queries: [&str; 2], columns: usize) -> Vec<Vec<String>> {
    let backend = world.db.get_database_backend();
    let [postgres, sqlite] = queries;
    let query = match backend {
        DbBackend::Sqlite => sqlite,
        _ => postgres,
    };
    let ordered = match columns {
        2 => "1, 2",
        _ => "1, 2, 3",
    };
    let statement = Statement::from_string(backend, format!("{query} ORDER BY {ordered}"));
    let rows = world.db.query_all_raw(statement).await.unwrap();
    let texts = |row: &sea_orm_migration::sea_orm::QueryResult| {
        let text = |index| row.try_get_by_index(index).unwrap();
        (0..columns).map(text).collect()
    };
    rows.iter().map(texts).collect()
}

/// Every `CHECK (…)` of a table's text.
fn checks(sql: &str) -> Vec<String> {
    let mut checks = Vec::new();
    for (start, _) in sql.match_indices("CHECK") {
        let mut depth = 0;
        let end = sql[start..].find(|character| {
            depth += match character {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            character == ')' && depth == 0
        });
        checks.push(sql[start..=start + end.unwrap()].to_owned());
    }
    checks
}
