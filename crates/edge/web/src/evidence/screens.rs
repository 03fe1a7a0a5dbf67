//! What each template of these pages is given.

use std::sync::Arc;

use askama::Template;

use super::drawings::{self, DrillBar};
use super::kept::Checked;
use super::packs::PACK_SENT_BYTES_MAX;
use super::words;
use crate::chart;
use crate::format;
use crate::model::Grade;
use crate::ports::evidence::packs::{Making, MakingState, PackList};
use crate::ports::evidence::persons::{Deed, DeedKind, Outcome, Person};
use crate::ports::evidence::standing::{Key, KeyState, Ledger};
use crate::ports::evidence::upkeep::{Kept, Repository};
use crate::shell::{Shell, Theme};

/// Runs of a repository on the page.
const RUNS_ON_PAGE: usize = 6;

/// The ledger before outsiders.
#[derive(Template)]
#[template(path = "ledger.html")]
pub(crate) struct LedgerScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) ledger: Ledger,
}

impl LedgerScreen {
    /// Entries that are not published.
    fn unpublished(&self) -> u64 {
        let size = self.ledger.publication.as_ref().map_or(0, |one| one.size);
        self.ledger.size.saturating_sub(size)
    }

    /// Witnesses that stand as this word says.
    fn witnesses_in(&self, word: &str) -> u64 {
        let such = self.ledger.witnesses.iter().filter(|one| words::witness(&one.state).1 == word);
        u64::try_from(such.count()).unwrap_or(u64::MAX)
    }

    /// The published checkpoint, else the newest.
    fn checkpoint(&self) -> Option<&str> {
        let published = self.ledger.publication.as_ref().map(|one| one.note.as_str());
        published.filter(|note| !note.is_empty()).or(self.ledger.note.as_deref())
    }

    fn vkey(&self) -> &str {
        active(&self.ledger.keys)
    }
}

/// The key that a reader should compare.
fn active(keys: &[Key]) -> &str {
    let active = keys.iter().find(|key| key.state == KeyState::Active);
    active.or(keys.first()).map_or("", |key| key.vkey.as_str())
}

/// Packs.
#[derive(Template)]
#[template(path = "evidence.html")]
pub(crate) struct EvidenceScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) list: PackList,
    pub(crate) making: Option<Making>,
}

impl EvidenceScreen {
    fn sent_bytes_max(&self) -> u64 {
        u64::try_from(PACK_SENT_BYTES_MAX).unwrap_or(u64::MAX)
    }

    fn runs(&self) -> bool {
        self.making.as_ref().is_some_and(|making| matches!(making.state, MakingState::Running))
    }
}

/// A pack that was checked.
#[derive(Template)]
#[template(path = "checked.html")]
pub(crate) struct CheckedScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) checked: Arc<Checked>,
    pub(crate) keys: Vec<Key>,
}

impl CheckedScreen {
    fn vkey(&self) -> &str {
        active(&self.keys)
    }
}

/// Persons.
#[derive(Template)]
#[template(path = "subjects.html")]
pub(crate) struct SubjectsScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) deeds: Vec<Deed>,
}

/// One person.
#[derive(Template)]
#[template(path = "subject.html")]
pub(crate) struct SubjectScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) handle: String,
    pub(crate) person: Option<Person>,
}

/// Asks once more before anything is done to a person's data.
#[derive(Template)]
#[template(path = "confirm_person.html")]
pub(crate) struct ConfirmPersonScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) deed: DeedKind,
    pub(crate) handle: String,
    pub(crate) person: Person,
}

impl ConfirmPersonScreen {
    /// Classes that the law keeps.
    fn stays(&self) -> Vec<&crate::ports::evidence::persons::HeldClass> {
        self.person.classes.iter().filter(|held| !held.erasable).collect()
    }

    /// Classes that can be erased.
    fn goes(&self) -> Vec<String> {
        let goes = self.person.classes.iter().filter(|held| held.erasable);
        goes.map(|held| format!("{} {}", held.class, held.period)).collect()
    }
}

/// What an order did.
#[derive(Template)]
#[template(path = "done.html")]
pub(crate) struct DoneScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) outcome: Arc<Outcome>,
}

/// Backups and drills.
#[derive(Template)]
#[template(path = "backups.html")]
pub(crate) struct BackupsScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) kept: Kept,
}

impl BackupsScreen {
    fn next(&self) -> Vec<(Grade, String)> {
        words::next(&self.kept, &self.shell.now)
    }

    /// The newest run of all repositories.
    fn newest(&self) -> Option<&crate::ports::evidence::upkeep::Run> {
        let first = self.kept.repositories.iter().filter_map(|repository| repository.newest());
        first.max_by_key(|run| run.at)
    }

    /// Whether it is the newest whole run of its repository.
    fn is_newest(&self, run: &crate::ports::evidence::upkeep::Run, repository: &Repository) -> bool {
        repository.newest().is_some_and(|newest| newest.sequence == run.sequence)
    }

    /// The last drill, where it led to a verified store.
    fn restored(&self) -> Option<&crate::ports::evidence::upkeep::Drill> {
        self.kept.drills.first().filter(|drill| drill.ok)
    }

    fn recovery_times(&self) -> Vec<DrillBar> {
        drawings::drills(&self.kept.drills, |drill| drill.rto_ms)
    }

    fn lost_times(&self) -> Vec<DrillBar> {
        drawings::drills(&self.kept.drills, |drill| drill.rpo_ms)
    }

    /// Drills in the table: failures first, then the newest.
    fn drills(&self) -> Vec<&crate::ports::evidence::upkeep::Drill> {
        let mut drills: Vec<_> = self.kept.drills.iter().collect();
        drills.sort_by_key(|drill| (drill.ok, std::cmp::Reverse(drill.at)));
        drills
    }
}
