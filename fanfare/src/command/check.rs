//! `fanfare check`: what a sync would do with a feed, before anything is stored.

mod json;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use entity::provider::{self, Access};
use entity::{Database, provider::Model};
use jiff::tz::TimeZone;
use serde_json::json;
use worker::Checked;
use worker::fetch::{Fetcher, Request};
use worker::format::{self, Format};

use crate::cli::Check;
use crate::command::provider::unknown;
use crate::command::roles::fetch_config;
use crate::{show, start};

/// Exit code of a feed that would be stored, but not as it stands.
const PARTLY: u8 = 3;

/// Looks, tells, and judges by the exit code.
pub(crate) async fn run(options: Check) -> anyhow::Result<ExitCode> {
    match look(&options).await {
        Ok(looked) => {
            if options.json {
                show::json(&json::of(&looked))?;
            } else {
                text::print(&looked);
            }
            Ok(match looked.is_whole() {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(PARTLY),
            })
        }
        Err(error) => {
            if options.json {
                let error = show::told(&error);
                show::json(&json!({ "subject": options.subject, "error": error }))?;
            }
            Err(error)
        }
    }
}

/// What was looked at, how, and what came of it.
struct Looked {
    subject: String,
    kind: Kind,
    /// Where the feed is.
    place: String,
    /// With whose events it was compared.
    against: Option<Model>,
    format: Format,
    timezone: TimeZone,
    checked: Checked,
}

impl Looked {
    /// Whether nothing would be set aside or held.
    fn is_whole(&self) -> bool {
        let counts = &self.checked.counts;
        counts.set_aside == 0 && counts.held == 0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Provider,
    Url,
    File,
}

impl Kind {
    /// A provider's name is a slug, which has neither slashes nor dots.
    fn of(subject: &str) -> Self {
        if subject.contains("://") {
            Self::Url
        } else if subject.contains(['/', '.']) || Path::new(subject).is_file() {
            Self::File
        } else {
            Self::Provider
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Url => "url",
            Self::File => "file",
        }
    }
}

async fn look(options: &Check) -> anyhow::Result<Looked> {
    let subject = &options.subject;
    let kind = Kind::of(subject);
    let stored = match (kind, &options.against) {
        (Kind::Provider, Some(_)) => bail!(
            "`{subject}` is taken for a provider's name, and a provider is compared with its own \
             events: leave --against away, or give an address or a file"
        ),
        (Kind::Provider, None) => Some(named(options, subject).await.with_context(|| {
            format!("there is no file `{subject}`, so it is taken for a provider's name")
        })?),
        (_, Some(name)) => Some(named(options, name).await?),
        (_, None) => None,
    };
    let checked = check(options, kind, stored.as_ref()).await;
    let against = match stored {
        Some((db, provider)) => {
            db.close().await;
            Some(provider)
        }
        None => None,
    };
    let (place, settings, checked) = checked.with_context(|| format!("check `{subject}`"))?;
    Ok(Looked {
        subject: subject.clone(),
        kind,
        place,
        against,
        format: settings.format,
        timezone: settings.timezone,
        checked,
    })
}

/// A provider, and the database that knows it.
async fn named(options: &Check, name: &str) -> anyhow::Result<(Database, Model)> {
    let db = start::database(&options.database).await?;
    let found = provider::by_name(&db.read, name).await;
    match found.map(|found| found.filter(|provider| provider.retired_at.is_none())) {
        Ok(Some(provider)) => Ok((db, provider)),
        Ok(None) => {
            db.close().await;
            bail!("{}", unknown(name))
        }
        Err(error) => Err(error.into()),
    }
}

/// How the feed is read: as the command says, else as the provider does.
struct Settings {
    format: Format,
    timezone: TimeZone,
    timeout: Duration,
    max_body: Option<u64>,
}

impl Settings {
    fn of(options: &Check, provider: Option<&Model>) -> anyhow::Result<Self> {
        let format = match (options.format, provider) {
            (Some(format), _) => format,
            (None, Some(provider)) => provider.format.parse()?,
            (None, None) => Format::PlanList,
        };
        let timezone = match (&options.timezone, provider) {
            (Some(timezone), _) => timezone.clone(),
            (None, Some(provider)) => TimeZone::get(&provider.timezone)
                .with_context(|| format!("there is no time zone `{}`", provider.timezone))?,
            (None, None) => TimeZone::UTC,
        };
        let provided = || provider.map_or(provider::DEFAULT_TIMEOUT, Model::timeout);
        Ok(Self {
            format,
            timezone,
            timeout: options.timeout.unwrap_or_else(provided),
            max_body: provider.and_then(|provider| provider.max_body.map(i64::unsigned_abs)),
        })
    }
}

async fn check(
    options: &Check,
    kind: Kind,
    stored: Option<&(Database, Model)>,
) -> anyhow::Result<(String, Settings, Checked)> {
    let provider = stored.map(|(_, provider)| provider);
    let settings = Settings::of(options, provider)?;
    // What a provider wants to see is shown to its own address alone.
    let open = Access::default();
    let (url, access) = match (kind, provider) {
        (Kind::Provider, Some(provider)) => (provider.url.as_str(), &provider.access),
        _ => (options.subject.as_str(), &open),
    };
    let subject = match kind {
        Kind::File => worker::Subject::File {
            path: PathBuf::from(&options.subject),
            max_body: settings.max_body,
        },
        Kind::Provider | Kind::Url => worker::Subject::Fetched(Request {
            url,
            timeout: settings.timeout,
            max_body: settings.max_body,
            access,
            etag: None,
            last_modified: None,
        }),
    };
    let check = worker::Check {
        subject,
        format: settings.format,
        timezone: settings.timezone.clone(),
        limits: &format::Limits::default(),
        against: stored.map(|(db, provider)| (db, provider)),
        few: options.few,
    };
    let http = Fetcher::new(fetch_config(&options.fetch))?;
    let checked = worker::check(&http, &check).await?;
    Ok((url.to_owned(), settings, checked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_files_are_told_apart() {
        for (subject, kind) in [
            ("city-theatre", Kind::Provider),
            ("http://provider.example/feed", Kind::Url),
            ("HTTPS://provider.example", Kind::Url),
            ("ftp://provider.example/feed", Kind::Url),
            ("feed.xml", Kind::File),
            ("./feed", Kind::File),
            ("/dev/stdin", Kind::File),
        ] {
            assert_eq!(Kind::of(subject), kind, "{subject}");
        }
    }
}
