//! Any bytes given to the readers of stored entries are refused, or are written again byte for byte.
#![no_main]

#[path = "../../crates/evidence/entry/tests/support/property.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    property::holds_for(input);
});
