//! The secret that opens the admin routes.

use std::fmt;
use std::str::FromStr;

use axum::http::{HeaderMap, header};

/// The bearer token of the admin routes. Only its hash is held, so that nothing can print it.
#[derive(Clone)]
pub struct AdminToken(blake3::Hash);

/// A text that can't be a token. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It could be guessed, or is no secret at all.
    #[error("the token is too short: give at least {LEAST_CHARS} characters, such as {GENERATED}")]
    TooShort,
    /// It would not fit into a request.
    #[error("the token is too long: give at most {MOST_CHARS} characters, such as {GENERATED}")]
    TooLong,
    /// It could not stand in a header.
    #[error("the token has characters other than visible ASCII: give one such as {GENERATED}")]
    Characters,
}

const LEAST_CHARS: usize = 16;
const MOST_CHARS: usize = 512;
const GENERATED: &str = "`openssl rand -hex 32` prints";

impl FromStr for AdminToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        if text.chars().count() < LEAST_CHARS {
            return Err(BadToken::TooShort);
        }
        if text.chars().count() > MOST_CHARS {
            return Err(BadToken::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadToken::Characters);
        }
        Ok(Self(blake3::hash(text.as_bytes())))
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(_)")
    }
}

/// What a request shows of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Right,
    Wrong,
    Nothing,
}

impl AdminToken {
    /// Looks at the bearer token in these headers (RFC 6750, section 2.1). How long it takes tells
    /// nothing of how much of a wrong one is right.
    pub(crate) fn shown_in(&self, headers: &HeaderMap) -> Shown {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return Shown::Nothing;
        };
        let Some(token) = bearer(given.as_bytes()) else {
            return Shown::Nothing;
        };
        // Equality of hashes takes the same time for all of them.
        match blake3::hash(token) == self.0 {
            true => Shown::Right,
            false => Shown::Wrong,
        }
    }
}

fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn shown(values: &[&str]) -> Shown {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_str(value).unwrap();
            headers.append(header::AUTHORIZATION, value);
        }
        let token: AdminToken = TOKEN.parse().unwrap();
        token.shown_in(&headers)
    }

    #[test]
    fn only_the_very_token_as_a_bearer_is_right() {
        for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef"] {
            assert_eq!(shown(&[right]), Shown::Right, "{right}");
        }
        for wrong in [
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer ",
        ] {
            assert_eq!(shown(&[wrong]), Shown::Wrong, "{wrong}");
        }
        let right = "Bearer 0123456789abcdef";
        for nothing in [
            &[][..],
            &["0123456789abcdef"],
            &["Basic 0123456789abcdef"],
            &["Bearer0123456789abcdef"],
            &[right, right],
        ] {
            assert_eq!(shown(nothing), Shown::Nothing, "{nothing:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_without_being_repeated() {
        let long = "x".repeat(513);
        for (text, refused) in [
            ("", BadToken::TooShort),
            ("hunter2-hunter2", BadToken::TooShort),
            ("hunter2 hunter2 hunter2", BadToken::Characters),
            ("hunter2-hunter2-hünter2", BadToken::Characters),
            (&long, BadToken::TooLong),
        ] {
            let error = text.parse::<AdminToken>().unwrap_err();
            assert_eq!(error, refused);
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hunter2") && !told.contains("xxx"), "{told}");
            assert!(told.contains("openssl rand -hex 32"), "{told}");
        }
        assert!("x".repeat(512).parse::<AdminToken>().is_ok());
    }

    #[test]
    fn a_token_prints_nothing_of_itself() {
        let token: AdminToken = TOKEN.parse().unwrap();
        let hash = blake3::hash(TOKEN.as_bytes()).to_hex();
        let printed = format!("{token:?} {token:#?}").to_lowercase();
        for secret in [TOKEN, &hash.as_str()[..8]] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
