//! What our user may do with our tables.

use entity::server::{Identity, Table};

use super::{Finding, GROUP};

const WANTED: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// Everything that keeps us from reading or writing a table. Ids come from identity columns, whose
/// sequences need no permission of their own.
pub(super) fn judge(identity: &Identity, tables: &[Table]) -> Vec<Finding> {
    let user = quoted(&identity.user);
    let mut found = Vec::new();
    let lacking: Vec<_> = tables.iter().filter_map(lacks).collect();
    if lacking.is_empty() {
        let found_there = format!("{user} may read and write all {} tables", tables.len());
        found.push(GROUP.ok("permissions", found_there));
    } else {
        let told: Vec<_> = lacking
            .iter()
            .map(|(table, rights)| format!("{} on {table}", rights.join(", ")))
            .collect();
        let grants: Vec<_> = lacking
            .iter()
            .map(|(table, rights)| format!("GRANT {} ON {table} TO {user};", rights.join(", ")))
            .collect();
        found.push(GROUP.error(
            "permissions",
            format!("{user} lacks {}", told.join("; ")),
            format!("as the tables' owner: {}", grants.join(" ")),
        ));
    }
    let missing = names(tables, |table| !table.found);
    if !missing.is_empty() {
        found.push(GROUP.error(
            "tables",
            format!(
                "{missing} can't be seen in the search path of {user}, although their migrations were applied"
            ),
            format!(
                "ALTER ROLE {user} SET search_path = the schema that has them; or restore what was dropped \
                 from a backup"
            ),
        ));
    }
    let hidden = names(tables, |table| table.hides_rows);
    if !hidden.is_empty() {
        found.push(GROUP.error(
            "row security",
            format!(
                "policies hide rows of {hidden} from {user}: syncs would add what is there already"
            ),
            format!(
                "ALTER TABLE … DISABLE ROW LEVEL SECURITY on each, or ALTER ROLE {user} BYPASSRLS"
            ),
        ));
    }
    if !identity.may_create {
        found.push(GROUP.note(
            "migrations",
            format!("{user} may not make tables: good for roles; `fanfare migrate` needs an owner's address"),
        ));
    }
    found
}

fn lacks(table: &Table) -> Option<(&str, Vec<&'static str>)> {
    let has = |right: &&str| table.privileges.split(',').any(|it| it == *right);
    // Nobody writes into what migrations write alone.
    let wanted = match table.name.as_str() {
        "seaql_migrations" => &WANTED[..1],
        _ => &WANTED[..],
    };
    let lacking: Vec<_> = wanted.iter().filter(|right| !has(right)).copied().collect();
    (table.found && !lacking.is_empty()).then_some((table.name.as_str(), lacking))
}

fn names(tables: &[Table], which: impl Fn(&Table) -> bool) -> String {
    let names: Vec<_> = tables.iter().filter(|table| which(table)).collect();
    let names: Vec<_> = names.iter().map(|table| table.name.as_str()).collect();
    names.join(", ")
}

/// As SQL has it, for names with any character.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::server::tests::identity;
    use super::*;
    use crate::command::doctor::finding::{State, told};

    fn table(name: &str, privileges: &str) -> Table {
        Table {
            name: name.to_owned(),
            found: true,
            privileges: privileges.to_owned(),
            hides_rows: false,
        }
    }

    const ALL: &str = "SELECT,INSERT,UPDATE,DELETE";

    #[test]
    fn what_is_lacking_is_granted_by_the_fix() {
        let tables = [
            table("event", "SELECT,INSERT"),
            table("run", ALL),
            table("seaql_migrations", "SELECT"),
        ];
        let found = judge(&identity(), &tables);
        let finding = told::of(&found, "permissions");
        assert_eq!(finding.state, State::Error);
        assert_eq!(finding.found, "\"fanfare\" lacks UPDATE, DELETE on event");
        let fix = finding.fix.as_deref().unwrap();
        assert!(
            fix.ends_with("GRANT UPDATE, DELETE ON event TO \"fanfare\";"),
            "{fix}"
        );
        assert_eq!(judge(&identity(), &tables[1..])[0].state, State::Ok);
    }

    #[test]
    fn tables_that_are_gone_or_hidden_are_errors() {
        let gone = Table {
            found: false,
            ..table("run", "")
        };
        let hidden = Table {
            hides_rows: true,
            ..table("event", ALL)
        };
        let found = judge(&identity(), &[gone, hidden]);
        assert!(told::of(&found, "tables").found.starts_with("run "));
        assert!(told::of(&found, "row security").found.contains("of event"));
        assert_eq!(told::of(&found, "permissions").state, State::Ok);
    }

    #[test]
    fn a_role_that_makes_no_tables_is_no_fault() {
        let identity = Identity {
            may_create: false,
            ..identity()
        };
        let found = judge(&identity, &[table("run", ALL)]);
        assert_eq!(told::of(&found, "migrations").state, State::Note);
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
