//! Why PostgreSQL does not let us in.

use entity::server::{Door, Knock, Obstacle};
use entity::{ConnectError, DatabaseUrl};

use super::{Finding, Group};

const CHECK: &str = "login";

/// What a refusal means, and what to do about it.
pub(super) fn judge(group: Group, setting: &str, url: &DatabaseUrl, knock: &Knock) -> Finding {
    let fix = match knock.obstacle {
        Obstacle::NoAnswer => format!(
            "see the server's log: who listens there takes connections and says nothing to us; or correct \
             {setting}"
        ),
        Obstacle::Tls => format!(
            "end {setting} with ?sslmode=require if the server has TLS, with ?sslmode=prefer if it has \
             none, and name its own authority with &sslrootcert=FILE for verify-full"
        ),
        Obstacle::Password => format!(
            "correct user and password in {setting} (a password's special characters are written as %XX), or \
             set it as a superuser: ALTER ROLE {} PASSWORD '…'",
            user(url)
        ),
        Obstacle::NotAllowed => format!(
            "let the user in: a line for user {}, the database and this machine in the server's \
             pg_hba.conf, then SELECT pg_reload_conf(); and GRANT CONNECT ON DATABASE",
            user(url)
        ),
        Obstacle::NoDatabase => format!(
            "make it (`createdb -O {} NAME`), then `fanfare migrate`; or correct the name at the end of {setting}",
            user(url)
        ),
        Obstacle::Full => {
            "raise max_connections (and restart the server), lower FANFARE_DATABASE_CONNECTIONS of \
                           the processes, or put a pooler between"
                .to_owned()
        }
        Obstacle::NotReady => {
            "wait for it: it starts, stops or recovers; its log tells which".to_owned()
        }
        Obstacle::Other => format!("see the server's log, and correct {setting}"),
    };
    let found = match knock.obstacle {
        Obstacle::NoAnswer => knock.reason.clone(),
        _ => format!("refused: {}", knock.reason),
    };
    group.error(CHECK, found, fix)
}

/// The plain way in was open, and that with our start-up options is not.
pub(super) fn judge_session(group: Group, setting: &str, error: &ConnectError) -> Finding {
    match error {
        ConnectError::TooOld { version, .. } => group.error(
            "server",
            format!("PostgreSQL {version}: 15 or newer is needed"),
            "upgrade the server (`pg_upgrade`), or move to a newer one by `pg_dump` and `pg_restore`",
        ),
        ConnectError::Refused { reason, .. } => no_session(group, setting, reason),
        error => no_session(group, setting, &error.to_string()),
    }
}

/// Sessions are not such as roles need.
pub(super) fn no_session(group: Group, setting: &str, why: &str) -> Finding {
    group.error(
        "session",
        format!("none works as roles open it, with limits as start-up options and with prepared statements: {why}"),
        format!(
            "a pooler is between: let it pass start-up options unseen (PgBouncer: ignore_startup_parameters = \
             options), set our limits on the role, and let it know prepared statements (PgBouncer 1.21 or newer, \
             max_prepared_statements = 200) or give sessions out by the session (pool_mode = session); or lead \
             {setting} around it"
        ),
    )
}

/// A pooler that gives sessions out by the transaction, if one was seen.
pub(super) fn pooler(group: Group, door: Door) -> Vec<Finding> {
    let mut found = vec![group.ok(CHECK, "user and password are good")];
    if door.pooled_by_transaction {
        found.push(group.warning(
            "pooler",
            "one is between that gives sessions out by the transaction: notifications of new versions do not \
             arrive, our limits hold only if they are set on the role, and `fanfare migrate` can't hold its lock",
            "let the pooler give sessions out by the session (PgBouncer: pool_mode = session), or lead our \
             addresses around it; `fanfare migrate` has to connect directly",
        ));
    }
    found
}

fn user(url: &DatabaseUrl) -> String {
    let user = url::Url::parse(url.expose()).map(|url| url.username().to_owned());
    match user {
        Ok(user) if !user.is_empty() => format!("\"{user}\""),
        _ => "USER".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    #[test]
    fn each_refusal_says_what_to_do() {
        let url = "postgres://me:hunter2@db/fanfare".parse().unwrap();
        for (obstacle, word) in [
            (Obstacle::NoAnswer, "log"),
            (Obstacle::Tls, "sslmode"),
            (Obstacle::Password, "ALTER ROLE \"me\""),
            (Obstacle::NotAllowed, "pg_hba.conf"),
            (Obstacle::NoDatabase, "createdb -O \"me\""),
            (Obstacle::Full, "max_connections"),
            (Obstacle::NotReady, "wait"),
            (Obstacle::Other, "log"),
        ] {
            let knock = Knock {
                obstacle,
                reason: "no".to_owned(),
            };
            let finding = judge(Group::Database, "FANFARE_DATABASE_URL", &url, &knock);
            assert_eq!(finding.state, State::Error);
            let fix = finding.fix.unwrap();
            assert!(fix.contains(word), "{obstacle:?}: {fix}");
            assert!(!fix.contains("hunter2"), "{fix}");
        }
    }

    #[test]
    fn a_pooler_is_told_where_one_was_seen() {
        for (pooled_by_transaction, findings) in [(false, 1), (true, 2)] {
            let door = Door {
                pooled_by_transaction,
            };
            assert_eq!(pooler(Group::Database, door).len(), findings);
        }
    }
}
