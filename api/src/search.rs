//! `GET /v1/events/search`: the published contract, and what we add to it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use chrono::{DateTime, SecondsFormat, Utc};
use entity::search::{Gone, Search};
use url::form_urlencoded;
use utoipa::{IntoParams, ToSchema};

use crate::error::{ErrorEnvelope, Failures};
use crate::question::Question;
use crate::render::{EventList, Nothing, Price};
use crate::{Context, Error, cursor, query, route};

/// Lists the available events on a time range
///
/// Every event that was ever sold online and lies in the window, by start and then id, those that
/// have left their provider's feed included. An event without an end is judged by its start. All
/// parameters narrow the answer; without `limit` it is the whole window.
#[utoipa::path(
    get,
    path = "/v1/events/search",
    operation_id = "searchEvents",
    tag = "events",
    params(Parameters),
    responses(
        (status = 200, description = "The events.", body = EventPage,
         headers(("Link" = String, description = "The next page, as `<…>; rel=\"next\"` (RFC 8288); only with `limit`, and only if there is one."))),
        (status = 400, description = "A parameter is unknown, doubled or malformed, or the window is inverted.",
         body = ErrorEnvelope),
        (status = 410, description = "The cursor belongs to a history that has ended: start over without it.",
         body = ErrorEnvelope),
        Failures,
    )
)]
pub(crate) async fn search(
    State(context): State<Context>,
    request: Request,
) -> Result<Response<Body>, Error> {
    let (request, _) = request.into_parts();
    let query = request.uri.query();
    let mut standing = context.standing().await?;
    let search = match query::search(query, &standing) {
        Err(cursor::Refused::Ended(epoch)) => {
            // Another process may have heard of a new epoch sooner than this one.
            standing = context.standing_in(epoch).await?;
            query::search(query, &standing)
        }
        parsed => parsed,
    };
    let search = search.map_err(|refused| match refused {
        cursor::Refused::Invalid(invalid) => Error::Query(invalid),
        cursor::Refused::Ended(_) => Error::Ended {
            version: standing.version,
        },
    })?;
    route::answer(&context, &standing, Question::Search(search), &request).await
}

/// A search's answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "told in the document; `SearchBody` writes it")]
struct EventPage {
    data: EventList,
    /// Always null.
    #[schema(value_type = Option<Object>, required)]
    error: Nothing,
    /// Only with `limit`.
    #[schema(required = false)]
    meta: PageMeta,
}

/// How to go on.
#[derive(ToSchema)]
#[expect(dead_code, reason = "told in the document; `SearchBody` writes it")]
struct PageMeta {
    /// What to send as `cursor`, with the other parameters as they were, for the next page; null on
    /// the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Read by [`query::search`], which knows more forms than the document's types can say.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "told in the document")]
struct Parameters {
    /// Return only events that start at this instant or later: an RFC 3339 time, in UTC if it has
    /// no offset, or a date, which means its first instant in UTC.
    #[param(value_type = String, format = DateTime, required = false, example = "2021-02-01T00:00:00Z")]
    starts_at: Option<String>,
    /// Return only events that end at this instant or earlier: an RFC 3339 time, in UTC if it has
    /// no offset, or a date, which means its last instant in UTC.
    #[param(value_type = String, format = DateTime, required = false, example = "2022-07-03T23:59:59Z")]
    ends_at: Option<String>,
    /// Return what is on at any time in the window instead of what lies in it as a whole.
    #[param(required = false, default = false)]
    overlaps: Option<bool>,
    /// Return only events of the provider with this name.
    #[param(
        required = false,
        example = "primary",
        min_length = 1,
        max_length = 100,
        pattern = "^[a-z0-9-]+$"
    )]
    provider: Option<String>,
    /// Return only events whose greatest price is at least this. Those without a price don't count.
    #[param(
        required = false,
        example = "10",
        pattern = r"^-?[0-9]{1,12}(\.[0-9]{1,4})?$"
    )]
    min_price: Option<String>,
    /// Return only events whose least price is at most this. Those without a price don't count.
    #[param(
        required = false,
        example = "25.50",
        pattern = r"^-?[0-9]{1,12}(\.[0-9]{1,4})?$"
    )]
    max_price: Option<String>,
    /// Return only events that are not sold out (true), or that are (false).
    #[param(required = false)]
    available: Option<bool>,
    /// Whether to return events that have left their provider's feed.
    #[param(value_type = GoneName, required = false, inline)]
    gone: Option<String>,
    /// Return only events that changed at this instant or later: a time or a date as in `starts_at`.
    /// To keep a copy, `/v1/changes` is the better way, for it misses nothing.
    #[param(value_type = String, format = DateTime, required = false, example = "2021-02-01T00:00:00Z")]
    updated_since: Option<String>,
    /// Return more of each event: its zones.
    #[param(value_type = IncludeName, required = false, inline)]
    include: Option<String>,
    /// Return one page of at most so many events, and where to go on in `meta`.
    #[param(required = false, minimum = 1, maximum = 1000, example = 20)]
    limit: Option<u64>,
    /// Return the page after the one that had this in `meta.next_cursor`; 100 events if `limit` is
    /// not given.
    #[param(
        required = false,
        min_length = 98,
        max_length = 98,
        pattern = "^[A-Za-z0-9_-]+$"
    )]
    cursor: Option<String>,
}

/// Which events with regard to their provider's feed.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase", default = "include")]
#[expect(dead_code, reason = "told in the document")]
enum GoneName {
    Include,
    Exclude,
    Only,
}

/// What more of an event.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "told in the document")]
enum IncludeName {
    Zones,
}

/// The header `Link` (RFC 8288) with the page of `search` after `cursor`.
pub(crate) fn next_link(search: &Search, cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            query.append_pair(name, &value);
        }
    };
    put("starts_at", search.starts_at.map(instant));
    put("ends_at", search.ends_at.map(instant));
    put("overlaps", search.overlaps.then(|| "true".to_owned()));
    put("provider", search.provider.clone());
    put(
        "min_price",
        search.min_price.map(|price| Price(price).text()),
    );
    put(
        "max_price",
        search.max_price.map(|price| Price(price).text()),
    );
    put("available", search.available.map(|is| is.to_string()));
    let gone = match search.gone {
        Gone::Include => None,
        Gone::Exclude => Some("exclude".to_owned()),
        Gone::Only => Some("only".to_owned()),
    };
    put("gone", gone);
    put("updated_since", search.updated_since.map(instant));
    put("include", search.zones.then(|| "zones".to_owned()));
    put("limit", search.limit.map(|limit| limit.to_string()));
    put("cursor", Some(cursor.to_owned()));
    format!("</v1/events/search?{}>; rel=\"next\"", query.finish())
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use entity::dataset::Version;
    use entity::search::Position;
    use uuid::Uuid;

    use super::*;
    use crate::standing::{Source, Standing};

    #[test]
    fn the_next_page_is_the_same_search_from_where_this_one_ended() {
        let standing = Standing {
            version: Version {
                epoch: Uuid::from_u128(1),
                number: 1,
            },
            secret: [1; 32],
            source: Source::Read,
            down_since: None,
        };
        let query = "starts_at=2021-02-01&ends_at=2021-02-28&overlaps=true&provider=a&min_price=-0.5\
                     &max_price=25&available=false&gone=only&updated_since=2021-01-01T00:00:00.25Z\
                     &include=zones&limit=7";
        let search = query::search(Some(query), &standing).unwrap();
        let position = Position {
            starts_at: "2021-02-03T00:00:00Z".parse().unwrap(),
            id: Uuid::from_u128(2),
        };
        let cursor = cursor::seal(position, &search, Uuid::from_u128(1), &[1; 32]);
        let link = next_link(&search, &cursor);
        let next = link
            .strip_prefix("</v1/events/search?")
            .and_then(|link| link.strip_suffix(">; rel=\"next\""))
            .unwrap();
        let expected = Search {
            after: Some(position),
            ..search
        };
        assert_eq!(query::search(Some(next), &standing), Ok(expected));
    }
}
