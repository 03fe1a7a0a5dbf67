//! One record of a log before it is an event: the texts of the fields that the mapping asks for, by slot.
//!
//! The same record is filled again and again, so that reading allocates next to nothing.

use crate::limits::FIELD_BYTES_MAX;

/// A record's texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    slots: Vec<Slot>,
    /// Where it stands in the unpacked text, counted from 1.
    pub(crate) line: u64,
    /// Why it cannot be taken apart, where it cannot.
    pub(crate) unreadable: Option<String>,
    /// Whether a text had bytes of no encoding, which became U+FFFD.
    pub(crate) replaced: bool,
    /// Whether a text was longer than is taken.
    pub(crate) cut: bool,
    /// Whether a value of the whole case came after the case's first event.
    pub(crate) late_case: bool,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    is_set: bool,
    /// Whether it stood there as a number of JSON, which has one form whatever the log's texts have.
    is_number: bool,
    text: String,
}

impl Record {
    pub(crate) fn new(slots: usize) -> Self {
        Self { slots: vec![Slot::default(); slots], ..Self::default() }
    }

    pub(crate) fn clear(&mut self) {
        for slot in &mut self.slots {
            slot.is_set = false;
        }
        self.unreadable = None;
        (self.replaced, self.cut, self.late_case) = (false, false, false);
    }

    /// Puts a text into a slot; a text longer than the limit is cut at a character.
    pub(crate) fn set(&mut self, slot: usize, text: &str) {
        let mut end = text.len();
        if end > FIELD_BYTES_MAX {
            end = FIELD_BYTES_MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            self.cut = true;
        }
        if let Some(slot) = self.slots.get_mut(slot) {
            (slot.is_set, slot.is_number) = (true, false);
            slot.text.clear();
            slot.text.push_str(text.get(..end).unwrap_or_default());
        }
    }

    /// Puts the digits of a number of JSON into a slot.
    pub(crate) fn set_number(&mut self, slot: usize, digits: &str) {
        self.set(slot, digits);
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.is_number = true;
        }
    }

    /// Whether a slot has a number of JSON, and no text.
    pub(crate) fn is_number(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.is_set && slot.is_number)
    }

    /// The text of a slot; white space around it does not count, and nothing else is nothing.
    pub(crate) fn get(&self, slot: usize) -> Option<&str> {
        let slot = self.slots.get(slot).filter(|slot| slot.is_set)?;
        Some(slot.text.trim()).filter(|text| !text.is_empty())
    }

    /// Takes over what is set in another record, and its marks.
    pub(crate) fn take_over(&mut self, other: &Self) {
        for (at, slot) in other.slots.iter().enumerate().filter(|(_, slot)| slot.is_set) {
            self.set(at, &slot.text);
        }
        self.replaced |= other.replaced;
        self.cut |= other.cut;
        self.late_case |= other.late_case;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_up_to_its_limit() {
        let mut record = Record::new(1);
        record.set(0, &"x".repeat(FIELD_BYTES_MAX));
        assert!(!record.cut);
        record.set(0, &format!("{}é", "x".repeat(FIELD_BYTES_MAX - 1)));
        assert!(record.cut, "the last character stands across the limit");
        assert_eq!(record.get(0).unwrap().len(), FIELD_BYTES_MAX - 1);
        record.clear();
        assert_eq!((record.get(0), record.cut), (None, false));
        record.set(0, "  ");
        assert_eq!(record.get(0), None);
    }
}
