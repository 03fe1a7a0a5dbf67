//! Any bytes given to the readers of notes, checkpoints, proofs and keys are refused, or are printed again as they were.
#![no_main]

#[path = "../../crates/evidence/ledger/tests/support/property.rs"]
mod property;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    property::holds_for(input);
});
