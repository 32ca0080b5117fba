//! What a search asks for.

use chrono::{DateTime, Utc};
use entity::search::{Gone, Search};

use super::paging::{LIMIT, limit};
use super::price::price;
use super::{Invalid, Parameter, instant, parsed, values};
use crate::cursor;
use crate::standing::Standing;

/// Items on a page whose size was left open.
pub(super) const DEFAULT_LIMIT: u64 = 100;

const STARTS_AT: Parameter = Parameter {
    name: "starts_at",
    wanted: "an RFC 3339 time or a date",
    example: "starts_at=2021-02-01T00:00:00Z or starts_at=2021-02-01",
};
const ENDS_AT: Parameter = Parameter {
    name: "ends_at",
    wanted: "an RFC 3339 time or a date",
    example: "ends_at=2021-02-28T23:59:59Z or ends_at=2021-02-28",
};
const OVERLAPS: Parameter = Parameter {
    name: "overlaps",
    wanted: "true or false",
    example: "overlaps=true",
};
const PROVIDER: Parameter = Parameter {
    name: "provider",
    wanted: "a provider's name as /v1/providers gives it",
    example: "provider=primary",
};
const MIN_PRICE: Parameter = Parameter {
    name: "min_price",
    wanted: "a decimal number with up to four decimals",
    example: "min_price=10",
};
const MAX_PRICE: Parameter = Parameter {
    name: "max_price",
    wanted: "a decimal number with up to four decimals",
    example: "max_price=25.50",
};
const AVAILABLE: Parameter = Parameter {
    name: "available",
    wanted: "true or false",
    example: "available=true",
};
const GONE: Parameter = Parameter {
    name: "gone",
    wanted: "include, exclude or only",
    example: "gone=exclude",
};
const UPDATED_SINCE: Parameter = Parameter {
    name: "updated_since",
    wanted: "an RFC 3339 time or a date",
    example: "updated_since=2021-02-01T00:00:00Z or updated_since=2021-02-01",
};
const INCLUDE: Parameter = Parameter {
    name: "include",
    wanted: "zones",
    example: "include=zones",
};
const CURSOR: Parameter = Parameter {
    name: "cursor",
    wanted: "a cursor as `meta.next_cursor` gives it",
    example: "limit=100&cursor=… with the `meta.next_cursor` of the page before",
};

/// What a search's query string asks for; a cursor belongs to the history of `standing`.
///
/// # Errors
/// See [`Invalid`] and [`cursor::Refused`].
pub(crate) fn search(query: Option<&str>, standing: &Standing) -> Result<Search, cursor::Refused> {
    let (mut search, cursor) = without_cursor(query)?;
    if let Some(sealed) = cursor {
        if search.limit.is_none() {
            search.limit = Some(DEFAULT_LIMIT);
        }
        search.after = Some(cursor::open(&sealed, &search, standing)?);
    }
    Ok(search)
}

/// The search and its cursor, which is still sealed.
///
/// # Errors
/// See [`Invalid`].
pub(crate) fn without_cursor(query: Option<&str>) -> Result<(Search, Option<String>), Invalid> {
    let [
        starts_at,
        ends_at,
        overlaps,
        provider,
        min_price,
        max_price,
        available,
        gone,
        updated_since,
        include,
        page,
        cursor,
    ] = values(
        query,
        [
            STARTS_AT,
            ENDS_AT,
            OVERLAPS,
            PROVIDER,
            MIN_PRICE,
            MAX_PRICE,
            AVAILABLE,
            GONE,
            UPDATED_SINCE,
            INCLUDE,
            LIMIT,
            CURSOR,
        ],
    )?;
    let search = Search {
        starts_at: parsed(STARTS_AT, starts_at, instant::beginning)?,
        ends_at: parsed(ENDS_AT, ends_at, instant::end)?,
        overlaps: parsed(OVERLAPS, overlaps, truth)?.unwrap_or(false),
        provider: parsed(PROVIDER, provider, name)?,
        min_price: parsed(MIN_PRICE, min_price, price)?,
        max_price: parsed(MAX_PRICE, max_price, price)?,
        available: parsed(AVAILABLE, available, truth)?,
        gone: parsed(GONE, gone, which_gone)?.unwrap_or_default(),
        updated_since: parsed(UPDATED_SINCE, updated_since, instant::beginning)?,
        zones: parsed(INCLUDE, include, |text| (text == "zones").then_some(()))?.is_some(),
        after: None,
        limit: parsed(LIMIT, page, limit)?,
    };
    if is_inverted(search.starts_at, search.ends_at) {
        return Err(Invalid::InvertedWindow);
    }
    if search
        .min_price
        .zip(search.max_price)
        .is_some_and(|(min, max)| max < min)
    {
        return Err(Invalid::InvertedPrices);
    }
    Ok((search, cursor))
}

fn is_inverted(starts_at: Option<DateTime<Utc>>, ends_at: Option<DateTime<Utc>>) -> bool {
    starts_at
        .zip(ends_at)
        .is_some_and(|(start, end)| end < start)
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn which_gone(text: &str) -> Option<Gone> {
    match text {
        "include" => Some(Gone::Include),
        "exclude" => Some(Gone::Exclude),
        "only" => Some(Gone::Only),
        _ => None,
    }
}

/// Whether a provider could be called so; whether there is one, only the database knows.
fn name(text: &str) -> Option<String> {
    const LONGEST: usize = 100;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ((1..=LONGEST).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Search, Invalid> {
        without_cursor(Some(query)).map(|(search, _)| search)
    }

    fn starts_at(value: &str) -> Result<String, Invalid> {
        let search = parse(&format!("starts_at={value}"))?;
        Ok(search.starts_at.unwrap().to_rfc3339())
    }

    fn ends_at(value: &str) -> Result<String, Invalid> {
        let search = parse(&format!("ends_at={value}"))?;
        Ok(search.ends_at.unwrap().to_rfc3339())
    }

    #[test]
    fn every_parameter_is_optional() {
        assert_eq!(without_cursor(None), Ok((Search::default(), None)));
        assert_eq!(parse(""), Ok(Search::default()));
        assert_eq!(parse("&"), Ok(Search::default()));
        let defaults = "overlaps=false&gone=include";
        assert_eq!(parse(defaults), Ok(Search::default()));
    }

    #[test]
    fn every_parameter_is_understood() {
        let all = "starts_at=2021-02-01&ends_at=2021-02-02&overlaps=true&provider=a-1&min_price=1\
                   &max_price=2.5&available=false&gone=only&updated_since=2021-01-01&include=zones\
                   &limit=7";
        let expected = Search {
            starts_at: Some("2021-02-01T00:00:00Z".parse().unwrap()),
            ends_at: Some("2021-02-02T23:59:59.999999Z".parse().unwrap()),
            overlaps: true,
            provider: Some("a-1".into()),
            min_price: Some(10_000),
            max_price: Some(25_000),
            available: Some(false),
            gone: Gone::Only,
            updated_since: Some("2021-01-01T00:00:00Z".parse().unwrap()),
            zones: true,
            after: None,
            limit: Some(7),
        };
        assert_eq!(parse(all), Ok(expected));
    }

    #[test]
    fn a_value_that_is_not_understood_is_refused_with_an_example() {
        for (query, name) in [
            ("overlaps=yes", "overlaps"),
            ("overlaps", "overlaps"),
            ("provider=", "provider"),
            ("provider=A", "provider"),
            ("provider=a'b", "provider"),
            ("min_price=1e3", "min_price"),
            ("max_price=", "max_price"),
            ("available=1", "available"),
            ("gone=yes", "gone"),
            ("updated_since=yesterday", "updated_since"),
            ("include=bases", "include"),
            ("include=", "include"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("limit=%2B5", "limit"),
            ("limit=99999999999999999999", "limit"),
        ] {
            let refused = parse(query).unwrap_err();
            assert_eq!(refused.code(), "malformed_parameter", "{query}");
            let message = refused.to_string();
            assert!(message.contains(&format!("such as {name}=")), "{message}");
        }
    }

    #[test]
    fn a_price_range_that_ends_before_it_starts_is_refused() {
        assert_eq!(
            parse("min_price=2&max_price=1.9999"),
            Err(Invalid::InvertedPrices)
        );
        assert!(parse("min_price=2&max_price=2.00").is_ok());
    }

    #[test]
    fn an_instant_may_come_in_every_form_of_rfc_3339() {
        for (value, instant) in [
            ("2021-02-01T00:00:00Z", "2021-02-01T00:00:00+00:00"),
            ("2021-02-01t00:00:00z", "2021-02-01T00:00:00+00:00"),
            ("2021-02-01T00:00:00", "2021-02-01T00:00:00+00:00"),
            ("2021-02-01%2000:00:00", "2021-02-01T00:00:00+00:00"),
            ("2021-02-01T00:00:00.25Z", "2021-02-01T00:00:00.250+00:00"),
            ("2021-02-01T00:00:00.5", "2021-02-01T00:00:00.500+00:00"),
            ("2021-02-01T00:00:00%2B02:00", "2021-01-31T22:00:00+00:00"),
            ("2021-02-01T00:00:00-02:00", "2021-02-01T02:00:00+00:00"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(starts_at(value).as_deref(), Ok(instant), "{value}");
            assert_eq!(ends_at(value).as_deref(), Ok(instant), "{value}");
        }
    }

    #[test]
    fn a_plus_that_was_not_encoded_is_still_an_offset() {
        for value in [
            "2021-02-01T00:00:00+02:00",
            "2021-02-01T00:00:00%2002:00",
            "2021-02-01T00:00:00.000+02:00",
        ] {
            let instant = starts_at(value);
            assert_eq!(instant.as_deref(), Ok("2021-01-31T22:00:00+00:00"));
        }
    }

    #[test]
    fn a_date_means_the_whole_day() {
        assert_eq!(
            starts_at("2021-02-01").as_deref(),
            Ok("2021-02-01T00:00:00+00:00")
        );
        assert_eq!(
            ends_at("2021-02-01").as_deref(),
            Ok("2021-02-01T23:59:59.999999+00:00")
        );
        assert!(parse("starts_at=2021-02-01&ends_at=2021-02-01").is_ok());
    }

    #[test]
    fn what_a_database_cannot_hold_is_rounded_into_the_window() {
        let finer = "2021-02-01T00:00:00.0000005Z";
        assert_eq!(
            starts_at(finer).as_deref(),
            Ok("2021-02-01T00:00:00.000001+00:00")
        );
        assert_eq!(ends_at(finer).as_deref(), Ok("2021-02-01T00:00:00+00:00"));
    }

    #[test]
    fn an_offset_does_not_lead_out_of_the_years_that_rfc_3339_has() {
        let value = "9999-12-31T23:59:59-12:00";
        let last = "9999-12-31T23:59:59.999999+00:00";
        assert_eq!(starts_at(value).as_deref(), Ok(last));
        let value = "0000-01-01T00:00:00%2B12:00";
        assert_eq!(starts_at(value).as_deref(), Ok("0000-01-01T00:00:00+00:00"));
        assert!(ends_at("9999-12-31").is_ok());
    }

    #[test]
    fn what_is_no_instant_is_refused_with_an_example() {
        for value in [
            "",
            "now",
            "2021",
            "2021-02",
            "2021-2-1",
            "2021-02-30",
            "2021-13-01",
            "20210201",
            "2021-02-01T",
            "2021-02-01T00:00",
            "2021-02-01T24:00:00Z",
            "2021-02-01T00:60:00Z",
            "2021-02-01T00:00:00.Z",
            "2021-02-01T00:00:00,5Z",
            "2021-02-01T00:00:00Z%20",
            "%202021-02-01",
            "2021-02-01T00:00:00%2B0200",
            "2021-02-01T00:00:00%2B02",
            "2021-02-01T00:00:00%2B24:00",
            "2021-02-01T00:00:00+Z",
            "2021-02-01T00:00:00Europe/Madrid",
            "2021-02-01X00:00:00Z",
            "+2021-02-01",
            "1612137600",
            "%FF",
            "２０２１-02-01",
            "20210201é",
        ] {
            let refused = starts_at(value).unwrap_err();
            assert_eq!(refused, STARTS_AT.malformed(), "{value}");
            let message = refused.to_string();
            assert!(
                message.contains("starts_at=2021-02-01T00:00:00Z"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_parameter_that_is_unknown_or_doubled_is_refused() {
        let unknown = parse("start=2021-02-01").unwrap_err();
        assert_eq!(unknown.code(), "unknown_parameter");
        assert!(unknown.to_string().contains("`start`"), "{unknown}");
        assert!(unknown.to_string().contains("`starts_at`"), "{unknown}");
        let doubled = parse("ends_at=2021-02-01&ends_at=2021-02-01").unwrap_err();
        assert_eq!(doubled.code(), "repeated_parameter");
        assert!(doubled.to_string().contains("`ends_at`"), "{doubled}");
    }

    #[test]
    fn an_inverted_window_is_refused() {
        let query = "starts_at=2021-02-02T00:00:00Z&ends_at=2021-02-01T23:59:59Z";
        assert_eq!(parse(query), Err(Invalid::InvertedWindow));
        let instant = "starts_at=2021-02-02T00:00:00Z&ends_at=2021-02-02T00:00:00Z";
        assert!(parse(instant).is_ok());
    }
}
