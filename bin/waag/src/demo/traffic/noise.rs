//! Values that look arbitrary and are the same for ever: a hash of seed, number and purpose.
//!
//! No generator, no state, no secret: whoever knows the seed knows every value. Never for salts, keys or tokens; those
//! come from `waag_stdx::entropy` alone.

/// Purposes; steps of an invoice have the 64 numbers behind some of them.
pub(super) const ARRIVAL: u64 = 1;
pub(super) const VENDOR: u64 = 2;
pub(super) const AMOUNT: u64 = 3;
pub(super) const DATED: u64 = 6;
pub(super) const DUPLICATE: u64 = 7;
pub(super) const DUPLICATE_OF: u64 = 8;
pub(super) const FUZZY: u64 = 9;
pub(super) const TOUCH: u64 = 10;
pub(super) const STUCK: u64 = 11;
pub(super) const EXCEPTION: u64 = 12;
pub(super) const REWORK: u64 = 13;
pub(super) const BLOCK: u64 = 14;
pub(super) const REJECT: u64 = 15;
pub(super) const PAID_LATE: u64 = 16;
pub(super) const CONTACT: u64 = 17;
pub(super) const ACCOUNT: u64 = 18;
pub(super) const MATCHED: u64 = 19;
pub(super) const DELAY: u64 = 64;
pub(super) const LATE: u64 = 128;
pub(super) const LATE_BY: u64 = 192;
pub(super) const EXCHANGE: u64 = 256;
pub(super) const FINE: u64 = 320;
/// Purposes of a vendor's own values.
pub(super) const OF_VENDOR: u64 = 1_024;

/// A seed to ask values of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(mixed(seed ^ 0x5761_6167_2064_656d))
    }

    /// 64 bits for a number and a purpose; multiply and shift, as in the finishing step of MurmurHash3.
    pub(super) fn bits(self, number: u32, purpose: u64) -> u64 {
        mixed(self.0 ^ mixed(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose))
    }

    /// 0 to 999.
    pub(super) fn permille(self, number: u32, purpose: u64) -> u64 {
        self.bits(number, purpose) % 1_000
    }

    /// A value from `least` to `most`, both included.
    pub(super) fn between(self, number: u32, purpose: u64, least: i64, most: i64) -> i64 {
        let width = u64::try_from(most.saturating_sub(least).saturating_add(1)).unwrap_or(1).max(1);
        least.saturating_add(i64::try_from(self.bits(number, purpose) % width).unwrap_or(0))
    }

    /// One of a list, by weight.
    pub(super) fn weighted<T>(self, number: u32, purpose: u64, of: &[(u64, T)]) -> Option<&T> {
        let total: u64 = of.iter().map(|(weight, _)| weight).sum();
        let mut left = self.bits(number, purpose) % total.max(1);
        of.iter().find_map(|(weight, value)| {
            if left < *weight {
                return Some(value);
            }
            left -= weight;
            None
        })
    }

    /// About normal, with a deviation of 65,536 around 0: the sum of twelve uniform values.
    pub(super) fn normal(self, number: u32, purpose: u64) -> i64 {
        let words = (0..3).map(|word| self.bits(number, purpose + word));
        let sum: u64 = words.flat_map(|bits| (0..4).map(move |part| bits >> (16 * part) & 0xffff)).sum();
        i64::try_from(sum).unwrap_or(0) - 6 * 65_536
    }
}

fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ bits >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}
