//! What a page of changes or of a history asks for.

use entity::changes::At;
use uuid::Uuid;

use super::paging::{LIMIT, limit};
use super::search::DEFAULT_LIMIT;
use super::{Invalid, Parameter, parsed, values};

const SINCE: Parameter = Parameter {
    name: "since",
    wanted: "a version as the header Dataset-Version or `meta.next` gives it",
    example: "since=8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-42",
};
const BEFORE: Parameter = Parameter {
    name: "before",
    wanted: "the number of a version",
    example: "before=42",
};

/// A page of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The history of the dataset that they belong to.
    pub(crate) epoch: Uuid,
    /// All that came after it.
    pub(crate) since: At,
    /// At most so many.
    pub(crate) limit: u64,
}

/// What a query string asks for of the changes.
///
/// # Errors
/// See [`Invalid`].
pub(crate) fn changes(query: Option<&str>) -> Result<Changes, Invalid> {
    let [since, page] = values(query, [SINCE, LIMIT])?;
    let (epoch, since) = parsed(SINCE, since, place)?.ok_or_else(|| SINCE.missing())?;
    Ok(Changes {
        epoch,
        since,
        limit: parsed(LIMIT, page, limit)?.unwrap_or(DEFAULT_LIMIT),
    })
}

/// `EPOCH-NUMBER`, or `EPOCH-NUMBER.POSITION` within a version.
fn place(text: &str) -> Option<(Uuid, At)> {
    let (epoch, place) = text.rsplit_once('-')?;
    let (version, position) = match place.split_once('.') {
        Some((version, position)) => (version, Some(number(position)?)),
        None => (place, None),
    };
    if epoch.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    let at = At {
        version: number(version)?,
        position,
    };
    Some((Uuid::try_parse(epoch).ok()?, at))
}

/// Without a sign, so that a place has one spelling.
fn number(text: &str) -> Option<i64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// A page of an event's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    /// Only versions below this one.
    pub(crate) before: Option<i64>,
    /// At most so many.
    pub(crate) limit: u64,
}

/// What a query string asks for of a history.
///
/// # Errors
/// See [`Invalid`].
pub(crate) fn history(query: Option<&str>) -> Result<History, Invalid> {
    let [before, page] = values(query, [BEFORE, LIMIT])?;
    Ok(History {
        before: parsed(BEFORE, before, number)?,
        limit: parsed(LIMIT, page, limit)?.unwrap_or(DEFAULT_LIMIT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: &str = "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e";

    #[test]
    fn a_place_is_a_version_with_or_without_a_position() {
        let of = |text: &str| {
            changes(Some(&format!("since={EPOCH}-{text}")))
                .unwrap()
                .since
        };
        let at = |version, position| At { version, position };
        assert_eq!(of("42"), at(42, None));
        assert_eq!(of("42.0"), at(42, Some(0)));
        assert_eq!(of("42.17"), at(42, Some(17)));
    }

    #[test]
    fn what_is_no_place_is_refused_with_an_example() {
        for place in [
            "",
            "42",
            "-42",
            "x-42",
            "42.1",
            "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e",
            "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-",
            "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-x",
            "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-42.",
            "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-%2B4",
            "8d3f5f604b5d4a3c9f350e6f5a0c1d2e-42",
            "8d3f5f60-4b5d-4a3c-9f35-0e6f5a0c1d2e-99999999999999999999",
        ] {
            let refused = changes(Some(&format!("since={place}"))).unwrap_err();
            assert_eq!(refused, SINCE.malformed(), "{place}");
        }
        assert_eq!(changes(None), Err(SINCE.missing()));
    }

    #[test]
    fn a_page_has_a_hundred_items_unless_told_otherwise() {
        let at = format!("since={EPOCH}-1");
        assert_eq!(changes(Some(&at)).unwrap().limit, 100);
        assert_eq!(changes(Some(&format!("{at}&limit=7"))).unwrap().limit, 7);
        let everything = History {
            before: None,
            limit: 100,
        };
        assert_eq!(history(None), Ok(everything));
        assert_eq!(history(Some("before=4&limit=2")).unwrap().before, Some(4));
        assert!(history(Some("before=-4")).is_err());
    }
}
