//! A look at what a sync would do: the same fetch, parser and comparison, and nothing written.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use entity::commit::{Counts, SetAside};
use entity::event::{self, Content};
use entity::known::{self, Known};
use entity::provider::{self, Hold};
use entity::{Database, DbErr, event_change};
use futures::TryStreamExt;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::read::{ReadError, Reading, Source};
use super::report::Report;
use super::spill::Spilled;
use crate::fetch::{self, Answer, FetchError, Fetcher};
use crate::format::{self, Format, ParseError};
use crate::spool::{Spool, SpoolError, Spools};

/// Where the feed to look at is.
#[derive(Debug, Clone)]
pub enum Subject<'a> {
    /// At an address, which is asked unconditionally.
    Fetched(fetch::Request<'a>),
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// Instead of the fetcher's own limit.
        max_body: Option<u64>,
    },
}

/// What to look at, and how.
#[derive(Debug)]
pub struct Check<'a> {
    /// The feed.
    pub subject: Subject<'a>,
    /// What it is written in.
    pub format: Format,
    /// The zone of its naive times.
    pub timezone: TimeZone,
    /// What it may ask of the parser.
    pub limits: &'a format::Limits,
    /// The provider to whose events it is compared; without one, everything is new.
    pub against: Option<(&'a Database, &'a provider::Model)>,
    /// How many of each kind are shown.
    pub few: usize,
}

/// What a sync would do. Lists are the first few in the order of ids, those of set-aside items in the
/// order of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The HTTP status, if it was fetched.
    pub http_status: Option<u16>,
    /// Bytes of the body on the wire, if it was fetched.
    pub wire_bytes: Option<u64>,
    /// Bytes of the body, decompressed.
    pub bytes: u64,
    /// Where the feed has moved for good.
    pub moved_to: Option<String>,
    /// What fetching it took, or reading its file.
    pub fetch: Duration,
    /// What parsing took.
    pub parse: Duration,
    /// What comparing took.
    pub compare: Duration,
    /// Of events and items.
    pub counts: Counts,
    /// How many of those that return are not what is stored; they are among `changed`.
    pub returned_changed: u64,
    /// Events that are new.
    pub added: Vec<Content>,
    /// Events that are not what is stored, those that return among them.
    pub changed: Vec<Changed>,
    /// Events that return as they were.
    pub returned: Vec<Content>,
    /// Events that are no longer there; held ones if any are held.
    pub gone: Vec<Content>,
    /// Items that can't be taken.
    pub set_aside: Vec<SetAside>,
}

/// An event that is not what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// What the feed says now.
    pub content: Content,
    /// Whether it had left the feed.
    pub returns: bool,
    /// What differs, see [`event_change::changes`].
    pub changes: Map<String, Value>,
}

/// Why there is nothing to tell.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The feed could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The file could not be read.
    #[error("can't read {}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is larger than a feed may be.
    #[error("the file exceeds the limit of {limit} bytes")]
    FileTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// There is no place to keep it.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The feed can't be used as a whole.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A fault of ours.
    #[error("the parser panicked: {0}; this is a fault of ours, please report it")]
    Panic(String),
    /// What differs could not be read back.
    #[error("can't read back what differs: {0}")]
    ReadBack(#[source] io::Error),
    /// What is known could not be read.
    #[error("the database failed")]
    Database(#[from] DbErr),
}

impl From<ReadError> for CheckError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Parse(error) => Self::Parse(error),
            ReadError::Spool(error) => Self::Spool(error),
            ReadError::Panic(message) => Self::Panic(message),
        }
    }
}

/// Tells what a sync would do with a feed, and writes nothing.
///
/// # Errors
/// See [`CheckError`]: a sync would fail with it, too.
pub async fn check(http: &Fetcher, check: &Check<'_>) -> Result<Checked, CheckError> {
    let started = Instant::now();
    let had = had(http, check).await?;
    let fetch = started.elapsed();
    let (name, hold) = match check.against {
        Some((_, provider)) => (provider.name.as_str(), provider.hold()),
        None => ("", Hold::default()),
    };
    let bytes = had.body.len();
    let reading = Reading::start(Source {
        provider: name.to_owned(),
        format: check.format,
        timezone: check.timezone.clone(),
        body: had.body,
        limits: check.limits.clone(),
        hold: Some(hold),
        spools: http.spools().clone(),
    });
    let known = match check.against {
        Some((db, provider)) => known::of_provider(db, provider.id).await?,
        None => Known::default(),
    };
    let read = reading.finish(known).await?;
    let compared = &read.compared;
    let counts = Report::counts(&read);
    let (added, differing) = differing(&compared.differing, &counts, check.few).await?;
    let absent = if counts.held > 0 {
        &compared.held
    } else {
        &compared.gone
    };
    let few = |ids: &[Uuid]| ids[..ids.len().min(check.few)].to_vec();
    Ok(Checked {
        http_status: had.http_status,
        wire_bytes: had.wire_bytes,
        bytes,
        moved_to: had.moved_to,
        fetch,
        parse: read.parse,
        compare: read.compare,
        counts,
        returned_changed: compared.returned_changed,
        added,
        changed: changed(check, differing).await?,
        returned: stored(check, &few(&compared.returned)).await?,
        gone: stored(check, &few(absent)).await?,
        set_aside: read.set_aside.into_iter().take(check.few).collect(),
    })
}

struct Had {
    body: Spool,
    http_status: Option<u16>,
    wire_bytes: Option<u64>,
    moved_to: Option<String>,
}

async fn had(http: &Fetcher, check: &Check<'_>) -> Result<Had, CheckError> {
    let request = match &check.subject {
        Subject::File { path, max_body } => {
            let limit = max_body.unwrap_or(http.limits().body);
            return from_file(http, path.clone(), limit).await;
        }
        Subject::Fetched(request) => fetch::Request {
            etag: None,
            last_modified: None,
            ..request.clone()
        },
    };
    let fetched = http.fetch(&request).await?;
    match fetched.answer {
        Answer::Feed(feed) => Ok(Had {
            body: feed.body,
            http_status: Some(fetched.status),
            wire_bytes: Some(fetched.wire),
            moved_to: fetched.moved_to,
        }),
        // Nothing was asked conditionally.
        Answer::NotModified => Err(CheckError::Fetch(FetchError::Status {
            status: fetched.status,
            retry_after: None,
        })),
    }
}

async fn from_file(http: &Fetcher, path: PathBuf, limit: u64) -> Result<Had, CheckError> {
    let spools = http.spools().clone();
    let spooling = tokio::task::spawn_blocking(move || spooled(&spools, path, limit));
    let body = spooling
        .await
        .map_err(|error| CheckError::Panic(error.to_string()))??;
    Ok(Had {
        body,
        http_status: None,
        wire_bytes: None,
        moved_to: None,
    })
}

fn spooled(spools: &Spools, path: PathBuf, limit: u64) -> Result<Spool, CheckError> {
    let mut spool = spools.writer();
    let mut buffer = vec![0; 256 << 10];
    let read = File::open(&path).and_then(|file| {
        let mut file = file.take(limit.saturating_add(1));
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Ok(Ok(()));
            }
            if let Err(error) = spool.append(&buffer[..read]) {
                return Ok(Err(error));
            }
        }
    });
    read.map_err(|source| CheckError::File { path, source })??;
    if spool.len() > limit {
        return Err(CheckError::FileTooLarge { limit });
    }
    Ok(spool.finish()?)
}

/// The first few that are new, and the first few that are not what is stored.
async fn differing(
    differing: &Spilled,
    counts: &Counts,
    few: usize,
) -> Result<(Vec<Content>, Vec<(Uuid, Content)>), CheckError> {
    use entity::commit::Source as _;
    let wanted = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(few);
    let new = wanted(counts.new);
    let others = wanted(differing.len() as u64 - counts.new);
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    let mut chunks = differing.chunks();
    while added.len() < new || changed.len() < others {
        let chunk = chunks.try_next().await.map_err(CheckError::ReadBack)?;
        let Some(chunk) = chunk else { break };
        for upsert in chunk {
            if upsert.known && changed.len() < others {
                changed.push((upsert.id, upsert.content));
            } else if !upsert.known && added.len() < new {
                added.push(upsert.content);
            }
        }
    }
    Ok((added, changed))
}

async fn changed(
    check: &Check<'_>,
    differing: Vec<(Uuid, Content)>,
) -> Result<Vec<Changed>, DbErr> {
    let ids: Vec<Uuid> = differing.iter().map(|(id, _)| *id).collect();
    let before = rows(check, &ids).await?;
    let changed = differing.into_iter().filter_map(|(id, content)| {
        let before = before.get(&id)?;
        Some(Changed {
            returns: before.gone_at.is_some(),
            changes: event_change::changes(before, &content),
            content,
        })
    });
    Ok(changed.collect())
}

async fn stored(check: &Check<'_>, ids: &[Uuid]) -> Result<Vec<Content>, DbErr> {
    let mut rows = rows(check, ids).await?;
    Ok(ids
        .iter()
        .filter_map(|id| Some(rows.remove(id)?.into_content()))
        .collect())
}

async fn rows(check: &Check<'_>, ids: &[Uuid]) -> Result<HashMap<Uuid, event::Model>, DbErr> {
    let Some((db, _)) = check.against.filter(|_| !ids.is_empty()) else {
        return Ok(HashMap::new());
    };
    let rows = event::by_ids(&db.write, ids).await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
