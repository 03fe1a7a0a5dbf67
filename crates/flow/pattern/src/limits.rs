//! The limits of patterns and of events, each with its unit last; a test stands at each of them (`tests/limits.rs`).
//!
//! They are constants and no configuration: what a pattern means, and whether it is one, is the same on every node.

/// Longest pattern, in bytes of its JSON text. EventBridge takes 2,048 characters, or 4,096 on request.
pub const PATTERN_BYTES_MAX: usize = 65_536;

/// Deepest nesting of a pattern, in objects and arrays; the outermost object counts.
pub const PATTERN_DEPTH_MAX: usize = 32;

/// Most combinations that the `$or` of one pattern multiply out to; EventBridge allows as many.
pub const COMBINATIONS_MAX: usize = 1_000;

/// Most fields that one combination names.
pub const FIELDS_MAX: usize = 256;

/// Most alternatives for one field, and most operands of one `anything-but`.
pub const ALTERNATIVES_MAX: usize = 4_096;

/// Most wildcard characters (`*`) in one value.
pub const WILDCARDS_MAX: usize = 16;

/// Most significant digits of a number in a pattern; an event's numbers may have any number of them.
pub const NUMBER_DIGITS_MAX: usize = 38;

/// Largest decimal exponent of a number in a pattern, and smallest when negated: that of `d` in `0.d × 10^exponent`.
pub const NUMBER_EXPONENT_MAX: i64 = 400;

/// Longest event, in bytes of its JSON text: the same that is accepted at the doors.
pub const EVENT_BYTES_MAX: usize = 1_048_576;

/// Deepest nesting of an event, in objects and arrays; the outermost object counts.
///
/// The scanner keeps the kinds of what it passes over as the bits of a `u128`.
pub const EVENT_DEPTH_MAX: usize = 128;
