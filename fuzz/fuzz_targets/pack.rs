//! Any bytes given to the verifier of evidence packs are refused, or are a pack of which every byte is covered.
#![no_main]

#[path = "../../crates/evidence/ledger/tests/support/pack_property.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    property::holds_for(input);
});
