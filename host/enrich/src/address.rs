//! Addresses and ranges of them, as people and feeds write them.
//!
//! An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is the IPv4 address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads an address; a port, brackets and a zone are passed over, as some apps write them.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    // Nothing longer is one, and what comes from apps may be of any length.
    if text.len() > 80 {
        return None;
    }
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => match text.split_once(':') {
            Some((host, port)) if host.contains('.') && !port.contains(':') => {
                port.parse::<u16>().ok()?;
                host
            }
            _ => text,
        },
    };
    let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// A run of addresses of one family, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Range {
    /// IPv4.
    V4(u32, u32),
    /// IPv6.
    V6(u128, u128),
}

impl Range {
    /// Reads an address, a subnet (`192.0.2.0/24`) or a run (`192.0.2.3-192.0.2.9`). Bits of a subnet
    /// beyond its length don't matter.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((first, last)) = text.split_once('-') {
            let end = |text: &str| plain(text.trim()).map(|address| address.to_canonical());
            return match (end(first)?, end(last)?) {
                (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                    Some(Self::V4(first.into(), last.into()))
                }
                (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                    Some(Self::V6(first.into(), last.into()))
                }
                _ => None,
            };
        }
        let Some((address, length)) = text.split_once('/') else {
            return Some(Self::one(plain(text)?.to_canonical()));
        };
        if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let length: u32 = length.parse().ok()?;
        match plain(address)? {
            IpAddr::V4(address) => Self::v4(address, length),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(mapped) if length >= 96 => Self::v4(mapped, length - 96),
                _ => Self::v6(address, length),
            },
        }
    }

    fn v4(address: Ipv4Addr, length: u32) -> Option<Self> {
        let host = u32::MAX.checked_shr(length).unwrap_or(0);
        let first = u32::from(address) & !host;
        (length <= 32).then_some(Self::V4(first, first | host))
    }

    fn v6(address: Ipv6Addr, length: u32) -> Option<Self> {
        let host = u128::MAX.checked_shr(length).unwrap_or(0);
        let first = u128::from(address) & !host;
        (length <= 128).then_some(Self::V6(first, first | host))
    }

    /// The run of one address.
    pub fn one(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address.into(), address.into()),
            IpAddr::V6(address) => Self::V6(address.into(), address.into()),
        }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(first, last), IpAddr::V4(address)) => {
                (first..=last).contains(&u32::from(address))
            }
            (Self::V6(first, last), IpAddr::V6(address)) => {
                (first..=last).contains(&u128::from(address))
            }
            _ => false,
        }
    }

    /// Whether some address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::V4(a, b), Self::V4(c, d)) => a <= d && c <= b,
            (Self::V6(a, b), Self::V6(c, d)) => a <= d && c <= b,
            _ => false,
        }
    }

    /// Number of addresses less one, to compare by.
    pub(crate) fn width(self) -> u128 {
        match self {
            Self::V4(first, last) => u128::from(last - first),
            Self::V6(first, last) => last - first,
        }
    }
}

fn plain(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last, bits): (IpAddr, IpAddr, u32) = match *self {
            Self::V4(first, last) => {
                (Ipv4Addr::from(first).into(), Ipv4Addr::from(last).into(), 32)
            }
            Self::V6(first, last) => {
                (Ipv6Addr::from(first).into(), Ipv6Addr::from(last).into(), 128)
            }
        };
        let length = bits - self.width().checked_add(1).map_or(128, u128::ilog2);
        if Self::parse(&format!("{first}/{length}")) == Some(*self) {
            write!(f, "{first}/{length}")
        } else {
            write!(f, "{first}-{last}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_as_apps_write_them() {
        let read = |text: &str| parse_address(text).map(|address| address.to_string());
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:443", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
        ] {
            assert_eq!(read(text).as_deref(), Some(address), "{text}");
        }
        for text in
            ["", "localhost", "192.0.2", "192.0.2.1:x", "1.2.3.4.5", "[::1", "01.2.3.4", "::g"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_are_read_and_written() {
        let read = |text: &str| Range::parse(text).map(|range| range.to_string());
        for (text, range) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("192.0.2.0-192.0.2.255", "192.0.2.0/24"),
            ("192.0.2.1-192.0.2.2", "192.0.2.1-192.0.2.2"),
            ("::ffff:192.0.2.1-::ffff:192.0.2.2", "192.0.2.1-192.0.2.2"),
        ] {
            assert_eq!(read(text).as_deref(), Some(range), "{text}");
        }
        for text in [
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "::/129",
            "2.0.0.0-1.0.0.0",
            "1.1.1.1-::1",
            "x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        /// A subnet holds exactly the addresses that agree with it in its first bits.
        #[test]
        fn a_subnet_holds_what_agrees_in_its_first_bits(
            net: u32, length in 0_u32..=32, flip in 0_u32..32, wide: u128, long in 0_u32..=128, bit in 0_u32..128,
        ) {
            let range = Range::parse(&format!("{}/{length}", Ipv4Addr::from(net))).unwrap();
            let other = net ^ (1 << (31 - flip));
            prop_assert!(range.contains(Ipv4Addr::from(net).into()));
            prop_assert_eq!(range.contains(Ipv4Addr::from(other).into()), flip >= length);
            prop_assume!(Ipv6Addr::from(wide).to_ipv4_mapped().is_none());
            let range = Range::parse(&format!("{}/{long}", Ipv6Addr::from(wide))).unwrap();
            let other = wide ^ (1 << (127 - bit));
            prop_assert!(range.contains(Ipv6Addr::from(wide).into()));
            prop_assert_eq!(range.contains(Ipv6Addr::from(other).into()), bit >= long);
            prop_assert_eq!(Range::parse(&range.to_string()), Some(range));
        }
    }
}
