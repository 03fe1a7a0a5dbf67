//! From lines to sealed batches, on worker threads: parse, check, seal; in any order, put in order again by `append`.
//!
//! Not here: reading lines (`input`), handing batches to the writer and answering (`append`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};

use waag_cloudevents::{Refusal, read_event};
use waag_domain::passthrough::Passthrough;
use waag_engine::batch::SealedBatch;
use waag_engine::sealer::{BatchBuilder, SealError, Sealer};
use waag_entry::split::split;
use waag_keys::error::KeysError;
use waag_keys::keyring::{Keyring, PERSON_BYTES_MAX};
use waag_model::event::{Accepted, Event};
use waag_model::ids::Actor;
use waag_stdx::clock::Clock;

use super::failure::{CliError, EventRefusal, Failure, chain};
use super::input::{Chunk, RawLine, Read1};
use super::output::tell;
use crate::node::shipped::INVOICE_TYPES;
use crate::store::own::{OWN_SOURCE, OWN_TYPES};
use crate::store::writer::OpenedStore;

/// An attribute by which a sender can say for which tenant an event is meant.
const TENANT_ATTRIBUTE: &str = "waagtenant";

/// What sealing threads share.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) sealer: Arc<Sealer<Passthrough>>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) actor: Actor,
    pub(crate) tenant: String,
    /// Whether it was told that an invoice event has no schema.
    told_no_schema: Arc<AtomicBool>,
}

/// Why one line is not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
    /// JSON Pointer into the event; empty for the whole.
    pub(crate) path: String,
}

impl Problem {
    fn of(code: &'static str, error: &dyn std::error::Error) -> Self {
        Self { code, reason: chain(error), path: String::new() }
    }

    pub(crate) fn event(refusal: EventRefusal, path: &str) -> Self {
        Self { code: refusal.code(), reason: refusal.to_string(), path: path.to_owned() }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let reason = format!("{} at byte {}", refusal.reason, refusal.offset);
        Self { code: refusal.code(), reason, path: refusal.path.clone() }
    }
}

/// Lines whose good events are one sealed batch.
pub(crate) struct Portion {
    /// Which input.
    pub(crate) input: usize,
    /// The lines, kept until they are answered.
    pub(crate) lines: Vec<RawLine>,
    /// For each line, why its event is not in the batch, where it is not.
    pub(crate) problems: Vec<Option<Problem>>,
    /// The events of all other lines, in order.
    pub(crate) batch: SealedBatch,
}

/// What becomes of a chunk.
pub(crate) struct SealedChunk {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    pub(crate) outcome: Result<Vec<Portion>, Failure>,
}

impl Means {
    pub(crate) fn new(store: &OpenedStore, actor: Actor) -> Self {
        Self {
            sealer: Arc::clone(&store.sealer),
            keyring: Arc::clone(&store.keyring),
            clock: Arc::clone(&store.clock),
            actor,
            tenant: store.place.tenant.to_string(),
            told_no_schema: Arc::default(),
        }
    }

    /// Says once that invoices are about to be sealed whole as a person's, where figures will never find them.
    fn tell_no_schema(&self, event: &Event<'_>) {
        let is_lost = event.subject.is_some()
            && INVOICE_TYPES.contains(&event.kind.as_ref())
            && self.sealer.registry().newest(&event.kind).is_none();
        if is_lost && !self.told_no_schema.swap(true, Ordering::Relaxed) {
            tell(&format!(
                "warning: `{}` has no schema here, so that its data is sealed as that of a person and no figure counts \
                 it; `waag schema shipped` registers what a node would, for events that come after",
                event.kind
            ));
        }
    }

    /// Takes chunks until there are no more.
    pub(crate) fn work(&self, chunks: &Mutex<Receiver<Read1>>, sealed: &SyncSender<SealedChunk>) {
        loop {
            let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let done = match next {
                Err(_) => return,
                Ok(Read1::Failed(number, error)) => {
                    SealedChunk { number, bytes: 0, outcome: Err(error.into()) }
                }
                Ok(Read1::Chunk(Chunk { number, input, lines, bytes })) => {
                    SealedChunk { number, bytes, outcome: self.seal(input, lines) }
                }
            };
            if sealed.send(done).is_err() {
                return;
            }
        }
    }

    /// Seals lines into one batch, or more where they do not fit into one.
    pub(crate) fn seal(&self, input: usize, lines: Vec<RawLine>) -> Result<Vec<Portion>, Failure> {
        let mut portions = Vec::new();
        let mut rest = lines.into_iter().peekable();
        while rest.peek().is_some() {
            let mut builder = self.sealer.begin();
            let (mut lines, mut problems) = (Vec::new(), Vec::new());
            while let Some(line) = rest.peek() {
                match self.push(&mut builder, line) {
                    Ok(()) => problems.push(None),
                    Err(Unsealed::Problem(problem)) => problems.push(Some(problem)),
                    Err(Unsealed::Full) if !builder.is_empty() => break,
                    Err(Unsealed::Full) => return Err(SealError::BatchFull.into()),
                    Err(Unsealed::Fatal(error)) => return Err(error.into()),
                }
                lines.extend(rest.next());
            }
            portions.push(Portion { input, lines, problems, batch: builder.finish() });
        }
        Ok(portions)
    }

    fn push(&self, builder: &mut BatchBuilder<'_, Passthrough>, line: &RawLine) -> Result<(), Unsealed> {
        loop {
            let event = self.event(line).map_err(Unsealed::Problem)?;
            self.tell_no_schema(&event);
            let accepted = Accepted { event, actor: self.actor.clone(), accepted: self.clock.now() };
            return match builder.push(accepted, None) {
                Ok(_) => Ok(()),
                Err(SealError::BatchFull) => Err(Unsealed::Full),
                // New keys are made durable earlier than they need be, which makes room for more.
                Err(SealError::Keys(KeysError::PendingFull)) => match self.keyring.commit_pending(u64::MAX) {
                    Ok(_) => continue,
                    Err(error) => Err(Unsealed::Fatal(SealError::Keys(error))),
                },
                Err(error) if error.is_the_events_fault() => {
                    Err(Unsealed::Problem(Problem::of(error.code(), &error)))
                }
                Err(error) => Err(Unsealed::Fatal(error)),
            };
        }
    }

    /// The event of a line, as far as its form and its sender's rights go.
    fn event<'l>(&self, line: &'l RawLine) -> Result<Event<'l>, Problem> {
        let bytes = line.bytes.as_ref().map_err(Problem::from)?;
        let event = read_event(bytes).map_err(|refusal| Problem::from(&refusal))?;
        if event.kind.starts_with(OWN_TYPES) {
            return Err(Problem::event(EventRefusal::OwnType, "/type"));
        }
        // An id under Waag's own source would keep the event that is to have it out of the ledger.
        if event.source == OWN_SOURCE {
            return Err(Problem::event(EventRefusal::OwnType, "/source"));
        }
        let meant = event.attributes.get(TENANT_ATTRIBUTE);
        if meant.is_some_and(|tenant| tenant.as_text() != Some(&self.tenant)) {
            return Err(Problem::event(EventRefusal::OtherTenant, "/waagtenant"));
        }
        Ok(event)
    }

    /// What sealing would refuse a line for; makes no key and keeps nothing.
    pub(crate) fn check(&self, line: &RawLine) -> Result<(), Problem> {
        let event = self.event(line)?;
        let registry = self.sealer.registry();
        let schema = registry.newest(&event.kind).map(|known| &known.schema);
        let parts = split(event, &self.actor, schema).map_err(|error| Problem::of(error.code(), &error))?;
        let too_long = |id: &str| id.is_empty() || id.len() > PERSON_BYTES_MAX;
        if parts.persons.iter().any(|person| too_long(&person.id)) {
            let error = KeysError::Name("the person's id");
            return Err(Problem::of(error.code(), &error));
        }
        Ok(())
    }
}

enum Unsealed {
    Problem(Problem),
    Full,
    Fatal(SealError),
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        crate::store::error::StoreError::from(error).into()
    }
}

/// Reads an input to its end and checks every line; says what is wrong with each bad one.
pub(crate) fn check_all(
    means: &Means,
    input: &super::input::Input,
    found: &mut dyn FnMut(u64, Problem) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut reader, _) = input.open()?;
    let mut lines = waag_cloudevents::Lines::new(&mut *reader);
    let failed = |source| CliError::Input { name: input.name(), source };
    while let Some(line) = lines.next_line().map_err(failed)? {
        let line = RawLine { number: line.number, bytes: line.bytes.map(<[u8]>::to_vec) };
        if let Err(problem) = means.check(&line) {
            found(line.number, problem)?;
        }
    }
    Ok(())
}
