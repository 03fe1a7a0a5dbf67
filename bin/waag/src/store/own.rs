//! Events that the ledger records about itself: what was registered, revealed, disclosed, destroyed, rotated, and by whom.
//!
//! Their types begin with `waag.`, which nobody else may use; their source is `/waag`; they have no subject and therefore
//! no person's part. They go the way of every other event.

use std::time::Duration;

use waag_engine::batch::{BatchReceipt, Outcome, Recorded};
use waag_engine::effect::Rejection;
use waag_model::event::{Accepted, Data, Event};
use waag_model::ids::Actor;
use waag_model::value::{Object, Value};
use waag_stdx::entropy::{Entropy, NoEntropy, SystemEntropy};

use super::error::StoreError;
use super::schemas::{REGISTERED, SCHEMAS_MAX, SchemaRecord, Schemas, object_name};
use super::writer::OpenedStore;

use waag_cloudevents::read_value;
use waag_engine::registry::{Registered, Registry};
use waag_entry::codec::Dictionary;
use waag_ledger::hash::Hash;
use waag_model::limits::TYPE_BYTES_MAX;
use waag_model::schema::Schema;

/// What the types of Waag's own events begin with; nobody else may record such an event.
pub const OWN_TYPES: &str = "waag.";
/// The source of Waag's own events.
pub const OWN_SOURCE: &str = "/waag";
/// How often a full writer is asked again.
const BUSY_TRIES_MAX: u32 = 4_000;
/// The wait between two of these, in milliseconds.
const BUSY_DELAY_MS: u64 = 5;

/// An own event's data: members by name.
pub type Members<'a> = Vec<(&'a str, Value<'a>)>;

/// An event of Waag's own, with a random id where none is given.
///
/// # Errors
/// [`NoEntropy`].
pub fn own_event<'a>(kind: &'a str, id: Option<String>, data: Members<'a>) -> Result<Event<'a>, NoEntropy> {
    let id = match id {
        Some(id) => id,
        None => {
            let mut bytes = [0; 16];
            SystemEntropy::new().fill(&mut bytes)?;
            hex::encode(bytes)
        }
    };
    let members = data.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Ok(Event {
        id: id.into(),
        source: OWN_SOURCE.into(),
        kind: kind.into(),
        subject: None,
        attributes: Object::default(),
        data: Data::Json(Object::from_members(members).map_or(Value::Null, Value::Object)),
    })
}

/// Why a schema was not registered.
#[derive(Debug)]
pub enum RegisterError {
    /// The document is no JSON.
    Json(waag_cloudevents::Refusal),
    /// Its annotations cannot be used.
    Schema(waag_model::schema::SchemaError),
    /// The dictionary cannot be used.
    Dictionary(waag_entry::error::EntryError),
    /// The store failed.
    Store(StoreError),
}

impl RegisterError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json(error) => error.code(),
            Self::Schema(error) => error.code(),
            Self::Dictionary(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
}

impl std::fmt::Display for RegisterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(error) => error.fmt(f),
            Self::Schema(error) => error.fmt(f),
            Self::Dictionary(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RegisterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(_) | Self::Schema(_) | Self::Dictionary(_) => None,
            Self::Store(error) => error.source(),
        }
    }
}

impl<E: Into<StoreError>> From<E> for RegisterError {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

impl OpenedStore {
    /// Records one event and waits for its receipt; a full writer is waited for.
    ///
    /// # Errors
    /// [`StoreError::Seal`], [`StoreError::Rejected`]; [`StoreError::Unrecorded`] where another event has its identity.
    pub fn record(&self, event: &Event<'_>, actor: &Actor) -> Result<(Recorded, BatchReceipt), StoreError> {
        self.record_with(event, &[], actor)
    }

    /// The same with others behind it: all of them are in one frame, so that a crash leaves all or none. Answers where the
    /// first is.
    fn record_with(
        &self,
        event: &Event<'_>,
        others: &[Event<'_>],
        actor: &Actor,
    ) -> Result<(Recorded, BatchReceipt), StoreError> {
        let mut tries = 0;
        loop {
            let mut batch = self.sealer.begin();
            let accepted = self.clock.now();
            for event in [event].into_iter().chain(others) {
                batch.push(Accepted { event: event.clone(), actor: actor.clone(), accepted }, None)?;
            }
            let taken = self.writer.submit(batch.finish()).map_err(Rejection::from);
            let receipt = taken.and_then(waag_engine::runtime::Pending::wait);
            match receipt {
                Ok(receipt) => {
                    return match receipt.items.first() {
                        Some(Outcome::Recorded(recorded) | Outcome::Before(recorded)) => {
                            Ok((*recorded, receipt))
                        }
                        Some(Outcome::Conflict(_) | Outcome::Erased(_)) | None => {
                            Err(StoreError::Unrecorded("an event of the ledger's own"))
                        }
                    };
                }
                Err(Rejection::Busy | Rejection::Reseal) if tries < BUSY_TRIES_MAX => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(BUSY_DELAY_MS));
                }
                Err(rejection) => return Err(rejection.into()),
            }
        }
    }

    /// Records the first entry of a ledger, and with it, in one frame, the schemas that it begins with: no event of one of
    /// their types can come before them and be sealed as if nothing of it were a person's. Their documents are there already.
    ///
    /// # Errors
    /// As [`OpenedStore::record`]; [`StoreError::Io`] where the index cannot be written.
    pub(crate) fn record_first(
        &self,
        event: &Event<'_>,
        schemas: &[SchemaRecord],
        actor: &Actor,
    ) -> Result<u64, StoreError> {
        let files = self.place.data_files();
        let failed = || StoreError::io("write in", &self.place.data.join("derived"));
        // An index that was made of no entries must not be believed behind this.
        Schemas::mark(&*files).map_err(failed())?;
        let registrations: Vec<Event<'_>> = schemas.iter().map(registration).collect();
        let (first, receipt) = self.record_with(event, &registrations, actor)?;
        let placed = |(schema, outcome): (&SchemaRecord, &Outcome)| match outcome {
            Outcome::Recorded(there) | Outcome::Before(there) => {
                Some(SchemaRecord { position: there.position, ..schema.clone() })
            }
            Outcome::Conflict(_) | Outcome::Erased(_) => None,
        };
        let records = schemas.iter().zip(receipt.items.iter().skip(1)).filter_map(placed).collect();
        Schemas { records, indexed: true }.write_index(&*files, self.ledger.id).map_err(failed())?;
        Schemas::unmark(&*files).map_err(failed())?;
        Ok(first.position.0)
    }

    /// Registers a schema as the next version of a type, with a dictionary where one is given; durable and in use on
    /// return. Where the newest version is the same already, nothing is done: `false` beside the record.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub fn register_schema(
        &self,
        actor: &Actor,
        kind: &str,
        document: &[u8],
        dictionary: Option<&[u8]>,
    ) -> Result<(SchemaRecord, bool), RegisterError> {
        if kind.is_empty() || kind.len() > TYPE_BYTES_MAX || kind.chars().any(char::is_control) {
            return Err(StoreError::SchemaType("has 1 to 255 bytes without control characters").into());
        }
        if kind.starts_with(OWN_TYPES) {
            return Err(StoreError::SchemaType("is one of Waag's own").into());
        }
        let mut schemas = self.schemas();
        let names = (object_name(document), dictionary.map(object_name));
        let newest = schemas.newest().get(kind).map(|record| (*record).clone());
        if let Some(same) = newest.as_ref().filter(|record| (record.schema, record.dictionary) == names) {
            return Ok((same.clone(), false));
        }
        if schemas.records.len() >= SCHEMAS_MAX {
            return Err(
                StoreError::SchemaType("cannot be registered, the ledger has 1024 versions already").into()
            );
        }
        let version = newest.map_or(1, |record| record.version.saturating_add(1));
        let value = read_value(document).map_err(RegisterError::Json)?;
        let schema = Schema::compile(version, &value).map_err(RegisterError::Schema)?;
        let prepared = dictionary.map(Dictionary::new).transpose().map_err(RegisterError::Dictionary)?;
        self.reader.objects.put(&names.0, document).map_err(StoreError::from)?;
        if let (Some(name), Some(bytes)) = (&names.1, dictionary) {
            self.reader.objects.put(name, bytes).map_err(StoreError::from)?;
        }
        let mut record = SchemaRecord {
            kind: kind.to_owned(),
            version,
            schema: names.0,
            dictionary: names.1,
            position: waag_model::ids::Position(0),
        };
        let files = self.place.data_files();
        let failed = |what| StoreError::io(what, &self.place.data.join("derived"));
        Schemas::mark(&*files).map_err(failed("write in"))?;
        let event = registration(&record);
        record.position = self.record(&event, actor)?.0.position;
        schemas.records.push(record.clone());
        schemas.write_index(&*files, self.ledger.id).map_err(failed("write in"))?;
        Schemas::unmark(&*files).map_err(failed("write in"))?;
        let mut registry: Registry = (*self.sealer.registry()).clone();
        registry.add(kind, Registered { schema, dictionary: prepared });
        self.sealer.set_registry(registry);
        self.set_schemas(schemas);
        Ok((record, true))
    }
}

/// The event of a registration; its id is made of what is registered, so that asking twice records it once.
fn registration(record: &SchemaRecord) -> Event<'static> {
    let name = |hash: &Hash| hash.to_string();
    let id =
        format!("{} {} {}", name(&object_name(record.kind.as_bytes())), record.version, name(&record.schema));
    Event {
        id: id.into(),
        source: OWN_SOURCE.into(),
        kind: REGISTERED.into(),
        subject: None,
        attributes: Object::default(),
        data: Data::Json(record.data()),
    }
}
