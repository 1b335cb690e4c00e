//! Sets of client addresses as ranges, and ranges as networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first and the last address of a range.
pub(super) type Range = (u128, u128);

/// IPv4 or IPv6. A client of one family never matches a network of the other one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    fn bits(self) -> u32 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    pub(super) fn last(self) -> u128 {
        u128::MAX >> (128 - self.bits())
    }

    fn address(self, value: u128) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from(u32::try_from(value).unwrap_or(u32::MAX)).into(),
            Self::V6 => Ipv6Addr::from(value).into(),
        }
    }

    /// The ranges as networks in CIDR form, or as one network without others where that is shorter.
    pub(super) fn networks(self, ranges: &[Range]) -> Vec<String> {
        let listed: Vec<String> = ranges.iter().flat_map(|range| self.cidrs(*range)).collect();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return listed };
        // The smallest network around all of them.
        let host_bits = 128 - (first.0 ^ last.1).leading_zeros();
        let host_mask = if host_bits == 128 { u128::MAX } else { (1 << host_bits) - 1 };
        let around = (first.0 & !host_mask, first.0 | host_mask);
        let holes: Vec<String> =
            gaps(around, ranges).into_iter().flat_map(|range| self.cidrs(range)).collect();
        if holes.len() + 1 >= listed.len() || holes.is_empty() || holes.len() > 10 {
            return listed;
        }
        let around = format!("{}/{}", self.address(around.0), self.bits() - host_bits);
        vec![format!("{around} except {}", holes.join(", "))]
    }

    fn cidrs(self, (mut first, last): Range) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            let aligned = first.trailing_zeros().min(self.bits());
            let left = last - first;
            // The largest power of two that is not more than the addresses left.
            let fits = if left == u128::MAX { 128 } else { 127 - (left + 1).leading_zeros() };
            let host_bits = aligned.min(fits);
            found.push(format!("{}/{}", self.address(first), self.bits() - host_bits));
            let size = if host_bits == 128 { return found } else { 1_u128 << host_bits };
            match first.checked_add(size) {
                Some(next) if next <= last => first = next,
                _ => return found,
            }
        }
    }
}

/// The rest of a range without others, which lie in it in order.
fn gaps(around: Range, ranges: &[Range]) -> Vec<Range> {
    let mut found = Vec::new();
    let mut next = Some(around.0);
    for &(first, last) in ranges {
        if let Some(start) = next
            && start < first
        {
            found.push((start, first - 1));
        }
        next = last.checked_add(1);
    }
    if let Some(start) = next
        && start <= around.1
    {
        found.push((start, around.1));
    }
    found
}

/// Joins ranges that touch; they come in order.
pub(super) fn push(ranges: &mut Vec<Range>, range: Range) {
    match ranges.last_mut() {
        Some(before) if before.1.checked_add(1) == Some(range.0) => before.1 = range.1,
        _ => ranges.push(range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_become_networks() {
        let v4 = |ranges: &[Range]| Family::V4.networks(ranges).join("; ");
        assert_eq!(v4(&[(0, u128::from(u32::MAX))]), "0.0.0.0/0");
        assert_eq!(v4(&[(0x0A00_0000, 0x0AFF_FFFF)]), "10.0.0.0/8");
        assert_eq!(v4(&[(0x0A00_0001, 0x0A00_0001)]), "10.0.0.1/32");
        assert_eq!(v4(&[(0x0A00_0001, 0x0A00_0002)]), "10.0.0.1/32; 10.0.0.2/32");
        let without_ten = [(0, 0x09FF_FFFF), (0x0B00_0000, u128::from(u32::MAX))];
        assert_eq!(v4(&without_ten), "0.0.0.0/0 except 10.0.0.0/8");
        let two = [(0x0A00_0000, 0x0AFF_FFFF), (0xC0A8_0000, 0xC0A8_FFFF)];
        assert_eq!(v4(&two), "10.0.0.0/8; 192.168.0.0/16");
        assert_eq!(Family::V6.networks(&[(0, u128::MAX)]), ["::/0"]);
        assert_eq!(
            Family::V6.networks(&[(0, u128::MAX - 1)]),
            ["::/0 except ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]
        );
    }
}
