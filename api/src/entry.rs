//! An answer, ready to be sent as often as it is asked for.

use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, LINK,
    VARY,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use entity::dataset::Version;

use crate::cache_control::ForCaches;
use crate::encoding::Encoding;
use crate::question::Question;
use crate::render::{DATASET_VERSION, dataset_version};

/// Names the build that writes the answers; a digest of its sources.
pub(crate) const REVISION: &str = env!("RESPONSE_REVISION");

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// What the database, or another process' cache, had to say to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The version that it belongs to.
    pub(crate) version: Version,
    /// 200, or 404 for something that is not there in that version.
    pub(crate) status: StatusCode,
    /// The header `Link`.
    pub(crate) link: Option<String>,
    /// JSON.
    pub(crate) body: Bytes,
}

/// One representation of a reply, with all its headers.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) version: Version,
    pub(crate) status: StatusCode,
    pub(crate) link: Option<String>,
    pub(crate) body: Bytes,
    /// Of the whole answer.
    pub(crate) headers: HeaderMap,
    /// Of a 304 in its place (RFC 9110, section 15.4.5).
    pub(crate) not_modified: HeaderMap,
    /// The strong validator; only a 200 has one.
    pub(crate) etag: Option<HeaderValue>,
}

impl Entry {
    /// The representation of `reply` whose content coding is `encoding`, with that `body`.
    pub(crate) fn new(
        question: &Question,
        canonical: &str,
        reply: &Reply,
        encoding: Encoding,
        coded: Option<Bytes>,
        told: &ForCaches,
    ) -> Self {
        let etag =
            (reply.status == StatusCode::OK).then(|| etag(reply.version, canonical, encoding));
        let validators = validators(question, reply.version, etag.as_ref(), told);
        let mut headers = validators.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if coded.is_some()
            && let Some(name) = encoding.name()
        {
            headers.insert(CONTENT_ENCODING, name);
        }
        if let Some(link) = &reply.link
            && let Ok(link) = HeaderValue::try_from(link)
        {
            headers.insert(LINK, link);
        }
        Self {
            version: reply.version,
            status: reply.status,
            link: reply.link.clone(),
            body: coded.unwrap_or_else(|| reply.body.clone()),
            headers,
            not_modified: validators,
            etag,
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        // Two maps of some ten small headers each.
        const HEADERS: usize = 4_096;
        self.body.len() + HEADERS
    }
}

/// The headers that a 304 has in common with the 200 that it stands for.
pub(crate) fn validators(
    question: &Question,
    version: Version,
    etag: Option<&HeaderValue>,
    told: &ForCaches,
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(DATASET_VERSION, dataset_version(version));
    headers.insert(CACHE_CONTROL, told.control.clone());
    headers.insert(VARY, told.vary.clone());
    if let Some(etag) = etag {
        headers.insert(ETAG, etag.clone());
    }
    let tags = question.tags();
    for (name, separator) in [(CACHE_TAG, ","), (SURROGATE_KEY, " ")] {
        if let Ok(value) = HeaderValue::try_from(tags.join(separator)) {
            headers.insert(name, value);
        }
    }
    headers
}

/// The strong validator of one representation: 128 bits of a BLAKE3 hash over everything that it
/// depends on, so that it can be told without the representation at hand.
pub(crate) fn etag(version: Version, canonical: &str, encoding: Encoding) -> HeaderValue {
    const BYTES: usize = 16;
    let hash = blake3::hash(key(version, canonical, encoding).as_bytes());
    let name = URL_SAFE_NO_PAD.encode(&hash.as_bytes()[..BYTES]);
    HeaderValue::try_from(format!("\"{name}\"")).expect("base64 may stand in a header")
}

/// What a representation depends on: epoch, version, build, question and coding.
pub(crate) fn key(version: Version, canonical: &str, encoding: Encoding) -> String {
    format!(
        "{} {} {REVISION} {encoding:?} {canonical}",
        version.epoch, version.number
    )
}

/// Whether `If-None-Match` names the representation (RFC 9110, section 13.1.2: weak comparison).
pub(crate) fn matches(if_none_match: &HeaderValue, etag: &HeaderValue) -> bool {
    let Ok(listed) = if_none_match.to_str() else {
        return false;
    };
    let listed = listed.trim();
    let is_it = |tag: &str| {
        let tag = tag.trim();
        tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
    };
    // Our own tags have no commas.
    listed == "*" || listed.split(',').any(is_it)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn whatever_a_representation_depends_on_changes_its_etag() {
        let version = |epoch: u128, number| Version {
            epoch: Uuid::from_u128(epoch),
            number,
        };
        let mut tags = BTreeSet::new();
        for version in [version(1, 1), version(2, 1), version(1, 2)] {
            for canonical in ["search", "search limit=1"] {
                for encoding in [
                    Encoding::Identity,
                    Encoding::Br,
                    Encoding::Zstd,
                    Encoding::Gzip,
                ] {
                    tags.insert(etag(version, canonical, encoding).as_bytes().to_vec());
                    assert!(key(version, canonical, encoding).contains(REVISION));
                }
            }
        }
        assert_eq!(tags.len(), 3 * 2 * 4);
    }

    #[test]
    fn if_none_match_is_compared_weakly_against_each_of_a_list() {
        let etag = HeaderValue::from_static("\"abc\"");
        for (header, expected) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            (" \"x\" , \"abc\"", true),
            ("*", true),
            ("\"x\",W/\"y\"", false),
            ("abc", false),
            ("\"abcd\"", false),
            ("", false),
        ] {
            let header = HeaderValue::from_static(header);
            assert_eq!(matches(&header, &etag), expected, "{header:?}");
        }
    }
}
