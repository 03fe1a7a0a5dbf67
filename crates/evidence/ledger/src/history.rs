//! The history of a ledger's keys: which key could sign when, and by what a signature's time is known.
//!
//! Place: beside notes; carried by packs and shown by `waag log keys`. A history is information: it says when a key was
//! *meant* to sign, and only whoever holds it from another source than the pack may take a key from it.
//! Not here: making, rotating and wiping keys (`evidence/keys`), a file's form (packs).
//!
//! What a window is checked against: a checkpoint has no time of its own, so either of
//! - the earliest time at which a trusted witness cosigned it ([`SignedAt::Cosigned`]): the signature was there by then,
//!   whoever made it; or, where there is none,
//! - the time that the frame or pack tells ([`SignedAt::Told`]): the word of whoever could sign.
//!
//! From that follows what a revoked key is worth: nothing on anybody's word, since whoever stole it can tell any time;
//! but what a witness saw before the revocation was not made by the thief, and stays.
//!
//! - `LEDGER-6`: a revoked key is trusted only for what a witness cosigned before it was revoked.

use crate::note::{KeyId, VerifierKey};
use std::fmt;

/// The most keys in a history.
pub const HISTORY_KEYS_MAX: usize = 128;

/// Nanoseconds of one second.
const SECOND_NS: i64 = 1_000_000_000;

/// What has become of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// It signs.
    Active,
    /// It was replaced in good order and signs no more.
    Retired,
    /// It is lost or in the wrong hands: from then on its signatures say nothing.
    Revoked,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyState::Active => "active",
            KeyState::Retired => "retired",
            KeyState::Revoked => "revoked",
        })
    }
}

/// A key and the time in which it signs: `[from, until)`, in nanoseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWindow {
    /// The key, with its name and algorithm.
    pub key: VerifierKey,
    /// From when it signs.
    pub from_ns: i64,
    /// From when it signs no more; none while it is active.
    pub until_ns: Option<i64>,
    /// What has become of it.
    pub state: KeyState,
}

impl KeyWindow {
    fn is_well_formed(&self) -> bool {
        match (self.state, self.until_ns) {
            (KeyState::Active, None) => true,
            (KeyState::Retired | KeyState::Revoked, Some(until)) => until >= self.from_ns,
            (KeyState::Active, Some(_)) | (KeyState::Retired | KeyState::Revoked, None) => false,
        }
    }

    fn admits(&self, at: SignedAt) -> Result<(), UntrustedReason> {
        if self.state == KeyState::Revoked && matches!(at, SignedAt::Told { .. }) {
            return Err(UntrustedReason::RevokedOnTold);
        }
        let (first, last) = at.span_ns();
        if last < self.from_ns {
            return Err(UntrustedReason::Before);
        }
        match (self.until_ns, self.state) {
            // The second in which a key was revoked is lost to it.
            (Some(until), KeyState::Revoked) if last >= until => Err(UntrustedReason::After),
            (Some(until), _) if first >= until => Err(UntrustedReason::After),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

/// By what the time of a checkpoint's signature is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedAt {
    /// The earliest time at which a trusted witness cosigned the checkpoint, in seconds since 1970.
    Cosigned {
        /// The time in the cosignature.
        seconds: u64,
    },
    /// The time that the frame or pack tells, in nanoseconds since 1970.
    Told {
        /// The commit time.
        ns: i64,
    },
}

impl SignedAt {
    /// The first and last nanosecond that it may be: a cosignature's time is a whole second.
    fn span_ns(self) -> (i64, i64) {
        match self {
            SignedAt::Cosigned { seconds } => {
                let first = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND_NS);
                (first, first.saturating_add(SECOND_NS - 1))
            }
            SignedAt::Told { ns } => (ns, ns),
        }
    }
}

/// The keys of a ledger, oldest first: 1 to [`HISTORY_KEYS_MAX`], none twice, each with a window that is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHistory {
    windows: Vec<KeyWindow>,
}

impl KeyHistory {
    /// Puts windows in order: by their beginning, then by name and id.
    ///
    /// # Errors
    /// [`HistoryError::Malformed`].
    pub fn new(mut windows: Vec<KeyWindow>) -> Result<KeyHistory, HistoryError> {
        windows.sort_by(|a, b| order(a).cmp(&order(b)));
        let count = windows.len();
        let twice = windows.iter().enumerate().any(|(at, window)| {
            windows.iter().skip(at.saturating_add(1)).any(|other| same_key(&other.key, &window.key))
        });
        if count == 0 || count > HISTORY_KEYS_MAX || twice || !windows.iter().all(KeyWindow::is_well_formed) {
            return Err(HistoryError::Malformed);
        }
        Ok(KeyHistory { windows })
    }

    /// The keys, oldest first.
    #[must_use]
    pub fn windows(&self) -> &[KeyWindow] {
        &self.windows
    }

    /// Says whether a signature by `key` that is known to be of that time counts.
    ///
    /// # Errors
    /// [`HistoryError::Untrusted`], with the reason.
    pub fn trusts(&self, key: &VerifierKey, at: SignedAt) -> Result<(), HistoryError> {
        let window = self.windows.iter().find(|window| window.key == *key);
        let judged = window.map_or(Err(UntrustedReason::Unknown), |window| window.admits(at));
        judged.map_err(|reason| HistoryError::Untrusted {
            name: key.name().to_owned(),
            key_id: key.id(),
            reason,
        })
    }

    /// The keys whose signatures of that time count, oldest first.
    #[must_use]
    pub fn trusted_at(&self, at: SignedAt) -> Vec<VerifierKey> {
        let trusted = self.windows.iter().filter(|window| window.admits(at).is_ok());
        trusted.map(|window| window.key.clone()).collect()
    }
}

fn order(window: &KeyWindow) -> (i64, &str, KeyId) {
    (window.from_ns, window.key.name(), window.key.id())
}

/// Two keys that a signature line cannot tell apart are one.
fn same_key(a: &VerifierKey, b: &VerifierKey) -> bool {
    a.name() == b.name() && a.id() == b.id()
}

/// Why a key's signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UntrustedReason {
    /// The history does not hold the key.
    Unknown,
    /// The signature is older than the key.
    Before,
    /// The signature is not known to be from before the key's end.
    After,
    /// The key was revoked, and no witness says when the signature was made.
    RevokedOnTold,
}

impl fmt::Display for UntrustedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UntrustedReason::Unknown => "it is not in the key history",
            UntrustedReason::Before => "it was not yet in use at that time",
            UntrustedReason::After => "it was no longer in use at that time",
            UntrustedReason::RevokedOnTold => {
                "it was revoked, and no witness says that this was signed before"
            }
        })
    }
}

/// What is wrong with a key history, or with a key under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryError {
    /// E0369: no key or more than [`HISTORY_KEYS_MAX`], one twice, or a window that ends before it begins, or that
    /// does not fit the key's state.
    Malformed,
    /// E0370: a key's signature does not count for its time.
    Untrusted {
        /// The key's name.
        name: String,
        /// The key's id.
        key_id: KeyId,
        /// Why.
        reason: UntrustedReason,
    },
}

impl HistoryError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            HistoryError::Malformed => "E0369",
            HistoryError::Untrusted { .. } => "E0370",
        }
    }
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistoryError::Malformed => {
                write!(f, "a key history has 1 to `{HISTORY_KEYS_MAX}` keys, each once and with a window")
            }
            HistoryError::Untrusted { name, key_id, reason } => {
                write!(f, "the key `{name}` with id `{key_id}` does not count: {reason}")
            }
        }
    }
}

impl std::error::Error for HistoryError {}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = SECOND_NS;

    fn key(byte: u8) -> VerifierKey {
        VerifierKey::new("ledger.example", [byte; 32]).unwrap()
    }

    fn window(byte: u8, from_ns: i64, until_ns: Option<i64>, state: KeyState) -> KeyWindow {
        KeyWindow { key: key(byte), from_ns, until_ns, state }
    }

    fn history() -> KeyHistory {
        let windows = vec![
            window(3, 30 * S, None, KeyState::Active),
            window(1, 10 * S, Some(20 * S + 5), KeyState::Retired),
            window(2, 15 * S, Some(30 * S + 5), KeyState::Revoked),
        ];
        KeyHistory::new(windows).unwrap()
    }

    fn reason(byte: u8, at: SignedAt) -> Option<UntrustedReason> {
        let judged = history().trusts(&key(byte), at);
        judged.err().map(|error| match error {
            HistoryError::Untrusted { reason, .. } => reason,
            HistoryError::Malformed => panic!("the history is well-formed"),
        })
    }

    #[test]
    fn windows_are_half_open_and_put_in_order() {
        let told = |ns| SignedAt::Told { ns };
        let firsts: Vec<i64> = history().windows().iter().map(|window| window.from_ns / S).collect();
        assert_eq!(firsts, [10, 15, 30]);
        assert_eq!(reason(1, told(10 * S - 1)), Some(UntrustedReason::Before));
        assert_eq!(reason(1, told(10 * S)), None);
        assert_eq!(reason(1, told(20 * S + 4)), None);
        assert_eq!(reason(1, told(20 * S + 5)), Some(UntrustedReason::After));
        assert_eq!(reason(3, told(i64::MAX)), None);
        assert_eq!(reason(4, told(15 * S)), Some(UntrustedReason::Unknown));
        assert_eq!(history().trusted_at(told(30 * S)), [key(3)]);
    }

    #[test]
    fn a_cosigned_second_counts_where_it_touches_the_window() {
        let cosigned = |seconds| SignedAt::Cosigned { seconds };
        assert_eq!(reason(1, cosigned(9)), Some(UntrustedReason::Before));
        assert_eq!((reason(1, cosigned(10)), reason(1, cosigned(20))), (None, None));
        assert_eq!(reason(1, cosigned(21)), Some(UntrustedReason::After));
        assert_eq!(reason(3, cosigned(u64::MAX)), None);
    }

    #[test]
    fn a_revoked_key_counts_only_for_what_a_witness_saw_before() {
        assert_eq!(reason(2, SignedAt::Told { ns: 20 * S }), Some(UntrustedReason::RevokedOnTold));
        assert_eq!(reason(2, SignedAt::Cosigned { seconds: 29 }), None);
        assert_eq!(reason(2, SignedAt::Cosigned { seconds: 30 }), Some(UntrustedReason::After));
        assert_eq!(history().trusted_at(SignedAt::Cosigned { seconds: 16 }), [key(1), key(2)]);
    }

    #[test]
    fn histories_that_are_none_are_refused() {
        let active = |byte| window(byte, 0, None, KeyState::Active);
        let refused = |windows: Vec<KeyWindow>| KeyHistory::new(windows).is_err();
        assert!(refused(Vec::new()));
        assert!(refused(vec![active(1), window(1, 5, Some(6), KeyState::Retired)]));
        assert!(refused(vec![window(1, 0, Some(5), KeyState::Active)]));
        assert!(refused(vec![window(1, 0, None, KeyState::Revoked)]));
        assert!(refused(vec![window(1, 5, Some(4), KeyState::Retired)]));
        let many = |count: u8| (0..count).map(active).collect::<Vec<_>>();
        assert!(!refused(many(128)));
        assert!(refused(many(129)));
    }
}
