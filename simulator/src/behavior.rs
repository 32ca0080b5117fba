use serde::{Deserialize, Serialize};

/// How a provider answers. As JSON: `{"kind":"slow_first_byte","millis":2000}`, `{"kind":"normal"}`.
///
/// Only [`Normal`](Self::Normal), [`SlowFirstByte`](Self::SlowFirstByte) and [`SlowBody`](Self::SlowBody) deliver
/// the round's feed whole; only they count as having served it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Behavior {
    /// The round's feed at once; 304 to those who have it.
    #[default]
    Normal,
    /// As normal, after this long.
    SlowFirstByte {
        /// Milliseconds before the status line.
        millis: u64,
    },
    /// As normal, but the body drips in.
    SlowBody {
        /// How fast; 0 counts as 1.
        bytes_per_second: u64,
    },
    /// Takes the request and never answers.
    Hang,
    /// This status and a line of text.
    Status {
        /// From 200 to 999; anything else is answered with 500.
        code: u16,
    },
    /// 429 with `Retry-After`.
    TooManyRequests {
        /// Seconds.
        retry_after: u64,
    },
    /// 503, with `Retry-After` if it is given.
    Unavailable {
        /// Seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// 500.
    ServerError,
    /// 200 with the feed's length and `ETag`, but the connection closes after half of the body. Ignores conditions.
    Truncated,
    /// 200 and a complete response whose document ends halfway.
    CutDocument,
    /// 200 and an HTML page.
    NotXml,
    /// 200 and a feed whose very last-but-one end tag does not match.
    Malformed,
    /// 200 and a feed under a root of another name.
    WrongRoot,
    /// 200 and bases without end.
    Endless,
    /// 302 to itself.
    RedirectLoop,
    /// 302 to another address.
    Redirect {
        /// An absolute address or a path; 500 if it is no valid header value.
        to: String,
    },
    /// 200 and a valid list without a single base.
    Empty,
    /// 500 to the next so many requests, normal after that.
    FailTimes {
        /// How many are left to fail.
        times: u32,
    },
}

impl Behavior {
    /// How to answer one request; uses up one of the failures of [`FailTimes`](Self::FailTimes).
    pub(crate) fn take(&mut self) -> Self {
        let Self::FailTimes { times } = self else {
            return self.clone();
        };
        if *times == 0 {
            *self = Self::Normal;
            return Self::Normal;
        }
        *times -= 1;
        if *times == 0 {
            *self = Self::Normal;
        }
        Self::ServerError
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_form_is_pinned() {
        for (behavior, json) in [
            (Behavior::Normal, r#"{"kind":"normal"}"#),
            (
                Behavior::SlowFirstByte { millis: 2000 },
                r#"{"kind":"slow_first_byte","millis":2000}"#,
            ),
            (
                Behavior::SlowBody {
                    bytes_per_second: 10,
                },
                r#"{"kind":"slow_body","bytes_per_second":10}"#,
            ),
            (
                Behavior::Status { code: 404 },
                r#"{"kind":"status","code":404}"#,
            ),
            (
                Behavior::TooManyRequests { retry_after: 5 },
                r#"{"kind":"too_many_requests","retry_after":5}"#,
            ),
            (
                Behavior::Unavailable { retry_after: None },
                r#"{"kind":"unavailable"}"#,
            ),
            (Behavior::CutDocument, r#"{"kind":"cut_document"}"#),
            (Behavior::NotXml, r#"{"kind":"not_xml"}"#),
            (
                Behavior::Redirect { to: "/x".into() },
                r#"{"kind":"redirect","to":"/x"}"#,
            ),
            (
                Behavior::FailTimes { times: 2 },
                r#"{"kind":"fail_times","times":2}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&behavior).unwrap(), json);
            assert_eq!(serde_json::from_str::<Behavior>(json).unwrap(), behavior);
        }
        for wrong in [
            r#"{"kind":"nice"}"#,
            r#"{"kind":"slow_body"}"#,
            r#"{"kind":"status","code":404,"more":1}"#,
        ] {
            assert!(serde_json::from_str::<Behavior>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn failures_are_used_up() {
        let mut behavior = Behavior::FailTimes { times: 2 };
        let answers = [behavior.take(), behavior.take(), behavior.take()];
        assert_eq!(
            answers,
            [
                Behavior::ServerError,
                Behavior::ServerError,
                Behavior::Normal
            ]
        );
        assert_eq!(behavior, Behavior::Normal);
    }
}
