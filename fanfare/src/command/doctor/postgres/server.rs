//! What the server is.

use entity::DatabaseUrl;
use entity::server::{Identity, Place, place};

use super::rights::quoted;
use super::{Finding, GROUP, SETTING};

/// Judges what the server is.
pub(super) fn judge(identity: &Identity, url: &DatabaseUrl) -> Vec<Finding> {
    let mut found = Vec::new();
    let version = identity.version.split(' ').next().unwrap_or_default();
    let server = format!(
        "PostgreSQL {version}, database {}, user {}",
        identity.database, identity.user
    );
    found.push(match identity.version_number >= 150_000 {
        true => GROUP.ok("server", server),
        false => GROUP.error(
            "server",
            format!("{server}: 15 or newer is needed"),
            "upgrade the server",
        ),
    });
    if identity.in_recovery {
        found.push(GROUP.error(
            "primary",
            "this is a replica, or a server that still recovers: nothing can be written",
            format!(
                "lead {SETTING} to the primary, and FANFARE_DATABASE_READ_URL here; or make it the primary \
                 (SELECT pg_promote();), and give the dataset a new epoch"
            ),
        ));
    } else if identity.read_only {
        found.push(GROUP.error(
            "primary",
            "transactions only read, by default_transaction_read_only of the server, the database or the role",
            format!(
                "ALTER ROLE {} SET default_transaction_read_only = off; a managed service sets it when its \
                 disk is full: make room first",
                quoted(&identity.user)
            ),
        ));
    }
    found.push(match identity.encoding.as_str() {
        "UTF8" => GROUP.ok("encoding", "UTF8"),
        encoding => GROUP.error(
            "encoding",
            format!("{encoding}: titles in other scripts can't be stored"),
            "make a database in UTF8 (`createdb -E UTF8 -T template0 fanfare`) and move there with \
             `pg_dump` and `pg_restore`",
        ),
    });
    if identity.schema.is_none() {
        found.push(GROUP.error(
            "search path",
            "leads to no schema that is there",
            format!(
                "ALTER ROLE {} SET search_path = public;",
                quoted(&identity.user)
            ),
        ));
    }
    found.extend(encryption(identity, url));
    found
}

fn encryption(identity: &Identity, url: &DatabaseUrl) -> Option<Finding> {
    match identity.encrypted {
        Some(true) => Some(GROUP.ok("encryption", "TLS")),
        Some(false) if !identity.local && matches!(place(url), Some(Place::Tcp(..))) => {
            Some(GROUP.hint(
                "encryption",
                "none, and the server is on another machine",
                format!("if others can listen on the way: TLS on the server, and {SETTING} with ?sslmode=verify-full"),
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::command::doctor::finding::{State, told};

    pub(crate) fn identity() -> Identity {
        Identity {
            version: "15.10 (Debian 15.10-0+deb12u1)".to_owned(),
            version_number: 150_010,
            user: "fanfare".to_owned(),
            database: "fanfare".to_owned(),
            schema: Some("public".to_owned()),
            may_create: true,
            encoding: "UTF8".to_owned(),
            in_recovery: false,
            read_only: false,
            encrypted: Some(true),
            local: false,
        }
    }

    fn judged(identity: &Identity) -> Vec<Finding> {
        judge(identity, &"postgres://fanfare@db/fanfare".parse().unwrap())
    }

    #[test]
    fn a_server_as_it_should_be_has_nothing_to_fix() {
        let found = judged(&identity());
        assert!(found.iter().all(|it| it.state == State::Ok), "{found:#?}");
        assert!(
            found[0].found.starts_with("PostgreSQL 15.10, "),
            "{found:?}"
        );
    }

    #[test]
    fn each_thing_that_is_not_as_it_should_be_is_told() {
        let good = identity;
        for (identity, check, state) in [
            (
                Identity {
                    version_number: 149_999,
                    ..good()
                },
                "server",
                State::Error,
            ),
            (
                Identity {
                    in_recovery: true,
                    read_only: true,
                    ..good()
                },
                "primary",
                State::Error,
            ),
            (
                Identity {
                    read_only: true,
                    ..good()
                },
                "primary",
                State::Error,
            ),
            (
                Identity {
                    encoding: "SQL_ASCII".to_owned(),
                    ..good()
                },
                "encoding",
                State::Error,
            ),
            (
                Identity {
                    schema: None,
                    ..good()
                },
                "search path",
                State::Error,
            ),
            (
                Identity {
                    encrypted: Some(false),
                    ..good()
                },
                "encryption",
                State::Note,
            ),
        ] {
            let found = judged(&identity);
            assert_eq!(told::of(&found, check).state, state, "{check}");
        }
        let here = Identity {
            encrypted: Some(false),
            local: true,
            ..good()
        };
        assert!(judged(&here).iter().all(|it| it.state == State::Ok));
    }
}
