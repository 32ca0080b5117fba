//! Who a client is: the other end of its connection, or whom a trusted proxy speaks for.
//!
//! A proxy appends the address that it sees to `X-Forwarded-For`, so the list is trusted from its
//! right end, as far as the addresses in it are those of trusted proxies; whatever stands further
//! left, the client itself may have sent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};

/// The other end of a request's connection, for whoever accepts connections to put into the
/// request's extensions. Requests without one all count as one client.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// The address of whoever sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(IpAddr);

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, which is the least
/// that a site gets and any machine in it may pick addresses from (RFC 6177, RFC 8981).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey(IpAddr);

/// The header in which proxies tell whom they speak for.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl Client {
    /// Who sent a request with these headers over a connection from `peer`.
    pub(crate) fn of(peer: Option<Peer>, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let Some(Peer(peer)) = peer else {
            return Self(Ipv4Addr::UNSPECIFIED.into());
        };
        let mut client = peer.ip().to_canonical();
        if !trusted.contain(client) {
            return Self(client);
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        for entry in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            let entry = entry.trim_ascii();
            if entry.is_empty() {
                continue;
            }
            match address(entry) {
                Some(address) => client = address,
                None => break,
            }
            if !trusted.contain(client) {
                break;
            }
        }
        Self(client)
    }

    /// What it counts as.
    pub(crate) fn key(self) -> ClientKey {
        const NETWORK: u128 = u128::MAX << 64;
        ClientKey(match self.0 {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address, which some proxies write with its port, and in brackets if it is of IPv6.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?;
    let bare = entry
        .strip_prefix('[')
        .and_then(|entry| entry.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok()?.into(),
        None => entry
            .parse::<IpAddr>()
            .or_else(|_| entry.parse::<SocketAddr>().map(|socket| socket.ip()))
            .ok()?,
    };
    Some(address.to_canonical())
}

/// Networks of proxies whose `X-Forwarded-For` is believed; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// An entry of a list of proxies that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// Neither an address nor a network.
    #[error("`{0}` is not a network: give addresses or CIDRs such as 10.0.0.0/8,192.0.2.1")]
    Unreadable(String),
    /// An address with the size of a network that it does not begin.
    #[error("`{given}` is an address within a network: give {network} or {address}")]
    Ambiguous {
        /// As it was given.
        given: String,
        /// The network that it lies in.
        network: IpNet,
        /// The address alone.
        address: IpAddr,
    },
}

/// A list with commas; nothing is an empty list.
impl FromStr for TrustedProxies {
    type Err = BadProxy;

    fn from_str(text: &str) -> Result<Self, BadProxy> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',')
            .map(|entry| network(entry.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn network(entry: &str) -> Result<IpNet, BadProxy> {
    let network = entry
        .parse::<IpNet>()
        .or_else(|_| entry.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| BadProxy::Unreadable(entry.to_owned()))?;
    if network != network.trunc() {
        return Err(BadProxy::Ambiguous {
            given: entry.to_owned(),
            network: network.trunc(),
            address: network.addr(),
        });
    }
    Ok(
        match (network.addr().to_canonical(), network.prefix_len()) {
            // Clients are compared as what they map, so a network of mapped addresses is one of IPv4.
            (IpAddr::V4(address), bits @ 96..) if network.addr().is_ipv6() => {
                Ipv4Net::new_assert(address, bits - 96).into()
            }
            _ => network,
        },
    )
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(
                FORWARDED_FOR,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        let peer = Peer(SocketAddr::new(peer.parse().unwrap(), 40_000));
        Client::of(Some(peer), &headers, &trusted.parse().unwrap()).to_string()
    }

    #[test]
    fn a_peer_that_is_not_trusted_speaks_for_itself_alone() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"], ""), "203.0.113.9");
        let elsewhere = client("203.0.113.9", &["198.51.100.1"], "10.0.0.0/8");
        assert_eq!(elsewhere, "203.0.113.9");
    }

    #[test]
    fn a_trusted_proxys_client_is_the_first_address_from_the_right_that_is_not_trusted() {
        let trusted = "10.0.0.0/8,192.0.2.1";
        for (forwarded, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            (
                &["1.1.1.1,198.51.100.1,10.1.2.3 , 192.0.2.1"],
                "198.51.100.1",
            ),
            (&["1.1.1.1", "198.51.100.1", "10.1.2.3"], "198.51.100.1"),
            (&["198.51.100.1,10.1.2.3", "192.0.2.1"], "198.51.100.1"),
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (&["198.51.100.1,, 10.2.2.2,"], "198.51.100.1"),
            (&[], "10.0.0.1"),
            (&[""], "10.0.0.1"),
        ] {
            assert_eq!(
                client("10.0.0.1", forwarded, trusted),
                expected,
                "{forwarded:?}"
            );
        }
    }

    #[test]
    fn what_is_no_address_ends_the_walk_at_the_last_good_one() {
        for (forwarded, expected) in [
            ("198.51.100.1, unknown, 10.2.2.2", "10.2.2.2"),
            ("198.51.100.1, 10.2.2, 10.2.2.2", "10.2.2.2"),
            ("198.51.100.1, _hidden", "10.0.0.1"),
            ("198.51.100.1, [10.2.2.2]", "10.0.0.1"),
            ("é, 198.51.100.1", "198.51.100.1"),
        ] {
            assert_eq!(
                client("10.0.0.1", &[forwarded], "10.0.0.0/8"),
                expected,
                "{forwarded}"
            );
        }
    }

    #[test]
    fn an_address_may_come_with_its_port() {
        for (forwarded, expected) in [
            ("198.51.100.1:5000", "198.51.100.1"),
            ("[2001:db8::1]:5000", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(client("10.0.0.1", &[forwarded], "10.0.0.0/8"), expected);
        }
    }

    #[test]
    fn an_ipv4_address_mapped_into_ipv6_is_the_ipv4_address() {
        assert_eq!(client("::ffff:203.0.113.9", &[], ""), "203.0.113.9");
        let trusted = client("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "10.0.0.0/8");
        assert_eq!(trusted, "198.51.100.1");
        let trusted = client("10.0.0.1", &["198.51.100.1"], "::ffff:10.0.0.0/104");
        assert_eq!(trusted, "198.51.100.1");
    }

    #[test]
    fn ipv6_clients_count_by_their_64_bit_network() {
        let key = |address: &str| Client(address.parse().unwrap()).key();
        assert_eq!(
            key("2001:db8:1:2::1"),
            key("2001:db8:1:2:ffff:ffff:ffff:ffff")
        );
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_ne!(key("203.0.113.9"), key("203.0.113.8"));
    }

    #[test]
    fn requests_of_an_unknown_peer_count_as_one_client_whatever_they_say() {
        let mut headers = HeaderMap::new();
        headers.append(FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"));
        let trusted = "0.0.0.0/0".parse().unwrap();
        let forwarded = Client::of(None, &headers, &trusted);
        let plain = Client::of(None, &HeaderMap::new(), &TrustedProxies::default());
        assert_eq!(forwarded, plain);
    }

    #[test]
    fn a_list_of_proxies_that_is_none_is_refused_with_what_to_give() {
        for list in ["", " ", "10.0.0.0/8", "10.0.0.0/8, 192.0.2.1,fd00::/8"] {
            assert!(list.parse::<TrustedProxies>().is_ok(), "{list}");
        }
        for (list, says) in [
            ("proxy.example", "`proxy.example` is not a network: give"),
            (
                "10.0.0.0/8,",
                "`` is not a network: give addresses or CIDRs such as 10.0.0.0/8",
            ),
            ("10.0.0.0/33", "`10.0.0.0/33` is not a network"),
            ("10.0.0.1/8", "give 10.0.0.0/8 or 10.0.0.1"),
        ] {
            let refused = list.parse::<TrustedProxies>().unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
