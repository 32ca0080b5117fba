//! Hearing of commits when they happen: PostgreSQL's `LISTEN` and `NOTIFY`.
//!
//! A notification is sent at the commit to those who listen at that moment, and to nobody else: what
//! happens while a connection is down is never heard of. So a connection that was made anew counts as
//! a notification. A network that has silently dropped the connection says nothing either, which is
//! why the server is asked for a sign of life when it has been silent for a while.

use std::fmt;
use std::time::Duration;

use futures::FutureExt;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sea_orm::sqlx::{self, Executor};
use sea_orm::{DbErr, RuntimeErr};
use tokio::time::Instant;

use crate::{Database, Kind};

/// As it stands in the statements that notify.
const CHANNEL: &str = "fanfare_dataset";

/// What connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a silent server is believed to be there, and what its sign of life may take.
const SILENCE: Duration = Duration::from_secs(15);
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Hears of the dataset's commits on a connection of its own.
pub struct Listener {
    options: PgConnectOptions,
    /// `None` after it was lost.
    connection: Option<Connection>,
}

struct Connection {
    listener: PgListener,
    /// When the server was last heard of.
    heard: Instant,
    /// When it was first asked for a sign of life after that.
    asked: Option<Instant>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The options hold a password.
        f.debug_struct("Listener")
            .field("connected", &self.connection.is_some())
            .finish_non_exhaustive()
    }
}

/// Listens to the server where events live, for a replica takes no listeners; within five seconds.
/// `None` on SQLite, which has nothing like it.
///
/// # Errors
/// No connection.
pub async fn listen(db: &Database) -> Result<Option<Listener>, DbErr> {
    if db.kind() == Kind::Sqlite {
        return Ok(None);
    }
    let options = db.write.get_postgres_connection_pool().connect_options();
    let options = PgConnectOptions::clone(&options);
    let connection = Some(connect(&options).await?);
    Ok(Some(Listener {
        options,
        connection,
    }))
}

impl Listener {
    /// Waits for a commit; several that happened meanwhile count as one. Also returns when a lost
    /// connection was made anew, for something may have been missed. May be dropped and called again
    /// at any time without missing anything.
    ///
    /// # Errors
    /// The connection is lost and no other was had within five seconds. Each call tries that once:
    /// pause before the next.
    pub async fn changed(&mut self) -> Result<(), DbErr> {
        if let Some(connection) = &mut self.connection {
            match connection.notified().await {
                Heard::Commit => return Ok(()),
                Heard::CommitAndEnd => {
                    self.connection = None;
                    return Ok(());
                }
                Heard::End => self.connection = None,
            }
        }
        self.connection = Some(connect(&self.options).await?);
        Ok(())
    }
}

/// What came of waiting.
enum Heard {
    Commit,
    /// The connection is lost.
    End,
    /// Both; the loss is still to be told.
    CommitAndEnd,
}

impl Connection {
    async fn notified(&mut self) -> Heard {
        loop {
            let silent = self.heard + SILENCE;
            match tokio::time::timeout_at(silent, self.listener.try_recv()).await {
                Ok(Ok(Some(_))) => return self.rest(),
                Ok(Ok(None) | Err(_)) => return Heard::End,
                Err(_) if !self.lives().await => return Heard::End,
                // Notifications that came before the sign of life are next.
                Err(_) => {}
            }
        }
    }

    /// Takes the notifications that have arrived besides.
    fn rest(&mut self) -> Heard {
        self.hear();
        loop {
            match self.listener.try_recv().now_or_never() {
                None => return Heard::Commit,
                Some(Ok(Some(_))) => {}
                Some(Ok(None) | Err(_)) => return Heard::CommitAndEnd,
            }
        }
    }

    /// The deadline stands when the waiting is dropped and begun again.
    async fn lives(&mut self) -> bool {
        let asked = *self.asked.get_or_insert_with(Instant::now);
        let sign = self.listener.execute("SELECT 1");
        let lives = tokio::time::timeout_at(asked + SIGN_OF_LIFE, sign).await;
        self.hear();
        matches!(lives, Ok(Ok(_)))
    }

    fn hear(&mut self) {
        self.heard = Instant::now();
        self.asked = None;
    }
}

async fn connect(options: &PgConnectOptions) -> Result<Connection, DbErr> {
    let connecting = async {
        // A pool of its own for each connection: a lost one may not be given back for long.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Connection {
            listener,
            heard: Instant::now(),
            asked: None,
        })
    };
    let connected = tokio::time::timeout(CONNECT, connecting).await;
    connected
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))
}
