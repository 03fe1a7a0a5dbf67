//! Any bytes given to the event reader end in an event that is read back equal, or in a refusal.
#![no_main]

#[path = "../../crates/edge/cloudevents/tests/support/property.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    property::holds_for(input);
});
