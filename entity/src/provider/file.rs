//! The provider file: TOML in, checked specifications out, or every problem with its line.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use url::Url;

/// One provider as its operator wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The stable key: lower-case letters, digits and hyphens.
    pub name: String,
    /// Where its feed is, over HTTP or HTTPS.
    pub url: Url,
    /// What its feed is written in.
    pub format: String,
    /// From one visit to the next.
    pub interval: Duration,
    /// An IANA time zone, for naive times in the feed.
    pub timezone: String,
    /// The longest that one fetch may take.
    pub timeout: Duration,
}

impl Spec {
    /// The address' host and port, in the form under which fetches are counted.
    pub fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

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
                reason: error.message().to_owned(),
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

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(366 * 86_400);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
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
        Some(Spec {
            name: name?,
            url: url?,
            format: format?,
            interval: interval?,
            timezone: timezone?,
            timeout: timeout?,
        })
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

    fn note<T>(&mut self, at: &Spanned<String>, checked: Result<T, String>) -> Option<T> {
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
        format!("`{text}` is not a URL ({error}): give one such as https://provider.example/events")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the address `{text}` must start with http:// or https://"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address must not hold a user or password: it is shown to everyone".into());
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
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[provider]]
name = "primary"
url = "https://provider.example/api/events"
format = "plan-list"
interval = "15m"
timezone = "Europe/Madrid"
timeout = "20s"

[[provider]]
name = "second"
url = "http://127.0.0.1:9000/feed"
format = "plan-list"
interval = "1s"
"#;

    fn problems(text: &str) -> Vec<String> {
        let error = parse(text, &["plan-list"]).unwrap_err();
        error.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_file_gives_its_providers_with_defaults() {
        let specs = parse(GOOD, &["plan-list"]).unwrap();
        assert_eq!(specs[0].interval, Duration::from_secs(900));
        assert_eq!(specs[0].timeout, Duration::from_secs(20));
        assert_eq!(specs[1].timezone, "UTC");
        assert_eq!(specs[1].timeout, DEFAULT_TIMEOUT);
        assert_eq!(specs[1].host(), "127.0.0.1:9000");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let text = GOOD.replace("timeout = \"20s\"", "time_out = \"20s\"");
        let problems = problems(&text);
        assert!(
            problems[0].starts_with("line 8: unknown field `time_out`"),
            "{problems:?}"
        );
    }

    #[test]
    fn every_bad_value_is_told_with_its_line() {
        let text = GOOD
            .replace(
                "https://provider.example/api/events",
                "ftp://provider.example",
            )
            .replace("\"15m\"", "\"0s\"")
            .replace("Europe/Madrid", "Europe/Atlantis")
            .replace("\"20s\"", "\"soon\"")
            .replace("\"second\"", "\"Second!\"");
        let problems = problems(&text);
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert!(problems[0].starts_with("line 4: the address `ftp://"));
        assert!(problems[1].starts_with("line 6: `0s` is out of bounds: give 1s to"));
        assert!(problems[2].starts_with("line 7: there is no time zone `Europe/Atlantis`"));
        assert!(problems[3].starts_with("line 8: `soon` is not a duration"));
        assert!(problems[4].starts_with("line 11: the name `Second!` is not a slug"));
    }

    #[test]
    fn a_doubled_name_is_refused_and_tells_both_lines() {
        let problems = problems(&GOOD.replace("\"second\"", "\"primary\""));
        assert_eq!(
            problems,
            ["line 11: the name `primary` is taken already, in line 3"]
        );
    }

    #[test]
    fn an_unknown_format_lists_the_known_ones() {
        let problems = problems(&GOOD.replacen("plan-list", "rss", 1));
        assert_eq!(
            problems,
            ["line 5: there is no format `rss`: the formats are plan-list"]
        );
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        let problems = problems(&GOOD.replace("https://provider", "https://me:hunter2@provider"));
        assert!(problems[0].contains("must not hold a user or password"));
        assert!(!problems[0].contains("hunter2"));
    }
}
