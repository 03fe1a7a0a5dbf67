//! Names of one batch as small numbers, so that keys and states of the hot path neither copy nor compare texts.
//!
//! A number means nothing outside of its batch; rows hold the texts.

use std::collections::HashMap;

/// A text of this batch. The default is the empty one: nothing was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(u32);

impl Name {
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// The texts.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { numbers: HashMap::from([("".into(), 0)]), texts: vec!["".into()] }
    }

    pub(crate) fn of(&mut self, text: &str) -> Name {
        if text.is_empty() {
            return Name(0);
        }
        if let Some(number) = self.numbers.get(text) {
            return Name(*number);
        }
        // A batch has far fewer names than 2^32: each takes a byte of an event at least.
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.into(), number);
        self.texts.push(text.into());
        Name(number)
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        usize::try_from(name.0).ok().and_then(|at| self.texts.get(at)).map_or("", |text| text)
    }
}
