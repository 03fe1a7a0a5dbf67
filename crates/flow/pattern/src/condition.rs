//! What is asked of one field: the alternatives of its array in the pattern, and whether the field may be absent.
//!
//! This is the meaning of every operator, applied to one leaf at a time; `index` only finds faster what holds here, and
//! the tests compare both with a third, slow statement of the same.
//! Sources: Amazon EventBridge user guide, "Comparison operators for use in event patterns"; README of aws/event-ruler.

use crate::cidr::{Address, Cidr};
use crate::fold;
use crate::glob::Glob;
use crate::leaf::{Leaf, Literal};
use crate::names::Map;
use crate::number::{Number, Range};

/// The alternatives for one field; one that holds suffices.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Condition {
    /// Exact strings, sorted.
    pub(crate) texts: Vec<Box<str>>,
    /// Exact numbers, sorted.
    pub(crate) numbers: Vec<Number>,
    /// All other tests of a leaf.
    pub(crate) others: Vec<Test>,
    /// `exists: false` is among the alternatives.
    pub(crate) or_absent: bool,
}

/// A test of one leaf, other than being equal to a string or a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    Literal(Literal),
    /// `exists: true`: any leaf, also `null`.
    Exists,
    Prefix(Box<str>),
    Suffix(Box<str>),
    /// Folded, as the next two.
    EqualsFolded(Box<str>),
    PrefixFolded(Box<str>),
    SuffixFolded(Box<str>),
    Wildcard(Glob),
    Range(Range),
    Cidr(Cidr),
    AnythingBut(But),
}

/// The operand of `anything-but`: any leaf holds, of whatever type, that is none of these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum But {
    /// Sorted, as the numbers and the folded texts.
    Texts(Box<[Box<str>]>),
    Numbers(Box<[Number]>),
    Folded(Box<[Box<str>]>),
    Prefixes(Box<[Box<str>]>),
    Suffixes(Box<[Box<str>]>),
    Wildcards(Box<[Glob]>),
}

impl Condition {
    /// Whether the leaf satisfies one of the alternatives.
    pub(crate) fn accepts(&self, leaf: &Leaf<'_>) -> bool {
        let exact = match leaf {
            Leaf::Text(text) => self.texts.binary_search_by(|other| (**other).cmp(text)).is_ok(),
            Leaf::Number(number) => {
                !self.numbers.is_empty() && self.numbers.binary_search(&Number::parse(number)).is_ok()
            }
            Leaf::Literal(_) => false,
        };
        exact || self.others.iter().any(|test| test.accepts(leaf))
    }

    /// How many alternatives there are.
    pub(crate) fn len(&self) -> usize {
        self.texts.len() + self.numbers.len() + self.others.len() + usize::from(self.or_absent)
    }

    /// Puts the exact values into the order that [`Self::accepts`] searches; what is there twice is kept once.
    pub(crate) fn sort(&mut self) {
        let mut known = Map::default();
        self.others.retain(|test| known.insert(test.clone(), ()).is_none());
        self.texts.sort_unstable();
        self.texts.dedup();
        self.numbers.sort_unstable();
        self.numbers.dedup();
    }
}

impl Test {
    pub(crate) fn accepts(&self, leaf: &Leaf<'_>) -> bool {
        match (self, leaf) {
            (Self::Exists, _) => true,
            (Self::AnythingBut(but), _) => !but.names(leaf),
            (Self::Literal(literal), Leaf::Literal(other)) => literal == other,
            (Self::Prefix(start), Leaf::Text(text)) => text.starts_with(&**start),
            (Self::Suffix(end), Leaf::Text(text)) => text.ends_with(&**end),
            (Self::EqualsFolded(folded), Leaf::Text(text)) => fold::equals(text, folded),
            (Self::PrefixFolded(start), Leaf::Text(text)) => fold::starts_with(text, start),
            (Self::SuffixFolded(end), Leaf::Text(text)) => fold::ends_with(text, end),
            (Self::Wildcard(glob), Leaf::Text(text)) => glob.matches(text),
            (Self::Cidr(cidr), Leaf::Text(text)) => {
                Address::parse(text).is_some_and(|address| cidr.contains(address))
            }
            (Self::Range(range), Leaf::Number(number)) => range.contains(&Number::parse(number)),
            (_, Leaf::Text(_) | Leaf::Number(_) | Leaf::Literal(_)) => false,
        }
    }
}

impl But {
    /// Whether the leaf is one of those that are excepted.
    fn names(&self, leaf: &Leaf<'_>) -> bool {
        match (self, leaf) {
            (Self::Texts(texts), Leaf::Text(text)) => {
                texts.binary_search_by(|other| (**other).cmp(text)).is_ok()
            }
            (Self::Numbers(numbers), Leaf::Number(number)) => {
                numbers.binary_search(&Number::parse(number)).is_ok()
            }
            (Self::Folded(texts), Leaf::Text(text)) => texts.iter().any(|other| fold::equals(text, other)),
            (Self::Prefixes(starts), Leaf::Text(text)) => {
                starts.iter().any(|start| text.starts_with(&**start))
            }
            (Self::Suffixes(ends), Leaf::Text(text)) => ends.iter().any(|end| text.ends_with(&**end)),
            (Self::Wildcards(globs), Leaf::Text(text)) => globs.iter().any(|glob| glob.matches(text)),
            (_, Leaf::Text(_) | Leaf::Number(_) | Leaf::Literal(_)) => false,
        }
    }
}
