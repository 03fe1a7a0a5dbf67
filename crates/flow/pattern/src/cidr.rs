//! `cidr`: networks of IPv4 and IPv6 addresses, and the addresses in an event's strings.
//!
//! Addresses are read as the standard library reads them: four decimal numbers without leading zeros, or RFC 4291 §2.2.
//! An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is the IPv4 address, so that no spelling slips past a rule.
//! Wider than EventBridge in one point: `/32` and `/128`, a network of one address, are taken; event-ruler refuses them.

use core::net::IpAddr;

/// Longest text of an address, in bytes: eight groups of IPv6 with the last two as IPv4.
const ADDRESS_BYTES_MAX: usize = 45;

/// An address: its bits from the left, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    bits: u128,
    length: u8,
}

/// A network: the first `prefix` bits of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cidr {
    /// 32 or 128.
    length: u8,
    prefix: u8,
    bits: u128,
}

impl Address {
    /// The address that a text is, if it is one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plausible = text.len() <= ADDRESS_BYTES_MAX
            && text.as_bytes().first().is_some_and(|byte| byte.is_ascii_hexdigit() || *byte == b':');
        if !plausible {
            return None;
        }
        Some(match text.parse::<IpAddr>().ok()?.to_canonical() {
            IpAddr::V4(v4) => Self { bits: u128::from(v4.to_bits()) << 96, length: 32 },
            IpAddr::V6(v6) => Self { bits: v6.to_bits(), length: 128 },
        })
    }

    /// The network of the address's first bits.
    pub(crate) fn network(self, prefix: u8) -> Cidr {
        Cidr { length: self.length, prefix, bits: self.bits & mask(prefix) }
    }

    /// 32 or 128.
    pub(crate) fn length(self) -> u8 {
        self.length
    }
}

impl Cidr {
    /// Reads `address/bits`; the reason why not is a piece of a sentence about the text.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (address, prefix) =
            text.split_once('/').ok_or("has no `/` with the number of fixed bits behind it")?;
        if prefix.is_empty() || prefix.len() > 3 || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("does not end in a number of fixed bits");
        }
        let is_v6 = address.contains(':');
        let address = Address::parse(address).ok_or("does not begin with an IPv4 or IPv6 address")?;
        if is_v6 && address.length == 32 {
            return Err("is an IPv4-mapped IPv6 address; write it as IPv4");
        }
        let prefix = prefix.parse::<u8>().ok().filter(|prefix| *prefix <= address.length);
        Ok(address.network(prefix.ok_or("fixes more bits than the address has")?))
    }

    pub(crate) fn contains(&self, address: Address) -> bool {
        address.length == self.length && address.network(self.prefix) == *self
    }

    /// 32 or 128, and how many bits are fixed.
    pub(crate) fn shape(&self) -> (u8, u8) {
        (self.length, self.prefix)
    }
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(prefix))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_lies_in_its_networks() {
        let cases = [
            ("10.0.0.0/24", "10.0.0.255", "10.0.1.0"),
            ("10.1.2.3/8", "10.255.0.1", "11.0.0.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "fe80::1", "10.0.0.1"),
            ("10.0.0.1/32", "10.0.0.1", "10.0.0.2"),
            ("2001:db8::/33", "2001:DB8:7fff::", "2001:db8:8000::"),
            ("::1/128", "0:0:0:0:0:0:0:1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("10.0.0.0/8", "::ffff:0a01:0203", "not 10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", "10.0.0.01"),
            ("10.0.0.0/8", "10.0.0.1", "10.0.0.1 "),
        ];
        for (network, inside, outside) in cases {
            let network = Cidr::parse(network).unwrap();
            assert!(network.contains(Address::parse(inside).unwrap()), "{inside}");
            assert!(!Address::parse(outside).is_some_and(|address| network.contains(address)), "{outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "10.0.0.0/8/8",
            "::/129",
            "::/0256",
            "::ffff:10.0.0.0/104",
            "host/8",
            "/8",
            "10.0.0.0/8 ",
        ] {
            assert!(Cidr::parse(text).is_err(), "{text}");
        }
    }
}
