//! From a question to its answer: this process' cache, the shared one, the database.
//!
//! Whatever the layer, an answer names the version that it belongs to, and none is older than the
//! version that this process had adopted when the request came. Only while the database can't be
//! read may it be, and then it says so.

pub(crate) mod large;
pub(crate) mod source;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use entity::dataset::Version;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use crate::cache::Asked;
use crate::encoding::{self, Encoding};
use crate::entry::{Entry, Reply, key};
use crate::error::is_outage;
use crate::metrics::{self, InMemory};
use crate::shared_cache::{Key, Look, SharedCache};
use crate::standing::Standing;
use crate::{Context, Error};
use large::Large;

/// What asking led to, for everyone who asked together.
pub(crate) type Outcome = Result<Fetched, Arc<Error>>;

/// An answer that was not at hand.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    answer: Answer,
    layer: Layer,
}

/// An answer to a question.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// One that is kept.
    Kept(Arc<Entry>),
    /// One that is too large to be kept.
    Large(Arc<Large>),
}

impl Answer {
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::Kept(entry) => entry.version,
            Self::Large(large) => large.version,
        }
    }
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// This process had it.
    Hit,
    /// The shared cache had it.
    Shared,
    /// It was made from what the database said.
    Miss,
}

impl Layer {
    /// As a trace names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Shared => "shared",
            Self::Miss => "miss",
        }
    }
}

/// An answer and what is to be said about it.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) layer: Layer,
    /// For how long it has been unknown whether there is a newer one, where it is.
    pub(crate) stale_for: Option<Duration>,
}

impl Answered {
    /// What the look into this process' cache led to that found it there.
    pub(crate) fn found(&self, standing: &Standing) -> InMemory {
        if standing.accepts(self.answer.version()) {
            InMemory::Hit
        } else {
            InMemory::Stale
        }
    }
}

/// What this process has at hand for a question, if it may be given out.
pub(crate) fn at_hand(
    context: &Context,
    standing: &Standing,
    asked: &Asked,
    encoding: Encoding,
) -> Option<Answered> {
    let stale_for = standing.stale_for();
    let fresh = |entry: &Arc<Entry>| standing.accepts(entry.version);
    let mut entry = context
        .cache()
        .get(&asked.canonical, encoding)
        .filter(fresh);
    if entry.is_none() && stale_for.is_some() {
        entry = last_known(context, standing, asked, encoding);
    }
    Some(Answered {
        answer: Answer::Kept(entry?),
        layer: Layer::Hit,
        stale_for,
    })
}

/// What was last known of this history, in another coding if need be. While the database is gone it is
/// better than nothing, and says what it is.
fn last_known(
    context: &Context,
    standing: &Standing,
    asked: &Asked,
    encoding: Encoding,
) -> Option<Arc<Entry>> {
    [Encoding::Identity, encoding]
        .into_iter()
        .filter_map(|encoding| context.cache().get(&asked.canonical, encoding))
        .filter(|entry| entry.version.epoch == standing.version.epoch)
        .max_by_key(|entry| entry.version.number)
}

/// The answer to a question under `standing`.
///
/// # Errors
/// The database can't be read, too many ask, or the question has no answer in the present version.
pub(crate) async fn answer(
    context: &Context,
    standing: &Arc<Standing>,
    asked: &Arc<Asked>,
    encoding: Encoding,
) -> Result<Answered, Error> {
    let count = |led_to| {
        if let Some(metrics) = context.metrics() {
            metrics.in_memory(led_to);
        }
    };
    if let Some(answered) = at_hand(context, standing, asked, encoding) {
        count(answered.found(standing));
        return Ok(answered);
    }
    let (fetching, joined) = fetch(context, standing, asked, encoding);
    match fetching.await {
        Ok(Fetched { answer, layer }) => {
            count(if joined {
                InMemory::Joined
            } else {
                InMemory::Miss
            });
            Ok(Answered {
                // Another process may have shared it before the database was gone.
                stale_for: standing
                    .stale_for()
                    .filter(|_| answer.version() == standing.version),
                answer,
                layer,
            })
        }
        Err(error) => {
            // The database may be gone before the next look finds it out.
            match last_known(context, standing, asked, encoding) {
                Some(entry) if error.is_outage() => {
                    count(InMemory::Stale);
                    Ok(Answered {
                        answer: Answer::Kept(entry),
                        layer: Layer::Hit,
                        stale_for: Some(standing.stale_for().unwrap_or_default()),
                    })
                }
                _ => {
                    count(InMemory::Failed);
                    Err(Error::Shared(error))
                }
            }
        }
    }
}

/// Fetches an answer together with everyone who asks for the same under the same version; the flag
/// tells whether another had begun that.
fn fetch(
    context: &Context,
    standing: &Arc<Standing>,
    asked: &Arc<Asked>,
    encoding: Encoding,
) -> (Fetching, bool) {
    let mut joined = true;
    let name = key(standing.version, &asked.canonical, encoding);
    let (context_, standing, asked) = (context.clone(), Arc::clone(standing), Arc::clone(asked));
    let start = || -> BoxFuture<'static, Outcome> {
        joined = false;
        async move {
            let fetched = if encoding == Encoding::Identity {
                plain(&context_, &standing, &asked).await
            } else {
                coded(&context_, &standing, &asked, encoding).await
            };
            fetched.map_err(Arc::new)
        }
        .boxed()
    };
    let fetching = context.flights().join(name, start);
    (fetching, joined)
}

type Fetching = Shared<BoxFuture<'static, Outcome>>;

/// The representation without a content coding.
async fn plain(context: &Context, standing: &Standing, asked: &Asked) -> Result<Fetched, Error> {
    let miss = |answer| Fetched {
        answer,
        layer: Layer::Miss,
    };
    if let Some(large) = context.larges().get(&asked.canonical, standing) {
        return Ok(miss(Answer::Large(large)));
    }
    let shared_key = |version| Key::new(key(version, &asked.canonical, Encoding::Identity));
    if let Some(shared) = context.shared()
        && let Some(value) = look_at(context, shared, &shared_key(standing.version)).await
        && let Some(reply) = decode(standing.version, &value)
    {
        let answer = keep(context, standing, asked, &reply, Encoding::Identity, None);
        return Ok(Fetched {
            answer,
            layer: Layer::Shared,
        });
    }
    let (place, deadline) = context.enter().await?;
    match source::read(context, standing, asked, place, deadline).await? {
        source::Read::Large(large) => {
            let large = Arc::new(large);
            context.larges().note(&asked.canonical, &large);
            Ok(miss(Answer::Large(large)))
        }
        source::Read::Reply(reply) => {
            if reply.version != standing.version {
                // There is something newer, and the next look need not wait for its turn.
                context.poke();
            }
            if let Some(shared) = context.shared() {
                shared.put(shared_key(reply.version), encode(&reply));
            }
            Ok(miss(keep(
                context,
                standing,
                asked,
                &reply,
                Encoding::Identity,
                None,
            )))
        }
    }
}

/// What the shared cache has, counted.
async fn look_at(context: &Context, shared: &SharedCache, key: &Key) -> Option<Bytes> {
    let look = shared.look(key).await;
    let led_to = match &look {
        Look::Found(_) => Some(metrics::Shared::Hit),
        Look::Nothing => Some(metrics::Shared::Miss),
        Look::Failed => Some(metrics::Shared::Failed),
        Look::LeftAlone => None,
    };
    if let (Some(metrics), Some(led_to)) = (context.metrics(), led_to) {
        metrics.shared(led_to);
    }
    look.found()
}

/// A representation with a content coding, made from the one without.
async fn coded(
    context: &Context,
    standing: &Arc<Standing>,
    asked: &Arc<Asked>,
    encoding: Encoding,
) -> Result<Fetched, Error> {
    let at_hand = at_hand(context, standing, asked, Encoding::Identity);
    let plain = match at_hand {
        Some(Answered {
            answer,
            stale_for: None,
            ..
        }) => Fetched {
            answer,
            layer: Layer::Miss,
        },
        _ => {
            let (fetching, _) = fetch(context, standing, asked, Encoding::Identity);
            fetching.await.map_err(Error::Shared)?
        }
    };
    // A large one is coded while it is sent.
    let Answer::Kept(entry) = plain.answer else {
        return Ok(plain);
    };
    let coded = compress(encoding, entry.body.clone()).await;
    let reply = Reply {
        version: entry.version,
        status: entry.status,
        link: entry.link.clone(),
        body: entry.body.clone(),
    };
    Ok(Fetched {
        answer: keep(context, standing, asked, &reply, encoding, coded),
        layer: plain.layer,
    })
}

/// `None` where it does not pay.
pub(crate) async fn compress(encoding: Encoding, body: Bytes) -> Option<Bytes> {
    /// Up to this size compressing takes less time than a thread to do it takes to get.
    const AT_ONCE: usize = 16 * 1024;
    if body.len() < encoding::WORTH {
        return None;
    }
    let compressed = if body.len() <= AT_ONCE {
        encoding.compress(&body)
    } else {
        // A panic in a compressor costs the compression, not the answer.
        tokio::task::spawn_blocking(move || encoding.compress(&body))
            .await
            .ok()
            .flatten()
    };
    compressed.map(Bytes::from)
}

fn keep(
    context: &Context,
    standing: &Standing,
    asked: &Asked,
    reply: &Reply,
    encoding: Encoding,
    coded: Option<Bytes>,
) -> Answer {
    let told = context.for_caches();
    let entry = Entry::new(
        &asked.question,
        &asked.canonical,
        reply,
        encoding,
        coded,
        told,
    );
    let entry = Arc::new(entry);
    context
        .cache()
        .insert(&asked.canonical, encoding, &entry, standing.version);
    Answer::Kept(entry)
}

/// A reply as the shared cache keeps it: status, length of the link, link, body.
fn encode(reply: &Reply) -> Bytes {
    let link = reply.link.as_deref().unwrap_or_default();
    let mut bytes = Vec::with_capacity(4 + link.len() + reply.body.len());
    bytes.extend_from_slice(&reply.status.as_u16().to_be_bytes());
    let length = u16::try_from(link.len()).unwrap_or_default();
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&link.as_bytes()[..length.into()]);
    bytes.extend_from_slice(&reply.body);
    bytes.into()
}

fn decode(version: Version, bytes: &Bytes) -> Option<Reply> {
    let (status, rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (link, body) = rest.split_at_checked(length)?;
    Some(Reply {
        version,
        status: StatusCode::from_u16(u16::from_be_bytes(*status)).ok()?,
        link: match link {
            [] => None,
            link => Some(std::str::from_utf8(link).ok()?.to_owned()),
        },
        body: bytes.slice_ref(body),
    })
}

impl Error {
    /// Whether the database could not be read, as opposed to having answered.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_outage(),
            Self::Database(error) => is_outage(error),
            Self::DatabaseSilent { .. } | Self::Behind { .. } | Self::NeverSeen => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_reply_comes_back_from_the_shared_cache_as_it_was() {
        let version = Version {
            epoch: Uuid::nil(),
            number: 1,
        };
        for link in [
            None,
            Some("</v1/events/search?limit=1>; rel=\"next\"".to_owned()),
        ] {
            let reply = Reply {
                version,
                status: StatusCode::NOT_FOUND,
                link,
                body: Bytes::from_static(b"{}"),
            };
            assert_eq!(decode(version, &encode(&reply)), Some(reply));
        }
    }

    #[test]
    fn what_is_no_reply_is_not_taken_for_one() {
        let version = Version {
            epoch: Uuid::nil(),
            number: 1,
        };
        for bytes in [
            &b""[..],
            b"\0",
            b"\0\xc8\0",
            b"\0\xc8\0\x05{}",
            b"\0\x01\0\0{}",
        ] {
            assert_eq!(decode(version, &Bytes::copy_from_slice(bytes)), None);
        }
    }
}
