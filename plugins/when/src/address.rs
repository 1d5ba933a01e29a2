//! IP addresses and the ranges they are compared with.
//!
//! It is not the organization's list of ranges: the host knows that and fills `ip.category` from it.

use std::net::{IpAddr, Ipv6Addr};

/// A range of addresses. IPv4 is held in its place within IPv6 (`::ffff:0:0/96`), so that an
/// address is found however it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    start: u128,
    mask: u128,
}

/// The address as 128 bits, IPv4 in its mapped form.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Reads an address as apps write it: plain, or in brackets, with a port or a zone behind it.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let inside = rest.split(']').next()?;
        return inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    if let Some((address, _zone)) = text.split_once('%') {
        return address.parse().ok();
    }
    let (address, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    address.parse().ok().filter(IpAddr::is_ipv4)
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "`{}` is not a range of addresses: {why}\n\
                 hint: write it like `10.0.0.0/8` or `2001:db8::/32`",
                crate::json::shown(text)
            )
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| wrong("what stands before the `/` is no IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(length) => length
                .parse::<u32>()
                .ok()
                .filter(|length| *length <= most)
                .ok_or_else(|| wrong(&format!("the length must be 0 to {most}")))?,
        };
        // Shifting by 128 is what `/0` would need; it is the mask of nothing.
        let mask = u128::MAX.checked_shl(most - length).unwrap_or(0)
            | if address.is_ipv4() { !u128::from(u32::MAX) } else { 0 };
        let start = bits(address);
        if start & !mask != 0 {
            return Err(wrong("bits are set behind its length"));
        }
        Ok(Self { start, mask })
    }
}

/// Ranges of addresses, joined and in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Networks(Vec<(u128, u128)>);

impl Networks {
    /// Joins ranges.
    pub(crate) fn new(networks: &[Network]) -> Self {
        let mut ranges: Vec<_> =
            networks.iter().map(|network| (network.start, network.start | !network.mask)).collect();
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let joined = next.0 <= before.1.saturating_add(1);
            if joined {
                before.1 = before.1.max(next.1);
            }
            joined
        });
        Self(ranges)
    }

    /// Whether one of the ranges holds the address; what is no address is in no range.
    pub(crate) fn hold(&self, text: &str) -> bool {
        address(text).map(bits).is_some_and(|bits| {
            let behind = self.0.partition_point(|(start, _)| *start <= bits);
            behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, end)| bits <= *end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_hold_their_addresses_in_every_notation() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"),
            ("10.1.2.3", "10.1.2.3:443", "10.1.2.4:443"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("::/0", "2001:db8::1", "not an address"),
            ("2001:db8::/32", "[2001:db8:1::2]:443", "[2001:db9::]:443"),
            ("fe80::/10", "fe80::1%eth0", "fec0::1%eth0"),
            ("203.0.113.128/25", "203.0.113.255", "203.0.113.127"),
        ] {
            let networks = Networks::new(&[Network::parse(network).unwrap()]);
            assert!(networks.hold(inside), "{inside} in {network}");
            assert!(!networks.hold(outside), "{outside} not in {network}");
        }
    }

    proptest! {
        /// Joined ranges hold what any of them holds alone.
        #[test]
        fn joined_ranges_agree_with_each_alone(
            ranges in proptest::collection::vec((any::<u8>(), 24u32..=32), 1..12),
            asked in any::<u8>(),
        ) {
            let networks: Vec<Network> = ranges
                .iter()
                .map(|(last, length)| {
                    let last = u32::from(*last) & u32::MAX.checked_shl(32 - length).unwrap_or(0);
                    Network::parse(&format!("10.0.0.{last}/{length}")).unwrap()
                })
                .collect();
            let text = format!("10.0.0.{asked}");
            let bits = bits(address(&text).unwrap());
            let expected = networks.iter().any(|network| bits & network.mask == network.start);
            prop_assert_eq!(Networks::new(&networks).hold(&text), expected);
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0/8", "10.0.0.0/33", "10.0.0.1/8", "2001:db8::/129", "::/-1", "x/8"]
        {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
