//! What can be asked of one version of the events, and the one canonical form of each question.
//!
//! Two requests share a cache entry exactly if their questions are equal, and then their canonical
//! forms are equal, too: fields in a fixed order, only those that differ from their default,
//! instants in microseconds.

use std::fmt::Write;

use entity::search::{Gone, Search};
use uuid::Uuid;

use crate::query::{Changes, History};
use crate::route::Route;

/// A question whose answer depends on nothing but the version of the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// Events in a window.
    Search(Search),
    /// One event.
    Event(Uuid),
    /// A page of changes.
    Changes(Changes),
    /// What became of one event.
    History(Uuid, History),
}

impl Question {
    /// The canonical form: equal for equal questions, different for different ones.
    pub(crate) fn canonical(&self) -> String {
        match self {
            Self::Search(search) => {
                let mut text = filter(search);
                push(&mut text, "zones", search.zones.then_some(1));
                push(&mut text, "limit", search.limit);
                if let Some(after) = search.after {
                    let micros = after.starts_at.timestamp_micros();
                    push(&mut text, "after", Some(format!("{micros},{}", after.id)));
                }
                text
            }
            Self::Event(id) => format!("event {id}"),
            // The epoch is part of every key already.
            Self::Changes(changes) => {
                let mut text = format!("changes since={}", changes.since.version);
                if let Some(position) = changes.since.position {
                    let _ = write!(text, ".{position}");
                }
                push(&mut text, "limit", Some(changes.limit));
                text
            }
            Self::History(id, history) => {
                let mut text = format!("history {id}");
                push(&mut text, "before", history.before);
                push(&mut text, "limit", Some(history.limit));
                text
            }
        }
    }

    /// The route that it is asked at.
    pub(crate) fn route(&self) -> Route {
        match self {
            Self::Search(_) => Route::Search,
            Self::Event(_) => Route::Event,
            Self::Changes(_) => Route::Changes,
            Self::History(..) => Route::History,
        }
    }

    /// What caches may be asked to drop it by, the most general first.
    pub(crate) fn tags(&self) -> Vec<String> {
        let mut tags = vec!["fanfare".to_owned()];
        match self {
            Self::Search(search) => {
                tags.push("search".to_owned());
                let provider = search.provider.as_ref();
                tags.extend(provider.map(|name| format!("provider-{name}")));
            }
            Self::Event(id) | Self::History(id, _) => tags.push(format!("event-{id}")),
            Self::Changes(_) => tags.push("changes".to_owned()),
        }
        tags
    }
}

/// The canonical form of a search without its page and what it shows of each event.
pub(crate) fn filter(search: &Search) -> String {
    let micros = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at.timestamp_micros());
    let mut text = "search".to_owned();
    push(&mut text, "starts_at", micros(search.starts_at));
    push(&mut text, "ends_at", micros(search.ends_at));
    push(&mut text, "overlaps", search.overlaps.then_some(1));
    // Names have no spaces.
    push(&mut text, "provider", search.provider.as_deref());
    push(&mut text, "min_price", search.min_price);
    push(&mut text, "max_price", search.max_price);
    push(&mut text, "available", search.available);
    let gone = match search.gone {
        Gone::Include => None,
        Gone::Exclude => Some("exclude"),
        Gone::Only => Some("only"),
    };
    push(&mut text, "gone", gone);
    push(&mut text, "updated_since", micros(search.updated_since));
    text
}

fn push(text: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        // Writing to a string can't fail.
        let _ = write!(text, " {name}={value}");
    }
}

#[cfg(test)]
mod tests {
    use entity::dataset::Version;
    use entity::search::Position;

    use super::*;
    use crate::query;
    use crate::standing::{Source, Standing};

    fn canonical(query: &str) -> String {
        let standing = Standing {
            version: Version {
                epoch: Uuid::nil(),
                number: 1,
            },
            secret: [0; 32],
            source: Source::Read,
            down_since: None,
        };
        Question::Search(query::search(Some(query), &standing).unwrap()).canonical()
    }

    #[test]
    fn equivalent_queries_share_one_form() {
        let form = canonical("starts_at=2021-02-01T00:00:00Z&ends_at=2021-02-28T23:59:59.999999Z");
        for same in [
            "ends_at=2021-02-28&starts_at=2021-02-01",
            "starts_at=2021-02-01T00:00:00.000&ends_at=2021-02-28",
            "starts_at=2021-02-01T01:00:00%2B01:00&ends_at=2021-02-28",
            "starts_at=2021-01-31T19:00:00-05:00&ends_at=2021-02-28&gone=include&overlaps=false",
            "starts_at=2021%2D02-01&&ends_at=2021-02-28",
        ] {
            assert_eq!(canonical(same), form, "{same}");
        }
    }

    #[test]
    fn different_questions_have_different_forms() {
        let searches = [
            "",
            "starts_at=2021-02-01",
            "starts_at=2021-02-01T00:00:00.000001Z",
            "ends_at=2021-02-01",
            "updated_since=2021-02-01",
            "starts_at=2021-02-01&overlaps=true",
            "provider=a",
            "provider=a1",
            "min_price=1",
            "max_price=1",
            "available=true",
            "available=false",
            "gone=only",
            "gone=exclude",
            "include=zones",
            "limit=1",
            "limit=10",
        ];
        let id = Uuid::from_u128(1);
        let at = |version, position| entity::changes::At { version, position };
        let changes = |since, limit| {
            Question::Changes(Changes {
                epoch: Uuid::nil(),
                since,
                limit,
            })
        };
        let history = |before, limit| Question::History(id, History { before, limit });
        let after = Search {
            after: Some(Position {
                starts_at: "2021-02-01T00:00:00Z".parse().unwrap(),
                id,
            }),
            ..Search::default()
        };
        let others = [
            Question::Search(after),
            Question::Event(id),
            Question::Event(Uuid::from_u128(2)),
            changes(at(1, None), 10),
            changes(at(1, Some(0)), 10),
            changes(at(10, None), 1),
            history(None, 10),
            history(Some(1), 10),
            history(Some(1), 0),
        ];
        let mut forms: Vec<String> = searches.map(canonical).to_vec();
        forms.extend(others.iter().map(Question::canonical));
        let mut distinct = forms.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), forms.len(), "{forms:?}");
    }
}
