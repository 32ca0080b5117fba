//! The provider file: TOML in, checked specifications out, or every problem with its line.

mod access;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

use super::{Access, DEFAULT_TIMEOUT, Hold, Spec};

pub use access::OWN_HEADERS;

/// One thing that is wrong in a provider file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// What is wrong and what is expected.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// A provider file that was refused as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FileError {
    /// In the order of their lines; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing was applied")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    provider: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    url: Spanned<String>,
    format: Spanned<String>,
    interval: Spanned<String>,
    timezone: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    max_interval: Option<Spanned<String>>,
    max_body_mib: Option<Spanned<u64>>,
    hold_percent: Option<Spanned<u64>>,
    hold_events: Option<Spanned<u64>>,
    headers: Option<Spanned<access::Headers>>,
    basic: Option<Spanned<access::Basic>>,
    bearer: Option<Spanned<access::Source>>,
}

/// Reads a provider file. `formats` are the names that a feed's format may have.
///
/// # Errors
/// Every problem of the file at once, each with its line; one is enough to refuse all of it.
pub fn parse(text: &str, formats: &[&str]) -> Result<Vec<Spec>, FileError> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        FileError {
            problems: vec![Problem {
                line: line_of(text, at),
                reason: without_value(error.message()),
            }],
        }
    })?;
    let mut checker = Checker {
        text,
        formats,
        problems: Vec::new(),
        names: HashMap::new(),
    };
    let specs: Vec<_> = file
        .provider
        .iter()
        .filter_map(|entry| checker.check(entry))
        .collect();
    if checker.problems.is_empty() {
        return Ok(specs);
    }
    checker.problems.sort_by_key(|problem| problem.line);
    Err(FileError {
        problems: checker.problems,
    })
}

/// A message such as `invalid type: string "hunter2", expected …` without what may be a secret.
fn without_value(message: &str) -> String {
    match (message.find(": string \""), message.rfind(", expected ")) {
        (Some(start), Some(end)) if start < end => {
            format!("{}: a text{}", &message[..start], &message[end..])
        }
        _ => message.to_owned(),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(366 * 86_400);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);
const LARGEST_BODY_MIB: u64 = 64 << 10;
const LONGEST_NAME: usize = 100;

struct Checker<'a> {
    text: &'a str,
    formats: &'a [&'a str],
    problems: Vec<Problem>,
    names: HashMap<String, usize>,
}

impl Checker<'_> {
    fn check(&mut self, entry: &Entry) -> Option<Spec> {
        let name = self.name(&entry.name);
        let url = self.note(&entry.url, url(entry.url.get_ref()));
        let format = self.note(&entry.format, format(entry.format.get_ref(), self.formats));
        let interval = self.note(
            &entry.interval,
            duration(
                entry.interval.get_ref(),
                SHORTEST_INTERVAL,
                LONGEST_INTERVAL,
            ),
        );
        let timezone = match &entry.timezone {
            None => Some("UTC".to_owned()),
            Some(zone) => self.note(zone, timezone(zone.get_ref())),
        };
        let timeout = match &entry.timeout {
            None => Some(DEFAULT_TIMEOUT),
            Some(timeout) => self.note(
                timeout,
                duration(timeout.get_ref(), Duration::from_millis(1), LONGEST_TIMEOUT),
            ),
        };
        let max_interval = self.max_interval(entry, interval);
        let max_body = self.number(&entry.max_body_mib, 1, LARGEST_BODY_MIB);
        let defaults = Hold::default();
        let percent = self.number(&entry.hold_percent, 0, 100);
        let events = self.number(&entry.hold_events, 0, u32::MAX.into());
        let access = self.access(entry);
        Some(Spec {
            name: name?,
            url: url?,
            format: format?,
            interval: interval?,
            timezone: timezone?,
            timeout: timeout?,
            access: access?,
            max_interval: max_interval?,
            max_body: max_body?.map(|mib| mib << 20),
            hold: Hold {
                percent: percent?.map_or(defaults.percent, |n| n.try_into().unwrap_or(100)),
                events: events?.map_or(defaults.events, |n| n.try_into().unwrap_or(u32::MAX)),
            },
        })
    }

    fn max_interval(
        &mut self,
        entry: &Entry,
        interval: Option<Duration>,
    ) -> Option<Option<Duration>> {
        let Some(most) = &entry.max_interval else {
            return Some(None);
        };
        let least = interval.unwrap_or(SHORTEST_INTERVAL);
        let checked = duration(most.get_ref(), least, LONGEST_INTERVAL);
        self.note(most, checked).map(Some)
    }

    fn number(
        &mut self,
        value: &Option<Spanned<u64>>,
        least: u64,
        most: u64,
    ) -> Option<Option<u64>> {
        let Some(value) = value else {
            return Some(None);
        };
        let number = *value.get_ref();
        let checked = if (least..=most).contains(&number) {
            Ok(Some(number))
        } else {
            Err(format!("{number} is out of bounds: give {least} to {most}"))
        };
        self.note(value, checked)
    }

    fn access(&mut self, entry: &Entry) -> Option<Access> {
        let mut access = Access::default();
        let mut good = true;
        if let Some(headers) = &entry.headers {
            let checked = self.note(headers, access::headers(headers.get_ref()));
            good &= checked.is_some();
            access.headers = checked.unwrap_or_default();
        }
        if let Some(basic) = &entry.basic {
            let checked = self.note(basic, access::basic(basic.get_ref()));
            good &= checked.is_some();
            access.basic = checked;
        }
        if let Some(bearer) = &entry.bearer {
            let checked = self.note(bearer, access::secret(bearer.get_ref()));
            good &= checked.is_some();
            access.bearer = checked;
        }
        let once = access::one_authorization(&access);
        good &= match (&entry.bearer, &entry.basic) {
            (Some(bearer), _) => self.note(bearer, once).is_some(),
            (None, Some(basic)) => self.note(basic, once).is_some(),
            (None, None) => true,
        };
        good.then_some(access)
    }

    fn name(&mut self, name: &Spanned<String>) -> Option<String> {
        let line = line_of(self.text, name.span().start);
        let text = self.note(name, slug(name.get_ref()))?;
        if let Some(first) = self.names.insert(text.clone(), line) {
            self.problems.push(Problem {
                line,
                reason: format!("the name `{text}` is taken already, in line {first}"),
            });
            return None;
        }
        Some(text)
    }

    fn note<S, T>(&mut self, at: &Spanned<S>, checked: Result<T, String>) -> Option<T> {
        checked
            .map_err(|reason| {
                self.problems.push(Problem {
                    line: line_of(self.text, at.span().start),
                    reason,
                });
            })
            .ok()
    }
}

fn slug(name: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let bounded = |c: Option<char>| c.is_some_and(|c| c != '-');
    if name.len() <= LONGEST_NAME
        && name.chars().all(fits)
        && bounded(name.chars().next())
        && bounded(name.chars().last())
    {
        return Ok(name.to_owned());
    }
    Err(format!(
        "the name `{name}` is not a slug: up to {LONGEST_NAME} lower-case letters, digits and \
         hyphens, such as `city-theatre`"
    ))
}

fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| {
        format!("this is not a URL ({error}): give one such as https://provider.example/events")
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address must not hold a user or password: it is shown to everyone".into());
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the address `{text}` must start with http:// or https://"
        ));
    }
    Ok(url)
}

fn format(name: &str, known: &[&str]) -> Result<String, String> {
    if known.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!(
        "there is no format `{name}`: the formats are {}",
        known.join(", ")
    ))
}

fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| {
        format!("`{text}` is not a duration ({error}): give one such as 30s, 15m or 6h")
    })?;
    if duration < least || duration > most {
        return Err(format!(
            "`{text}` is out of bounds: give {} to {}",
            humantime::format_duration(least),
            humantime::format_duration(most)
        ));
    }
    Ok(duration)
}

fn timezone(name: &str) -> Result<String, String> {
    jiff::tz::TimeZone::get(name)
        .map(|_| name.to_owned())
        .map_err(|_| {
            format!("there is no time zone `{name}`: give an IANA name such as Europe/Madrid")
        })
}

#[cfg(test)]
mod tests;
