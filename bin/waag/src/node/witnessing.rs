//! Being a witness: checkpoints of other logs are cosigned where they are proven to go on from the last one cosigned.
//!
//! What is judged how, is the ledger's (`waag_ledger::witness`). Here is what makes it true: one judgement at a time, the
//! state compared and swapped and durable before the answer leaves, and keys of its own, wrapped in the state.
//! A crash in between has cosigned something that nobody was told of, which the next question finds out (409).
//! Not here: HTTP (`edge/http`), asking others (`publishing`).
//!
//! State: table `Witness`, by origin ([`WitnessState::encode`]); the keys lie under a name that no origin can have.
//! Source: C2SP tlog-witness, tlog-cosignature.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use waag_http::fault::{Fault, Kind};
use waag_http::tlog::Witnessing;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_keys::state::Expect;
use waag_ledger::cosignature::Cosigner;
use waag_ledger::note::{Algorithm, VerifierKey};
use waag_ledger::witness::{AddCheckpoint, WitnessReply, WitnessState, WitnessedLog, judge, origin_path};
use waag_model::time::UtcNanos;
use waag_stdx::figures::{Family, Figures, counter, gauge};

use crate::cli::tell;
use crate::store::writer::OpenedStore;

use super::publishing::keys::{load, name_of, side_key};
use super::publishing::{PublishError, read_small};

/// Longest file of logs' keys, in bytes.
pub const LOGS_BYTES_MAX: usize = 1_024 * 1_024;
/// Where a witness's keys lie; no origin begins with a control character.
const KEYS: &[u8] = b"\0key/";
/// Most names under which a store was a witness that are listed.
const NAMES_MAX: usize = 256;
/// What a witness signs with: what every log reads, and what will stay.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Ed25519Cosignature, Algorithm::MlDsa44];
/// What it is told under that a log contradicts what was cosigned.
const CONTRADICTED: &str = "E0867";

/// Whom a node witnesses, and under which name.
#[derive(Clone, Debug)]
pub struct WitnessOptions {
    /// The public keys of the logs, each named for its origin.
    pub keys: Vec<VerifierKey>,
    /// The witness's name: that of its keys in signed notes.
    pub name: String,
}

impl WitnessOptions {
    /// Reads logs' keys from a file: a vkey a line; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`PublishError::PolicyFile`]; [`PublishError::Key`] with the line.
    pub fn read(path: &Path, name: &str) -> Result<Self, PublishError> {
        let bytes = read_small(path, LOGS_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()).map(|(number, line)| (number, line.trim())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key: VerifierKey = line.parse().map_err(|error: waag_ledger::note::NoteError| {
                PublishError::Key(error.code(), format!("line {number} of the logs' keys: {error}"))
            })?;
            keys.push(key);
        }
        Ok(Self { keys, name: name.to_owned() })
    }
}

/// A node as a witness.
pub struct OwnWitness {
    store: Arc<OpenedStore>,
    logs: Vec<WitnessedLog>,
    cosigners: Vec<Cosigner>,
    turn: Mutex<()>,
    cosigned: AtomicU64,
    refused: AtomicU64,
    contradictions: AtomicU64,
}

impl fmt::Debug for OwnWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnWitness").field("logs", &self.logs.len()).finish_non_exhaustive()
    }
}

fn failed(error: &KeysError) -> Fault {
    Fault::of(Kind::NotSealed(error.code()))
}

impl OwnWitness {
    /// A witness with its keys, made where there are none of that name.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn start(store: &Arc<OpenedStore>, options: &WitnessOptions) -> Result<Self, PublishError> {
        let keys = side_key(store, Side::Witness, KEYS, &options.name, &ALGORITHMS)?;
        Ok(Self {
            store: Arc::clone(store),
            logs: WitnessedLog::by_origin(options.keys.clone()),
            cosigners: keys.cosigners,
            turn: Mutex::new(()),
            cosigned: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            contradictions: AtomicU64::new(0),
        })
    }

    /// Its public keys, for the policies of those whom it witnesses.
    #[must_use]
    pub fn keys(&self) -> Vec<VerifierKey> {
        self.cosigners.iter().map(|cosigner| cosigner.verifier_key().clone()).collect()
    }

    fn judged(&self, request: &AddCheckpoint) -> Result<WitnessReply, Fault> {
        // One at a time, so that no swap is ever refused; it compares all the same.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (keyring, origin) = (&self.store.keyring, request.origin());
        // A node writes nothing of origins that it does not know, and looks nothing up under them.
        let is_known = self.logs.iter().any(|log| log.origin == origin);
        let stored = if is_known {
            keyring.side_record(Side::Witness, origin.as_bytes()).map_err(|error| failed(&error))?
        } else {
            None
        };
        let state = stored.as_ref().map(|record| WitnessState::decode(&record.value)).transpose();
        let state = state.map_err(|error| Fault::of(Kind::NotSealed(error.code())))?;
        let now = self.store.clock.now().0.div_euclid(1_000_000_000);
        let now = u64::try_from(now).unwrap_or(0);
        let judged = judge(request, &self.logs, state.as_ref(), &self.cosigners, now);
        if judged.suspicious {
            self.contradictions.fetch_add(1, Ordering::Relaxed);
            tell(&format!(
                "warning: {CONTRADICTED}: the log `{origin}` has signed a checkpoint of {} entries that does not follow \
                 the {} that this witness has cosigned; it was not cosigned",
                request.size(),
                state.map_or(0, |state| state.size)
            ));
        }
        if let Some(keep) = judged.keep {
            let expect = stored.map_or(Expect::Absent, |record| Expect::Equals(record.sum));
            let kept =
                keyring.keep_side_record(Side::Witness, origin.as_bytes(), expect, Some(&keep.encode()));
            kept.map_err(|error| failed(&error))?;
        }
        let count = if judged.reply.status == 200 { &self.cosigned } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(judged.reply)
    }
}

impl Witnessing for OwnWitness {
    fn add_checkpoint(&self, request: &[u8]) -> Result<WitnessReply, Fault> {
        match AddCheckpoint::parse(request) {
            Ok(request) => self.judged(&request),
            Err(reply) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Ok(reply)
            }
        }
    }

    fn cosigned(&self, origin: &str) -> Result<Option<String>, Fault> {
        let Some(log) = self.logs.iter().find(|log| origin_path(&log.origin) == origin) else {
            return Ok(None);
        };
        let stored = self.store.keyring.side_record(Side::Witness, log.origin.as_bytes());
        let Some(record) = stored.map_err(|error| failed(&error))? else { return Ok(None) };
        let state = WitnessState::decode(&record.value);
        state.map(|state| Some(state.note)).map_err(|error| Fault::of(Kind::NotSealed(error.code())))
    }
}

impl Figures for OwnWitness {
    fn families(&self) -> Vec<Family> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        vec![
            gauge("waag_witnessed_logs", "Logs that this node witnesses.", self.logs.len() as u64),
            counter("waag_witness_cosigned", "Checkpoints that this node cosigned.", read(&self.cosigned)),
            counter("waag_witness_refused", "Checkpoints that it did not cosign.", read(&self.refused)),
            counter(
                "waag_witness_contradictions",
                "Checkpoints, signed by a log, that do not follow what was cosigned.",
                read(&self.contradictions),
            ),
        ]
    }
}

/// The public keys by which this tenant's store is or was a witness, and when they were made.
///
/// # Errors
/// [`PublishError`].
pub fn all_witness_keys(keyring: &Keyring) -> Result<Vec<(VerifierKey, UtcNanos)>, PublishError> {
    let mut all = Vec::new();
    for record in keyring.side_records(Side::Witness, Some(KEYS), NAMES_MAX)? {
        if !record.key.starts_with(KEYS) {
            break;
        }
        let name = name_of(&record.value).ok_or(KeysError::Unreadable("a signing key"))?;
        let Some(known) = load(keyring, Side::Witness, KEYS, &name, &ALGORITHMS)? else { continue };
        all.extend(known.cosigners.iter().map(|one| (one.verifier_key().clone(), known.created)));
    }
    Ok(all)
}
