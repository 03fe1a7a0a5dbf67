//! The limits of an event, named once, unit last; each has a test at the limit where it is enforced.

/// Longest `id` and `subject` of an event, in bytes of UTF-8.
pub const ATTRIBUTE_BYTES_MAX: usize = 1_024;
/// Longest `source` of an event, in bytes of UTF-8.
pub const SOURCE_BYTES_MAX: usize = 2_048;
/// Longest `type` of an event, in bytes of UTF-8; it stands in clear in every entry.
pub const TYPE_BYTES_MAX: usize = 255;
/// Longest name of a CloudEvents extension attribute; the specification advises 20 and allows more.
pub const EXTENSION_NAME_BYTES_MAX: usize = 64;
/// Most extension attributes of one event.
pub const EXTENSIONS_MAX: usize = 32;
/// Deepest nesting of arrays and objects in an event's data.
pub const DEPTH_MAX: usize = 64;
/// Most values (scalars, arrays and objects together) in one event's data.
pub const VALUES_MAX: usize = 16_384;
/// Largest serialised event accepted as one input, in bytes.
pub const EVENT_BYTES_MAX: usize = 1_048_576;
/// Largest body that stays in its entry; a larger one becomes a blob (design: `inline_data_bytes_max`).
pub const INLINE_DATA_BYTES_MAX: usize = 61_440;
/// Most decimal digits of a number's significand; what an `i128` always holds.
pub const NUMBER_DIGITS_MAX: usize = 38;
/// Largest absolute decimal exponent of a number; beyond what an IEEE 754 double can write.
pub const NUMBER_EXPONENT_MAX: i32 = 400;
/// Longest name of a tenant, in bytes.
pub const TENANT_BYTES_MAX: usize = 63;
/// Longest name of an actor (a principal id), in bytes.
pub const ACTOR_BYTES_MAX: usize = 255;
/// Longest name of a retention class, in bytes.
pub const RETENTION_BYTES_MAX: usize = 32;
