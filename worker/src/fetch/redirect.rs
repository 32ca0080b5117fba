//! Whether a redirect is followed, and where to (RFC 9110, section 15.4).

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The next one would not be encrypted.
    #[error("it leads from https to http")]
    Downgrade,
    /// There were enough before it.
    #[error("more than {limit} in a row")]
    TooMany {
        /// How many are followed.
        limit: usize,
    },
    /// It leads to where a redirect has been followed from.
    #[error("it leads in a circle")]
    Circle,
    /// What looks like the host would be none.
    #[error("the address it leads to holds a user or password")]
    Userinfo,
    /// Neither HTTP nor HTTPS.
    #[error("it leads to something other than http or https")]
    Scheme,
    /// It leads nowhere.
    #[error("it does not say where to")]
    NoLocation,
    /// It can't be told where it leads.
    #[error("the address it leads to can't be read")]
    Unreadable,
}

/// Whether an answer of this status is to be followed.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The way that a fetch has gone.
#[derive(Debug)]
pub(super) struct Trail {
    /// The first is the provider's own address, the last where the fetch is now.
    visited: Vec<Url>,
    limit: usize,
    /// How far from the start all redirects were permanent.
    permanent: usize,
    left_home: bool,
}

impl Trail {
    pub(super) fn new(start: Url, limit: usize) -> Self {
        Self {
            visited: vec![start],
            limit,
            permanent: 0,
            left_home: false,
        }
    }

    pub(super) fn here(&self) -> &Url {
        &self.visited[self.visited.len() - 1]
    }

    /// How many were followed.
    pub(super) fn redirects(&self) -> usize {
        self.visited.len() - 1
    }

    /// Goes where the answer leads.
    pub(super) fn follow(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        let next = location(self.here(), headers)?;
        check(self.here(), &next)?;
        if self.visited.contains(&next) {
            return Err(Refused::Circle);
        }
        if self.visited.len() > self.limit {
            return Err(Refused::TooMany { limit: self.limit });
        }
        if matches!(status.as_u16(), 301 | 308) && self.permanent + 1 == self.visited.len() {
            self.permanent += 1;
        }
        self.left_home |= next.origin() != self.visited[0].origin();
        self.visited.push(next);
        Ok(())
    }

    /// Whether it never left the scheme, host and port that it began at.
    pub(super) fn is_home(&self) -> bool {
        !self.left_home
    }

    /// Where the feed has moved for good.
    pub(super) fn moved_to(&self) -> Option<String> {
        (self.permanent > 0).then(|| self.visited[self.permanent].to_string())
    }
}

fn location(here: &Url, headers: &HeaderMap) -> Result<Url, Refused> {
    let mut locations = headers.get_all(LOCATION).iter();
    let location = locations.next().ok_or(Refused::NoLocation)?;
    // Two of them are none: proxies would disagree about which counts.
    if locations.next().is_some() {
        return Err(Refused::Unreadable);
    }
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| Refused::Unreadable)?;
    if location.trim().is_empty() {
        return Err(Refused::NoLocation);
    }
    let mut next = here.join(location).map_err(|_| Refused::Unreadable)?;
    next.set_fragment(None);
    Ok(next)
}

fn check(here: &Url, next: &Url) -> Result<(), Refused> {
    if !is_http(next) {
        Err(Refused::Scheme)
    } else if here.scheme() == "https" && next.scheme() == "http" {
        Err(Refused::Downgrade)
    } else if has_userinfo(next) {
        Err(Refused::Userinfo)
    } else {
        Ok(())
    }
}

pub(super) fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

pub(super) fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "https://one.example/a/feed?x=1";

    fn trail(start: &str) -> Trail {
        Trail::new(start.parse().unwrap(), 3)
    }

    fn follow(trail: &mut Trail, status: u16, location: &str) -> Result<String, Refused> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        trail.follow(StatusCode::from_u16(status).unwrap(), &headers)?;
        Ok(trail.here().to_string())
    }

    #[test]
    fn a_location_is_read_against_where_one_is() {
        for (location, expected) in [
            ("feed2", "https://one.example/a/feed2"),
            ("/b", "https://one.example/b"),
            ("?y", "https://one.example/a/feed?y"),
            ("//two.example/b#part", "https://two.example/b"),
            ("HTTPS://two.example:444", "https://two.example:444/"),
            ("../é", "https://one.example/%C3%A9"),
        ] {
            let mut trail = trail(START);
            assert_eq!(follow(&mut trail, 302, location), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn what_weakens_or_hides_is_refused() {
        for (location, why) in [
            ("http://one.example/a/feed", Refused::Downgrade),
            ("http://two.example/", Refused::Downgrade),
            ("ftp://one.example/", Refused::Scheme),
            ("file:///etc/passwd", Refused::Scheme),
            ("gopher://127.0.0.1:6379/_FLUSHALL", Refused::Scheme),
            ("https://one.example@127.0.0.1/", Refused::Userinfo),
            ("https://:key@one.example/", Refused::Userinfo),
            ("https://one.example:99999/", Refused::Unreadable),
            ("https://[::1/", Refused::Unreadable),
            (" ", Refused::NoLocation),
            ("", Refused::NoLocation),
            (START, Refused::Circle),
            ("#top", Refused::Circle),
        ] {
            assert_eq!(
                follow(&mut trail(START), 302, location),
                Err(why),
                "{location}"
            );
        }
        let upgrade = follow(
            &mut trail("http://one.example/"),
            302,
            "https://one.example/",
        );
        assert!(upgrade.is_ok());
    }

    #[test]
    fn a_location_must_be_there_once() {
        let mut trail = trail(START);
        let found = trail.follow(StatusCode::FOUND, &HeaderMap::new());
        assert_eq!(found, Err(Refused::NoLocation));
        let mut headers = HeaderMap::new();
        headers.append(LOCATION, "/b".parse().unwrap());
        headers.append(LOCATION, "/c".parse().unwrap());
        let found = trail.follow(StatusCode::FOUND, &headers);
        assert_eq!(found, Err(Refused::Unreadable));
    }

    #[test]
    fn circles_and_long_chains_end() {
        let mut chain = trail(START);
        for next in ["/1", "/2", "/3"] {
            follow(&mut chain, 302, next).unwrap();
        }
        let more = Err(Refused::TooMany { limit: 3 });
        assert_eq!(follow(&mut chain, 302, "/4"), more);
        let mut circle = trail(START);
        follow(&mut circle, 302, "/1").unwrap();
        assert_eq!(follow(&mut circle, 302, START), Err(Refused::Circle));
    }

    #[test]
    fn only_permanent_redirects_from_the_start_on_move_a_feed() {
        for (chain, moved_to) in [
            (&[][..], None),
            (&[(302, "/b")], None),
            (&[(301, "/b#x")], Some("https://one.example/b")),
            (&[(301, "/b"), (308, "/c")], Some("https://one.example/c")),
            (
                &[(308, "/b"), (307, "/c"), (301, "/d")],
                Some("https://one.example/b"),
            ),
            (&[(303, "/b"), (301, "/c")], None),
        ] {
            let mut trail = trail(START);
            for (status, location) in chain {
                follow(&mut trail, *status, location).unwrap();
            }
            assert_eq!(trail.moved_to().as_deref(), moved_to, "{chain:?}");
        }
    }

    #[test]
    fn home_is_scheme_host_and_port_and_once_left_it_is_never_reached_again() {
        for (start, next, home) in [
            (START, "/elsewhere", true),
            (START, "https://one.example:443/b", true),
            (START, "https://one.example:444/b", false),
            (START, "https://www.one.example/b", false),
            ("http://one.example/", "https://one.example/", false),
        ] {
            let mut trail = trail(start);
            assert!(trail.is_home());
            follow(&mut trail, 302, next).unwrap();
            assert_eq!(trail.is_home(), home, "{next}");
        }
        let mut away = trail(START);
        follow(&mut away, 302, "https://two.example/").unwrap();
        follow(&mut away, 302, "https://one.example/back").unwrap();
        assert!(!away.is_home());
    }

    #[test]
    fn other_statuses_are_no_redirects() {
        let followed: Vec<_> = (300..400)
            .filter(|status| is_redirect(StatusCode::from_u16(*status).unwrap()))
            .collect();
        assert_eq!(followed, [301, 302, 303, 307, 308]);
    }
}
