//! How the ledger stands before outsiders: read from the writer, the publication, the scrubber and the keys.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::state::SCAN_RECORDS_MAX;
use waag_ledger::history::KeyState as Window;
use waag_log::contract::{EventLog, ReadError};
use waag_log::verify::LogFault;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_web::model::{Line, Series};
use waag_web::ports::HouseError;
use waag_web::ports::evidence::standing::{
    Guard, Key, KeyState, Ledger, Publication, Quorum, Scrub, Standing, Witness, WitnessState,
};

use super::{EvidenceHouse, TOMBSTONES_FOR, failed, held};
use crate::node::publishing::keys::key_history;
use crate::node::publishing::status::{Alarm, AlarmKind, Answer, PublicationStatus, WitnessStatus};
use crate::store::upkeep::ScrubStatus;
use crate::store::writer::OpenedStore;

const SECOND_NS: i64 = 1_000_000_000;
/// Lengths of a step of the growth chart, in seconds: a second to thirty days.
const STEPS_S: [i64; 11] = [1, 5, 15, 60, 300, 1_800, 7_200, 21_600, 86_400, 604_800, 2_592_000];
/// Most steps of the growth chart.
const STEPS_MAX: i64 = 48;
/// Positions by time that are remembered; they never change.
const KNOWN_MAX: usize = 4_096;

/// Where the ledger was at times that are over.
#[derive(Default)]
pub(super) struct Growth {
    first: Option<UtcNanos>,
    known: BTreeMap<i64, u64>,
}

impl Growth {
    /// Entries at the start of each step, from the first frame to now.
    fn series(&mut self, log: &dyn EventLog, size: u64, now: UtcNanos) -> Result<Series, ReadError> {
        let empty = Series { start: now, step_s: 60, lines: Vec::new() };
        if self.first.is_none() {
            self.first = frame(log, 0)?.map(|frame| frame.committed);
        }
        let Some(first) = self.first.filter(|_| size > 0) else { return Ok(empty) };
        let span_s = now.0.saturating_sub(first.0).max(0) / SECOND_NS;
        let fits = |step: &i64| span_s / step < STEPS_MAX - 1;
        let step_s = STEPS_S.into_iter().find(fits).unwrap_or(span_s / (STEPS_MAX - 1) + 1);
        let step = step_s.saturating_mul(SECOND_NS);
        let start = first.0.div_euclid(step).saturating_mul(step);
        let steps = now.0.saturating_sub(start).max(0) / step + 1;
        let times: Vec<i64> = (0..=steps).map(|at| start.saturating_add(at.saturating_mul(step))).collect();
        let mut values: Vec<u64> = vec![size; times.len()];
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        let mut from = 0;
        for (time, value) in times.iter().zip(values.iter_mut()).filter(|(time, _)| **time < now.0) {
            let known = self.known.get(time).copied();
            let found = known.map_or_else(|| position_at(log, UtcNanos(*time), from, size), Ok)?;
            self.known.insert(*time, found);
            (*value, from) = (found, found);
        }
        let lines = vec![Line { name: "Entries".to_owned(), values }];
        Ok(Series { start: UtcNanos(start), step_s, lines })
    }
}

struct Frame {
    committed: UtcNanos,
    first: u64,
    end: u64,
}

/// The frame that holds a position.
fn frame(log: &dyn EventLog, position: u64) -> Result<Option<Frame>, ReadError> {
    if position >= log.tail().position.0 {
        return Ok(None);
    }
    let mut found = None;
    log.read(Position(position), &mut |view| {
        let header = view.header();
        let (committed, first) = (header.fields.commit_time, header.fields.first.0);
        found = Some(Frame { committed, first, end: header.tree_size });
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// How many entries were committed before a time, at least `low` and at most `high`: commit times rise from frame to frame.
fn position_at(log: &dyn EventLog, time: UtcNanos, mut low: u64, mut high: u64) -> Result<u64, ReadError> {
    // Most steps end far before or far behind all growth, so the ends are looked at first.
    let mut middle = low;
    while low < high {
        let Some(frame) = frame(log, middle)? else { break };
        if frame.committed.0 >= time.0 {
            high = frame.first.max(low);
        } else {
            low = frame.end.min(high);
        }
        middle = low.midpoint(high);
    }
    Ok(low)
}

fn keys_error(error: &KeysError) -> HouseError {
    failed(error.code(), error)
}

impl EvidenceHouse {
    /// Keys that were destroyed, counted now and then.
    fn tombstones(&self) -> Result<u64, HouseError> {
        let store = self.running.store();
        let now = store.clock.monotonic();
        let mut told = held(&self.tombstones);
        match *told {
            Some((at, number)) if now.saturating_sub(at) < TOMBSTONES_FOR => Ok(number),
            Some(_) | None => {
                let number = count(&store.keyring).map_err(|error| keys_error(&error))?;
                *told = Some((now, number));
                Ok(number)
            }
        }
    }
}

fn count(keyring: &Keyring) -> Result<u64, KeysError> {
    let (mut number, mut after) = (0u64, None);
    loop {
        let some = keyring.tombstones(after, SCAN_RECORDS_MAX)?;
        let Some(last) = some.last() else { return Ok(number) };
        after = Some(last.id);
        number = number.saturating_add(some.len() as u64);
    }
}

/// The ledger's keys, the newest first.
fn keys(store: &OpenedStore) -> Result<Vec<Key>, HouseError> {
    let history = key_history(&store.keyring, &store.ledger).map_err(|error| failed(error.code(), error))?;
    let status = store.status();
    let signers = status.checkpoint.signers();
    let key = |window: &waag_ledger::history::KeyWindow| Key {
        vkey: window.key.to_string(),
        algorithm: window.key.algorithm().to_string(),
        state: match window.state {
            Window::Active => KeyState::Active,
            Window::Retired => KeyState::Retired,
            Window::Revoked => KeyState::Revoked,
        },
        from: Some(UtcNanos(window.from_ns)),
        until: window.until_ns.map(UtcNanos),
        signed: signers.contains(&window.key),
    };
    let mut keys: Vec<Key> = history.windows().iter().map(key).collect();
    // A key that a verifier should take stands first: one that signed the newest checkpoint.
    keys.sort_by_key(|key| (std::cmp::Reverse(key.signed), std::cmp::Reverse(key.from)));
    Ok(keys)
}

fn publication(status: &PublicationStatus, every_ms: u64) -> Publication {
    Publication {
        size: status.size,
        at: status.published_at,
        note: status.note.as_deref().unwrap_or_default().to_owned(),
        lag_ns: i64::try_from(status.lag.as_nanos()).unwrap_or(i64::MAX),
        every_ms,
        is_public: status.is_public,
        refused: status.stopped.as_ref().map(|why| (why.code.to_owned(), why.reason.clone())),
    }
}

fn quorum(status: &PublicationStatus) -> Option<Quorum> {
    let quorum = status.quorum.as_ref()?;
    let rule = quorum.name.as_ref().map_or_else(|| "no quorum".to_owned(), |name| format!("quorum {name}"));
    let newest = status.cosigned.as_ref().map(|cosigned| (cosigned.size, cosigned.at));
    Some(Quorum { rule, satisfied: quorum.met, missing: quorum.silent.clone(), newest })
}

/// What a witness saw that this ledger is not.
fn seen(alarm: &Alarm) -> String {
    match alarm.kind {
        AlarmKind::Larger(told) => {
            format!("it has cosigned {told} entries, and this ledger had {}", alarm.size)
        }
        AlarmKind::ProofRefused(from) => format!("it has cosigned another root at {from} entries"),
    }
}

fn witness(known: &WitnessStatus, published: u64) -> Witness {
    let is_even = known.size >= published && known.cosigned_at.is_some();
    let state = match &known.answer {
        _ if known.alarm.is_some() => WitnessState::Alarm,
        Answer::UnknownLog
        | Answer::NotSigned
        | Answer::Malformed
        | Answer::ProofRefused
        | Answer::NotCosigned(_) => WitnessState::Refused,
        Answer::Down(_) | Answer::Other(_) | Answer::NotAsked(_) => WitnessState::Down,
        Answer::None | Answer::Cosigned | Answer::Conflict(_) if is_even => WitnessState::Good,
        Answer::None | Answer::Cosigned | Answer::Conflict(_) => WitnessState::Behind,
    };
    let alarm = known.alarm.as_ref().map(|alarm| format!("{} ({})", seen(alarm), alarm.code()));
    Witness {
        name: known.name.clone(),
        url: known.url.clone().unwrap_or_else(|| "no address in the policy".to_owned()),
        state,
        size: known.cosigned_at.map(|_| known.size),
        cosigned: known.cosigned_at,
        answer: alarm.unwrap_or_else(|| known.answer.to_string()),
        answered: known.asked_at,
        failures: u64::from(known.failures),
    }
}

/// Damage: its code, where it is and what.
fn damage(fault: &LogFault) -> (String, String) {
    let place = format!("{} at byte {}", fault.file, fault.offset);
    (fault.code.to_owned(), format!("{place}: {}", fault.reason))
}

fn scrub(status: &ScrubStatus) -> Scrub {
    let share = u128::from(status.round_bytes).saturating_mul(100).checked_div(status.whole_bytes.into());
    Scrub {
        runs: status.runs,
        rounds: status.rounds,
        bytes: status.bytes,
        ended: status.ended,
        percent: share.map(|share| u8::try_from(share.min(100)).unwrap_or(100)),
        faults: status.faults.iter().map(damage).collect(),
        failures: status.failures,
    }
}

impl Standing for EvidenceHouse {
    fn standing(&self) -> Result<Ledger, HouseError> {
        let store = self.running.store();
        let status = store.status();
        let told = status.checkpoint.checkpoint();
        let published = self.running.publishing().status();
        let (log, now) = (&*store.reader.log, store.clock.now());
        let growth = held(&self.growth).series(log, told.size, now);
        Ok(Ledger {
            id: store.ledger.id.to_string(),
            origin: told.origin.clone(),
            size: told.size,
            note: (told.size > 0).then(|| status.checkpoint.note().to_owned()),
            committed: (told.size > 0).then(|| log.tail().commit_time),
            keys: keys(store)?,
            growth: growth.map_err(|error| failed(error.code(), error))?,
            publication: Some(publication(&published, self.running.publishing().interval_ms())),
            witnesses: published.witnesses.iter().map(|one| witness(one, published.size)).collect(),
            quorum: quorum(&published),
            scrub: scrub(&store.scrubbed()),
            guard: Guard {
                size: told.size,
                faults: store
                    .guard
                    .faults
                    .iter()
                    .map(|(offset, fault)| format!("at byte {offset}: {fault}"))
                    .collect(),
            },
            tombstones: self.tombstones()?,
        })
    }

    fn stamp(&self) -> String {
        let published = self.running.publishing().status();
        let scrubbed = self.running.store().scrubbed();
        let witnesses = published.witnesses.iter();
        let seen =
            witnesses.fold(0u64, |sum, one| sum.wrapping_add(one.size).wrapping_add(one.failures.into()));
        let (faults, packs) = (scrubbed.faults.len(), self.packing.stamp());
        let upkeep = self.running.upkeeping().status();
        let jobs = upkeep.failures.saturating_mul(2).saturating_add(upkeep.under_way.is_some().into());
        format!("{}.{seen}.{}.{faults}.{packs}.{jobs}", published.size, scrubbed.rounds)
    }
}
