//! The log's second signing key, ML-DSA-44, and the history of all keys that sign checkpoints.
//!
//! The second key signs what is published, beside Ed25519, and nothing before: a line of 3.3 KB has no place in each guard.
//! It is made when a node first publishes, and lies wrapped in the state, as targets' secrets do.
//! Not here: the Ed25519 keys (`waag keys`), and rotating this one.
//! Source: C2SP tlog-checkpoint (logs should sign with ML-DSA-44 too), tlog-cosignature.

use waag_engine::recover::verifier_keys;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::ledger::{LedgerKeys, SignerInfo};
use waag_keys::side::Side;
use waag_keys::state::Expect;
use waag_ledger::cosignature::Cosigner;
use waag_ledger::history::{HistoryError, KeyHistory, KeyState, KeyWindow};
use waag_ledger::note::{Algorithm, VerifierKey};
use waag_model::time::UtcNanos;
use waag_stdx::entropy::{Entropy, SystemEntropy};
use zeroize::Zeroizing;

use crate::store::error::StoreError;
use crate::store::place::LEDGER;
use crate::store::writer::OpenedStore;

use super::PublishError;
use super::record::{Fields, Read};

/// Where the second key lies in the table `Publication`; behind it, the origin it signs for.
const SECOND: &[u8] = b"signer/ml-dsa-44/";
const SEED_BYTES: usize = 32;

/// A key that lies wrapped beside the others.
pub(in crate::node) struct SideKey {
    pub(in crate::node) created: UtcNanos,
    /// One for each algorithm that it was made for.
    pub(in crate::node) cosigners: Vec<Cosigner>,
}

fn place(prefix: &[u8], name: &str) -> Vec<u8> {
    // A name may be as long as a key of the table; its hash is not.
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    [prefix, hash.as_ref()].concat()
}

/// The key of that name, made where there is none: version, time, name, wrapped seeds (32 bytes for each algorithm).
pub(in crate::node) fn side_key(
    store: &OpenedStore,
    side: Side,
    prefix: &[u8],
    name: &str,
    algorithms: &[Algorithm],
) -> Result<SideKey, PublishError> {
    let keyring = &store.keyring;
    if let Some(known) = load(keyring, side, prefix, name, algorithms)? {
        return Ok(known);
    }
    let entropy = SystemEntropy::new();
    let mut seeds = Zeroizing::new(vec![0; SEED_BYTES.saturating_mul(algorithms.len())]);
    entropy.fill(&mut seeds).map_err(|_| KeysError::Entropy)?;
    let wrapped = keyring.wrap_target_secret(&entropy, &seeds)?;
    let created = store.clock.now();
    let cosigners = cosigners(name, algorithms, &seeds)?;
    let record = Fields::new().time(Some(created)).bytes(name.as_bytes()).bytes(&wrapped).end();
    keyring.keep_side_record(side, &place(prefix, name), Expect::Absent, Some(&record))?;
    Ok(SideKey { created, cosigners })
}

/// The key of that name, where there is one.
pub(in crate::node) fn load(
    keyring: &Keyring,
    side: Side,
    prefix: &[u8],
    name: &str,
    algorithms: &[Algorithm],
) -> Result<Option<SideKey>, PublishError> {
    let Some(record) = keyring.side_record(side, &place(prefix, name))? else { return Ok(None) };
    let unreadable = || KeysError::Unreadable("a signing key");
    let mut read = Read::of(&record.value).ok_or_else(unreadable)?;
    let created = read.time().flatten().ok_or_else(unreadable)?;
    let known = read.text().ok_or_else(unreadable)?;
    let wrapped = read.bytes().ok_or_else(unreadable)?;
    read.end().filter(|()| known == name).ok_or_else(unreadable)?;
    let seeds = keyring.unwrap_target_secret(wrapped)?;
    Ok(Some(SideKey { created, cosigners: cosigners(name, algorithms, &seeds)? }))
}

/// The name that a stored key bears.
pub(in crate::node) fn name_of(record: &[u8]) -> Option<String> {
    let mut read = Read::of(record)?;
    read.time()?;
    read.text()
}

fn cosigners(name: &str, algorithms: &[Algorithm], seeds: &[u8]) -> Result<Vec<Cosigner>, PublishError> {
    let (chunks, rest) = seeds.as_chunks::<SEED_BYTES>();
    if chunks.len() != algorithms.len() || !rest.is_empty() {
        return Err(KeysError::Unreadable("a signing key").into());
    }
    let one = |(algorithm, seed): (&Algorithm, &[u8; SEED_BYTES])| {
        Cosigner::from_seed(name, *algorithm, seed)
            .map_err(|error| PublishError::Key(error.code(), error.to_string()))
    };
    algorithms.iter().zip(chunks).map(one).collect()
}

/// The ledger's second signer, made where there is none.
pub(super) fn second(store: &OpenedStore) -> Result<Cosigner, PublishError> {
    let made = side_key(store, Side::Publication, SECOND, &store.ledger.origin, &[Algorithm::MlDsa44])?;
    made.cosigners.into_iter().next().ok_or_else(|| KeysError::Unreadable("a signing key").into())
}

/// The public half of a ledger's second key, and when it was made; none where no node has published yet.
///
/// # Errors
/// [`PublishError::Keys`].
pub fn second_key(
    keyring: &Keyring,
    ledger: &LedgerKeys,
) -> Result<Option<(VerifierKey, UtcNanos)>, PublishError> {
    let known = load(keyring, Side::Publication, SECOND, &ledger.origin, &[Algorithm::MlDsa44])?;
    Ok(known.and_then(|known| {
        let cosigner = known.cosigners.first()?;
        Some((cosigner.verifier_key().clone(), known.created))
    }))
}

/// Every key that has signed or signs this ledger's checkpoints, with the time in which it may be believed. Those of a ledger
/// that a promotion took the place of end with it: what is signed with them later is not this operator's history.
///
/// # Errors
/// [`PublishError`].
pub fn key_history(keyring: &Keyring, ledger: &LedgerKeys) -> Result<KeyHistory, PublishError> {
    let end = keyring.superseded_at(ledger, LEDGER)?;
    history(keyring, ledger, (end, end))
}

/// The same as a pack of this ledger tells it: a pack's form asks for signers of its manifest that are active, and they sign
/// when the pack is made, also after a promotion.
///
/// # Errors
/// [`PublishError`].
pub fn pack_history(keyring: &Keyring, ledger: &LedgerKeys) -> Result<KeyHistory, PublishError> {
    history(keyring, ledger, (None, keyring.superseded_at(ledger, LEDGER)?))
}

/// `ends`: that of the keys that sign manifests too, and that of the others.
fn history(
    keyring: &Keyring,
    ledger: &LedgerKeys,
    ends: (Option<UtcNanos>, Option<UtcNanos>),
) -> Result<KeyHistory, PublishError> {
    let infos: Vec<&SignerInfo> =
        ledger.signers.iter().map(|signer| &signer.info).chain(&ledger.retired).collect();
    let keys = verifier_keys(ledger).map_err(StoreError::Origin);
    let keys = keys.map_err(|error| PublishError::Key(error.code(), error.to_string()))?;
    let window = |key: VerifierKey, from: UtcNanos, until: Option<UtcNanos>| KeyWindow {
        key,
        from_ns: from.0,
        // A clock that was set back gives no window that ends before it begins.
        until_ns: until.map(|until| until.max(from).0),
        state: if until.is_some() { KeyState::Retired } else { KeyState::Active },
    };
    let (of_signers, of_second) = ends;
    let signers =
        infos.iter().zip(keys).map(|(info, key)| window(key, info.created, info.retired.or(of_signers)));
    let second = second_key(keyring, ledger)?.map(|(key, created)| window(key, created, of_second));
    let wrong = |error: HistoryError| PublishError::Key(error.code(), error.to_string());
    KeyHistory::new(signers.chain(second).collect()).map_err(wrong)
}
