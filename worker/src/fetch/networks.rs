//! Which addresses are nobody's business but ours: whoever writes a feed's address, or answers a
//! name or a redirect, must not lead a worker into the network that it stands in.
//!
//! The ranges are those of IANA's special-purpose registries (RFC 6890). Of IPv6 only what is
//! allocated as global unicast can be public; what carries an IPv4 address is judged by that.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Networks that may be fetched from although they are not public.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// This machine.
    pub fn loopback() -> Self {
        let v4 = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8).trunc();
        Self(vec![v4.into(), IpAddr::V6(Ipv6Addr::LOCALHOST).into()])
    }

    /// These and others.
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Whether one of them holds the address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// # Errors
    /// What kind of address it is, if it is neither public nor in these networks.
    pub(super) fn permit(&self, address: IpAddr) -> Result<(), &'static str> {
        match inside(address) {
            Some(kind) if !self.contain(address) => Err(kind),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, network) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{network}")?;
        }
        Ok(())
    }
}

/// An entry of a list of networks that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// Neither an address nor a network.
    #[error(
        "`{0}` is not a network: give addresses or CIDRs such as 10.0.0.0/8,127.0.0.1,fd00::/8"
    )]
    Unreadable(String),
    /// It could be meant as the one or the other.
    #[error("`{given}` is an address within a network: give {network} or {address}")]
    Ambiguous {
        /// As it was given.
        given: String,
        /// What it may mean.
        network: IpNet,
        /// What it may mean, too.
        address: IpAddr,
    },
}

/// A list with commas; nothing is an empty list.
impl FromStr for Networks {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',')
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn network(entry: &str) -> Result<IpNet, BadNetwork> {
    let entry = entry.trim();
    let network = match entry.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => entry
            .parse()
            .map_err(|_| BadNetwork::Unreadable(entry.to_owned()))?,
    };
    if network.addr() != network.network() {
        return Err(BadNetwork::Ambiguous {
            given: entry.to_owned(),
            network: network.trunc(),
            address: network.addr(),
        });
    }
    Ok(canonical(network))
}

/// Mapped addresses are judged as what they map, and so are networks of them.
fn canonical(network: IpNet) -> IpNet {
    match (network.addr().to_canonical(), network.prefix_len()) {
        (IpAddr::V4(address), bits @ 96..) if network.addr().is_ipv6() => {
            Ipv4Net::new_assert(address, bits - 96).into()
        }
        _ => network,
    }
}

/// What kind of address it is, if it is not public.
fn inside(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => inside_v4(address),
        IpAddr::V6(address) => inside_v6(address),
    }
}

fn inside_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        (0, 0, 0, 0) => Some("unspecified"),
        (0, ..) => Some("of this network"),
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => Some("private"),
        (100, 64..=127, ..) => Some("shared"),
        (127, ..) => Some("loopback"),
        (169, 254, ..) => Some("link-local"),
        (168, 63, 129, 16) => Some("of the machine's host"),
        (192, 0, 0, _) | (192, 88, 99, _) => Some("reserved"),
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => Some("for documentation"),
        (198, 18..=19, ..) => Some("for benchmarks"),
        (224..=239, ..) => Some("multicast"),
        (255, 255, 255, 255) => Some("broadcast"),
        (240.., ..) => Some("reserved"),
        _ => None,
    }
}

fn inside_v6(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("unspecified"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("loopback"),
        // Well-known prefix of NAT64 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inside_v4(embedded(high, low)),
        [0x100, ..] => Some("discarded"),
        [0xfc00..=0xfdff, ..] => Some("unique local"),
        [0xfe80..=0xfebf, ..] => Some("link-local"),
        [0xfec0..=0xfeff, ..] => Some("site-local"),
        [0xff00..=0xffff, ..] => Some("multicast"),
        // Protocol assignments: Teredo, benchmarks, ORCHID and others.
        [0x2001, 0..=0x1ff, ..] => Some("reserved"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("for documentation"),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => inside_v4(embedded(high, low)),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("reserved"),
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(address: &str) -> Option<&'static str> {
        let address = address.parse().unwrap();
        Networks::default().permit(address).err()
    }

    #[test]
    fn what_is_not_public_is_known_from_its_first_to_its_last_address() {
        let ranges = [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("168.63.129.16", "168.63.129.16"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
        ];
        for (first, last) in ranges {
            let number = |address: &str| u32::from(address.parse::<Ipv4Addr>().unwrap());
            let (first, last) = (number(first), number(last));
            let is_inside = |number| inside_v4(Ipv4Addr::from(number)).is_some();
            assert!(is_inside(first) && is_inside(last), "{first}");
            assert!(is_inside(first + (last - first) / 2), "{first}");
            if first > 0 {
                assert!(!is_inside(first - 1), "{first}");
            }
            assert!(!is_inside(last + 1), "{last}");
        }
        assert_eq!(kind("223.255.255.255"), None);
        assert_eq!(kind("224.0.0.0"), Some("multicast"));
        assert_eq!(kind("239.255.255.255"), Some("multicast"));
        assert_eq!(kind("240.0.0.0"), Some("reserved"));
        assert_eq!(kind("255.255.255.255"), Some("broadcast"));
    }

    #[test]
    fn of_ipv6_only_global_unicast_is_public() {
        for (address, expected) in [
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::2", "reserved"),
            ("::127.0.0.1", "reserved"),
            ("::8.8.8.8", "reserved"),
            ("100::1", "discarded"),
            ("64:ff9b:1::8.8.8.8", "reserved"),
            ("1fff::1", "reserved"),
            ("2001::1", "reserved"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "reserved"),
            ("2001:1ff:ffff::1", "reserved"),
            ("2001:db8::1", "for documentation"),
            ("3fff:fff::1", "for documentation"),
            ("4000::1", "reserved"),
            ("5f00::1", "reserved"),
            ("fc00::1", "unique local"),
            ("fd00:ec2::254", "unique local"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ] {
            assert_eq!(kind(address), Some(expected), "{address}");
        }
        for address in ["2001:200::1", "2606:4700::1111", "2a00::1", "3fff:1000::1"] {
            assert_eq!(kind(address), None, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_in_disguise_is_judged_as_what_it_is() {
        for (address, expected) in [
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:a9fe:a9fe", Some("link-local")),
            ("::ffff:8.8.8.8", None),
            ("64:ff9b::10.0.0.1", Some("private")),
            ("64:ff9b::8.8.8.8", None),
            ("2002:7f00:1::", Some("loopback")),
            ("2002:a9fe:a9fe::1", Some("link-local")),
            ("2002:808:808::1", None),
        ] {
            assert_eq!(kind(address), expected, "{address}");
        }
    }

    #[test]
    fn listed_networks_are_permitted_and_nothing_else() {
        let networks: Networks = "10.0.0.0/8, 127.0.0.1,fd00::/8,::1/128".parse().unwrap();
        for (address, permitted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("11.0.0.1", true),
            ("172.16.0.1", false),
            ("64:ff9b::10.0.0.1", false),
            ("::1", true),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(networks.permit(address).is_ok(), permitted, "{address}");
        }
        assert_eq!(
            networks.to_string(),
            "10.0.0.0/8,127.0.0.1/32,fd00::/8,::1/128"
        );
        assert_eq!(networks.to_string().parse(), Ok(networks.clone()));
        let both = networks.and(Networks::loopback());
        assert!(both.contain("127.9.9.9".parse().unwrap()));
        assert!(both.contain("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_mapped_network_is_that_of_its_ipv4_addresses() {
        let networks: Networks = "::ffff:10.0.0.0/104,::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(networks.to_string(), "10.0.0.0/8,127.0.0.1/32");
    }

    #[test]
    fn a_bad_entry_is_told_with_what_to_write_instead() {
        assert_eq!("".parse(), Ok(Networks::default()));
        for bad in [
            "10.0.0.0/33",
            "localhost",
            "10.0.0.0/8,,::1",
            "10.0.0/8",
            "1",
        ] {
            let error = bad.parse::<Networks>().unwrap_err().to_string();
            assert!(error.contains("is not a network: give"), "{error}");
        }
        let error = "::1,10.0.0.1/8".parse::<Networks>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`10.0.0.1/8` is an address within a network: give 10.0.0.0/8 or 10.0.0.1"
        );
    }
}
