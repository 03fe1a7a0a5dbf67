//! Messages of a stream become events of the ledger: recorded first, then the cursor is kept, then the broker hears of it.
//!
//! What cannot be recorded as the event it looks like is recorded as bytes under its place in the stream; what cannot be
//! recorded even so, or has the identity of another event, is told by an event of Waag's own and passed over. The ids of
//! these events are made of what they tell, so that telling it again after a crash records it once.
//!
//! - `BRIDGE-3`: what a target of this ledger published is passed over and counted, lest a subscription and a bridge on one
//!   stream go round for ever. Who publishes with this ledger's id in the header keeps only his own message out.
//! - `BRIDGE-1`: a cursor that is kept stands behind recorded, told or missing messages alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use waag_cloudevents::read_event;
use waag_domain::passthrough::Passthrough;
use waag_engine::batch::Outcome;
use waag_engine::effect::{NotTaken, Rejection};
use waag_engine::sealer::{BatchBuilder, SealError};
use waag_http::fault::Kind;
use waag_keys::error::KeysError;
use waag_model::event::Accepted;
use waag_model::ids::{Actor, Position};
use waag_model::value::Value;
use waag_nats::error::NatsError;
use waag_nats::take::{Cursor, Gap, Incoming, Take, TakeError};

use super::error::BridgeError;
use super::record::{Counts, Kept, Record, keep_cursor};
use crate::store::error::StoreError;
use crate::store::own::{Members, OWN_SOURCE, OWN_TYPES, own_event};
use crate::store::writer::OpenedStore;

/// How often a batch is sealed and submitted anew because keys were destroyed meanwhile, or the writer is full.
const TRIES_MAX: u32 = 2_000;
/// The wait between two of these, in milliseconds.
const TRY_DELAY_MS: u64 = 5;
/// The attribute by which an event says whose it is.
const TENANT_ATTRIBUTE: &str = "waagtenant";

/// Records what one run of a bridge's source hands over.
pub(super) struct Taker {
    store: Arc<OpenedStore>,
    name: String,
    stream: String,
    origin: String,
    /// This ledger's id, as its targets write it.
    ledger: String,
    actor: Actor,
    /// What is kept; held while something is taken, so that nothing is kept behind [`Taker::close`].
    gate: Mutex<Gate>,
    is_closing: AtomicBool,
    /// What is kept, for those who look.
    shown: Mutex<Kept>,
}

struct Gate {
    is_closed: bool,
    kept: Kept,
}

/// What sealing made of a message.
enum Pushed {
    /// It came from this ledger, which would record what it says for ever (`BRIDGE-3`).
    Ours,
    Own,
    Opaque,
    Refused(&'static str),
    /// It belongs into the next batch.
    Full,
}

/// A message that is passed over.
struct Passed {
    sequence: u64,
    why: Why,
}

enum Why {
    Conflict(Position),
    Erased(Position),
    Refused(&'static str),
}

fn closing() -> TakeError {
    let error = NatsError::Unanswered("the bridge is ending".to_owned());
    TakeError { code: error.code(), reason: error.to_string() }
}

fn failed(error: &StoreError) -> TakeError {
    TakeError { code: error.code(), reason: error.to_string() }
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

impl Taker {
    pub(super) fn new(store: &Arc<OpenedStore>, record: &Record, kept: Kept) -> Result<Self, BridgeError> {
        Ok(Self {
            store: Arc::clone(store),
            name: record.name.clone(),
            stream: record.stream.clone(),
            origin: record.origin.clone(),
            ledger: store.ledger.id.to_string(),
            actor: Actor::new(&format!("waag/bridge/{}", record.name)).map_err(BridgeError::Name)?,
            shown: Mutex::new(kept.clone()),
            gate: Mutex::new(Gate { is_closed: false, kept }),
            is_closing: AtomicBool::new(false),
        })
    }

    /// Takes nothing any more: waits for what is being taken, and gives what is kept behind it.
    pub(super) fn close(&self) -> Kept {
        self.is_closing.store(true, Ordering::Release);
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.is_closed = true;
        gate.kept.clone()
    }

    pub(super) fn kept(&self) -> Kept {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that a condition ended the source.
    pub(super) fn tell_stopped(&self, code: &str, reason: &str) -> Result<(), TakeError> {
        let data = vec![("code", text(code)), ("reason", text(reason))];
        self.tell("waag.bridge.stopped", None, data)
    }

    fn open_gate(&self) -> Result<MutexGuard<'_, Gate>, TakeError> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.is_closed { Err(closing()) } else { Ok(gate) }
    }

    fn keep(&self, gate: &mut Gate, cursor: &Cursor, counts: Counts) -> Result<(), TakeError> {
        let kept = Kept::new(cursor.clone(), counts);
        keep_cursor(&self.store.keyring, &self.name, &kept)
            .map_err(|error| TakeError { code: error.code(), reason: error.to_string() })?;
        gate.kept = kept.clone();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(())
    }

    fn tell(&self, kind: &str, id: Option<String>, data: Members<'_>) -> Result<(), TakeError> {
        let mut members = vec![("bridge", text(&self.name)), ("stream", text(&self.stream))];
        members.extend(data);
        let of = |id| {
            own_event(kind, id, members.clone()).map_err(|error| failed(&SealError::Entropy(error).into()))
        };
        let has_id = id.is_some();
        match self.store.record(&of(id)?, &self.actor) {
            Ok(_) => Ok(()),
            // Somebody else's event has this very id: it must not keep ours out of the ledger.
            Err(StoreError::Unrecorded(_)) if has_id => {
                self.store.record(&of(None)?, &self.actor).map(drop).map_err(|error| failed(&error))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// The id of what is told of a place in the stream: the same however often it is told.
    fn id(&self, cursor: &Cursor, what: &str) -> String {
        let Self { name, origin, stream, .. } = self;
        let Cursor { created, generation, .. } = cursor;
        format!("bridge/{name} {origin}/{stream} {created} {generation} {what}")
    }

    fn tell_passed(&self, passed: &Passed, cursor: &Cursor) -> Result<(), TakeError> {
        let sequence = passed.sequence;
        let number = |number: u64| Value::Integer(number.into());
        let mut data = vec![("sequence", number(sequence))];
        let (kind, code) = match &passed.why {
            Why::Conflict(position) => {
                data.push(("position", number(position.0)));
                ("waag.bridge.conflict", Kind::Conflict.code())
            }
            Why::Erased(position) => {
                data.push(("position", number(position.0)));
                ("waag.bridge.conflict", Kind::Erased.code())
            }
            // Its code alone: what is said of it may have words of its own, which no erasure would reach here.
            Why::Refused(code) => ("waag.bridge.refused", *code),
        };
        data.push(("code", text(code)));
        self.tell(kind, Some(self.id(cursor, &format!("passed {code} {sequence}"))), data)
    }

    /// Seals one form of a message: done, refused with a code, or none where it belongs into the next batch.
    fn push_form(
        &self,
        builder: &mut BatchBuilder<'_, Passthrough>,
        json: &[u8],
    ) -> Result<Option<Result<(), &'static str>>, StoreError> {
        let event = match read_event(json) {
            Ok(event) => event,
            Err(refusal) => return Ok(Some(Err(refusal.code()))),
        };
        // Under our own source it could take the id of what we are about to tell.
        if event.kind.starts_with(OWN_TYPES) || event.source == OWN_SOURCE {
            return Ok(Some(Err(Kind::OwnType.code())));
        }
        let meant = event.attributes.get(TENANT_ATTRIBUTE);
        if meant.is_some_and(|tenant| tenant.as_text() != Some(self.store.place.tenant.as_str())) {
            return Ok(Some(Err(Kind::OtherTenant.code())));
        }
        let accepted = Accepted { event, actor: self.actor.clone(), accepted: self.store.clock.now() };
        match builder.push(accepted, None) {
            Ok(_) => Ok(Some(Ok(()))),
            Err(SealError::BatchFull) if !builder.is_empty() => Ok(None),
            // New keys are made durable earlier than they need be, which makes room for more.
            Err(SealError::Keys(KeysError::PendingFull)) => {
                self.store.keyring.commit_pending(u64::MAX)?;
                Ok(None)
            }
            Err(error) if error.is_the_events_fault() => Ok(Some(Err(error.code()))),
            Err(error) => Err(error.into()),
        }
    }

    fn push(
        &self,
        builder: &mut BatchBuilder<'_, Passthrough>,
        message: &Incoming,
    ) -> Result<Pushed, StoreError> {
        if message.ledger() == Some(self.ledger.as_str()) {
            return Ok(Pushed::Ours);
        }
        let Some(done) = self.push_form(builder, &message.json)? else { return Ok(Pushed::Full) };
        let Err(code) = done else { return Ok(Pushed::Own) };
        // Another tenant's event does not come into this one's ledger in any form.
        if code == Kind::OtherTenant.code() {
            return Ok(Pushed::Refused(code));
        }
        Ok(match self.push_form(builder, &message.opaque())? {
            None => Pushed::Full,
            Some(Ok(())) => Pushed::Opaque,
            Some(Err(code)) => Pushed::Refused(code),
        })
    }

    /// Records as many messages as one batch takes, from the first; how many, and those that are passed over.
    fn record_some(
        &self,
        messages: &[Incoming],
        counts: &mut Counts,
        passed: &mut Vec<Passed>,
    ) -> Result<Option<usize>, StoreError> {
        let mut builder = self.store.sealer.begin();
        let (mut seen, mut ours, mut members, mut refused) = (0_usize, 0_u64, Vec::new(), Vec::new());
        for message in messages {
            let sequence = message.sequence;
            match self.push(&mut builder, message)? {
                Pushed::Ours => ours = ours.saturating_add(1),
                Pushed::Own => members.push((sequence, false)),
                Pushed::Opaque => members.push((sequence, true)),
                Pushed::Refused(code) => refused.push(Passed { sequence, why: Why::Refused(code) }),
                Pushed::Full => break,
            }
            seen = seen.saturating_add(1);
        }
        if !builder.is_empty() {
            let taken = self.store.writer.submit(builder.finish());
            let receipt = match taken {
                Ok(pending) => pending.wait(),
                Err(NotTaken::Busy(_)) => return Ok(None),
                Err(other @ NotTaken::Halted(_)) => Err(Rejection::from(other)),
            };
            let receipt = match receipt {
                Ok(receipt) => receipt,
                Err(Rejection::Busy | Rejection::Reseal) => return Ok(None),
                Err(rejection) => return Err(rejection.into()),
            };
            for (item, (sequence, is_opaque)) in receipt.items.iter().zip(members) {
                let why = match item {
                    Outcome::Recorded(_) => {
                        counts.recorded = counts.recorded.saturating_add(1);
                        counts.opaque = counts.opaque.saturating_add(u64::from(is_opaque));
                        continue;
                    }
                    Outcome::Before(_) => {
                        counts.before = counts.before.saturating_add(1);
                        continue;
                    }
                    Outcome::Conflict(position) => Why::Conflict(*position),
                    Outcome::Erased(position) => Why::Erased(*position),
                };
                counts.conflicts = counts.conflicts.saturating_add(1);
                passed.push(Passed { sequence, why });
            }
        }
        counts.own = counts.own.saturating_add(ours);
        counts.refused = counts.refused.saturating_add(refused.len() as u64);
        passed.extend(refused);
        Ok(Some(seen))
    }
}

impl Take for Taker {
    fn take(&self, messages: Vec<Incoming>, cursor: &Cursor) -> Result<(), TakeError> {
        // What is not taken stays with the broker.
        self.store.room.check().map_err(|error| failed(&error))?;
        let mut gate = self.open_gate()?;
        let mut counts = gate.kept.counts.clone();
        let (mut passed, mut rest, mut tries) = (Vec::new(), messages.as_slice(), 0_u32);
        while !rest.is_empty() {
            let done = self.record_some(rest, &mut counts, &mut passed).map_err(|error| failed(&error))?;
            // Nothing is done where the writer is full, or where room for new keys had to be made first.
            let done = done.unwrap_or_default();
            rest = rest.get(done..).unwrap_or_default();
            if done == 0 {
                tries = tries.saturating_add(1);
                if tries >= TRIES_MAX {
                    return Err(failed(&Rejection::Busy.into()));
                }
                if self.is_closing.load(Ordering::Acquire) {
                    return Err(closing());
                }
                std::thread::sleep(Duration::from_millis(TRY_DELAY_MS));
            }
        }
        passed.iter().try_for_each(|one| self.tell_passed(one, cursor))?;
        self.keep(&mut gate, cursor, counts)
    }

    fn missing(&self, gap: Gap, cursor: &Cursor) -> Result<(), TakeError> {
        let mut gate = self.open_gate()?;
        let Gap { first, last } = gap;
        let number = |number: u64| Value::Integer(number.into());
        let data = vec![("first", number(first)), ("last", number(last)), ("code", text(gap.code()))];
        self.tell("waag.bridge.gap", Some(self.id(cursor, &format!("gap {first} {last}"))), data)?;
        let mut counts = gate.kept.counts.clone();
        let many = last.saturating_sub(first).saturating_add(1);
        counts.missing = counts.missing.saturating_add(many);
        self.keep(&mut gate, cursor, counts)
    }
}
