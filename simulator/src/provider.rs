//! Who the providers are: their names, their time zones, how they spell the format.

use crate::xml::{EVENT_DATE, EVENT_LIST, PLAN_LIST, Spelling};

/// No provider has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no simulated provider is named `{0}`")]
pub struct UnknownProvider(pub String);

const TIME_ZONES: [&str; 7] = [
    "UTC",
    "Europe/Madrid",
    "America/New_York",
    "Asia/Tokyo",
    "Europe/London",
    "Australia/Sydney",
    "America/Sao_Paulo",
];

const SPELLINGS: [Spelling; 3] = [PLAN_LIST, EVENT_LIST, EVENT_DATE];

/// The slug of the provider at `index`, counted from 0.
pub(crate) fn name(index: usize) -> String {
    format!("provider-{:04}", index + 1)
}

/// The index of the provider called `name` among `count`.
pub(crate) fn index(wanted: &str, count: usize) -> Result<usize, UnknownProvider> {
    wanted
        .strip_prefix("provider-")
        .and_then(|number| number.parse::<usize>().ok())
        .and_then(|number| number.checked_sub(1))
        .filter(|index| *index < count && name(*index) == wanted)
        .ok_or_else(|| UnknownProvider(wanted.to_owned()))
}

pub(crate) fn time_zone(index: usize) -> &'static str {
    TIME_ZONES[index % TIME_ZONES.len()]
}

pub(crate) fn spelling(index: usize) -> Spelling {
    SPELLINGS[index % SPELLINGS.len()]
}

/// A file for `fanfare provider apply`: all `count` providers, with addresses under `origin`.
pub(crate) fn file(count: usize, origin: &str, interval: &str) -> String {
    let interval = quoted(interval);
    (0..count)
        .map(|index| {
            let name = name(index);
            let url = quoted(&feed_url(origin, &name));
            let zone = time_zone(index);
            format!(
                "[[provider]]\nname = \"{name}\"\nurl = {url}\nformat = \"plan-list\"\ninterval = {interval}\ntimezone = \"{zone}\"\n\n"
            )
        })
        .collect()
}

/// Where the provider called `name` answers under `origin` (`http://host:port`).
pub(crate) fn feed_url(origin: &str, name: &str) -> String {
    format!("{origin}/providers/{name}/feed")
}

/// `text` as a TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_index() {
        for count in [0, 9_998, 9_999, 12_344] {
            assert_eq!(index(&name(count), count + 1), Ok(count));
        }
        for wrong in [
            "provider-0000",
            "provider-0011",
            "provider-1",
            "provider-00001",
            "provider-+001",
            "0001",
            "",
        ] {
            assert_eq!(index(wrong, 10), Err(UnknownProvider(wrong.to_owned())));
        }
    }

    #[test]
    fn the_provider_file_is_toml_whatever_the_interval() {
        let parsed: toml::Table = file(4, "http://127.0.0.1:9", "1\"5\\m\n").parse().unwrap();
        let providers = parsed["provider"].as_array().unwrap();
        assert_eq!(providers.len(), 4);
        assert_eq!(providers[3]["name"].as_str(), Some("provider-0004"));
        assert_eq!(
            providers[3]["url"].as_str(),
            Some("http://127.0.0.1:9/providers/provider-0004/feed")
        );
        assert_eq!(providers[3]["format"].as_str(), Some("plan-list"));
        assert_eq!(providers[3]["interval"].as_str(), Some("1\"5\\m\n"));
        assert_eq!(providers[1]["timezone"].as_str(), Some("Europe/Madrid"));
    }
}
