//! What the release before needs of a schema.

use super::catalog::{Catalog, Column, Index, Table};

/// What it would miss or be refused in `after`, that it has in `before`.
pub(crate) fn breaches(before: &Catalog, after: &Catalog) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, table) in &before.tables {
        match after.tables.get(name) {
            None => breaches.push(format!("table {name} is gone")),
            Some(after) => {
                let found = columns(table, after)
                    .into_iter()
                    .chain(indexes(table, after))
                    .chain(conditions(table, after));
                breaches.extend(found.map(|breach| format!("{name}: {breach}")));
            }
        }
    }
    breaches
}

fn columns(before: &Table, after: &Table) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, column) in &before.columns {
        let Some(now) = after.columns.get(name) else {
            breaches.push(format!("column {name} is gone"));
            continue;
        };
        if now.kind != column.kind {
            breaches.push(format!("{name} was {} and is {}", column.kind, now.kind));
        }
        if now.not_null && !column.not_null {
            breaches.push(format!("{name} takes no null any more"));
        }
        if now.default != column.default {
            breaches.push(format!("{name} has another default"));
        }
    }
    for (name, column) in &after.columns {
        let needed = column.not_null && column.default.is_empty();
        if needed && !before.columns.contains_key(name) {
            breaches.push(format!(
                "new column {name} takes no null and has no default"
            ));
        }
    }
    breaches
}

fn indexes(before: &Table, after: &Table) -> Vec<String> {
    let mut breaches = Vec::new();
    for index in &before.indexes {
        // It may give way to one that does the same and more.
        let serves = |other: &Index| match index.unique {
            true => other == index,
            false => {
                other.columns.starts_with(&index.columns) && other.condition == index.condition
            }
        };
        if !after.indexes.iter().any(serves) {
            breaches.push(format!("nothing does what index {index:?} did"));
        }
    }
    for index in after.indexes.iter().filter(|index| index.unique) {
        // Rows of the release before have null there, and nulls never collide.
        let stays_null = |name: &String| {
            let null = |column: &Column| !column.not_null && column.default.is_empty();
            !before.columns.contains_key(name) && after.columns.get(name).is_some_and(null)
        };
        if !before.indexes.contains(index) && !index.columns.iter().any(stays_null) {
            breaches.push(format!("rows must be unique by {:?}", index.columns));
        }
    }
    breaches
}

fn conditions(before: &Table, after: &Table) -> Vec<String> {
    let gone = before.constraints.difference(&after.constraints);
    let mut breaches: Vec<_> = gone
        .map(|gone| format!("no longer holds: {gone}"))
        .collect();
    for constraint in after.constraints.difference(&before.constraints) {
        let word = |character: char| !character.is_alphanumeric() && character != '_';
        let mut words = constraint.split(word);
        // Unique ones are judged as indexes.
        if !constraint.starts_with("UNIQUE") && words.any(|word| before.columns.contains_key(word))
        {
            breaches.push(format!("must hold now: {constraint}"));
        }
    }
    for actor in after.actors.difference(&before.actors) {
        breaches.push(format!("{actor} sees what it writes"));
    }
    breaches
}
