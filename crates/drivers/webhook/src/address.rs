//! Which addresses may be connected to: the public ones, and what the operator names.
//!
//! `HOOK-1`: an address of a special purpose is refused unless it is allowed by name, and one that carries another
//! address is no more allowed than that one. Who may subscribe chooses URLs: without this, a webhook would be a way into
//! the network that the node stands in (server-side request forgery), the cloud's metadata at 169.254.169.254 first of all.
//! Source: RFC 6890; IANA registries of IPv4 and IPv6 special-purpose addresses; RFC 4291 §2.4 (global unicast).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::WebhookError;

/// Addresses with a common prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether the address is one of it; an IPv4 address is none of an IPv6 network, nor the other way round.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros() >= self.bits
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                (first.to_bits() ^ address.to_bits()).leading_zeros() >= self.bits
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = WebhookError;

    /// Reads `10.0.0.0/8`, `fd00::/8`, or one address; nothing may be set behind the prefix.
    fn from_str(text: &str) -> Result<Self, WebhookError> {
        let wrong = || WebhookError::Network(text.chars().take(64).collect());
        let (first, bits) = text.split_once('/').map_or((text, None), |(first, bits)| (first, Some(bits)));
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        let (all, after_last) = match first {
            IpAddr::V4(first) => (32, first.to_bits().trailing_zeros()),
            IpAddr::V6(first) => (128, first.to_bits().trailing_zeros()),
        };
        let bits = match bits {
            None => all,
            Some(bits) if bits.len() <= 3 && bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
        };
        (bits <= all && bits + after_last >= all).then_some(Self { first, bits }).ok_or_else(wrong)
    }
}

/// What a target may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether `http://` is allowed beside `https://`.
    pub allow_http: bool,
    /// Whether an organisation's own addresses are: loopback, private use (RFC 1918), shared (RFC 6598), unique local
    /// (RFC 4193). Link-local ones are not: the cloud's metadata is among them.
    pub allow_private: bool,
    /// What is allowed beyond, of any kind. That a network carries IPv4 addresses does not allow those.
    pub allowed: Vec<Network>,
}

impl Policy {
    /// What the address is that it may not be connected to; none where it may.
    #[must_use]
    pub fn refuses(&self, address: IpAddr) -> Option<&'static str> {
        let block = special(address)?;
        let is_named = self.allowed.iter().any(|network| network.contains(address));
        let is_inside = self.allow_private && block.is_private;
        if !is_named && !is_inside {
            return Some(block.name);
        }
        let carried = block.carries_at.and_then(|behind| carried(address, behind))?;
        self.refuses(IpAddr::V4(carried))
    }
}

/// Addresses of a special purpose.
struct Block {
    network: Network,
    name: &'static str,
    is_private: bool,
    /// How many bits stand behind the IPv4 address within.
    carries_at: Option<u32>,
}

const fn v4(a: u8, b: u8, c: u8, bits: u32, name: &'static str) -> Block {
    let network = Network { first: IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), bits };
    Block { network, name, is_private: false, carries_at: None }
}

const fn v6(start: [u16; 4], bits: u32, name: &'static str) -> Block {
    let [a, b, c, d] = start;
    let network = Network { first: IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)), bits };
    Block { network, name, is_private: false, carries_at: None }
}

const fn low(f: u16, h: u16, bits: u32, name: &'static str) -> Block {
    let network = Network { first: IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, f, 0, h)), bits };
    Block { network, name, is_private: false, carries_at: None }
}

const fn private(block: Block) -> Block {
    Block { is_private: true, ..block }
}

const fn carrying(block: Block, behind: u32) -> Block {
    Block { carries_at: Some(behind), ..block }
}

/// The first that contains an address is its kind, so narrower ones stand before wider ones.
static BLOCKS: [Block; 34] = [
    v4(0, 0, 0, 8, "this network"),
    private(v4(10, 0, 0, 8, "private use")),
    private(v4(100, 64, 0, 10, "shared, behind a carrier's NAT")),
    private(v4(127, 0, 0, 8, "loopback")),
    v4(169, 254, 0, 16, "link-local"),
    private(v4(172, 16, 0, 12, "private use")),
    v4(192, 0, 0, 24, "protocol assignments"),
    v4(192, 0, 2, 24, "documentation"),
    v4(192, 88, 99, 24, "6to4 relay"),
    private(v4(192, 168, 0, 16, "private use")),
    v4(198, 18, 0, 15, "benchmarking"),
    v4(198, 51, 100, 24, "documentation"),
    v4(203, 0, 113, 24, "documentation"),
    v4(224, 0, 0, 4, "multicast"),
    v4(240, 0, 0, 4, "reserved, or broadcast"),
    low(0, 0, 128, "unspecified"),
    private(low(0, 1, 128, "loopback")),
    carrying(low(0, 0, 96, "IPv4-compatible"), 0),
    carrying(low(0xffff, 0, 96, "IPv4-mapped"), 0),
    carrying(v6([0x64, 0xff9b, 0, 0], 96, "NAT64"), 0),
    v6([0x64, 0xff9b, 1, 0], 48, "local NAT64"),
    v6([0x100, 0, 0, 0], 64, "discard only"),
    v6([0x100, 0, 0, 1], 64, "dummy"),
    v6([0x5f00, 0, 0, 0], 16, "segment routing"),
    private(v6([0xfc00, 0, 0, 0], 7, "unique local")),
    v6([0xfe80, 0, 0, 0], 10, "link-local"),
    v6([0xfec0, 0, 0, 0], 10, "site-local"),
    v6([0xff00, 0, 0, 0], 8, "multicast"),
    v6([0x2001, 0, 0, 0], 32, "Teredo"),
    v6([0x2001, 0, 0, 0], 23, "protocol assignments"),
    v6([0x2001, 0xdb8, 0, 0], 32, "documentation"),
    carrying(v6([0x2002, 0, 0, 0], 16, "6to4"), 80),
    v6([0x3ffe, 0, 0, 0], 16, "6bone"),
    v6([0x3fff, 0, 0, 0], 20, "documentation"),
];

/// Where addresses for everybody are given out from.
static GLOBAL: Block = v6([0x2000, 0, 0, 0], 3, "global unicast");
static UNASSIGNED: Block = v6([0, 0, 0, 0], 0, "not assigned");

fn special(address: IpAddr) -> Option<&'static Block> {
    let found = BLOCKS.iter().find(|block| block.network.contains(address));
    found.or_else(|| (address.is_ipv6() && !GLOBAL.network.contains(address)).then_some(&UNASSIGNED))
}

fn carried(address: IpAddr, behind: u32) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V6(address) => {
            let bits = (address.to_bits() >> behind) & u128::from(u32::MAX);
            u32::try_from(bits).ok().map(Ipv4Addr::from_bits)
        }
        IpAddr::V4(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::{Network, Policy};

    fn refused(policy: &Policy, address: &str) -> Option<&'static str> {
        policy.refuses(address.parse().unwrap())
    }

    const PUBLIC: [&str; 13] = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2001:200::1",
        "2a00::1",
    ];

    /// First and last address of each kind, and what else is known to hurt.
    const SPECIAL: [&str; 55] = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.254",
        "255.255.255.255",
        "::",
        "::1",
        "::1.1.1.1",
        "::ffff:1.1.1.1",
        "::ffff:127.0.0.1",
        "::ffff:0:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::10.0.0.1",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3ffe::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];

    #[test]
    fn the_public_is_allowed_and_nothing_else() {
        let policy = Policy::default();
        for address in PUBLIC {
            assert_eq!(refused(&policy, address), None, "{address}");
        }
        for address in SPECIAL {
            assert!(refused(&policy, address).is_some(), "{address}");
        }
    }

    #[test]
    fn private_addresses_are_allowed_without_the_rest() {
        let policy = Policy { allow_private: true, ..Policy::default() };
        let inside = [
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "172.20.0.1",
            "192.168.1.1",
            "::1",
            "fc00::1",
            "fd00:ec2::254",
        ];
        for address in inside {
            assert_eq!(refused(&policy, address), None, "{address}");
        }
        for address in [
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "fe80::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "::10.0.0.1",
        ] {
            assert!(refused(&policy, address).is_some(), "{address}");
        }
    }

    #[test]
    fn a_named_network_opens_itself_and_not_what_it_carries() {
        let allowing = |networks: &[&str]| Policy {
            allowed: networks.iter().map(|network| network.parse().unwrap()).collect(),
            ..Policy::default()
        };
        let policy = allowing(&["10.1.0.0/16", "169.254.169.254"]);
        assert_eq!(refused(&policy, "10.1.255.255"), None);
        assert_eq!(refused(&policy, "10.2.0.0"), Some("private use"));
        assert_eq!(refused(&policy, "169.254.169.254"), None);
        assert_eq!(refused(&policy, "169.254.169.253"), Some("link-local"));
        assert_eq!(refused(&policy, "::ffff:10.1.0.1"), Some("IPv4-mapped"));
        let policy = allowing(&["64:ff9b::/96", "2002::/16", "::ffff:0:0/96"]);
        for network in ["64:ff9b::", "::ffff:"] {
            assert_eq!(refused(&policy, &format!("{network}1.1.1.1")), None);
            assert_eq!(refused(&policy, &format!("{network}169.254.169.254")), Some("link-local"));
        }
        assert_eq!(refused(&policy, "2002:0101:0101::1"), None);
        assert_eq!(refused(&policy, "2002:7f00:0001::1"), Some("loopback"));
    }

    #[test]
    fn networks_are_read_strictly() {
        for text in
            ["10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/8", "127.0.0.1", "::1", "1.2.3.4/32", "2001:db8::/32"]
        {
            assert!(text.parse::<Network>().is_ok(), "{text}");
        }
        let wrong = [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0/8",
            "::1/127",
            "::/129",
            "10.0.0.0/+8",
            "a/8",
            "010.0.0.0/8",
            "10.0.0.0/0008",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Network>().unwrap_err().code(), "E1161", "{text}");
        }
    }

    proptest! {
        /// Held against the standard library's own words for addresses.
        #[test]
        fn what_the_standard_library_knows_to_be_special_is_refused(bits: u32, narrow in 0..4u32) {
            let address = Ipv4Addr::from_bits(match narrow {
                0 => bits,
                1 => (bits & 0x0fff_ffff) | 0xe000_0000,
                2 => (bits & 0x000f_ffff) | 0xac10_0000,
                _ => (bits & 0x0000_ffff) | 0xa9fe_0000,
            });
            let is_special = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_broadcast()
                || address.is_documentation() || address.is_multicast() || address.is_unspecified();
            let told = Policy::default().refuses(IpAddr::V4(address));
            prop_assert!(!is_special || told.is_some());
            let mapped = IpAddr::V6(address.to_ipv6_mapped());
            prop_assert!(Policy::default().refuses(mapped).is_some());
            let open = Policy { allowed: vec!["::/0".parse().unwrap()], ..Policy::default() };
            prop_assert_eq!(open.refuses(mapped), told);
        }
    }
}
