//! Sorted keys in one value, each said by how much of the one before it repeats: a leaf, or changes that wait for one.
//!
//! Every [`RESTART_KEYS`]th key is whole, and where those stand is told at the end, so that a key is found without reading
//! all before it. A key that is put and one that is taken out look alike but for a bit.
//! Not here: where runs are kept (`leaves`).

use std::cmp::Ordering;

/// Keys from one whole key to the next.
const RESTART_KEYS: usize = 32;
/// How many bytes say where a whole key stands, and how many of them there are.
const OFFSET_BYTES: usize = 4;

/// Writes a run; keys come in their order, each once.
#[derive(Default)]
pub(super) struct RunWriter {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    last: Vec<u8>,
    keys: usize,
}

impl RunWriter {
    /// Adds a key that is put, or taken out.
    pub(super) fn add(&mut self, key: &[u8], is_put: bool) {
        let shared = if self.keys.is_multiple_of(RESTART_KEYS) {
            self.restarts.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
            0
        } else {
            common(&self.last, key)
        };
        let fresh = key.get(shared..).unwrap_or_default();
        write_number(shared * 2 + usize::from(is_put), &mut self.bytes);
        write_number(fresh.len(), &mut self.bytes);
        self.bytes.extend_from_slice(fresh);
        self.last.truncate(shared);
        self.last.extend_from_slice(fresh);
        self.keys += 1;
    }

    /// How many keys it has.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// How long it is so far, but for its end.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The run. The writer is empty again and keeps its memory.
    pub(super) fn finish(&mut self, run: &mut Vec<u8>) {
        run.clear();
        run.extend_from_slice(&self.bytes);
        for at in &self.restarts {
            run.extend_from_slice(&at.to_le_bytes());
        }
        let count = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        run.extend_from_slice(&count.to_le_bytes());
        self.bytes.clear();
        self.restarts.clear();
        self.last.clear();
        self.keys = 0;
    }
}

/// How many bytes two keys begin with alike.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A number in groups of seven bits, least significant first.
fn write_number(mut number: usize, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    to.push(u8::try_from(number).unwrap_or(0));
}

fn read_number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let (mut number, mut shift) = (0_usize, 0_u32);
    loop {
        let byte = *bytes.get(*at)?;
        *at = at.checked_add(1)?;
        number |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift = shift.checked_add(7).filter(|shift| *shift < usize::BITS)?;
    }
}

/// Bytes that are no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// A run to read.
#[derive(Clone, Copy)]
pub(super) struct Run<'r> {
    bytes: &'r [u8],
    restarts: &'r [[u8; OFFSET_BYTES]],
}

impl<'r> Run<'r> {
    /// The run in these bytes; nothing at all is a run without keys.
    pub(super) fn new(bytes: &'r [u8]) -> Result<Self, Damaged> {
        let Some((rest, count)) = bytes.split_last_chunk() else {
            return if bytes.is_empty() { Ok(Self { bytes: &[], restarts: &[] }) } else { Err(Damaged) };
        };
        let count = usize::try_from(u32::from_le_bytes(*count)).map_err(|_| Damaged)?;
        let from = count.checked_mul(OFFSET_BYTES).and_then(|bytes| rest.len().checked_sub(bytes));
        let (bytes, restarts) = from.and_then(|from| rest.split_at_checked(from)).ok_or(Damaged)?;
        let (restarts, _) = restarts.as_chunks();
        Ok(Self { bytes, restarts })
    }

    /// Whether it has no key.
    pub(super) fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The keys from the first whole one on, or from the last whole one that is not after `key`.
    pub(super) fn from(self, key: Option<&[u8]>) -> Result<Keys<'r>, Damaged> {
        let mut keys = Keys { run: self, at: 0, next: 0, key: Vec::new(), is_put: false };
        let Some(key) = key else { return Ok(keys) };
        let (mut low, mut high) = (0, self.restarts.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.whole(middle)?.cmp(key) == Ordering::Greater {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        if let Some(restart) = low.checked_sub(1) {
            keys.at = self.restart(restart)?;
            keys.next = restart.saturating_mul(RESTART_KEYS);
        }
        Ok(keys)
    }

    fn restart(self, number: usize) -> Result<usize, Damaged> {
        let at = self.restarts.get(number).ok_or(Damaged)?;
        usize::try_from(u32::from_le_bytes(*at)).map_err(|_| Damaged)
    }

    fn whole(self, number: usize) -> Result<&'r [u8], Damaged> {
        let at = self.restart(number)?;
        self.whole_at(at).ok_or(Damaged)
    }

    fn whole_at(self, mut at: usize) -> Option<&'r [u8]> {
        let shared = read_number(self.bytes, &mut at)? / 2;
        let fresh = read_number(self.bytes, &mut at)?;
        self.bytes.get(at..at.checked_add(fresh)?).filter(|_| shared == 0)
    }
}

/// Keys of a run, one after the other.
pub(super) struct Keys<'r> {
    run: Run<'r>,
    at: usize,
    /// The number of the key that comes.
    next: usize,
    key: Vec<u8>,
    is_put: bool,
}

impl Keys<'_> {
    /// Goes to the next key; whether there was one.
    pub(super) fn step(&mut self) -> Result<bool, Damaged> {
        if self.at >= self.run.bytes.len() {
            return Ok(false);
        }
        let mut read = || {
            let head = read_number(self.run.bytes, &mut self.at)?;
            let fresh = read_number(self.run.bytes, &mut self.at)?;
            let end = self.at.checked_add(fresh)?;
            let fresh = self.run.bytes.get(self.at..end)?;
            if head / 2 > self.key.len() {
                return None;
            }
            self.key.truncate(head / 2);
            self.key.extend_from_slice(fresh);
            self.at = end;
            Some(head % 2 == 1)
        };
        self.is_put = read().ok_or(Damaged)?;
        self.next = self.next.saturating_add(1);
        Ok(true)
    }

    /// Goes to one of the run's keys, from 0 on: forward, or nowhere where it is there.
    pub(super) fn go_to(&mut self, number: usize) -> Result<(), Damaged> {
        let restart = number / RESTART_KEYS;
        if restart > self.next / RESTART_KEYS {
            self.at = self.run.restart(restart)?;
            self.next = restart.saturating_mul(RESTART_KEYS);
        }
        while self.next <= number {
            if !self.step()? {
                return Err(Damaged);
            }
        }
        Ok(())
    }

    /// The key come to.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Whether it is put.
    pub(super) fn is_put(&self) -> bool {
        self.is_put
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u32) -> Vec<Vec<u8>> {
        (0..count)
            .map(|n| format!("class-{:02}/{n:06}{}", n / 50, "x".repeat(n as usize % 7)).into_bytes())
            .collect()
    }

    fn run(keys: &[Vec<u8>]) -> Vec<u8> {
        let (mut writer, mut run) = (RunWriter::default(), Vec::new());
        for (n, key) in keys.iter().enumerate() {
            writer.add(key, n % 3 != 0);
        }
        assert_eq!(writer.keys(), keys.len());
        writer.finish(&mut run);
        run
    }

    fn read(run: &[u8], from: Option<&[u8]>) -> Result<Vec<(Vec<u8>, bool)>, Damaged> {
        let mut keys = Run::new(run)?.from(from)?;
        let mut found = Vec::new();
        while keys.step()? {
            found.push((keys.key().to_vec(), keys.is_put()));
        }
        Ok(found)
    }

    #[test]
    fn keys_come_back_whole_in_their_order_from_any_of_them_on() {
        for count in [0, 1, 31, 32, 33, 300] {
            let keys = keys(count);
            let run = run(&keys);
            let expected: Vec<(Vec<u8>, bool)> =
                keys.iter().enumerate().map(|(n, key)| (key.clone(), n % 3 != 0)).collect();
            assert_eq!(read(&run, None).unwrap(), expected);
            for (at, key) in keys.iter().enumerate() {
                let found = read(&run, Some(key)).unwrap();
                let whole = at - at % RESTART_KEYS;
                assert_eq!(found, expected[whole..]);
            }
            assert_eq!(read(&run, Some(b"")).unwrap(), expected);
        }
        assert_eq!(read(&[], None).unwrap(), []);
    }

    #[test]
    fn keys_are_gone_to_by_their_number() {
        let all = keys(300);
        let run = run(&all);
        for far in [1, 2, 31, 32, 33, 100] {
            let mut keys = Run::new(&run).unwrap().from(None).unwrap();
            for at in (far - 1..all.len()).step_by(far) {
                for _ in 0..2 {
                    keys.go_to(at).unwrap();
                    assert_eq!((keys.key(), keys.is_put()), (all[at].as_slice(), at % 3 != 0));
                }
            }
            assert!(keys.go_to(300).is_err());
            assert!(Run::new(&run).unwrap().from(None).unwrap().go_to(1_000).is_err());
        }
    }

    #[test]
    fn a_run_is_much_smaller_than_its_keys() {
        let keys = keys(300);
        let all: usize = keys.iter().map(Vec::len).sum();
        assert!(run(&keys).len() * 2 < all);
    }

    #[test]
    fn damaged_bytes_are_told_or_read_as_other_keys_and_never_panic() {
        let whole = run(&keys(70));
        for at in 0..whole.len() {
            drop(read(&whole[..at], Some(b"class-01")));
            for bit in 0..8 {
                let mut run = whole.clone();
                run[at] ^= 1 << bit;
                drop(read(&run, None));
                drop(read(&run, Some(b"class-01")));
            }
        }
        assert!(Run::new(&[1, 2]).is_err());
        assert!(Run::new(&[0xff, 0xff, 0xff, 0xff]).is_err());
    }
}
