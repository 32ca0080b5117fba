//! Both Redis servers: the queue's, which must keep what it has, and the cache's, which must not.

mod cache;
mod queue;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use ::queue::{ExamineError, Examined, Part, RedisPlace, RedisUrl, examine};

use super::finding::{Finding, Group};
use super::{postgres, reach};
use crate::cli::All;

/// What one look may take.
const WITHIN: Duration = Duration::from_secs(4);

/// A server, and what it is to us.
struct Subject<'a> {
    group: Group,
    setting: &'static str,
    url: &'a RedisUrl,
    part: Part<'a>,
}

/// Looks at both. True if the queue's is on this machine.
pub(super) async fn look(options: &All, found: &mut Vec<Finding>) -> bool {
    let (mut of_queue, mut of_cache) = (Vec::new(), Vec::new());
    let (queue, cache) = tokio::join!(
        queue::look(options, &mut of_queue),
        cache::look(options, &mut of_cache),
    );
    found.extend(of_queue);
    found.extend(of_cache);
    if let (Some((queue, _)), Some(cache)) = (&queue, &cache) {
        found.extend(cache::judge_both(queue, cache));
    }
    queue.is_some_and(|(_, here)| here)
}

/// Goes there, and finds out what it is.
async fn enter(subject: &Subject<'_>, found: &mut Vec<Finding>) -> Option<(Examined, bool)> {
    // A socket is on this machine.
    let mut here = true;
    if let RedisPlace::Tcp(host, port) = subject.url.place() {
        match reach::reach(subject.group, &host, port, subject.setting).await {
            Ok((address, finding)) => {
                here = postgres::is_here(address);
                found.push(finding);
                found.extend(encryption(subject, address));
            }
            Err(finding) => {
                found.push(finding);
                return None;
            }
        }
    }
    match examine(subject.url, subject.part, WITHIN).await {
        Ok(examined) => Some((examined, here)),
        Err(error) => {
            found.push(refusal(subject, &error));
            None
        }
    }
}

fn encryption(subject: &Subject<'_>, address: SocketAddr) -> Option<Finding> {
    if subject.url.is_encrypted() || address.ip().is_loopback() {
        return None;
    }
    let setting = subject.setting;
    Some(subject.group.hint(
        "encryption",
        "none, and the server is on another machine",
        format!("if others can listen on the way: TLS on the server, and {setting} with rediss://"),
    ))
}

fn refusal(subject: &Subject<'_>, error: &ExamineError) -> Finding {
    let setting = subject.setting;
    let fix = match error {
        ExamineError::Credentials => format!(
            "correct user and password in {setting} (special characters are written as %XX), or set them there: \
             ACL SETUSER, or requirepass for the user `default`"
        ),
        ExamineError::NoCredentials => {
            format!("write {setting} with them: redis://user:password@host:6379")
        }
        ExamineError::NotAllowed { command } => format!(
            "as an administrator: ACL SETUSER USER +{}",
            command.to_ascii_lowercase()
        ),
        ExamineError::Silent(_) => {
            "see whether it is busy with a slow command (SLOWLOG GET), saves on a slow disk, \
                                    or stands still"
                .to_owned()
        }
        ExamineError::Failed(_) => format!(
            "see its log; {setting} needs rediss:// if it wants TLS, and redis:// if it has none"
        ),
    };
    let mut said = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        said = format!("{said}: {cause}");
    }
    subject.group.error("login", said, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_to_do() {
        let url = "redis://me:hunter2@cache/".parse().unwrap();
        let subject = Subject {
            group: Group::Queue,
            setting: "FANFARE_REDIS_URL",
            url: &url,
            part: Part::Cache,
        };
        for (error, word) in [
            (ExamineError::Credentials, "ACL SETUSER"),
            (ExamineError::NoCredentials, "user:password@"),
            (ExamineError::NotAllowed { command: "INFO" }, "+info"),
            (ExamineError::Silent(WITHIN), "SLOWLOG"),
        ] {
            let finding = refusal(&subject, &error);
            assert!(finding.fix.as_ref().unwrap().contains(word), "{finding:?}");
            assert!(!format!("{finding:?}").contains("hunter2"), "{finding:?}");
        }
    }

    #[test]
    fn a_server_elsewhere_without_tls_is_hinted_at() {
        let judged = |url: &str, address: &str| {
            let subject = Subject {
                group: Group::Queue,
                setting: "FANFARE_REDIS_URL",
                url: &url.parse().unwrap(),
                part: Part::Cache,
            };
            encryption(&subject, address.parse().unwrap()).is_some()
        };
        assert!(judged("redis://redis", "10.0.0.1:6379"));
        assert!(!judged("rediss://redis", "10.0.0.1:6379"));
        assert!(!judged("redis://redis", "127.0.0.1:6379"));
    }
}
