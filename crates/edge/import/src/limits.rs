//! The limits of an import, named once, unit last.

/// Largest mapping file, in bytes.
pub const MAPPING_BYTES_MAX: usize = 1_048_576;
/// Most activities, status words and extra fields of one mapping, each.
pub const MAPPING_NAMES_MAX: usize = 10_000;
/// Longest piece of XML (one tag, one text) and longest row of a table, in bytes of UTF-8.
pub const PIECE_BYTES_MAX: usize = 1_048_576;
/// Longest text that is taken of one field, in bytes of UTF-8; what is longer is cut at a character, and marked.
pub const FIELD_BYTES_MAX: usize = 16_384;
/// Most digits of a JSON number that are written out; a longer one keeps its exponent.
pub const NUMBER_DIGITS_MAX: usize = 40;
/// Deepest nesting of XML elements.
pub const ELEMENT_DEPTH_MAX: usize = 64;
/// Most examples kept of one kind of oddity; its count goes on.
pub const EXAMPLES_MAX: usize = 200;
/// Longest quotation in an example, in bytes of UTF-8.
pub const EXAMPLE_BYTES_MAX: usize = 128;
/// Most names of unmapped activities that are counted one by one.
pub const UNMAPPED_NAMES_MAX: usize = 256;
