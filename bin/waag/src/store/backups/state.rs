//! State and key material of one commit: every record, with the vault's file as it was then.
//!
//! What is read is summed up and compared with what the state's head says of itself, so that a record that was lost on the
//! way is noticed. The vault's file is read before and after the commit is held: where it is the same, nothing that it
//! wraps was rewrapped in between.
//!
//! While the records are read the state's writer cannot cut its log short, so an erasure asks again until this is done.

use waag_archive::manifest::Kind;
use waag_archive::records::{PIECE_BYTES, StateRecord, push_record};
use waag_archive::repository::Contents;
use waag_files::vault::VAULT_FILE;
use waag_keys::state::{
    Extent, Fault, Head, Place as StatePlace, SCAN_RECORDS_MAX, SetDigest, State, StateError, Table,
};
use waag_sqlite::state::SqliteState;
use zeroize::Zeroizing;

use super::BackupError;
use super::press::Sink;
use crate::store::place::Place;

/// How often vault and state are read again where the vault changed in between.
const TRIES_MAX: u32 = 20;
/// The wait between two of these, in milliseconds.
const DELAY_MS: u64 = 50;

/// The vault's file; wiped when dropped.
type VaultBytes = Zeroizing<Vec<u8>>;

/// Hands the state on; gives its head.
pub(super) fn copy(place: &Place, sink: &mut Sink<'_>) -> Result<Head, BackupError> {
    let (state, vault) = hold(place)?;
    let check = state.check(Extent::Head)?;
    if let Some(fault) = check.faults.into_iter().next() {
        return Err(StateError::Damaged(fault).into());
    }
    let (mut digest, mut count) = (SetDigest::default(), 0_u64);
    for kind in [Kind::State, Kind::Keys] {
        let mut chunk = Chunk { kind, bytes: Vec::new(), items: 0 };
        let is_of_kind = |table: &&Table| table.holds_secrets() == (kind == Kind::Keys);
        for table in Table::ALL.iter().filter(is_of_kind) {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let records = state.scan(*table, after.as_deref(), SCAN_RECORDS_MAX)?;
                let Some(last) = records.last() else { break };
                after = Some(last.key.clone());
                for record in &records {
                    digest = digest.with(record.sum);
                    count = count.saturating_add(1);
                    chunk
                        .push(StateRecord { table: *table, key: &record.key, value: &record.value }, sink)?;
                }
            }
        }
        chunk.finish(sink)?;
    }
    if (digest, count) != (check.head.digest, check.head.count) {
        let reason = "its records are not those that its head sums up".to_owned();
        return Err(StateError::Damaged(Fault { place: StatePlace::Head, reason }).into());
    }
    if let Some(vault) = vault {
        sink.push(Kind::Vault, Contents { items: 1, ..Contents::default() }, vault.to_vec())?;
    }
    Ok(check.head)
}

/// The state held at one commit, and the vault's file as it was then.
fn hold(place: &Place) -> Result<(SqliteState, Option<VaultBytes>), BackupError> {
    for _ in 0..TRIES_MAX {
        let before = read_vault(place)?;
        let state = SqliteState::open_read_only(&place.state)?;
        state.hold_snapshot()?;
        if read_vault(place)? == before {
            return Ok((state, before));
        }
        drop(state);
        std::thread::sleep(std::time::Duration::from_millis(DELAY_MS));
    }
    Err(BackupError::Restless)
}

/// The vault's file, where the vault is one.
fn read_vault(place: &Place) -> Result<Option<VaultBytes>, BackupError> {
    let path = place.state.join(VAULT_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BackupError::io("read", &path)(error)),
    }
}

/// Records on their way into a piece.
struct Chunk {
    kind: Kind,
    bytes: Vec<u8>,
    items: u64,
}

impl Chunk {
    fn push(&mut self, record: StateRecord<'_>, sink: &mut Sink<'_>) -> Result<(), BackupError> {
        if !push_record(&mut self.bytes, record) {
            return Err(StateError::Limit("a record is longer than any may be").into());
        }
        self.items += 1;
        if self.bytes.len() >= PIECE_BYTES { self.hand_on(sink) } else { Ok(()) }
    }

    fn hand_on(&mut self, sink: &mut Sink<'_>) -> Result<(), BackupError> {
        let contents = Contents { items: std::mem::take(&mut self.items), ..Contents::default() };
        sink.push(self.kind, contents, std::mem::take(&mut self.bytes))
    }

    fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), BackupError> {
        if self.items > 0 { self.hand_on(sink) } else { Ok(()) }
    }
}
