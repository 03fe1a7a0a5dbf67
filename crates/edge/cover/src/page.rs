//! A page's content before it is drawn: blocks of text, in order, without any form.

use waag_model::text::steers;

/// What stands on a cover, in reading order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The document's title.
    pub title: String,
    /// One line below the title.
    pub subtitle: String,
    /// What stands in the foot of each printed page.
    pub foot: String,
    /// When the document was made, as nanoseconds since 1970 (UTC).
    pub made_ns: i64,
    /// Everything else.
    pub blocks: Vec<Block>,
}

/// A block of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A paragraph that must be seen.
    Note(String),
    /// Names and what stands for them.
    Facts(Vec<Fact>),
    /// A numbered step: what to do, and what to type.
    Step {
        /// Its number.
        number: u32,
        /// What to do.
        text: String,
        /// What to type, one command a line.
        commands: Vec<String>,
    },
    /// A table.
    Table(Table),
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
    /// Whether the value is compared letter by letter: hashes, ids, keys.
    pub is_code: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, each with a cell for every column.
    pub rows: Vec<Vec<String>>,
}

/// A table's column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its head.
    pub head: &'static str,
    /// Its share of the width, in hundredths.
    pub share: u8,
    /// Whether its cells are numbers, which stand to the right.
    pub is_number: bool,
    /// Whether its cells are compared letter by letter.
    pub is_code: bool,
}

/// A text that changes nothing beside it (`COVER-3`).
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_replaced_and_what_shows_stays() {
        assert_eq!(plain("a\u{202e}b\u{7}c\n"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(plain("Zürich €5 – ok"), "Zürich €5 – ok");
    }
}
