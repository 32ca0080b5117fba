//! What a Redis is like, for whoever looks whether it suits us. Nothing is written there.
//!
//! Whether it would take our commands is found out without carrying one out: within `MULTI` it says of
//! each command at once whether it may be queued, by the user's permissions, the memory that is left and
//! the server's state, and `DISCARD` ends that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, RedisError, aio::MultiplexedConnection,
};

use super::Keys;
use crate::RedisUrl;

/// What a Redis is to us, and under which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// The queue's, with its namespace.
    Queue(&'a str),
    /// That in which the API's processes share answers.
    Cache,
}

/// Where a Redis listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisPlace {
    /// At a host's port.
    Tcp(String, u16),
    /// At a socket, or in a way that is not known here.
    Other,
}

impl RedisUrl {
    /// Where it leads.
    pub fn place(&self) -> RedisPlace {
        match self.connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                RedisPlace::Tcp(host.clone(), *port)
            }
            _ => RedisPlace::Other,
        }
    }

    /// Whether what is said is encrypted on its way.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.connection_info().addr(), ConnectionAddr::TcpTls { .. })
    }
}

/// A Redis as we found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// What `INFO` tells, by its names.
    pub info: BTreeMap<String, String>,
    /// Our clock in the middle of the way of that question and its answer.
    pub asked_at: SystemTime,
    /// How long that way took.
    pub asked_within: Duration,
    /// The quickest of a few answers.
    pub round_trip: Duration,
    /// As whom we speak, if it tells.
    pub user: Option<String>,
    /// Whether it saves by itself, if it tells.
    pub saves: Option<bool>,
    /// Commands that it would not take from us; `None` if it does not let us find out.
    pub refused: Option<Vec<RefusedCommand>>,
}

/// A command that would not be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCommand {
    /// Its name in lower case.
    pub command: String,
    /// The error's code, such as `NOPERM`, `OOM` or `READONLY`.
    pub code: String,
}

/// Why a Redis could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The user or the password is not known there.
    #[error("it refuses the user or the password")]
    Credentials,
    /// It wants a password and was given none.
    #[error("it wants a password")]
    NoCredentials,
    /// The user may not ask.
    #[error("the user may not run `{command}`")]
    NotAllowed {
        /// What was asked.
        command: &'static str,
    },
    /// It did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// Something else.
    #[error("no answer from it")]
    Failed(#[source] RedisError),
}

/// Looks at the Redis of that address, within a time.
///
/// # Errors
/// See [`ExamineError`].
pub async fn examine(
    url: &RedisUrl,
    part: Part<'_>,
    within: Duration,
) -> Result<Examined, ExamineError> {
    match tokio::time::timeout(within, look(url, part, within)).await {
        Ok(looked) => looked,
        Err(_) => Err(ExamineError::Silent(within)),
    }
}

async fn look(url: &RedisUrl, part: Part<'_>, within: Duration) -> Result<Examined, ExamineError> {
    let limits = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(within))
        .set_response_timeout(Some(within));
    let failed = |command| move |error| failure(command, error, within);
    let client = Client::open(url.connection_info()).map_err(failed("HELLO"))?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&limits)
        .await
        .map_err(failed("AUTH"))?;
    let mut ask = async |command: &'static str| -> Result<Duration, ExamineError> {
        let begun = Instant::now();
        let asked = redis::cmd(command);
        match asked.query_async::<redis::Value>(&mut connection).await {
            // What it is at stands in `INFO`, too, which it answers meanwhile.
            Err(error) if !matches!(error.code(), Some("LOADING" | "MASTERDOWN")) => {
                Err(failure(command, error, within))
            }
            _ => Ok(begun.elapsed()),
        }
    };
    let mut round_trip = ask("PING").await?;
    for _ in 0..3 {
        round_trip = round_trip.min(ask("PING").await?);
    }
    let Told {
        info,
        asked_at,
        asked_within,
    } = told(&mut connection).await.map_err(failed("INFO"))?;
    let user = redis::cmd("ACL")
        .arg("WHOAMI")
        .query_async(&mut connection)
        .await
        .ok();
    let saves = redis::cmd("CONFIG")
        .arg("GET")
        .arg("save")
        .query_async::<Vec<String>>(&mut connection)
        .await
        .ok()
        .and_then(|pair| Some(!pair.get(1)?.is_empty()));
    Ok(Examined {
        info: fields(&info),
        asked_at,
        asked_within,
        saves,
        round_trip,
        user,
        refused: refused(&mut connection, &commands(part)).await,
    })
}

/// What `INFO` tells, and when.
struct Told {
    info: String,
    asked_at: SystemTime,
    asked_within: Duration,
}

/// The quickest of a few answers, whose time is known best.
async fn told(connection: &mut MultiplexedConnection) -> Result<Told, RedisError> {
    let mut best = tell(connection).await?;
    for _ in 0..2 {
        let told = tell(connection).await?;
        if told.asked_within < best.asked_within {
            best = told;
        }
    }
    Ok(best)
}

async fn tell(connection: &mut MultiplexedConnection) -> Result<Told, RedisError> {
    let (begun, before) = (Instant::now(), SystemTime::now());
    let info = redis::cmd("INFO").query_async(connection).await?;
    let asked_within = begun.elapsed();
    Ok(Told {
        info,
        asked_at: before + asked_within / 2,
        asked_within,
    })
}

fn failure(command: &'static str, error: RedisError, within: Duration) -> ExamineError {
    match error.code() {
        Some("WRONGPASS") => ExamineError::Credentials,
        Some("NOAUTH") => ExamineError::NoCredentials,
        Some("NOPERM") => ExamineError::NotAllowed { command },
        _ if error.is_timeout() => ExamineError::Silent(within),
        _ if error.kind() == redis::ErrorKind::AuthenticationFailed => ExamineError::Credentials,
        _ => ExamineError::Failed(error),
    }
}

fn fields(info: &str) -> BTreeMap<String, String> {
    info.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Which of these commands would not be taken.
async fn refused(
    connection: &mut MultiplexedConnection,
    commands: &[Vec<String>],
) -> Option<Vec<RefusedCommand>> {
    run(connection, &["MULTI"]).await.ok()?;
    let mut refused = Vec::new();
    let mut known = true;
    for command in commands {
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        if let Err(error) = run(connection, &words).await {
            let Some(code) = error.code() else {
                // The connection is gone, and what was queued with it.
                known = false;
                break;
            };
            refused.push(RefusedCommand {
                command: command[0].to_ascii_lowercase(),
                code: code.to_owned(),
            });
        }
    }
    // Without it, the end of the connection discards.
    let _ = run(connection, &["DISCARD"]).await;
    known.then_some(refused)
}

async fn run(connection: &mut MultiplexedConnection, words: &[&str]) -> Result<(), RedisError> {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async::<redis::Value>(connection).await?;
    Ok(())
}

/// A job that is never pushed.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// Every command that we send or that a script of ours calls, as we would.
fn commands(part: Part<'_>) -> Vec<Vec<String>> {
    let namespace = match part {
        Part::Queue(namespace) => namespace,
        Part::Cache => {
            let key = "fanfare:cache:0";
            return words(&[
                &["GET", key],
                &["SET", key, "0", "PX", "1"],
                &["PSETEX", key, "1", "0"],
            ]);
        }
    };
    let Keys {
        active,
        data,
        in_flight,
        meta,
    } = &Keys::of(namespace);
    let meta = &format!("{meta}:{NOBODY}");
    words(&[
        &["TIME"],
        &["LLEN", active],
        &["LPUSH", active, NOBODY],
        &["RPUSH", active, NOBODY],
        &["LPOP", active, "1"],
        &["BLMOVE", active, active, "LEFT", "LEFT", "0.01"],
        &["HLEN", data],
        &["HGET", data, NOBODY],
        &["HSETNX", data, NOBODY, "{}"],
        &["HDEL", data, NOBODY],
        &["ZADD", in_flight, "NX", "1", NOBODY],
        &["ZREM", in_flight, NOBODY],
        &["ZSCORE", in_flight, NOBODY],
        &["ZCARD", in_flight],
        &["ZRANGEBYSCORE", in_flight, "-inf", "1", "LIMIT", "0", "1"],
        &["HSET", meta, "status", "Pending"],
        &["HMGET", meta, "traceparent", "tracestate"],
        &["EXPIRE", meta, "1"],
        &["DEL", meta],
        &["SCRIPT", "LOAD", "return 1"],
        &["EVALSHA", &"0".repeat(40), "1", active],
    ])
}

fn words(commands: &[&[&str]]) -> Vec<Vec<String>> {
    let owned = |command: &&[&str]| command.iter().map(ToString::to_string).collect();
    commands.iter().map(owned).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_of_our_scripts_is_tried() {
        let tried: BTreeSet<_> = commands(Part::Queue("q"))
            .iter()
            .map(|command| command[0].clone())
            .collect();
        let scripts = [include_str!("push.lua"), include_str!("exchange.lua")].concat();
        let called: BTreeSet<_> = scripts
            .split("redis.call(")
            .skip(1)
            .filter_map(|call| call.strip_prefix('\'')?.split('\'').next())
            .chain(["LPUSH", "RPUSH"])
            .map(str::to_owned)
            .collect();
        assert!(called.len() > 10, "{called:?}");
        assert_eq!(called.difference(&tried).next(), None);
    }

    #[test]
    fn info_is_read_line_by_line() {
        let info = fields("# Server\r\nredis_version:7.0.15\r\n\r\nmaxmemory:0\r\n");
        assert_eq!(info["redis_version"], "7.0.15");
        assert_eq!(info["maxmemory"], "0");
        assert_eq!(info.len(), 2);
    }
}
