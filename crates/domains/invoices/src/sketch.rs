//! How long things take, as a sketch: mergeable, bounded, made of whole numbers only.
//!
//! A value of milliseconds falls into a bin by its highest bits: values below 64 exactly, above that 64 bins for each
//! power of two, so that a bin's middle is at most 1/128 (0.79 %) away from any of its values. The published sketches
//! with a relative error (DDSketch: Masson, Rim, Lee, VLDB 2019) bin by a logarithm of a float; bits give the same
//! guarantee and the same bins on every machine. Merging adds counts, so that it does not matter in which order.
//! Not here: whose times they are (`batch`), what is learned from them (`learn`).

use crate::codec::{Pack, Unpack};

/// Bins of each power of two.
const BINS_PER_OCTAVE: u64 = 64;
/// Longest value told apart: 2^42 milliseconds, 139 years.
const VALUE_MS_MAX: u64 = (1 << 42) - 1;
/// Most bins a sketch can have: 64 exact ones and 64 for each of the 36 powers of two up to [`VALUE_MS_MAX`].
pub const BINS_MAX: usize = 64 + 64 * 36;

/// Counts by bin, bins ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    bins: Vec<(u16, u64)>,
}

/// The bin of a value.
fn bin(value_ms: u64) -> u16 {
    let value = value_ms.min(VALUE_MS_MAX);
    let bin = match value.checked_ilog2() {
        Some(power) if power >= 6 => {
            let octave = u64::from(power) - 6;
            // The bits below the highest: 64..128 after the shift, so 0..64 within the octave.
            BINS_PER_OCTAVE * octave + (value >> octave)
        }
        _ => value,
    };
    u16::try_from(bin).unwrap_or(u16::MAX)
}

/// The middle of a bin.
fn middle(bin: u16) -> u64 {
    let bin = u64::from(bin);
    if bin < 2 * BINS_PER_OCTAVE {
        return bin;
    }
    let octave = bin / BINS_PER_OCTAVE - 1;
    let low = (bin % BINS_PER_OCTAVE + BINS_PER_OCTAVE) << octave;
    low + ((1u64 << octave) >> 1)
}

impl Sketch {
    /// Counts a value of milliseconds.
    pub fn add(&mut self, value_ms: u64) {
        self.add_bin(bin(value_ms), 1);
    }

    fn add_bin(&mut self, bin: u16, count: u64) {
        match self.bins.binary_search_by_key(&bin, |(bin, _)| *bin) {
            Ok(at) => {
                if let Some((_, counted)) = self.bins.get_mut(at) {
                    *counted = counted.saturating_add(count);
                }
            }
            Err(at) => self.bins.insert(at, (bin, count)),
        }
    }

    /// Counts all values of another sketch too.
    pub fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.bins {
            self.add_bin(*bin, *count);
        }
    }

    /// How many values it has counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bins.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }

    /// The value in milliseconds below or at which `percent` of the values are, within 1 %; none without values.
    ///
    /// It is the value of rank ⌈percent · count / 100⌉, at least the first.
    #[must_use]
    pub fn quantile(&self, percent: u64) -> Option<u64> {
        let rank = u128::from(self.count()) * u128::from(percent.min(100));
        let rank = rank.div_ceil(100).max(1);
        let mut seen = 0u128;
        self.bins.iter().find_map(|(bin, count)| {
            seen += u128::from(*count);
            (seen >= rank).then(|| middle(*bin))
        })
    }

    /// Its stored form: for each bin the distance from the last one and the count.
    #[must_use]
    pub fn to_bytes(&self) -> Box<[u8]> {
        let mut pack = Pack::default();
        let mut last = 0;
        for (bin, count) in &self.bins {
            pack.unsigned(u64::from(*bin) - last);
            pack.unsigned(*count);
            last = u64::from(*bin);
        }
        pack.finish()
    }

    /// Reads a stored form; none where it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut sketch = Self::default();
        each_bin(bytes, |bin, count| {
            match sketch.bins.last_mut().filter(|(last, _)| *last == bin) {
                Some((_, counted)) => *counted = counted.saturating_add(count),
                None => sketch.bins.push((bin, count)),
            }
            Some(())
        })?;
        Some(sketch)
    }
}

/// Hands over the bins of a stored form, ascending; none where it is no such form.
fn each_bin(bytes: &[u8], mut take: impl FnMut(u16, u64) -> Option<()>) -> Option<()> {
    let mut unpack = Unpack::new(bytes);
    let mut last = 0u64;
    while !unpack.is_empty() {
        last = last.checked_add(unpack.unsigned()?)?;
        let bin = u16::try_from(last).ok().filter(|bin| usize::from(*bin) < BINS_MAX)?;
        take(bin, unpack.unsigned()?)?;
    }
    Some(())
}

/// Bins of a sum that are kept as a list: a page sums thousands of regions, most of which have few times.
const FEW_BINS_MAX: usize = 256;

/// The sum of many sketches: few bins as a list, more with a place for every bin there is, so that adding a sketch is a
/// walk over its bytes.
#[derive(Clone, Debug)]
pub(crate) enum SketchSum {
    Few(Sketch),
    Every(Vec<u64>),
}

impl Default for SketchSum {
    fn default() -> Self {
        Self::Few(Sketch::default())
    }
}

impl SketchSum {
    /// Adds a stored form; none where it is no such form.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Option<()> {
        each_bin(bytes, |bin, count| self.add_bin(bin, count))
    }

    fn add_bin(&mut self, bin: u16, count: u64) -> Option<()> {
        match self {
            Self::Few(few) => {
                few.add_bin(bin, count);
                if few.bins.len() > FEW_BINS_MAX {
                    let mut every = vec![0; BINS_MAX];
                    for (bin, count) in &few.bins {
                        *every.get_mut(usize::from(*bin))? = *count;
                    }
                    *self = Self::Every(every);
                }
            }
            Self::Every(counts) => {
                let counted = counts.get_mut(usize::from(bin))?;
                *counted = counted.saturating_add(count);
            }
        }
        Some(())
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: &Self) {
        let mut add = |bin: u16, count: u64| {
            // A sum has only bins that there are.
            let _ = self.add_bin(bin, count);
        };
        match other {
            Self::Few(few) => few.bins.iter().for_each(|(bin, count)| add(*bin, *count)),
            Self::Every(counts) => {
                let counted = (0..).zip(counts).filter(|(_, count)| **count > 0);
                counted.for_each(|(bin, count)| add(bin, *count));
            }
        }
    }

    /// The sum as a sketch.
    pub(crate) fn sketch(&self) -> Sketch {
        match self {
            Self::Few(few) => few.clone(),
            Self::Every(counts) => {
                let bins = (0..).zip(counts.iter().copied());
                Sketch { bins: bins.filter(|(_, count)| *count > 0).collect() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    #[test]
    fn a_sum_of_sketches_is_the_sketch_of_all_values() {
        let (a, b) = (sketch(&[0, 1, 5_000, u64::MAX]), sketch(&[1, 77, 5_000_000]));
        let (mut sum, mut other) = (SketchSum::default(), SketchSum::default());
        assert!(sum.add(&a.to_bytes()).is_some() && other.add(&b.to_bytes()).is_some());
        sum.merge(&other);
        assert_eq!(sum.sketch(), sketch(&[0, 1, 5_000, u64::MAX, 1, 77, 5_000_000]));
        let mut beyond = Pack::default();
        [2_368, 1].into_iter().for_each(|number| beyond.unsigned(number));
        assert!(sum.add(&beyond.finish()).is_none(), "a bin that no value falls into");
    }

    #[test]
    fn a_sum_has_a_place_for_every_bin_only_where_it_has_many() {
        for bins in [FEW_BINS_MAX, FEW_BINS_MAX + 1] {
            let values: Vec<u64> = (0..u16::try_from(bins).unwrap()).map(middle).collect();
            let (mut sum, mut turned) = (SketchSum::default(), SketchSum::default());
            values.chunks(7).for_each(|values| sum.add(&sketch(values).to_bytes()).unwrap());
            turned.merge(&sum);
            for sum in [&sum, &turned] {
                assert_eq!(matches!(sum, SketchSum::Few(_)), bins == FEW_BINS_MAX, "{bins}");
                assert_eq!(sum.sketch(), sketch(&values));
            }
            turned.merge(&sum);
            assert_eq!(turned.sketch(), sketch(&[values.clone(), values].concat()));
        }
    }

    #[test]
    fn bins_follow_each_other_without_gap_and_are_bounded() {
        let mut last = None;
        for value in (0..200_000).chain((18..42).flat_map(|p| [(1u64 << p) - 1, 1 << p])) {
            let bin = bin(value);
            assert!(last.is_none_or(|last| bin >= last), "{value}");
            last = Some(bin);
        }
        for value in 0..200_000u64 {
            assert!(bin(value + 1) - bin(value) <= 1, "{value}");
        }
        assert_eq!(usize::from(bin(u64::MAX)) + 1, BINS_MAX);
    }

    #[test]
    fn an_empty_sketch_has_no_quantile() {
        assert_eq!(Sketch::default().quantile(50), None);
        assert_eq!(sketch(&[7]).quantile(0), Some(7));
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_one_percent_of_the_exact_one(
            mut values in proptest::collection::vec(prop_oneof![0u64..1_000, 0u64..100_000_000, 0u64..VALUE_MS_MAX], 1..300),
            percent in 1u64..=100,
        ) {
            let found = sketch(&values).quantile(percent).unwrap();
            values.sort_unstable();
            let rank = (values.len() * usize::try_from(percent).unwrap()).div_ceil(100).max(1);
            let exact = values[rank - 1];
            prop_assert!(found.abs_diff(exact) * 100 <= exact, "found {found}, exact {exact}");
        }

        #[test]
        fn merging_is_adding_all_values_in_any_order(
            a in proptest::collection::vec(0u64..1_000_000, 0..100),
            b in proptest::collection::vec(0u64..1_000_000, 0..100),
        ) {
            let whole = sketch(&[a.clone(), b.clone()].concat());
            let mut merged = sketch(&b);
            merged.merge(&sketch(&a));
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(Sketch::from_bytes(&whole.to_bytes()).unwrap(), whole);
        }
    }
}
