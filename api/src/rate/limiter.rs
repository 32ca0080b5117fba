//! The generic cell rate algorithm (ITU-T I.371), which needs one instant a client: until when the
//! requests it has sent would keep it busy at the rate that it has. A request that would bring that
//! instant further ahead than a burst takes is refused, and costs nothing.
//!
//! Answers tell of it in the fields of draft-ietf-httpapi-ratelimit-headers-11. `q` is the burst and
//! `w` the seconds that bring a spent one back. `t` tells when the quota is whole again; once nothing
//! remains, when there is one request again, as `Retry-After` does.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use quick_cache::sync::{Cache, EntryAction, EntryResult};
use tokio::time::Instant;

use super::Rate;
use crate::Error;
use crate::client::ClientKey;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Clients that are told apart at most. Beyond it those are forgotten that ask least: they begin
/// anew, with a whole burst.
const CLIENTS: usize = 100_000;

/// Counts the requests of each client.
#[derive(Debug)]
pub(crate) struct Limiter {
    began: Instant,
    /// Nanoseconds from one request to the next.
    interval: u64,
    burst: u32,
    /// Until when each client is busy, in nanoseconds since `began`.
    busy: Cache<ClientKey, u64>,
    policy: HeaderValue,
}

/// What a limiter has to say to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether it may go on.
    pub(crate) allowed: bool,
    remaining: u64,
    reset_seconds: u64,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self::of_clients(CLIENTS, rate)
    }

    fn of_clients(most: usize, Rate { interval, burst }: Rate) -> Self {
        let window = seconds(interval.saturating_mul(burst));
        Self {
            began: Instant::now(),
            interval: nanoseconds(interval),
            burst,
            busy: Cache::new(most),
            policy: field(format_args!("\"default\";q={burst};w={window}")),
        }
    }

    /// Counts a request of that client, unless it is one too many. Waits for nobody.
    pub(crate) fn check(&self, client: ClientKey) -> Verdict {
        let now = nanoseconds(self.began.elapsed());
        let known = self.busy.entry(&client, None, |_, busy_until| {
            EntryAction::Retain(self.take(busy_until, now))
        });
        match known {
            EntryResult::Retained(verdict) => verdict,
            EntryResult::Vacant(place) => {
                let mut busy_until = now;
                let verdict = self.take(&mut busy_until, now);
                // Refused if the client has been forgotten meanwhile: as if it had never been here.
                let _ = place.insert(busy_until);
                verdict
            }
            EntryResult::Removed(..) | EntryResult::Replaced(..) | EntryResult::Timeout => {
                self.take(&mut now.clone(), now)
            }
        }
    }

    fn take(&self, busy_until: &mut u64, now: u64) -> Verdict {
        let whole = self.interval.saturating_mul(self.burst.into());
        let ahead = busy_until.saturating_sub(now);
        let asked = ahead.saturating_add(self.interval);
        let allowed = asked <= whole;
        let spent = if allowed { asked } else { ahead };
        if allowed {
            *busy_until = now.saturating_add(asked);
        }
        let remaining = whole.saturating_sub(spent) / self.interval;
        let reset = match remaining {
            0 => (spent + self.interval).saturating_sub(whole),
            _ => spent,
        };
        Verdict {
            allowed,
            remaining,
            reset_seconds: seconds(Duration::from_nanos(reset)),
        }
    }

    /// Writes into an answer's headers what the client may still ask for.
    pub(crate) fn write(&self, verdict: Verdict, headers: &mut HeaderMap) {
        let (remaining, reset) = (verdict.remaining, verdict.reset_seconds);
        headers.insert(POLICY, self.policy.clone());
        let limit = field(format_args!("\"default\";r={remaining};t={reset}"));
        headers.insert(LIMIT, limit);
    }
}

impl Verdict {
    /// # Errors
    /// [`Error::RateLimited`] if the request was one too many.
    pub(crate) fn permit(self) -> Result<(), Error> {
        match self.allowed {
            true => Ok(()),
            false => Err(Error::RateLimited {
                retry_after_seconds: self.reset_seconds,
            }),
        }
    }
}

/// Whole ones, rounded up: a client that comes so much later is not too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Those of half a millennium fit.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn field(text: fmt::Arguments<'_>) -> HeaderValue {
    HeaderValue::try_from(text.to_string())
        .expect("letters, digits and quotation marks may stand in a header")
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::num::NonZeroU32;

    use super::*;
    use crate::client::{Client, Peer, TrustedProxies};

    fn limiter(per_second: &str, burst: u32) -> Limiter {
        let per_second = per_second.parse().unwrap();
        Limiter::of_clients(1000, Rate::new(per_second, NonZeroU32::new(burst)))
    }

    fn client(number: u32) -> ClientKey {
        let peer = SocketAddr::new(Ipv4Addr::from_bits(number).into(), 40_000);
        Client::of(
            Some(Peer(peer)),
            &HeaderMap::new(),
            &TrustedProxies::default(),
        )
        .key()
    }

    /// Whether it is allowed, what remains, and when to come again.
    fn check(limiter: &Limiter, client: ClientKey) -> (bool, u64, u64) {
        let verdict = limiter.check(client);
        (verdict.allowed, verdict.remaining, verdict.reset_seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_and_comes_back_at_the_rate() {
        let limiter = limiter("0.5", 3);
        assert_eq!(check(&limiter, client(1)), (true, 2, 2));
        assert_eq!(check(&limiter, client(1)), (true, 1, 4));
        assert_eq!(check(&limiter, client(1)), (true, 0, 2));
        assert_eq!(check(&limiter, client(1)), (false, 0, 2));
        tokio::time::advance(Duration::from_millis(1999)).await;
        assert_eq!(check(&limiter, client(1)), (false, 0, 1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(check(&limiter, client(1)), (true, 0, 2));
        assert_eq!(check(&limiter, client(1)), (false, 0, 2));
        // However long it stays away, it gets no more than a burst.
        tokio::time::advance(Duration::from_secs(86_400)).await;
        for remaining in [2, 1, 0] {
            assert_eq!(check(&limiter, client(1)).1, remaining);
        }
        assert!(!check(&limiter, client(1)).0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_refused_costs_nothing() {
        let limiter = limiter("1", 1);
        assert!(limiter.check(client(1)).allowed);
        for _ in 0..100 {
            assert_eq!(check(&limiter, client(1)), (false, 0, 1));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(limiter.check(client(1)).allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_client_at_the_rate_is_never_refused() {
        let limiter = limiter("3", 1);
        for _ in 0..1000 {
            assert!(limiter.check(client(1)).allowed);
            tokio::time::advance(Duration::from_nanos(333_333_334)).await;
        }
    }

    #[test]
    fn a_client_does_not_pay_for_another() {
        let limiter = limiter("1", 1);
        assert!(limiter.check(client(1)).allowed);
        assert!(!limiter.check(client(1)).allowed);
        assert!(limiter.check(client(2)).allowed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_headers_tell_the_policy_and_what_remains() {
        let mut headers = HeaderMap::new();
        let limiter = limiter("4", 10);
        let verdict = limiter.check(client(1));
        limiter.write(verdict, &mut headers);
        assert_eq!(headers["ratelimit-policy"], r#""default";q=10;w=3"#);
        assert_eq!(headers["ratelimit"], r#""default";r=9;t=1"#);
    }

    #[test]
    fn the_slowest_and_the_fastest_rate_can_be_counted() {
        for (rate, burst) in [("0.001", 1_000_000), ("1000000", 1), ("1000000", 1_000_000)] {
            let limiter = limiter(rate, burst);
            assert!(limiter.check(client(1)).allowed, "{rate} {burst}");
        }
    }

    #[test]
    fn a_scan_of_many_addresses_neither_grows_the_memory_nor_frees_a_busy_client() {
        // So slow that nothing comes back meanwhile.
        let limiter = limiter("0.001", 5);
        for _ in 0..5 {
            assert!(limiter.check(client(0)).allowed);
        }
        for address in 1..=100_000 {
            limiter.check(client(address));
            // One request of a thousand is the busy client's.
            if address % 1000 == 0 {
                assert!(!limiter.check(client(0)).allowed, "after {address}");
            }
        }
        assert!(limiter.busy.len() <= 1100, "{}", limiter.busy.len());
        let used = limiter.busy.memory_used().total();
        assert!(used < 1_000_000, "{used} bytes");
    }
}
