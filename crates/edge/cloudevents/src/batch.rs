//! A JSON batch (CloudEvents JSON event format §4) is cut into the texts of its events, none of which is copied.
//!
//! Only brackets, strings and commas are looked at, so that an event that is no JSON inside its own brackets is refused
//! alone and its neighbours are not. What an event says is read afterwards ([`crate::read_event`]).
//! Not here: how many events a batch may have (the caller counts).

use crate::refusal::{Reason, Refusal};
use crate::string::plain_end;

/// The texts of a batch's events, from front to back.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    First,
    Next,
    End,
}

/// One element of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its text, without white space around it; empty where a comma follows a comma.
    pub bytes: &'a [u8],
    /// Where it begins in the batch, in bytes.
    pub offset: usize,
}

impl<'a> Items<'a> {
    /// The elements of the array that `bytes` are.
    ///
    /// # Errors
    /// [`Refusal`] where no array begins there.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut items = Self { bytes, at: 0, state: State::First };
        match items.skip_white() {
            Some(b'[') => {
                items.at += 1;
                Ok(items)
            }
            Some(_) => Err(items.refused("an array of events was expected")),
            None => Err(items.refused("it ends too early")),
        }
    }

    /// The next element, `None` behind the array's end.
    ///
    /// # Errors
    /// [`Refusal`] where the array itself is broken: nothing can be told of what follows.
    pub fn next_item(&mut self) -> Result<Option<Item<'a>>, Refusal> {
        let met = match self.state {
            State::End => return Ok(None),
            State::First | State::Next => self.skip_white(),
        };
        if self.state == State::First && met == Some(b']') {
            self.at += 1;
            return self.close().map(|()| None);
        }
        self.state = State::Next;
        let offset = self.at;
        let end = self.pass_over()?;
        let text = self.bytes.get(offset..end).unwrap_or_default().trim_ascii_end();
        if self.bytes.get(end) == Some(&b']') {
            self.at = end + 1;
            self.close()?;
        } else {
            self.at = end + 1;
        }
        Ok(Some(Item { bytes: text, offset }))
    }

    /// The byte behind the element that begins here: its comma or the array's end.
    fn pass_over(&self) -> Result<usize, Refusal> {
        let (mut at, mut depth) = (self.at, 0_usize);
        loop {
            match self.bytes.get(at) {
                Some(b'"') => at = self.string_end(at + 1)?,
                Some(b'{' | b'[') => depth += 1,
                Some(b']') if depth == 0 => return Ok(at),
                Some(b',') if depth == 0 => return Ok(at),
                Some(b'}' | b']') => depth = depth.saturating_sub(1),
                Some(_) => {}
                None => {
                    let reason = Reason::NotJson("the array of events has no end");
                    return Err(Refusal::new(reason, self.bytes.len()));
                }
            }
            at += 1;
        }
    }

    /// The place of the quote that ends the string whose first character is at `from`.
    fn string_end(&self, from: usize) -> Result<usize, Refusal> {
        let mut at = from;
        loop {
            at = plain_end(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => return Ok(at),
                Some(b'\\') => at += 2,
                // A control character: the reader of the event refuses it.
                Some(_) => at += 1,
                None => {
                    let reason = Reason::NotJson("a string in the array of events has no end");
                    return Err(Refusal::new(reason, self.bytes.len()));
                }
            }
        }
    }

    fn close(&mut self) -> Result<(), Refusal> {
        self.state = State::End;
        match self.skip_white() {
            None => Ok(()),
            Some(_) => Err(self.refused("something follows the array of events")),
        }
    }

    fn skip_white(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at).copied() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn refused(&self, what: &'static str) -> Refusal {
        Refusal::new(Reason::NotJson(what), self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Result<Vec<(&str, usize)>, usize> {
        let mut items = Items::new(text.as_bytes()).map_err(|refusal| refusal.offset)?;
        let mut out = Vec::new();
        while let Some(item) = items.next_item().map_err(|refusal| refusal.offset)? {
            out.push((std::str::from_utf8(item.bytes).unwrap(), item.offset));
        }
        assert_eq!(items.next_item(), Ok(None));
        Ok(out)
    }

    #[test]
    fn elements_are_cut_at_commas_outside_of_strings_and_brackets() {
        assert_eq!(cut(" [] \n"), Ok(vec![]));
        assert_eq!(cut("[1]"), Ok(vec![("1", 1)]));
        let text = r#" [ {"a":"x,]\"}"} , {"b":[1,{"c":[]}]},"\\" ] "#;
        let want = vec![(r#"{"a":"x,]\"}"}"#, 3), (r#"{"b":[1,{"c":[]}]}"#, 20), (r#""\\""#, 39)];
        assert_eq!(cut(text), Ok(want));
    }

    #[test]
    fn what_is_wrong_inside_an_element_leaves_its_neighbours_whole() {
        assert_eq!(
            cut("[{\"a\":tru},,{\"b\":1}]"),
            Ok(vec![("{\"a\":tru}", 1), ("", 11), ("{\"b\":1}", 12)])
        );
        assert_eq!(cut("[1,]"), Ok(vec![("1", 1), ("", 3)]));
    }

    #[test]
    fn a_broken_array_is_refused_where_it_breaks() {
        assert_eq!(cut(""), Err(0));
        assert_eq!(cut("  {}"), Err(2));
        assert_eq!(cut("[{}"), Err(3));
        assert_eq!(cut("[\"abc"), Err(5));
        assert_eq!(cut("[\"abc\\"), Err(6));
        assert_eq!(cut("[1] x"), Err(4));
        assert_eq!(cut("[{]}"), Err(4));
    }

    #[test]
    fn every_cut_of_a_batch_is_refused_and_none_loops() {
        let text = r#"[{"a":"x"},{"b":[1,2]}]"#;
        for end in 0..text.len() {
            assert!(cut(text.get(..end).unwrap()).is_err(), "{end}");
        }
    }
}
