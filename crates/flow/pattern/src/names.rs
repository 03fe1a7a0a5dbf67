//! Texts and what they lead to, made for being asked about texts that are not there: most names of an event are named by no
//! rule, and most values are no rule's.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;

/// A map whose behaviour is the same in every run; SipHash keeps authors of patterns from steering its places cheaply.
pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Up to how many texts a small table of our own is used.
const FEW: usize = 16;

/// Places of that table, a power of two; at least half of them stay free.
const SLOTS: usize = 32;

/// A text's length, and its bytes where there are no more than eight; else a mixture of its first and last eight.
type Head = (usize, u64);

/// Values by text.
#[derive(Clone, Debug)]
pub(crate) struct Names<V> {
    few: Vec<(Head, Box<str>, V)>,
    /// For `few`: the item's number from 1 at the first free place from its head's [`mark`] on.
    slots: [u8; SLOTS],
    /// Instead of `few` where there are more.
    many: Map<Box<str>, V>,
    /// For `many`: one bit for each mark of a text that is or was here.
    marks: [u64; 4],
}

impl<V> Default for Names<V> {
    fn default() -> Self {
        Self { few: Vec::new(), slots: [0; SLOTS], many: Map::default(), marks: [0; 4] }
    }
}

impl<V> Names<V> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        if self.is_empty() {
            return None;
        }
        let head = head(name);
        let mark = mark(head);
        if self.few.is_empty() {
            let is_marked = self.marks.get(mark >> 6).is_some_and(|marks| marks >> (mark & 63) & 1 == 1);
            return if is_marked { self.many.get(name) } else { None };
        }
        let mut slot = mark;
        while let Some(place) =
            self.slots.get(slot % SLOTS).and_then(|item| usize::from(*item).checked_sub(1))
        {
            let (other, text, value) = self.few.get(place)?;
            if *other == head && (name.len() <= 8 || **text == *name) {
                return Some(value);
            }
            slot += 1;
        }
        None
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        let few = self.few.iter_mut().find(|(_, other, _)| **other == *name);
        few.map(|(_, _, value)| value).or_else(|| self.many.get_mut(name))
    }

    /// Adds a text that is not there.
    pub(crate) fn insert(&mut self, name: &str, value: V) {
        if self.many.is_empty() && self.few.len() < FEW {
            self.few.push((head(name), name.into(), value));
            self.place(self.few.len() - 1);
            return;
        }
        for (head, name, value) in self.few.drain(..) {
            note(&mut self.marks, head);
            self.many.insert(name, value);
        }
        note(&mut self.marks, head(name));
        self.many.insert(name.into(), value);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.few.retain(|(_, other, _)| **other != *name);
        self.many.remove(name);
        self.slots = [0; SLOTS];
        (0..self.few.len()).for_each(|item| self.place(item));
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Enters an item of `few` in the table.
    fn place(&mut self, item: usize) {
        let Some(mut slot) = self.few.get(item).map(|(head, _, _)| mark(*head)) else { return };
        while self.slots.get(slot % SLOTS).is_some_and(|taken| *taken != 0) {
            slot += 1;
        }
        if let (Some(free), Ok(number)) = (self.slots.get_mut(slot % SLOTS), u8::try_from(item + 1)) {
            *free = number;
        }
    }
}

fn note(marks: &mut [u64; 4], head: Head) {
    let mark = mark(head);
    marks.get_mut(mark >> 6).into_iter().for_each(|marks| *marks |= 1 << (mark & 63));
}

#[inline]
fn head(name: &str) -> Head {
    let bytes = name.as_bytes();
    let four = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    let word = if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        if bytes.len() == 8 { first } else { first.rotate_left(27) ^ last }
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // Of four to seven bytes some are taken twice, which tells as much.
        four(first) | four(last) << 32
    } else {
        bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    (bytes.len(), word)
}

/// A number below 256 from a text's head.
#[inline]
fn mark((length, word): Head) -> usize {
    let mixed = (word ^ length as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_found_and_no_other() {
        for count in [1, 16, 17, 60] {
            let texts: Vec<String> = (0..count).map(|n| "aäb".chars().cycle().take(n).collect()).collect();
            let mut names = Names::default();
            (0..).zip(&texts).for_each(|(n, text)| names.insert(text, n));
            for (n, text) in texts.iter().enumerate() {
                assert_eq!(names.get(text), Some(&n));
                assert_eq!(names.get(&format!("{text}x")), None);
                assert_eq!(names.get(&format!("x{text}")), None);
            }
            texts.iter().for_each(|text| names.remove(text));
            assert!(names.is_empty() && texts.iter().all(|text| names.get(text).is_none()));
        }
    }

    #[test]
    fn texts_that_differ_in_the_middle_alone_are_told_apart() {
        let mut names = Names::default();
        names.insert("12345678A12345678", 1);
        assert_eq!(names.get("12345678A12345678"), Some(&1));
        assert_eq!(names.get("12345678B12345678"), None);
    }

    #[test]
    fn short_texts_of_one_length_have_different_heads() {
        for length in 0..=8_usize {
            let texts = [0, 1, length / 2, length.saturating_sub(1)].map(|at| {
                let mut text = vec![b'a'; length];
                text.get_mut(at).into_iter().for_each(|byte| *byte = b'b');
                String::from_utf8(text).unwrap()
            });
            for one in &texts {
                texts
                    .iter()
                    .for_each(|other| assert_eq!(head(one) == head(other), one == other, "{one} {other}"));
            }
        }
    }
}
