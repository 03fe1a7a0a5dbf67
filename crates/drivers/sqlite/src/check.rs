//! Reading everything back: every record against its checksum, the set against the digest, every slot against its use,
//! and the file against SQLite's own idea of it.
//!
//! What cannot be read is a fault with its place, and the check goes on as far as SQLite can.

use rusqlite::{Connection, Row};
use waag_keys::state::{Check, Generation, Head, Place, RECORD_KEY_BYTES_MAX, StateError, Sum, Table};

use crate::schema::failed;
use crate::state::{LIVE, stored_head};

/// Most faults that SQLite's own check lists.
const INTEGRITY_FAULTS_MAX: u32 = 100;

/// The head and its checksum.
pub(crate) fn head_only(connection: &Connection) -> Result<Check, StateError> {
    match stored_head(connection) {
        Ok((head, is_sound)) => {
            let mut check = Check::new(head);
            if !is_sound {
                check.found(Place::Head, "the checksum does not match".to_owned());
            }
            Ok(check)
        }
        Err(StateError::Damaged(fault)) => {
            let mut check = Check::new(Head::default());
            check.found(fault.place, fault.reason);
            Ok(check)
        }
        Err(error) => Err(error),
    }
}

/// Everything, as of one instant.
pub(crate) fn all(connection: &Connection) -> Result<Check, StateError> {
    let snapshot = connection.unchecked_transaction().map_err(failed("begin a check"))?;
    let mut check = head_only(&snapshot)?;
    let mut seen = Seen { sums: Head { generation: Generation(0), ..Head::default() }, slots: 0, last: None };
    if let Err(error) = records(&snapshot, &mut check, &mut seen) {
        let place = seen.last.map_or(Place::Store, |(table, key)| Place::Record { table, key });
        check.found(place, format!("nothing can be read after this record: {error}"));
    }
    if seen.sums.count != check.head.count {
        let reason = format!("{} records, where the head says {}", seen.sums.count, check.head.count);
        check.found(Place::Head, reason);
    }
    if seen.sums.digest != check.head.digest {
        check.found(Place::Head, "the digest over the records does not match".to_owned());
    }
    if let Err(error) = slots(&snapshot, &mut check, seen.slots) {
        check.found(Place::Store, format!("the slots cannot be read: {error}"));
    }
    if let Err(error) = integrity(&snapshot, &mut check) {
        check.found(Place::Store, format!("SQLite's own check failed: {error}"));
    }
    Ok(check)
}

struct Seen {
    /// Number and digest of the stored checksums.
    sums: Head,
    /// Records whose value is in a slot.
    slots: u64,
    last: Option<(u8, Vec<u8>)>,
}

fn records(connection: &Connection, check: &mut Check, seen: &mut Seen) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT tbl, key, slot, value, sum FROM record ORDER BY tbl, key")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        check.records += 1;
        let code: i64 = row.get(0)?;
        let key: Vec<u8> = row.get(1)?;
        let place = Place::Record { table: u8::try_from(code).unwrap_or(0), key: key.clone() };
        if let Some(reason) = record(connection, row, code, &key, seen)? {
            check.found(place, reason.to_owned());
        }
        let now = (u8::try_from(code).unwrap_or(0), key);
        if seen.last.as_ref().is_some_and(|last| *last >= now) {
            let place = Place::Record { table: now.0, key: now.1.clone() };
            check.found(place, "out of order, or there twice".to_owned());
        }
        seen.last = Some(now);
    }
    Ok(())
}

/// What is wrong with a record, if anything.
fn record(
    connection: &Connection,
    row: &Row<'_>,
    code: i64,
    key: &[u8],
    seen: &mut Seen,
) -> rusqlite::Result<Option<&'static str>> {
    let Ok(sum) = row.get::<_, [u8; 32]>(4) else { return Ok(Some("its checksum is not 32 bytes")) };
    seen.sums = seen.sums.after(None, Some(Sum(sum)));
    let Some(table) = u8::try_from(code).ok().and_then(Table::of_code) else {
        return Ok(Some("no such table"));
    };
    if key.is_empty() || key.len() > RECORD_KEY_BYTES_MAX {
        return Ok(Some("its key is empty or too long"));
    }
    let (slot, value): (Option<i64>, Option<Vec<u8>>) = (row.get(2)?, row.get(3)?);
    if slot.is_some() != table.holds_secrets() || slot.is_some() == value.is_some() {
        return Ok(Some("its value is in the wrong place"));
    }
    let value = match slot {
        None => value,
        Some(id) => {
            seen.slots += 1;
            let read: rusqlite::Result<Vec<u8>> = connection
                .prepare_cached("SELECT value FROM slot WHERE id = ?1")?
                .query_row((id,), |row| row.get(0));
            read.ok().and_then(|live| live.strip_prefix(&[LIVE]).map(<[u8]>::to_vec))
        }
    };
    Ok(match value {
        None => Some("its value is not in its slot"),
        Some(value) if Sum::of(table.code(), key, &value) != Sum(sum) => Some("the checksum does not match"),
        Some(_) => None,
    })
}

/// Every slot is in use by one record, or all zeros.
fn slots(connection: &Connection, check: &mut Check, in_use: u64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("SELECT id, value FROM slot ORDER BY id")?;
    let mut rows = statement.query(())?;
    let mut live = 0_u64;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let value = row.get_ref(1)?.as_blob()?;
        if value.first() == Some(&LIVE) {
            live += 1;
        } else if value.iter().any(|byte| *byte != 0) {
            check.found(Place::Store, format!("slot {id} was destroyed but is not all zeros"));
        }
    }
    if live != in_use {
        check.found(Place::Store, format!("{live} slots are in use, where the records name {in_use}"));
    }
    Ok(())
}

fn integrity(connection: &Connection, check: &mut Check) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({INTEGRITY_FAULTS_MAX})"))?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            check.found(Place::Store, said);
        }
    }
    Ok(())
}
