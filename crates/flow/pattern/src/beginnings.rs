//! Beginnings, and the question which of them a text has. Endings are beginnings of the text read backwards.

use std::collections::BTreeMap;

use crate::names::Map;

/// Up to how many beginnings a plain list is searched.
const FEW: usize = 12;

/// Lists by beginning.
#[derive(Clone, Debug)]
pub(crate) struct Beginnings<T> {
    few: Vec<Entry<T>>,
    /// Instead of the list where there are more.
    many: Map<Box<[u8]>, Vec<T>>,
    /// For `many`: the lengths in use, and how many beginnings have each.
    lengths: BTreeMap<usize, usize>,
}

/// A beginning, with its first eight bytes as a word and ones at the bits that they take.
#[derive(Clone, Debug)]
struct Entry<T> {
    word: u64,
    mask: u64,
    bytes: Box<[u8]>,
    items: Vec<T>,
}

impl<T> Default for Beginnings<T> {
    fn default() -> Self {
        Self { few: Vec::new(), many: Map::default(), lengths: BTreeMap::new() }
    }
}

impl<T: PartialEq> Beginnings<T> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    /// How many items one beginning has.
    pub(crate) fn count(&self, beginning: &[u8]) -> usize {
        let few = self.few.iter().find(|entry| *entry.bytes == *beginning).map(|entry| &entry.items);
        few.or_else(|| self.many.get(beginning)).map_or(0, Vec::len)
    }

    pub(crate) fn insert(&mut self, beginning: Box<[u8]>, item: T) {
        if let Some(entry) = self.few.iter_mut().find(|entry| entry.bytes == beginning) {
            entry.items.push(item);
        } else if self.many.is_empty() && self.few.len() < FEW {
            let (word, mask) = (word(&beginning), word(&beginning.iter().map(|_| 0xFF).collect::<Vec<_>>()));
            self.few.push(Entry { word, mask, bytes: beginning, items: vec![item] });
        } else {
            let few: Vec<_> = self.few.drain(..).map(|entry| (entry.bytes, entry.items)).collect();
            for (beginning, items) in few {
                self.insert_of_many(beginning, items);
            }
            self.insert_of_many(beginning, vec![item]);
        }
    }

    fn insert_of_many(&mut self, beginning: Box<[u8]>, mut items: Vec<T>) {
        let length = beginning.len();
        let known = self.many.entry(beginning).or_default();
        if known.is_empty() {
            *self.lengths.entry(length).or_default() += 1;
        }
        known.append(&mut items);
    }

    pub(crate) fn remove(&mut self, beginning: &[u8], item: &T) {
        if let Some(entry) = self.few.iter_mut().find(|entry| *entry.bytes == *beginning) {
            entry.items.retain(|other| other != item);
        }
        self.few.retain(|entry| !entry.items.is_empty());
        if let Some(items) = self.many.get_mut(beginning) {
            items.retain(|other| other != item);
            if items.is_empty() {
                self.many.remove(beginning);
                let uses = self.lengths.get(&beginning.len()).map_or(0, |uses| uses.saturating_sub(1));
                if uses == 0 {
                    self.lengths.remove(&beginning.len());
                } else {
                    self.lengths.insert(beginning.len(), uses);
                }
            }
        }
    }

    /// Shows every list whose beginning the text has.
    #[inline]
    pub(crate) fn each(&self, text: &[u8], mut hit: impl FnMut(&[T])) {
        if self.is_empty() {
            return;
        }
        if self.many.is_empty() {
            let start = word(text);
            for entry in self.few.iter().filter(|entry| start & entry.mask == entry.word) {
                // Bytes that are zero look as if they were missing, so the length counts as well.
                let fits = if entry.bytes.len() <= 8 {
                    text.len() >= entry.bytes.len()
                } else {
                    text.starts_with(&entry.bytes)
                };
                if fits {
                    hit(&entry.items);
                }
            }
        } else {
            self.each_of_many(text, &mut hit);
        }
    }

    /// One lookup for each length in use that the text reaches; rules of one kind have few lengths.
    fn each_of_many(&self, text: &[u8], hit: &mut impl FnMut(&[T])) {
        for length in self.lengths.range(..=text.len()).map(|(length, _)| *length) {
            if let Some(items) = text.get(..length).and_then(|start| self.many.get(start)) {
                hit(items);
            }
        }
    }
}

/// The first eight bytes, zeros where there are fewer.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(first) => u64::from_le_bytes(*first),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_is_found_and_nothing_else() {
        let all = [
            "a",
            "ab",
            "abc",
            "abd",
            "b",
            "ba",
            "bba",
            "bbba",
            "c",
            "\u{ff}x",
            "",
            "abcdefgh",
            "abcdefghi",
            "abcdefghx",
            "\0",
            "ab\0",
        ];
        for beginnings in [&all[..], &all[..12], &all[4..16], &all[3..4], &[]] {
            let mut tree = Beginnings::default();
            beginnings.iter().for_each(|one| tree.insert(one.as_bytes().into(), *one));
            for text in [
                "", "a", "abcd", "abce", "abz", "az", "bbbb", "bab", "zz", "ab\0", "\0", "\u{ff}xy", "\u{fe}",
            ] {
                let mut found: Vec<&str> = Vec::new();
                tree.each(text.as_bytes(), |items| found.extend(items));
                found.sort_unstable();
                let mut expected: Vec<_> =
                    beginnings.iter().copied().filter(|one| text.starts_with(one)).collect();
                expected.sort_unstable();
                assert_eq!(found, expected, "{text}");
            }
            beginnings.iter().for_each(|one| tree.remove(one.as_bytes(), one));
            assert!(tree.is_empty() && tree.lengths.is_empty());
        }
    }
}
