//! From a query string to what it asks for.
//!
//! Whatever means the same comes out the same: [`crate::question`] gives it one canonical form.

mod changes;
mod instant;
mod paging;
mod price;
mod search;

use url::form_urlencoded;

pub(crate) use changes::{Changes, History, changes, history};
pub(crate) use search::{search, without_cursor};

/// Why a query string was refused; each says what to send instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    /// No such parameter.
    #[error("there is no parameter `{name}`: {known}")]
    UnknownParameter {
        /// As it was sent, shortened.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The same parameter twice.
    #[error("the parameter `{name}` is there more than once: send it once, such as {example}")]
    RepeatedParameter {
        /// Which.
        name: &'static str,
        /// How it looks.
        example: &'static str,
    },
    /// Its value is not what it should be.
    #[error("the parameter `{name}` is not {wanted}: send it such as {example}")]
    MalformedParameter {
        /// Which.
        name: &'static str,
        /// What it should be.
        wanted: &'static str,
        /// How it looks.
        example: &'static str,
    },
    /// The route can't do without it.
    #[error("the parameter `{name}` is missing: send it such as {example}")]
    MissingParameter {
        /// Which.
        name: &'static str,
        /// How it looks.
        example: &'static str,
    },
    /// The window ends before it starts.
    #[error(
        "the window ends before it starts: send an `ends_at` at or after `starts_at`, such as \
         starts_at=2021-02-01T00:00:00Z&ends_at=2021-02-28T23:59:59Z"
    )]
    InvertedWindow,
    /// The price range ends before it starts.
    #[error(
        "`max_price` is less than `min_price`: send the greater one as `max_price`, such as \
         min_price=10&max_price=25.50"
    )]
    InvertedPrices,
    /// A cursor that was altered, or that came with other parameters.
    #[error(
        "the cursor does not belong to this search: send `meta.next_cursor` of the page before, \
         unaltered and with the same other parameters, or no cursor to start over"
    )]
    ForeignCursor,
    /// A place in the log of changes that nobody has reached yet.
    #[error(
        "`since` lies in the future: send the header Dataset-Version of a search, or `meta.next` of \
         the last page of changes"
    )]
    FutureVersion,
}

impl Invalid {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::UnknownParameter { .. } => "unknown_parameter",
            Self::RepeatedParameter { .. } => "repeated_parameter",
            Self::MalformedParameter { .. } => "malformed_parameter",
            Self::MissingParameter { .. } => "missing_parameter",
            Self::InvertedWindow => "inverted_window",
            Self::InvertedPrices => "inverted_prices",
            Self::ForeignCursor => "foreign_cursor",
            Self::FutureVersion => "future_version",
        }
    }
}

/// One parameter of a route: what it is called and how its values look.
#[derive(Debug, Clone, Copy)]
struct Parameter {
    name: &'static str,
    wanted: &'static str,
    example: &'static str,
}

impl Parameter {
    fn malformed(self) -> Invalid {
        Invalid::MalformedParameter {
            name: self.name,
            wanted: self.wanted,
            example: self.example,
        }
    }

    fn missing(self) -> Invalid {
        Invalid::MissingParameter {
            name: self.name,
            example: self.example,
        }
    }
}

const NAME_SHOWN_CHARS: usize = 40;

/// Refuses every parameter, for routes that take none.
///
/// # Errors
/// [`Invalid::UnknownParameter`].
pub(crate) fn nothing(query: Option<&str>) -> Result<(), Invalid> {
    values(query, []).map(|[]| ())
}

/// The values of `parameters`, decoded, each at most once and nothing besides.
fn values<const N: usize>(
    query: Option<&str>,
    parameters: [Parameter; N],
) -> Result<[Option<String>; N], Invalid> {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(at) = parameters.iter().position(|known| *known.name == name) else {
            return Err(Invalid::UnknownParameter {
                name: name.chars().take(NAME_SHOWN_CHARS).collect(),
                known: known(&parameters),
            });
        };
        if values[at].replace(value.into_owned()).is_some() {
            let Parameter { name, example, .. } = parameters[at];
            return Err(Invalid::RepeatedParameter { name, example });
        }
    }
    Ok(values)
}

fn known(parameters: &[Parameter]) -> String {
    let names: Vec<String> = parameters
        .iter()
        .map(|parameter| format!("`{}`", parameter.name))
        .collect();
    match names.as_slice() {
        [] => "this address takes none, leave the query out".to_owned(),
        names => format!(
            "there are {}; send them such as {}",
            names.join(", "),
            parameters[0].example
        ),
    }
}

/// What `parse` makes of a parameter that is there.
fn parsed<T>(
    parameter: Parameter,
    value: Option<String>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Invalid> {
    value
        .map(|text| parse(&text).ok_or_else(|| parameter.malformed()))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_parameters_refuses_every_one() {
        let refused = nothing(Some("starts_at=2021-02-01")).unwrap_err();
        assert!(refused.to_string().contains("leave the query out"));
        assert_eq!(nothing(None), Ok(()));
        assert_eq!(nothing(Some("")), Ok(()));
        assert_eq!(nothing(Some("&")), Ok(()));
    }

    #[test]
    fn a_long_name_is_not_repeated_in_full() {
        let refused = nothing(Some(&"x".repeat(5000))).unwrap_err().to_string();
        assert!(refused.len() < 200, "{refused}");
    }
}
