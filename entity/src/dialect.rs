//! The SQL in which PostgreSQL and SQLite differ: time, locks and lists.
//!
//! SQLite keeps instants as RFC 3339 text in UTC, whose order as text is their order in time.

use chrono::{DateTime, TimeZone, Utc};
use sea_orm::{ConnectionTrait, DbBackend, Iden, Iterable, Statement, Value};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

/// Every column of a table that goes by `alias`, by name. With `*` a statement that PostgreSQL keeps
/// prepared would fail as soon as the next release adds a column, and a new column could hide another
/// table's.
pub(crate) fn columns<C: Iterable + Iden>(alias: &str) -> String {
    let column = |column: C| format!("{alias}.{}", column.to_string());
    C::iter().map(column).collect::<Vec<_>>().join(", ")
}

impl Dialect {
    pub(crate) fn of(db: &impl ConnectionTrait) -> Self {
        match db.get_database_backend() {
            DbBackend::Sqlite => Self::Sqlite,
            _ => Self::Postgres,
        }
    }

    pub(crate) fn statement(self, sql: impl Into<String>, values: Vec<Value>) -> Statement {
        let backend = match self {
            Self::Postgres => DbBackend::Postgres,
            Self::Sqlite => DbBackend::Sqlite,
        };
        Statement::from_sql_and_values(backend, sql, values)
    }

    /// The present. Within one transaction of PostgreSQL it stands still, so that instants of one
    /// commit agree.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Self::Postgres => "now()",
            Self::Sqlite => "strftime('%Y-%m-%dT%H:%M:%f000+00:00', 'now')",
        }
    }

    /// `instant` plus a number of milliseconds, both SQL expressions.
    pub(crate) fn plus_ms(self, instant: &str, ms: &str) -> String {
        match self {
            Self::Postgres => format!("({instant} + ({ms}) * interval '1 millisecond')"),
            Self::Sqlite => format!(
                "strftime('%Y-%m-%dT%H:%M:%f000+00:00', {instant}, (({ms}) / 1000.0) || ' seconds')"
            ),
        }
    }

    /// The present plus a number of milliseconds.
    pub(crate) fn now_plus_ms(self, ms: &str) -> String {
        self.plus_ms(self.now(), ms)
    }

    /// Milliseconds from now until an instant, as a whole number; negative for one that has passed.
    pub(crate) fn ms_until(self, instant: &str) -> String {
        match self {
            // Not now(), which stands still while a transaction waits for a lock.
            Self::Postgres => format!(
                "CAST(ceil(extract(epoch FROM ({instant} - clock_timestamp())) * 1000) AS bigint)"
            ),
            Self::Sqlite => format!(
                "CAST(round((julianday({instant}) - julianday('now')) * 86400000.0) AS integer)"
            ),
        }
    }

    /// The present, moving on also within a transaction.
    pub(crate) fn clock(self) -> &'static str {
        match self {
            Self::Postgres => "clock_timestamp()",
            Self::Sqlite => self.now(),
        }
    }

    /// Whether an event lasts longer than a day: the very condition of the index `event_long`.
    pub(crate) fn lasts_long(self) -> &'static str {
        match self {
            Self::Postgres => "ends_at - starts_at > interval '24 hours'",
            Self::Sqlite => "julianday(ends_at) - julianday(starts_at) > 1.0",
        }
    }

    /// A text parameter that holds JSON, for a JSON column.
    pub(crate) fn as_json(self, parameter: &str) -> String {
        match self {
            Self::Postgres => format!("CAST({parameter} AS jsonb)"),
            Self::Sqlite => parameter.to_owned(),
        }
    }

    /// The lesser of two numbers.
    pub(crate) fn least(self, a: &str, b: &str) -> String {
        match self {
            Self::Postgres => format!("least({a}, {b})"),
            Self::Sqlite => format!("min({a}, {b})"),
        }
    }

    /// Locks the rows of `table` that a select returns until the end of the transaction, passing
    /// over those that another holds. Rows that only refer to them can still be written. SQLite
    /// has one writer at a time, which makes this empty.
    pub(crate) fn lock_skipping(self, table: &str) -> String {
        match self {
            Self::Postgres => format!("FOR NO KEY UPDATE OF {table} SKIP LOCKED"),
            Self::Sqlite => String::new(),
        }
    }

    /// Like [`Self::lock_skipping`], waiting for rows that another holds.
    pub(crate) fn lock_waiting(self, table: &str) -> String {
        match self {
            Self::Postgres => format!("FOR NO KEY UPDATE OF {table}"),
            Self::Sqlite => String::new(),
        }
    }

    /// A statement that waits until no other transaction holds the lock `key`, and holds it until
    /// the end of this one. SQLite has one writer at a time and needs none.
    pub(crate) fn lock_advisory(self, key: i64) -> Option<String> {
        match self {
            Self::Postgres => Some(format!("SELECT pg_advisory_xact_lock({key})")),
            Self::Sqlite => None,
        }
    }

    /// `IN (…)` over a list of ids bound as one parameter, see [`Self::ids`].
    pub(crate) fn in_ids(self, parameter: &str) -> String {
        match self {
            Self::Postgres => format!("= ANY({parameter}::uuid[])"),
            Self::Sqlite => format!("IN (SELECT unhex(value) FROM json_each({parameter}))"),
        }
    }

    /// The parameter for [`Self::in_ids`].
    pub(crate) fn ids(self, ids: &[Uuid]) -> Value {
        match self {
            Self::Postgres => ids.to_vec().into(),
            Self::Sqlite => json(ids.iter().map(|id| hex(*id)).collect::<Vec<_>>()),
        }
    }

    /// `IN (…)` over a list of numbers bound as one parameter, see [`Self::numbers`].
    pub(crate) fn in_numbers(self, parameter: &str) -> String {
        match self {
            Self::Postgres => format!("= ANY({parameter}::bigint[])"),
            Self::Sqlite => format!("IN (SELECT value FROM json_each({parameter}))"),
        }
    }

    /// The parameter for [`Self::in_numbers`].
    pub(crate) fn numbers(self, numbers: &[i64]) -> Value {
        match self {
            Self::Postgres => numbers.to_vec().into(),
            Self::Sqlite => json(numbers),
        }
    }

    /// A table `t (id, number)` made of two parallel lists, bound as the parameters `$1` and `$2`,
    /// see [`Self::pairs`].
    pub(crate) fn pairs_table(self) -> &'static str {
        match self {
            Self::Postgres => {
                "(SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS u (id, number)) AS t"
            }
            Self::Sqlite => {
                // Joined by key they would be compared each with each.
                "(SELECT unhex(value) AS id, json_extract($2, '$[' || key || ']') AS number \
                 FROM json_each($1)) AS t"
            }
        }
    }

    /// The same with a list of texts as `$3`, see [`Self::texts`]: a table `t (id, number, text)`.
    pub(crate) fn triples_table(self) -> &'static str {
        match self {
            Self::Postgres => {
                "(SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[]) \
                 AS u (id, number, text)) AS t"
            }
            Self::Sqlite => {
                // Joined by key they would be compared each with each.
                "(SELECT unhex(value) AS id, json_extract($2, '$[' || key || ']') AS number, \
                 json_extract($3, '$[' || key || ']') AS text FROM json_each($1)) AS t"
            }
        }
    }

    /// A list of texts bound as one parameter.
    pub(crate) fn texts(self, texts: Vec<String>) -> Value {
        match self {
            Self::Postgres => texts.into(),
            Self::Sqlite => json(texts),
        }
    }

    /// The two parameters for [`Self::pairs_table`].
    pub(crate) fn pairs(self, pairs: &[(Uuid, i64)]) -> [Value; 2] {
        let (ids, numbers): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        [self.ids(&ids), self.numbers(&numbers)]
    }
}

fn json(list: impl serde::Serialize) -> Value {
    serde_json::to_string(&list)
        .expect("lists of strings and numbers have a JSON form")
        .into()
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

/// Stands for null in an array parameter, which SeaORM has no nulls in.
pub(crate) const NO_NUMBER: i64 = i64::MIN;

/// Stands for null in an array of instants: long before anything that has a date, and within what
/// PostgreSQL can hold.
pub(crate) fn no_instant() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(-4000, 1, 1, 0, 0, 0)
        .single()
        .expect("the first of January exists in every year")
}
