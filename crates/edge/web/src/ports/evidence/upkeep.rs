//! Backups and drills as they were done.

use waag_model::time::UtcNanos;

use crate::ports::HouseError;

/// What was done so that a machine can be lost.
pub trait Upkeep: Send + Sync {
    /// Runs, drills and their schedule.
    ///
    /// # Errors
    /// [`HouseError`] where the state cannot be read.
    fn upkeep(&self) -> Result<Kept, HouseError>;
}

/// Runs, drills and their schedule.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Backups by repository.
    pub repositories: Vec<Repository>,
    /// Drills, the newest first.
    pub drills: Vec<Drill>,
    /// What failed on this node and was not done since, the newest first.
    pub failures: Vec<Failure>,
    /// How often a backup is due, in seconds; none without a schedule.
    pub backup_every_s: Option<u64>,
    /// How often a drill is due, in seconds; none without a schedule.
    pub drill_every_s: Option<u64>,
    /// What is under way now: `backup` or `drill`.
    pub under_way: Option<String>,
}

/// A place of backups.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Its id, in hexadecimal.
    pub id: String,
    /// Runs into it, the newest first.
    pub runs: Vec<Run>,
}

/// One backup.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its number in the repository.
    pub sequence: u64,
    /// When it was done.
    pub at: UtcNanos,
    /// Entries of the ledger that it reaches.
    pub size: u64,
    /// Bytes that it wrote.
    pub bytes: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// When its key material was taken.
    pub keys_taken: UtcNanos,
    /// When its key material expires.
    pub keys_expire: UtcNanos,
    /// Whether it was ended and verified; one that was not is under way, or was broken off.
    pub whole: bool,
    /// The event that recorded it.
    pub position: Option<u64>,
}

impl Repository {
    /// The newest run that is whole.
    #[must_use]
    pub fn newest(&self) -> Option<&Run> {
        self.runs.iter().find(|run| run.whole)
    }
}

/// One drill: a restore into a scratch place, verified and measured.
#[derive(Clone, Debug)]
pub struct Drill {
    /// When it was done.
    pub at: UtcNanos,
    /// Whether it led to a verified, readable store.
    pub ok: bool,
    /// How much time of acknowledged entries the backup lacked, in milliseconds.
    pub rpo_ms: u64,
    /// How many acknowledged entries it lacked.
    pub rpo_entries: u64,
    /// How long until the store was verified and readable, in milliseconds.
    pub rto_ms: u64,
    /// Entries restored.
    pub size: u64,
    /// Bytes restored.
    pub bytes: u64,
    /// What failed; empty where nothing did.
    pub failed: String,
}

/// Something that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What: `backup` or `drill`.
    pub what: String,
    /// When.
    pub at: UtcNanos,
    /// The stable code; empty where there is none.
    pub code: String,
    /// Why.
    pub reason: String,
}
