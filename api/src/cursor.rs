//! Where a page ends, sealed so that only what this service gave out comes back.
//!
//! A cursor is the URL-safe base64 (RFC 4648, section 5) of: the form's number, the epoch, the last
//! event's start in microseconds and its id, and a keyed BLAKE3 hash over these and the search
//! without its page. The key lies in the database, so that every process takes every cursor.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use entity::search::{Position, Search};
use uuid::Uuid;

use crate::query::Invalid;
use crate::question;
use crate::standing::Standing;

const FORM: u8 = 1;
const HASH: usize = 1 + 16 + 8 + 16;
const LENGTH: usize = HASH + blake3::OUT_LEN;

/// Why a cursor, or the search that came with it, is not answered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The search itself is wrong, or the cursor is not one of its own.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The cursor belongs to another epoch, this one.
    #[error("the cursor belongs to another epoch")]
    Ended(Uuid),
}

/// The cursor after `position` of `search`.
pub(crate) fn seal(position: Position, search: &Search, epoch: Uuid, secret: &[u8; 32]) -> String {
    let mut sealed = Vec::with_capacity(LENGTH);
    sealed.push(FORM);
    sealed.extend_from_slice(epoch.as_bytes());
    sealed.extend_from_slice(&position.starts_at.timestamp_micros().to_be_bytes());
    sealed.extend_from_slice(position.id.as_bytes());
    let hash = hash(&sealed, search, secret);
    sealed.extend_from_slice(hash.as_bytes());
    URL_SAFE_NO_PAD.encode(sealed)
}

/// The position that a cursor stands for.
///
/// # Errors
/// [`Refused::Ended`] for one of another epoch, [`Invalid::ForeignCursor`] for one that was altered
/// or belongs to another search.
pub(crate) fn open(
    cursor: &str,
    search: &Search,
    standing: &Standing,
) -> Result<Position, Refused> {
    let sealed: [u8; LENGTH] = URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Invalid::ForeignCursor)?;
    let (place, given) = sealed.split_at(HASH);
    let given: [u8; blake3::OUT_LEN] = given.try_into().map_err(|_| Invalid::ForeignCursor)?;
    if place[0] != FORM {
        return Err(Invalid::ForeignCursor.into());
    }
    let epoch = Uuid::from_slice(&place[1..17]).map_err(|_| Invalid::ForeignCursor)?;
    if epoch != standing.version.epoch {
        return Err(Refused::Ended(epoch));
    }
    // Hashes are compared in constant time.
    if hash(place, search, &standing.secret) != blake3::Hash::from_bytes(given) {
        return Err(Invalid::ForeignCursor.into());
    }
    let micros = place[17..25].try_into().map(i64::from_be_bytes);
    let position = micros.ok().and_then(|micros| {
        Some(Position {
            starts_at: DateTime::from_timestamp_micros(micros)?,
            id: Uuid::from_slice(&place[25..]).ok()?,
        })
    });
    Ok(position.ok_or(Invalid::ForeignCursor)?)
}

fn hash(place: &[u8], search: &Search, secret: &[u8; 32]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(place);
    hasher.update(question::filter(search).as_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use entity::dataset::Version;

    use super::*;
    use crate::standing::Source;

    fn standing(epoch: u128) -> Standing {
        Standing {
            version: Version {
                epoch: Uuid::from_u128(epoch),
                number: 3,
            },
            secret: [9; 32],
            source: Source::Read,
            down_since: None,
        }
    }

    fn position() -> Position {
        Position {
            starts_at: "2021-06-30T19:00:00.123456Z".parse().unwrap(),
            id: Uuid::from_u128(77),
        }
    }

    fn sealed(search: &Search) -> String {
        let standing = standing(1);
        seal(position(), search, standing.version.epoch, &standing.secret)
    }

    #[test]
    fn a_cursor_opens_to_the_place_that_it_was_made_for() {
        for starts_at in [
            position().starts_at,
            "0000-01-01T00:00:00Z".parse().unwrap(),
        ] {
            let position = Position {
                starts_at,
                ..position()
            };
            let search = Search::default();
            let cursor = seal(position, &search, Uuid::from_u128(1), &[9; 32]);
            assert_eq!(open(&cursor, &search, &standing(1)), Ok(position));
        }
    }

    #[test]
    fn a_cursor_that_was_altered_anywhere_is_refused() {
        let search = Search::default();
        let cursor = sealed(&search);
        for at in 0..cursor.len() {
            let mut altered = cursor.clone().into_bytes();
            altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(open(&altered, &search, &standing(1)).is_err(), "at {at}");
        }
        for other in ["", "x", &cursor[1..], &format!("{cursor}A"), "ü"] {
            assert!(open(other, &search, &standing(1)).is_err(), "{other}");
        }
    }

    #[test]
    fn a_cursor_belongs_to_its_search_whatever_the_page() {
        let search = Search {
            provider: Some("primary".into()),
            limit: Some(10),
            ..Search::default()
        };
        let cursor = sealed(&search);
        let longer = Search {
            limit: Some(20),
            zones: true,
            ..search.clone()
        };
        assert_eq!(open(&cursor, &longer, &standing(1)), Ok(position()));
        let other = Search {
            provider: None,
            ..search
        };
        let refused = Refused::Invalid(Invalid::ForeignCursor);
        assert_eq!(open(&cursor, &other, &standing(1)), Err(refused));
    }

    #[test]
    fn a_cursor_ends_with_its_epoch_and_another_key_does_not_open_it() {
        let search = Search::default();
        let cursor = sealed(&search);
        assert_eq!(
            open(&cursor, &search, &standing(2)),
            Err(Refused::Ended(Uuid::from_u128(1)))
        );
        let mut stranger = standing(1);
        stranger.secret = [8; 32];
        let refused = Refused::Invalid(Invalid::ForeignCursor);
        assert_eq!(open(&cursor, &search, &stranger), Err(refused));
    }
}
