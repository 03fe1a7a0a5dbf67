//! A leaf of an event: a value that holds no others. Only leaves are tested; objects and arrays are ways to them.

/// One value, its characters borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf<'a> {
    /// A string, without escapes.
    Text(&'a str),
    /// A number as it is written.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Literal(Literal),
}

/// The three literals of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Literal {
    True,
    False,
    Null,
}
