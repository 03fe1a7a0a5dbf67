//! Registered schemas: which they are, where they are kept, and how they are found fast.
//!
//! A registration is an event of the ledger (`waag.schema.registered`) that names schema and dictionary by their SHA-256;
//! the two are objects. So they are as durable and as provable as the entries that were sealed by them. The index file is
//! derived: it saves reading the whole log at each opening, and is made again where it is missing or wrong.
//!
//! Order of a registration: objects durable → marker → event acknowledged → index → marker gone. Where a marker is found,
//! a crash came in between, and the log is asked.
//!
//! The index: `waag schemas v1 <ledger id>`, then per version `<position> <version> <schema> <dictionary or -> <type>`,
//! then `sha256 <of all lines before>`.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use waag_cloudevents::read_value;
use waag_engine::reader::{ReadFault, Reader};
use waag_engine::registry::{Registered, Registry};
use waag_entry::codec::Dictionary;
use waag_entry::form::{Entry, read_clear};
use waag_entry::plain::Body;
use waag_ledger::hash::Hash;
use waag_log::objects::Objects;
use waag_model::ids::{LedgerId, Position};
use waag_model::schema::Schema;
use waag_model::value::{Object, Value};
use waag_stdx::files::{Files, Open};

use super::error::StoreError;

/// The type of the event that registers a schema.
pub const REGISTERED: &str = "waag.schema.registered";
/// Most registered versions of all types together: each is held in memory with its dictionary.
pub const SCHEMAS_MAX: usize = 1_024;
/// The index, below the data folder.
pub const INDEX_FILE: &str = "derived/schemas";
const INDEX_NEXT: &str = "derived/schemas.new";
const MARKER: &str = "derived/schemas.pending";
/// Longest index that is read.
const INDEX_BYTES_MAX: u64 = 1_024 * 1_024;

/// One registered version of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRecord {
    /// The event type.
    pub kind: String,
    /// Its version, from 1.
    pub version: u32,
    /// SHA-256 of the schema document, which is the object's name.
    pub schema: Hash,
    /// SHA-256 of the dictionary, where there is one.
    pub dictionary: Option<Hash>,
    /// Where the registration is recorded.
    pub position: Position,
}

/// All registered versions, in the order of their registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schemas {
    /// The versions.
    pub records: Vec<SchemaRecord>,
    /// Whether the index had them, so that nothing is to be written.
    pub indexed: bool,
}

/// The SHA-256 that names an object.
#[must_use]
pub fn object_name(bytes: &[u8]) -> Hash {
    let mut name = Hash([0; 32]);
    name.0.copy_from_slice(digest(&SHA256, bytes).as_ref());
    name
}

impl SchemaRecord {
    /// What the registration's event says.
    #[must_use]
    pub fn data(&self) -> Value<'static> {
        let text = |text: String| Value::Text(text.into());
        let dictionary = self.dictionary.map_or(Value::Null, |hash| text(hash.to_string()));
        let members = vec![
            ("type".into(), text(self.kind.clone())),
            ("version".into(), Value::Integer(self.version.into())),
            ("schema_sha256".into(), text(self.schema.to_string())),
            ("dictionary_sha256".into(), dictionary),
        ];
        Object::from_members(members).map_or(Value::Null, Value::Object)
    }

    fn of_data(data: &Value<'_>, position: Position) -> Option<Self> {
        let text = |name| data.child(name).and_then(Value::as_text);
        let Value::Integer(version) = data.child("version")? else { return None };
        let dictionary = data.child("dictionary_sha256")?;
        let dictionary =
            if *dictionary == Value::Null { None } else { Some(Hash::from_str(dictionary.as_text()?).ok()?) };
        Some(Self {
            kind: text("type")?.to_owned(),
            version: u32::try_from(*version).ok()?,
            schema: Hash::from_str(text("schema_sha256")?).ok()?,
            dictionary,
            position,
        })
    }

    /// Reads a registration back from its entry; `None` where the key it was sealed under is not there any more, so that
    /// only the index still tells it.
    ///
    /// # Errors
    /// [`StoreError::Registration`] where the entry is none; [`StoreError::Read`].
    pub fn of_entry(reader: &Reader, position: Position, bytes: &[u8]) -> Result<Option<Self>, StoreError> {
        let entry = Entry::read(bytes).map_err(ReadFault::Entry)?;
        let read = reader.open(&entry)?;
        if read.erased > 0 {
            return Ok(None);
        }
        let common = read.opened.event().map_err(ReadFault::Entry)?;
        let record = common.and_then(|common| match common.body {
            Body::Json(data) => Self::of_data(&data, position),
            Body::None | Body::Binary(_) => None,
        });
        record.map(Some).ok_or(StoreError::Registration(position))
    }

    fn load(&self, objects: &dyn Objects) -> Result<Registered, StoreError> {
        let wrong = |why| StoreError::SchemaObject { kind: self.kind.clone(), version: self.version, why };
        let get = |name: &Hash| -> Result<Vec<u8>, StoreError> {
            let bytes = objects.get(name)?.ok_or_else(|| wrong("is missing from the objects"))?;
            if object_name(&bytes) == *name {
                Ok(bytes)
            } else {
                Err(wrong("was changed since it was registered"))
            }
        };
        let document = get(&self.schema)?;
        let document = read_value(&document).map_err(|_| wrong("is no JSON"))?;
        let schema = Schema::compile(self.version, &document).map_err(|_| wrong("cannot be compiled"))?;
        let dictionary = match &self.dictionary {
            None => None,
            Some(name) => Some(
                Dictionary::new(&get(name)?).map_err(|_| wrong("has a dictionary that cannot be used"))?,
            ),
        };
        Ok(Registered { schema, dictionary })
    }
}

impl Schemas {
    /// The schemas as the index tells them, or as the log does where the index is missing, wrong, or marked.
    ///
    /// # Errors
    /// [`StoreError`] where the log cannot be read.
    pub fn find(files: &dyn Files, reader: &Reader) -> Result<Self, StoreError> {
        let tail = reader.log.tail().position;
        // A mark that cannot be looked for may stand there.
        let mark = files.open(MARKER, Open::Read);
        let marked = mark.err().is_none_or(|error| error.kind() != io::ErrorKind::NotFound);
        match Self::read_index(files, reader.ledger, tail).filter(|_| !marked) {
            Some(schemas) => Ok(schemas),
            None => Self::scan(reader),
        }
    }

    /// The schemas as the log tells them: every entry's clear header is looked at.
    ///
    /// # Errors
    /// As [`Schemas::find`].
    pub fn scan(reader: &Reader) -> Result<Self, StoreError> {
        let mut places = Vec::new();
        let mut look = |frame: waag_log::contract::FrameView<'_>| {
            for (position, bytes) in frame.entries() {
                if read_clear(bytes).is_ok_and(|header| header.kind == REGISTERED) {
                    places.push((position, bytes.to_vec()));
                }
            }
            ControlFlow::Continue(())
        };
        reader.log.read(Position(0), &mut look).map_err(ReadFault::Log)?;
        let read = |(position, bytes): &(Position, Vec<u8>)| SchemaRecord::of_entry(reader, *position, bytes);
        let records: Vec<Option<SchemaRecord>> = places.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { records: records.into_iter().flatten().collect(), indexed: false })
    }

    /// The index, where it is whole and of this ledger.
    #[must_use]
    pub fn read_index(files: &dyn Files, ledger: LedgerId, tail: Position) -> Option<Self> {
        let file = files.open(INDEX_FILE, Open::Read).ok()?;
        let len = file.len().ok().filter(|len| *len <= INDEX_BYTES_MAX)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_at(&mut bytes, 0).ok().filter(|read| *read as u64 == len)?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let (lines, sum) = text.strip_suffix('\n')?.rsplit_once("\nsha256 ")?;
        let covered = format!("{lines}\n");
        if object_name(covered.as_bytes()).to_string() != sum {
            return None;
        }
        let mut lines = lines.lines();
        if lines.next()? != head_line(ledger) {
            return None;
        }
        let records = lines.map(parse_line).collect::<Option<Vec<_>>>()?;
        records.iter().all(|record| record.position < tail).then_some(Self { records, indexed: true })
    }

    /// Writes the index, durable and whole.
    ///
    /// # Errors
    /// The file system's; the index is then the old one or the new one.
    pub fn write_index(&self, files: &dyn Files, ledger: LedgerId) -> io::Result<()> {
        let mut text = head_line(ledger);
        text.push('\n');
        for record in &self.records {
            let dictionary = record.dictionary.map_or_else(|| "-".to_owned(), |hash| hash.to_string());
            let SchemaRecord { kind, version, schema, position, .. } = record;
            text.push_str(&format!("{position} {version} {schema} {dictionary} {kind}\n"));
        }
        let sum = object_name(text.as_bytes());
        text.push_str(&format!("sha256 {sum}\n"));
        remove(files, INDEX_NEXT)?;
        let file = files.open(INDEX_NEXT, Open::Create)?;
        file.write_at(text.as_bytes(), 0)?;
        file.sync()?;
        files.rename(INDEX_NEXT, INDEX_FILE)
    }

    /// Says that a registration is under way, durable.
    pub(crate) fn mark(files: &dyn Files) -> io::Result<()> {
        match files.open(MARKER, Open::Create) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Says that the index is up to date again.
    pub(crate) fn unmark(files: &dyn Files) -> io::Result<()> {
        remove(files, MARKER)
    }

    /// Loads every version; what cannot be loaded is told beside it.
    #[must_use]
    pub fn load(&self, objects: &dyn Objects) -> (Registry, Vec<StoreError>) {
        let (mut registry, mut faults) = (Registry::default(), Vec::new());
        for record in &self.records {
            match record.load(objects) {
                Ok(registered) => registry.add(&record.kind, registered),
                Err(fault) => faults.push(fault),
            }
        }
        (registry, faults)
    }

    /// The newest version of each type.
    #[must_use]
    pub fn newest(&self) -> BTreeMap<&str, &SchemaRecord> {
        let mut newest: BTreeMap<&str, &SchemaRecord> = BTreeMap::new();
        for record in &self.records {
            let place = newest.entry(&record.kind).or_insert(record);
            if record.version > place.version {
                *place = record;
            }
        }
        newest
    }
}

fn head_line(ledger: LedgerId) -> String {
    format!("waag schemas v1 {ledger}")
}

fn parse_line(line: &str) -> Option<SchemaRecord> {
    let mut fields = line.splitn(5, ' ');
    let position = Position(fields.next()?.parse().ok()?);
    let version = fields.next()?.parse().ok()?;
    let schema = fields.next()?.parse().ok()?;
    let dictionary = match fields.next()? {
        "-" => None,
        hash => Some(hash.parse().ok()?),
    };
    Some(SchemaRecord { kind: fields.next()?.to_owned(), version, schema, dictionary, position })
}

fn remove(files: &dyn Files, path: &str) -> io::Result<()> {
    match files.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use waag_stdx::files::DiskFiles;

    use super::*;

    fn records() -> Vec<SchemaRecord> {
        let record = |kind: &str, version, dictionary| SchemaRecord {
            kind: kind.to_owned(),
            version,
            schema: Hash([1; 32]),
            dictionary,
            position: Position(u64::from(version)),
        };
        vec![record("a", 1, None), record("a type with spaces", 1, Some(Hash([2; 32]))), record("a", 2, None)]
    }

    #[test]
    fn the_index_reads_back_and_no_changed_byte_of_it_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let files = DiskFiles::new(folder.path());
        let ledger = LedgerId([7; 16]);
        let schemas = Schemas { records: records(), indexed: true };
        assert_eq!(Schemas::read_index(&files, ledger, Position(9)), None);
        schemas.write_index(&files, ledger).unwrap();
        schemas.write_index(&files, ledger).unwrap();
        assert_eq!(Schemas::read_index(&files, ledger, Position(9)), Some(schemas.clone()));
        assert_eq!(Schemas::read_index(&files, LedgerId([8; 16]), Position(9)), None);
        // An index that knows of positions the log does not have is not this log's.
        assert_eq!(Schemas::read_index(&files, ledger, Position(2)), None);
        let path = folder.path().join(INDEX_FILE);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, &changed).unwrap();
            assert_eq!(Schemas::read_index(&files, ledger, Position(9)), None, "byte {at}");
        }
        assert_eq!(schemas.newest()["a"].version, 2);
    }

    #[test]
    fn a_registration_reads_back_from_its_data() {
        for record in records() {
            assert_eq!(SchemaRecord::of_data(&record.data(), record.position), Some(record));
        }
        assert_eq!(SchemaRecord::of_data(&Value::Null, Position(0)), None);
    }
}
