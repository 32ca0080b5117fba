//! The statements of a search: one text for each set of filters, so that databases keep them prepared,
//! and such that a plan which knows no value of its parameters is a good one.
//!
//! An ordered answer comes from an index in that order, and what would be read in vain is bounded:
//! - What was changed lately, if it is little, is read by its own index and sorted. Whether it is, the
//!   statement finds out by itself, since a plan can't know it.
//! - What is on at a time and lasts for a day at most has started within a day before that time. What
//!   lasts longer has an index of its own, and the two are merged.

use chrono::TimeDelta;
use sea_orm::Value;

use super::find::{Gone, Search};
use crate::dialect::Dialect;

/// As many changed events are sorted rather than looked for in the order of the answer.
const FEW: u64 = 1_000;

const COLUMNS: &str = "e.id, e.title, e.starts_at, e.starts_local, e.ends_local, \
                       e.min_price, e.max_price";

/// What `find` asks.
pub(super) struct Statements {
    /// Version, epoch, and what is found.
    pub(super) found: String,
    /// Version and epoch if nothing is found.
    pub(super) empty: String,
    /// The parameters of both.
    pub(super) values: Vec<Value>,
}

impl Statements {
    pub(super) fn of(search: &Search, dialect: Dialect) -> Self {
        let mut build = Build {
            search,
            dialect,
            values: Vec::new(),
        };
        let (with, rows) = build.rows();
        let limit = match search.limit {
            Some(limit) => {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                format!("LIMIT {}", build.bind(limit))
            }
            None => String::new(),
        };
        let from = format!("FROM ({rows}) AS f ORDER BY f.starts_at, f.id {limit}");
        Self {
            found: format!(
                "{with} SELECT (SELECT version FROM dataset), (SELECT epoch FROM dataset), f.* {from}"
            ),
            empty: format!(
                "{with} SELECT version, epoch FROM dataset WHERE NOT EXISTS (SELECT 1 {from})"
            ),
            values: build.values,
        }
    }
}

struct Build<'a> {
    search: &'a Search,
    dialect: Dialect,
    values: Vec<Value>,
}

impl Build<'_> {
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// What comes before the statement, and the ordered rows.
    fn rows(&mut self) -> (String, String) {
        let filters = self.filters();
        let windows = self.windows();
        let Some(since) = self.search.updated_since else {
            let branches: Vec<String> = windows
                .iter()
                .map(|window| self.branch("event", None, &["ever_online", window, &filters]))
                .collect();
            return (String::new(), self.merged(&branches));
        };
        let since = self.bind(since);
        let updated = format!("changed_at >= {since}");
        let with = format!(
            "WITH recent AS MATERIALIZED (SELECT * FROM event WHERE ever_online AND {updated} \
             ORDER BY changed_at LIMIT {})",
            FEW + 1
        );
        let few = format!("(SELECT count(*) FROM recent) <= {FEW}");
        let many = format!("(SELECT count(*) FROM recent) > {FEW}");
        let mut branches: Vec<String> = Vec::new();
        for window in &windows {
            branches.push(self.branch("recent", Some(&few), &[window, &filters]));
            let conditions = ["ever_online", window, &updated, &filters];
            branches.push(self.branch("event", Some(&many), &conditions));
        }
        (with, self.merged(&branches))
    }

    /// Rows of one source in order; nothing is read if what must hold does not.
    fn branch(&self, source: &str, must_hold: Option<&str>, conditions: &[&str]) -> String {
        let zones = if self.search.zones { ", e.zones" } else { "" };
        let mut limit = self.search.limit.map(plannable).unwrap_or_default();
        let mut gate = None;
        match (must_hold, self.dialect) {
            (None, _) => {}
            (Some(_), Dialect::Postgres) => gate = must_hold,
            // It would ask for each row anew.
            (Some(must_hold), Dialect::Sqlite) => {
                let most = limit.strip_prefix("LIMIT ").unwrap_or("-1");
                limit = format!("LIMIT CASE WHEN {must_hold} THEN {most} ELSE 0 END");
            }
        }
        let conditions: Vec<&str> = gate
            .into_iter()
            .chain(conditions.iter().copied())
            .filter(|condition| !condition.is_empty())
            .collect();
        let condition = match conditions.is_empty() {
            true => String::new(),
            false => format!("WHERE {}", conditions.join(" AND ")),
        };
        format!(
            "SELECT {COLUMNS}{zones} FROM {source} AS e {condition} \
             ORDER BY e.starts_at, e.id {limit}"
        )
    }

    fn merged(&self, branches: &[String]) -> String {
        match branches {
            [only] => only.clone(),
            several => several
                .iter()
                .map(|branch| format!("SELECT * FROM ({branch}) AS b"))
                .collect::<Vec<_>>()
                .join(" UNION ALL "),
        }
    }

    /// What each row must be, wherever it is read from.
    fn filters(&mut self) -> String {
        let search = self.search;
        let mut all = Vec::new();
        if let Some(provider) = &search.provider {
            let name = self.bind(provider.clone());
            all.push(format!(
                "provider_id = (SELECT p.id FROM provider p WHERE p.name = {name})"
            ));
        }
        if let Some(price) = search.min_price {
            all.push(format!("max_price >= {}", self.bind(price)));
        }
        if let Some(price) = search.max_price {
            all.push(format!("min_price <= {}", self.bind(price)));
        }
        match search.available {
            Some(true) => all.push("NOT sold_out".to_owned()),
            Some(false) => all.push("sold_out".to_owned()),
            None => {}
        }
        match search.gone {
            Gone::Include => {}
            Gone::Exclude => all.push("gone_at IS NULL".to_owned()),
            Gone::Only => all.push("gone_at IS NOT NULL".to_owned()),
        }
        all.join(" AND ")
    }

    /// The window and the place to go on from, as conditions of which each event meets one at most.
    fn windows(&mut self) -> Vec<String> {
        let search = self.search;
        let latest = self.latest();
        let Some(starts_at) = search.starts_at else {
            let after = self.after();
            return vec![both(&after, &latest)];
        };
        if !search.overlaps {
            let earliest = self.earliest(starts_at);
            return vec![both(&earliest, &latest)];
        }
        let from = self.bind(starts_at);
        let long = self.dialect.lasts_long();
        let after = self.after();
        // A second more, for the databases differ in how exactly they tell a day's length.
        let day_before = starts_at.checked_sub_signed(TimeDelta::hours(24) + TimeDelta::seconds(1));
        let short_after = match day_before {
            Some(day_before) => self.earliest(day_before),
            None => after.clone(),
        };
        let short = format!("({long}) IS NOT TRUE AND coalesce(ends_at, starts_at) >= {from}");
        let long = format!("{long} AND ends_at >= {from}");
        vec![
            both(&both(&short, &short_after), &latest),
            both(&both(&long, &after), &latest),
        ]
    }

    /// The upper bound. The index takes that of the start; in a search that does not overlap it follows
    /// from the other.
    fn latest(&mut self) -> String {
        let Some(ends_at) = self.search.ends_at else {
            return String::new();
        };
        let to = self.bind(ends_at);
        if self.search.overlaps {
            format!("starts_at <= {to}")
        } else {
            format!("starts_at <= {to} AND coalesce(ends_at, starts_at) <= {to}")
        }
    }

    /// The later of an instant and the position to go on from, as the index takes one of the two.
    fn earliest(&mut self, instant: chrono::DateTime<chrono::Utc>) -> String {
        match self.search.after {
            Some(after) if after.starts_at >= instant => self.after(),
            _ => format!("starts_at >= {}", self.bind(instant)),
        }
    }

    fn after(&mut self) -> String {
        let Some(after) = self.search.after else {
            return String::new();
        };
        let starts_at = self.bind(after.starts_at);
        let id = self.bind(after.id);
        format!("(starts_at, id) > ({starts_at}, {id})")
    }
}

/// A limit that plans can see, little above the one that is asked for: a parameter in its place they
/// take for a tenth of everything. Nothing, for one that large.
pub(crate) fn plannable(limit: u64) -> String {
    const LEAST: u64 = 32;
    const STEP: u64 = 4;
    const MOST: u64 = 1 << 21;
    let mut plannable = LEAST;
    while plannable < limit {
        plannable *= STEP;
        if plannable > MOST {
            return String::new();
        }
    }
    format!("LIMIT {plannable}")
}

fn both(one: &str, other: &str) -> String {
    match (one, other) {
        ("", only) | (only, "") => only.to_owned(),
        (one, other) => format!("{one} AND {other}"),
    }
}
