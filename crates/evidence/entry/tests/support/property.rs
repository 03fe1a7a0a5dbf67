//! What must hold of the readers of stored bytes for any input at all; shared by the corpus test and the fuzz target.
//!
//! `ENTRY-1`: what a reader takes, the writer gives back byte for byte, so that one value has one encoding.

use waag_entry::blob::{blob_hash, blob_owner};
use waag_entry::cbor::{Reader, write};
use waag_entry::error::EntryError;
use waag_entry::form::{ENTRY_BYTES_MAX, Entry, check, read_clear, write_header, write_part};
use waag_entry::plain::{Inline, read_common, read_fields, write_blob_reference, write_common, write_fields};

/// Panics where a reader panics, or takes bytes that the writer does not give back.
///
/// Answers whether some reader took the whole input.
pub(crate) fn holds_for(input: &[u8]) -> bool {
    // Each runs, whatever the others say.
    let taken = [entry(input), value(input), common(input), fields(input)];
    if let Ok((role, _)) = blob_owner(input) {
        assert!(blob_hash(input) != [0; 32], "{role:?}");
    }
    taken.contains(&true)
}

fn entry(input: &[u8]) -> bool {
    let read = Entry::read(input);
    assert_eq!(check(input), read.as_ref().map(|_| ()).map_err(Clone::clone));
    let entry = match read {
        Ok(entry) => entry,
        Err(error) => {
            refused(&error, input);
            return false;
        }
    };
    assert!(input.len() <= ENTRY_BYTES_MAX);
    assert_eq!(read_clear(input).as_ref(), Ok(&entry.header));
    let mut header = Vec::new();
    assert_eq!(write_header(&mut header, &entry.header), Ok(()));
    assert_eq!(header, entry.header_bytes);
    let mut out = Vec::new();
    write::array(&mut out, 2);
    out.extend_from_slice(&header);
    write::array(&mut out, entry.parts.len());
    entry.parts.iter().for_each(|part| write_part(&mut out, part));
    assert_eq!(out, input);
    true
}

fn value(input: &[u8]) -> bool {
    let mut reader = Reader::new(input);
    let value = match reader.value() {
        Ok(value) => value,
        Err(error) => {
            refused(&error, input);
            return false;
        }
    };
    let mut out = Vec::new();
    write::value(&mut out, &value);
    assert_eq!(Some(out.as_slice()), input.get(..reader.offset()));
    let mut again = Reader::new(&out);
    assert_eq!(again.value().as_ref(), Ok(&value));
    assert_eq!(again.end(), Ok(()));
    let mut strict = Reader::new(input);
    strict.refuse_placeholders();
    if let Ok(strict) = strict.value() {
        assert_eq!(strict, value);
    }
    reader.end().is_ok()
}

fn common(input: &[u8]) -> bool {
    let mut out = Vec::new();
    match read_common(input) {
        Ok(Inline::Here(common)) => write_common(&mut out, &common),
        Ok(Inline::Blob(index)) => write_blob_reference(&mut out, index),
        Err(error) => {
            refused(&error, input);
            return false;
        }
    }
    assert_eq!(out, input);
    true
}

fn fields(input: &[u8]) -> bool {
    let mut out = Vec::new();
    match read_fields(input) {
        Ok(Inline::Here(fields)) => write_fields(&mut out, &fields),
        Ok(Inline::Blob(index)) => write_blob_reference(&mut out, index),
        Err(error) => {
            refused(&error, input);
            return false;
        }
    }
    assert_eq!(out, input);
    true
}

/// A refusal points into the bytes and has a code of this crate.
fn refused(error: &EntryError, input: &[u8]) {
    if let EntryError::Form { offset, .. } = error {
        assert!(*offset <= input.len(), "{error}");
    }
    assert!(error.code().starts_with("E02"), "{error}");
}
