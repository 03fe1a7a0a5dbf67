//! Backups and drills as the state remembers them.
//!
//! Not here: making them (`store::backups`, `store::drills`).

use std::collections::BTreeMap;

use waag_archive::upkeep::{BACKUP_PREFIX, BackupRecord};
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::side::Side;
use waag_keys::state::Record;
use waag_model::time::UtcNanos;
use waag_web::ports::HouseError;
use waag_web::ports::evidence::upkeep::{Drill, Failure, Kept, Repository, Run, Upkeep};

use super::{EvidenceHouse, failed};
use crate::node::upkeeping::UpkeepFailure;
use crate::store::drills::{DrillRecord, drills};

/// Drills that are told.
const DRILLS_MAX: usize = 200;
/// Runs of a repository that are told.
const RUNS_MAX: usize = 200;
/// A run that was announced this long ago and not ended was broken off, in nanoseconds.
const BROKEN_AFTER_NS: i64 = 3_600_000_000_000;

/// All records under a prefix, in the order of their keys.
fn under(keyring: &Keyring, prefix: &[u8]) -> Result<Vec<Record>, KeysError> {
    let mut found = Vec::new();
    keyring.each_side_record(Side::Upkeep, prefix, |record| {
        found.push(record);
        Ok(())
    })?;
    Ok(found)
}

/// The repository and the number of a backup's record.
fn place(key: &[u8]) -> Option<(String, u64)> {
    let rest = std::str::from_utf8(key.strip_prefix(BACKUP_PREFIX)?).ok()?;
    let (repository, sequence) = rest.split_once('/')?;
    Some((repository.to_owned(), u64::from_str_radix(sequence, 16).ok()?))
}

/// A run; its event can be shown where it was made since the present ledger was.
fn run(record: &Record, ledger_made: UtcNanos) -> Option<(String, Run)> {
    let (repository, sequence) = place(&record.key)?;
    let kept = BackupRecord::decode(&record.value)?;
    let run = Run {
        sequence,
        at: kept.at,
        size: kept.size,
        bytes: kept.bytes,
        took_ms: kept.ms,
        keys_taken: kept.taken,
        keys_expire: kept.expire,
        whole: kept.position.is_some(),
        position: kept.position.filter(|_| kept.at >= ledger_made),
    };
    Some((repository, run))
}

fn drill(record: DrillRecord) -> Drill {
    let DrillRecord { at, ok, rpo_ms, rpo_entries, rto_ms, size, bytes, failed } = record;
    let failed = failed.unwrap_or_default();
    Drill { at, ok, rpo_ms, rpo_entries, rto_ms, size, bytes, failed }
}

fn failure(failed: UpkeepFailure) -> Failure {
    let UpkeepFailure { job, at, code, reason } = failed;
    Failure { what: job.to_string(), at, code: code.to_owned(), reason }
}

/// A run that was announced long ago and never ended.
fn broken(repository: &Repository, now: UtcNanos) -> Option<Failure> {
    let newest = repository.runs.first().filter(|run| !run.whole)?;
    (now.0.saturating_sub(newest.at.0) > BROKEN_AFTER_NS).then(|| Failure {
        what: "backup".to_owned(),
        at: newest.at,
        code: String::new(),
        reason: "a run was begun and not ended; the next one goes on where it broke off".to_owned(),
    })
}

impl Upkeep for EvidenceHouse {
    fn upkeep(&self) -> Result<Kept, HouseError> {
        let store = self.running.store();
        let state = |error: KeysError| failed(error.code(), error);
        let mut by_repository: BTreeMap<String, Vec<Run>> = BTreeMap::new();
        for record in under(&store.keyring, BACKUP_PREFIX).map_err(state)? {
            if let Some((repository, run)) = run(&record, store.ledger.created) {
                by_repository.entry(repository).or_default().push(run);
            }
        }
        let newest_first = |(id, mut runs): (String, Vec<Run>)| {
            runs.sort_by_key(|run| std::cmp::Reverse(run.sequence));
            runs.truncate(RUNS_MAX);
            Repository { id, runs }
        };
        let repositories: Vec<Repository> = by_repository.into_iter().map(newest_first).collect();
        let drills = drills(&store.keyring, DRILLS_MAX).map_err(|error| failed(error.code(), error))?;
        let drills = drills.into_iter().rev().map(drill).collect();
        let now = store.clock.now();
        let scheduled = self.running.upkeeping().status();
        let broken = repositories.iter().filter_map(|repository| broken(repository, now));
        let failed = [scheduled.backup_failure, scheduled.drill_failure].into_iter().flatten();
        let failures = failed.map(failure).chain(broken).collect();
        Ok(Kept {
            repositories,
            drills,
            failures,
            backup_every_s: scheduled.backup_every.map(|every| every.as_secs()),
            drill_every_s: scheduled.drill_every.map(|every| every.as_secs()),
            under_way: scheduled.under_way.map(|job| job.to_string()),
        })
    }
}
