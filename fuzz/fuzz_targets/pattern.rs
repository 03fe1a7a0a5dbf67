//! Any bytes given as a pattern and an event are refused, or answered the same way in every form and company.
#![no_main]

#[path = "../../crates/flow/pattern/tests/support/property.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    property::holds_for(input);
});
