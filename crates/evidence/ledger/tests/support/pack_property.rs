//! What holds for any bytes given to the verifier of packs; shared with the fuzz target.

use waag_ledger::note::VerifierKey;
use waag_ledger::pack::{Trust, read_key_history, verify, write_key_history};

/// The key that the corpus's good packs are signed with.
pub(crate) const VKEY: &str = "waag.example/acme/00112233445566778899aabbccddeeff+b00e82b5+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

/// The bytes are refused with a code and a reason, or every entry they tell of opens; whether they were verified.
pub(crate) fn holds_for(input: &[u8]) -> bool {
    if let Ok((origin, history)) = read_key_history(input) {
        assert!(write_key_history(&origin, &history) == input, "a key history has one spelling");
    }
    let keys: Vec<VerifierKey> = VKEY.parse().into_iter().collect();
    match verify(input, &Trust { keys: &keys, ..Trust::default() }) {
        Err(fault) => {
            assert!(fault.code().starts_with('E') && !fault.to_string().is_empty());
            assert!(fault.place().offset.is_none_or(|offset| offset <= input.len()));
            false
        }
        Ok(verdict) => {
            let entries = usize::try_from(verdict.manifest().counts.entries).ok();
            assert!(entries != Some(0) && entries == Some(verdict.events().filter(Result::is_ok).count()));
            // Headers, names and members are all there is.
            let covered = verdict.members().map(|(name, bytes)| 30 + 46 + 2 * name.len() + bytes.len());
            assert!(covered.sum::<usize>() + 22 == input.len(), "a byte is not covered");
            true
        }
    }
}
