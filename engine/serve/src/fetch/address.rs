//! Which addresses may be reached for a request.
//!
//! What is not plainly public is listed in the IANA registries of special-purpose addresses; the blocks below are theirs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To a host of the public Internet.
    Public,
    /// To this machine or a network around it.
    Private,
    /// Nowhere that holds media: to whoever is near (link-local, as the metadata services of clouds are), to many at
    /// once, to nobody, or through a translation that hides what is behind it.
    Never,
}

/// Metadata services of clouds outside of the link-local blocks.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Where `address` leads.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        _ if METADATA.contains(&address) => Reach::Never,
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18 | 19, ..] => {
            Reach::Private
        }
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Never,
        _ => Reach::Public,
    }
}

/// Of IPv6 only 2000::/3 is given out. In it are blocks for protocols (2001::/23, with tunnels of Teredo), for examples
/// (2001:db8::/32, 3fff::/20) and of 6to4 (2002::/16). Addresses that hold one of IPv4 lie outside, or in these.
fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff, ..] => Reach::Private,
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_block_is_told_apart() {
        let cases = [
            (
                Reach::Public,
                "1.1.1.1 8.8.8.8 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.0.1.1 198.20.0.1",
            ),
            (Reach::Public, "223.255.255.255 2606:4700::1111 2a00::1 2001:200::1 2001:4860:4860::8888"),
            (Reach::Private, "127.0.0.1 127.255.0.9 10.1.2.3 172.16.0.1 172.31.9.9 192.168.0.1 100.64.0.1"),
            (Reach::Private, "198.18.0.1 ::1 fc00::1 fd12:3456::1"),
            (Reach::Never, "0.0.0.0 0.1.2.3 169.254.169.254 192.0.0.8 192.0.2.1 198.51.100.1 203.0.113.9"),
            (Reach::Never, "192.88.99.1 224.0.0.1 239.9.9.9 240.0.0.1 255.255.255.255 100.100.100.200"),
            (
                Reach::Never,
                ":: ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::7f00:1 64:ff9b::7f00:1 64:ff9b:1::1 fe80::1",
            ),
            (Reach::Never, "ff02::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1 fec0::1 100::1 4000::1"),
            (Reach::Never, "fd00:ec2::254"),
        ];
        for (expected, addresses) in cases {
            for address in addresses.split(' ') {
                assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
            }
        }
    }
}
