//! Packs: handed out, made for a page, checked.
//!
//! A pack made here is held in memory for some minutes and never stored: what it discloses of persons would outlive an
//! erasure on this machine. One at a time; it is dropped when anything about a person is ordered here, and not given out
//! where a key of what it discloses has gone meanwhile.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;
use waag_web::model::Grade;
use waag_web::ports::HouseError;
use waag_web::ports::evidence::packs::{
    Making, MakingState, Pack, PackAsked, PackBytes, PackFile, PackList, Packs, Verdict, VerdictLine,
};

use super::{EvidenceHouse, actor, failed, held};
use crate::evidence::Source;
use crate::evidence::asked::{Asked, Selection};
use crate::evidence::checking::{Checked, check};
use crate::evidence::error::EvidenceError;
use crate::evidence::make::make;
use crate::evidence::record::{self, Handed, PackRecord, PackTold};
use crate::node::NodeError;
use crate::store::ledgers::Earlier;
use crate::store::writer::OpenedStore;

/// How long a pack that was made can be fetched.
const KEPT_FOR: Duration = Duration::from_secs(15 * 60);
/// Longest pack that is made for a page; a longer one is made on the command line, which writes it to a file.
const PACK_BYTES_MAX: usize = 256 * 1_024 * 1_024;

/// A pack that was made and can be fetched.
struct Held {
    digest: String,
    bytes: Arc<[u8]>,
    handed: Handed,
    since: Duration,
}

#[derive(Default)]
struct State {
    making: Option<Making>,
    held: Option<Held>,
    /// Changes with every step, so that open pages hear of it.
    stamp: u64,
}

/// The pack that is being made, and the one that was.
#[derive(Default)]
pub(super) struct Packing(Mutex<State>);

impl Packing {
    /// Another number whenever something changed.
    pub(super) fn stamp(&self) -> u64 {
        held(&self.0).stamp
    }

    /// Drops the pack that can be fetched.
    pub(super) fn forget(&self) {
        let mut state = held(&self.0);
        state.held = None;
        state.stamp = state.stamp.wrapping_add(1);
        if let Some(Making { state: MakingState::Made { until, .. }, .. }) = &mut state.making {
            *until = UtcNanos(i64::MIN);
        }
    }

    fn step(&self, done: u64, total: u64) {
        let mut state = held(&self.0);
        state.stamp = state.stamp.wrapping_add(1);
        if let Some(making) = &mut state.making {
            (making.done, making.total) = (done, total);
        }
    }

    fn ended(&self, clock: &dyn Clock, made: Result<(Arc<[u8]>, Handed), EvidenceError>) {
        let mut state = held(&self.0);
        state.stamp = state.stamp.wrapping_add(1);
        let told = match made {
            Ok((bytes, handed)) => {
                let until = i64::try_from(KEPT_FOR.as_nanos()).unwrap_or(i64::MAX);
                let digest = handed.digest.clone();
                let told = MakingState::Made {
                    digest: digest.clone(),
                    entries: handed.entries,
                    bytes: handed.bytes,
                    until: clock.now().later_by(until),
                };
                state.held = Some(Held { digest, bytes, handed, since: clock.monotonic() });
                told
            }
            Err(error) => MakingState::Failed { code: error.code().to_owned(), reason: error.to_string() },
        };
        if let Some(making) = &mut state.making {
            making.state = told;
        }
    }
}

/// What a page asked for, in the use case's words.
fn asked(page: PackAsked, by: &str, size: u64) -> Result<Asked, HouseError> {
    let positions = (page.from.is_some() || page.to.is_some()).then(|| {
        let last = page.to.unwrap_or(size).saturating_sub(1);
        (Position(page.from.unwrap_or(0)), Position(last))
    });
    let asked = Asked {
        selection: Selection {
            invoice: page.invoice,
            person: page.person,
            from: page.since_ns.map(UtcNanos),
            to: page.until_ns.map(UtcNanos),
            positions,
            types: page.kind.into_iter().collect(),
            pattern: None,
            last: page.last,
        },
        reason: page.reason,
        reveal: page.reveal,
        despite_restriction: None,
        by: actor(by)?,
    };
    asked.check().map_err(|error| failed(error.code(), error))?;
    Ok(asked)
}

/// Makes a pack and records it, which is what allows to hand it out.
fn made(store: &OpenedStore, packing: &Packing, asked: &Asked) -> Result<(Arc<[u8]>, Handed), EvidenceError> {
    let source = Source::of_writer(store);
    let made = make(&source, asked, &mut |done, total| packing.step(done, total))?;
    if made.bytes.len() > PACK_BYTES_MAX {
        return Err(EvidenceError::Selection(
            "comes to more than 256 MiB; the command line makes longer packs",
        ));
    }
    record::record(store, &made.handed)?;
    Ok((made.bytes.into(), made.handed))
}

struct Bytes(Arc<[u8]>);

impl PackBytes for Bytes {
    fn read_at(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        Ok(rest.get(..rest.len().min(most)).unwrap_or_default().to_vec())
    }
}

fn line(grade: Grade, name: &str, detail: impl Into<String>) -> VerdictLine {
    VerdictLine { grade, name: name.to_owned(), detail: detail.into() }
}

/// What holds of a verified pack, and what it only tells.
fn verified(checked: &Checked) -> Vec<VerdictLine> {
    let (first, last) = checked.positions;
    let good = |name, detail: String| line(Grade::Good, name, detail);
    let told = |name, detail: String| line(Grade::Note, name, detail);
    let complete = if checked.complete {
        good("Completeness", format!("nothing is missing between positions {first} and {last}"))
    } else {
        told("Completeness", format!("positions {first} to {last} with gaps: not proven to be everything"))
    };
    vec![
        good("Form", "nothing is in the file that is not told, and nothing is missing".to_owned()),
        good("Manifest", format!("signed by this ledger; digest {}", checked.digest)),
        good(
            "Checkpoint",
            format!(
                "{} entries under root {}, signed by {}",
                checked.tree_size,
                checked.root,
                checked.signers.join(", ")
            ),
        ),
        good("Entries", format!("{}, each under that root", checked.entries)),
        good(
            "Parts",
            format!("{} opened, each the one that was sealed; {} closed", checked.disclosed, checked.closed),
        ),
        complete,
        line(
            Grade::Warning,
            "Witnesses",
            "cosignatures are checked by an outsider, with a policy of their own",
        ),
        told("Asked for", checked.selection.clone()),
        told("Made", format!("{} by {}: {}", checked.made, checked.by, checked.reason)),
    ]
}

impl EvidenceHouse {
    /// What the event of a pack tells that was recorded before a promotion.
    fn told_before(&self, pack: &PackRecord) -> Option<PackTold> {
        let store = self.running.store();
        // Nobody writes an earlier ledger, so that they are opened once.
        let earlier =
            self.earlier.get_or_init(|| Earlier::open(&store.place, &store.keyring).unwrap_or_default());
        let all = earlier.opened.iter().rev();
        all.filter_map(|before| record::told(&before.reader, pack).ok().flatten()).next()
    }
}

impl Packs for EvidenceHouse {
    fn packs(&self, most: usize) -> Result<PackList, HouseError> {
        let store = self.running.store();
        let packs = record::packs(&store.keyring).map_err(|error| failed(error.code(), error))?;
        let total = packs.len() as u64;
        let shown = packs.into_iter().take(most).map(|pack| {
            // A record whose event cannot be read is told all the same.
            let told = record::told(&store.reader, &pack).ok().flatten();
            let is_here = told.is_some();
            let told = told.or_else(|| self.told_before(&pack));
            let (what, reason) = told.map(|told| (told.selection, told.reason)).unwrap_or_default();
            Pack {
                digest: pack.digest.to_string(),
                made: pack.made,
                by: pack.by,
                what,
                reason,
                entries: pack.entries,
                persons: pack.persons.len() as u64,
                // The pages show the present ledger's events only.
                position: is_here.then_some(pack.position.0),
            }
        });
        Ok(PackList { total, packs: shown.collect() })
    }

    fn making(&self) -> Option<Making> {
        held(&self.packing.0).making.clone()
    }

    fn make(&self, page: PackAsked, by: &str) -> Result<(), HouseError> {
        let store = Arc::clone(self.running.store());
        let asked = asked(page, by, store.status().checkpoint.checkpoint().size)?;
        let mut state = held(&self.packing.0);
        if matches!(state.making, Some(Making { state: MakingState::Running, .. })) {
            let busy = EvidenceError::Selection("waits: another pack is being made; ask again when it is");
            return Err(failed(busy.code(), busy));
        }
        state.held = None;
        state.stamp = state.stamp.wrapping_add(1);
        state.making = Some(Making {
            what: asked.selection.words(),
            by: by.to_owned(),
            started: store.clock.now(),
            done: 0,
            total: 0,
            state: MakingState::Running,
        });
        drop(state);
        let packing = Arc::clone(&self.packing);
        let thread = std::thread::Builder::new().name("waag-pack".to_owned());
        let begun = thread.spawn(move || {
            let made = made(&store, &packing, &asked);
            packing.ended(&*store.clock, made);
        });
        begun.map(drop).map_err(|error| {
            held(&self.packing.0).making = None;
            let error = NodeError::Thread(error);
            failed(error.code(), error)
        })
    }

    fn made(&self, digest: &str) -> Option<PackFile> {
        let store = self.running.store();
        let now = store.clock.monotonic();
        let mut state = held(&self.packing.0);
        let pack = state.held.as_ref()?;
        let is_over = now.saturating_sub(pack.since) >= KEPT_FOR;
        if is_over || !record::is_still_there(&store.keyring, &pack.handed) {
            state.held = None;
            return None;
        }
        (pack.digest == digest).then(|| PackFile {
            bytes: pack.bytes.len() as u64,
            content: Arc::new(Bytes(Arc::clone(&pack.bytes))),
        })
    }

    fn check(&self, pack: &[u8]) -> Result<Verdict, HouseError> {
        Ok(match check(&self.running.store().ledger, pack) {
            Ok(checked) => Verdict { verified: true, lines: verified(&checked) },
            Err(fault) => {
                let detail = format!("{}: {fault}", fault.code());
                Verdict { verified: false, lines: vec![line(Grade::Bad, "What is wrong", detail)] }
            }
        })
    }
}
