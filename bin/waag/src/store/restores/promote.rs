//! Promotion: a restored ledger that may have been acknowledged further goes on as a ledger of its own.
//!
//! The old ledger stays beside the new one, readable and never written: its log in `before/<id>` below the data folder, its
//! guard in `before/<id>` below the state folder, its keys in the same state, so that an erasure reaches persons in both.
//! The new ledger's first entry names the old one's checkpoint.
//!
//! A store that its restore did not verify to the end is verified first, and not promoted where it is not whole.
//!
//! Steps, each safe to break off behind; asking again goes on where it stopped. From before the first to behind the last a
//! mark stands (`PROMOTING_FILE`), by which every opening says so:
//!
//! 1. The old guard is copied to its place.
//! 2. What the router keeps of deliveries is reset, since it counts positions of the old ledger: subscriptions stay and
//!    begin with the new ledger, dead letters and replays go.
//! 3. One commit of the state: the old ledger's keys under another name, new keys in its place.
//! 4. The log's folder moves, with what is derived from it.
//! 5. The new log and its guard.
//! 6. The first entry, and in the same frame the schemas of the old ledger, each type's newest: without them the new ledger
//!    would seal persons' fields as if they were nobody's.
//!
//! Not here: opening the store in between, which is refused at every step: by the mark; and where a program left none, by the
//! guard, and before the last step since the ledger is empty and has one before it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use waag_engine::recover::first_guard;
use waag_files::guard::{FileGuard, GUARD_FILE, inspect};
use waag_files::log::FilesLog;
use waag_files::segment::FOLDER;
use waag_keys::error::KeysError;
use waag_keys::keyring::Keyring;
use waag_keys::state::{Change, Expect, Extent, SCAN_RECORDS_MAX, State, Table};
use waag_log::guard::{Guard, GuardError, GuardRecord};
use waag_model::event::Event;
use waag_model::ids::{Actor, LedgerId};
use waag_model::value::Value;
use waag_router::records::cursor_value;
use waag_sqlite::state::SqliteState;
use waag_stdx::files::Files;

use super::{RestoreError, mark};
use crate::store::error::StoreError;
use crate::store::options::Options;
use crate::store::own::own_event;
use crate::store::place::{LEDGER, PROMOTING_FILE, Place, VIEWS_FOLDER};
use crate::store::reader::{open_beneath, open_keys};
use crate::store::schemas::{SchemaRecord, Schemas};
use crate::store::writer::open_writer;

/// What the mark says to whoever looks into it.
const WORDS: &str = "A promotion of this store is under way or was broken off: `waag promote` finishes it.\n";
/// The type of a promoted ledger's first entry.
pub const PROMOTED: &str = "waag.restore.promoted";
/// What the key of a subscription's record begins with; a job's begins with another letter.
const SUBSCRIPTION: u8 = b's';

/// What a promotion made.
#[derive(Clone, Debug)]
pub struct Promoted {
    /// The new ledger.
    pub ledger: LedgerId,
    /// Its origin.
    pub origin: String,
    /// The old ledger.
    pub old_ledger: LedgerId,
    /// Its origin.
    pub old_origin: String,
    /// Its size.
    pub old_size: u64,
    /// Where the first entry stands.
    pub position: u64,
}

/// How far a promotion is.
enum Stand {
    /// The old ledger has its name still.
    Begin(GuardRecord),
    /// The new ledger has its keys; the old guard stands in its place still, or nowhere.
    Moving(LedgerId),
    /// Only the first entry is missing.
    Last(LedgerId),
    /// Only its mark is left.
    Done(LedgerId),
}

/// Promotes a restored store.
///
/// # Errors
/// [`RestoreError::Promote`] where it is none; [`RestoreError::NotVerified`] where the restore did not verify it to its
/// end, and it is not whole; the store's.
pub fn promote(place: &Place, options: &Options, actor: &Actor) -> Result<Promoted, RestoreError> {
    // Its guard may only be read for ever, which must not be taken for a promotion that was broken off.
    if place.before.is_some() {
        return Err(RestoreError::Promote("it is an earlier ledger, which was promoted away from"));
    }
    place.must_stand()?;
    if place.is_restoring() {
        mark::finish(place, options)?;
    }
    let sqlite = Arc::new(SqliteState::open(&place.state)?);
    let state: Arc<dyn State> = sqlite;
    let (_, keyring) = open_keys(place, Arc::clone(&state), options)?;
    let stand = stand(place, &keyring)?;
    if !matches!(stand, Stand::Done(_)) {
        mark::put(&place.state, PROMOTING_FILE, WORDS.as_bytes())?;
    }
    let old = match &stand {
        Stand::Begin(guard) => {
            let old = guard.ledger;
            keep_guard(&place.earlier(old), guard)?;
            reset_deliveries(&*state)?;
            keyring.succeed_ledger(LEDGER, &Place::earlier_name(old))?;
            begin_anew(place, options, &keyring, &*state, old)?;
            old
        }
        Stand::Moving(old) => {
            begin_anew(place, options, &keyring, &*state, *old)?;
            *old
        }
        Stand::Last(old) | Stand::Done(old) => *old,
    };
    let new = keyring.ledger(LEDGER)?;
    let old_keys = keyring.ledger(&Place::earlier_name(old))?;
    let guard = guard_of(&place.earlier(old))?.ok_or(StoreError::NoGuard)?;
    let made = Promoted {
        ledger: new.id,
        origin: new.origin,
        old_ledger: old,
        old_origin: old_keys.origin.clone(),
        old_size: guard.size,
        position: 0,
    };
    if matches!(stand, Stand::Done(_)) {
        mark::take(&place.state, PROMOTING_FILE)?;
        return Ok(made);
    }
    let before = open_beneath(&place.earlier(old), keyring, guard.clone())?;
    let schemas = Schemas { records: before.schemas.clone(), indexed: false };
    let schemas: Vec<SchemaRecord> = schemas.newest().into_values().cloned().collect();
    drop(before);
    drop(state);
    let event = first_event(old, &old_keys.origin, &guard)?;
    let promoting = Options { promotes: true, ..options.clone() };
    let store = open_writer(place, &promoting, &mut |_, _| {})?;
    let position = store.record_first(&event, &schemas, actor)?;
    drop(store);
    mark::take(&place.state, PROMOTING_FILE)?;
    Ok(Promoted { position, ..made })
}

fn guard_of(place: &Place) -> Result<Option<GuardRecord>, RestoreError> {
    record_of(&*place.guard_files())
}

fn record_of(files: &dyn Files) -> Result<Option<GuardRecord>, RestoreError> {
    match inspect(files) {
        Ok(inspection) => Ok(inspection.record),
        Err(GuardError::Failed { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::from(error).into()),
    }
}

fn stand(place: &Place, keyring: &Keyring) -> Result<Stand, RestoreError> {
    let main = keyring.ledger(LEDGER)?;
    let earlier = predecessor(keyring)?;
    let none = RestoreError::Promote("it is no restored store that may only be read");
    match guard_of(place)? {
        Some(guard) if guard.is_handed_over() => {
            Err(RestoreError::Promote("its right to write was handed over to a restored store"))
        }
        Some(guard) if guard.is_read_only() && guard.ledger == main.id => Ok(Stand::Begin(guard)),
        Some(guard) if guard.is_read_only() && Some(guard.ledger) == earlier => {
            Ok(Stand::Moving(guard.ledger))
        }
        // Nobody else opens the store before the mark is gone, so that its first frame is the promotion's.
        Some(guard) if guard.size > 0 && guard.ledger == main.id && place.is_promoting() => {
            earlier.map(Stand::Done).ok_or(none)
        }
        Some(guard) if guard.size == 0 && guard.ledger == main.id => earlier.map(Stand::Last).ok_or(none),
        None => earlier.map(Stand::Moving).ok_or(StoreError::NoGuard.into()),
        Some(_) => Err(none),
    }
}

/// The new ledger's first entry, which names the old one's checkpoint.
fn first_event(old: LedgerId, origin: &str, guard: &GuardRecord) -> Result<Event<'static>, RestoreError> {
    let text = |text: String| Value::Text(text.into());
    let event = own_event(
        PROMOTED,
        Some(format!("promoted {old}")),
        vec![
            ("ledger", text(old.to_string())),
            ("origin", text(origin.to_owned())),
            ("size", Value::Integer(guard.size.into())),
            ("root", text(guard.root.to_string())),
            ("checkpoint", text(String::from_utf8_lossy(&guard.checkpoint).into_owned())),
        ],
    );
    Ok(event.map_err(waag_archive::error::ArchiveError::from)?)
}

/// The ledger that the present one took the place of: the newest of the earlier ones.
pub(crate) fn predecessor(keyring: &Keyring) -> Result<Option<LedgerId>, KeysError> {
    let mut newest = None;
    for name in keyring.ledgers()?.into_iter().filter(|name| name != LEDGER) {
        let ledger = keyring.ledger(&name)?;
        if Place::earlier_name(ledger.id) == name
            && newest.is_none_or(|(created, _)| created < ledger.created)
        {
            newest = Some((ledger.created, ledger.id));
        }
    }
    Ok(newest.map(|(_, id)| id))
}

/// Puts the old guard where the old ledger's is from here on.
fn keep_guard(earlier: &Place, guard: &GuardRecord) -> Result<(), RestoreError> {
    if guard_of(earlier)?.is_some() {
        return Ok(());
    }
    let files = earlier.guard_files();
    let kept = FileGuard::create(&*files).map_err(StoreError::from)?;
    kept.swap(None, &GuardRecord { sequence: 0, ..guard.clone() }).map_err(StoreError::from)?;
    Ok(())
}

/// Subscriptions begin with the new ledger; all that names positions of the old one goes.
fn reset_deliveries(state: &dyn State) -> Result<(), RestoreError> {
    let start = cursor_value(0, 0);
    for table in [Table::Delivery, Table::Cursor, Table::Subscription] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let records = state.scan(table, after.as_deref(), SCAN_RECORDS_MAX)?;
            let Some(last) = records.last() else { break };
            after = Some(last.key.clone());
            // What stays, what is reset, and what goes: a subscription's own cursor is that of its lane, whose job is 0.
            let change = |record: &'_ waag_keys::state::Record| {
                if table == Table::Subscription && record.key.first() == Some(&SUBSCRIPTION) {
                    None
                } else {
                    Some(table == Table::Cursor && record.key.get(4..) == Some(&[0; 4]))
                }
            };
            let changes: Vec<Change<'_>> = records
                .iter()
                .filter_map(|record| {
                    let value = change(record)?.then_some(start.as_slice());
                    Some(Change { table, key: &record.key, expect: Expect::Equals(record.sum), value })
                })
                .collect();
            state.commit(&changes)?;
        }
    }
    Ok(())
}

/// Moves the old log away, and makes the new ledger's log and guard.
fn begin_anew(
    place: &Place,
    options: &Options,
    keyring: &Keyring,
    state: &dyn State,
    old: LedgerId,
) -> Result<(), RestoreError> {
    let earlier = place.earlier(old);
    fs::create_dir_all(&earlier.data).map_err(StoreError::io("make", &earlier.data))?;
    for name in [FOLDER, "derived", VIEWS_FOLDER] {
        let (from, to) = (place.data.join(name), earlier.data.join(name));
        // What stands at its new place was moved before: what stands here then is the new ledger's.
        if from.exists() && !to.exists() {
            fs::rename(&from, &to).map_err(StoreError::io("move", &from))?;
        }
    }
    for folder in [&earlier.data, &place.data] {
        sync(folder)?;
    }
    if let Some(parent) = earlier.data.parent() {
        sync(parent)?;
    }
    let ledger = keyring.ledger(LEDGER)?;
    match FilesLog::create(place.data_files(), options.log, ledger.id) {
        Ok(log) => drop(log),
        Err(error) => return Err(StoreError::from(error).into()),
    }
    let files = place.state_files();
    // Looked at in the very folder that is written: a guard of the present ledger is never replaced.
    let standing = record_of(&*files)?;
    if standing.is_some_and(|guard| guard.ledger == old && guard.ledger != ledger.id) {
        files.remove(GUARD_FILE).map_err(StoreError::io("remove", &place.state.join(GUARD_FILE)))?;
    }
    let generation = state.check(Extent::Head)?.head.generation.0;
    let record = first_guard(&ledger, generation).map_err(StoreError::from)?;
    let guard = FileGuard::create(&*files).map_err(StoreError::from)?;
    guard.swap(None, &record).map_err(StoreError::from)?;
    Ok(())
}

fn sync(folder: &Path) -> Result<(), RestoreError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| StoreError::io("sync", folder)(error).into())
}

#[cfg(test)]
mod tests {
    use waag_log::guard::READ_ONLY_GENERATION;
    use waag_model::ids::{Position, TenantName};

    use super::*;
    use crate::store::error::ReadOnly;
    use crate::store::init::init;
    use crate::store::reader::open_reader;
    use crate::store::verify::{Depth, verify};

    fn actor() -> Actor {
        Actor::new("test").unwrap()
    }

    /// A store of a schema and two entries that may only be read, with records of deliveries.
    fn restored() -> (tempfile::TempDir, Place, Options) {
        let folder = tempfile::tempdir().unwrap();
        let tenant = TenantName::new("default").unwrap();
        let place = Place::new(&folder.path().join("data"), None, tenant).unwrap();
        let options = Options { scrub_bytes_per_s: 0, ..Options::default() };
        init(&place, "waag.example", &options).unwrap();
        let store = open_writer(&place, &options, &mut |_, _| {}).unwrap();
        store.register_schema(&actor(), "crm.contact", br#"{"x-retention":"contact"}"#, None).unwrap();
        for id in ["a", "b"] {
            store.record(&own_event("waag.test", Some(id.to_owned()), vec![]).unwrap(), &actor()).unwrap();
        }
        let put = |table, key: &[u8], value: &[u8]| {
            let change = Change { table, key, expect: Expect::Absent, value: Some(value) };
            store.state.commit(&[change]).unwrap();
        };
        put(Table::Subscription, b"s\0\0\0\x01", b"{}");
        put(Table::Subscription, b"j\0\0\0\x01", b"{}");
        put(Table::Cursor, &[0, 0, 0, 1, 0, 0, 0, 0], &cursor_value(2, 1));
        put(Table::Cursor, &[0, 0, 0, 1, 0, 0, 0, 1], &cursor_value(1, 0));
        put(Table::Delivery, b"\0\0\0\x01\0\0\0\0d\0\0\0\0\0\0\0\x01", b"a dead letter");
        drop(store);
        let (guard, found) = FileGuard::open(&*place.guard_files()).unwrap();
        let record = found.newest().unwrap().clone();
        let sequence = record.sequence;
        let marked = GuardRecord { sequence: sequence + 1, keys_generation: READ_ONLY_GENERATION, ..record };
        guard.swap(Some(sequence), &marked).unwrap();
        drop(guard);
        (folder, place, options)
    }

    /// Does the first steps of a promotion, as one that was broken off behind them.
    fn begin(place: &Place, options: &Options, steps: usize) {
        let state: Arc<dyn State> = Arc::new(SqliteState::open(&place.state).unwrap());
        let (_, keyring) = open_keys(place, Arc::clone(&state), options).unwrap();
        let guard = guard_of(place).unwrap().unwrap();
        let old = guard.ledger;
        let all: [&dyn Fn(); 5] = [
            &|| keep_guard(&place.earlier(old), &guard).unwrap(),
            &|| reset_deliveries(&*state).unwrap(),
            &|| drop(keyring.succeed_ledger(LEDGER, &Place::earlier_name(old)).unwrap()),
            &|| {
                let earlier = place.earlier(old);
                fs::create_dir_all(&earlier.data).unwrap();
                fs::rename(place.data.join(FOLDER), earlier.data.join(FOLDER)).unwrap();
            },
            &|| begin_anew(place, options, &keyring, &*state, old).unwrap(),
        ];
        all.iter().take(steps).for_each(|step| step());
    }

    #[test]
    fn a_promotion_is_finished_wherever_it_was_broken_off_and_is_made_once() {
        for steps in 0..=5 {
            let (_folder, place, options) = restored();
            let old = guard_of(&place).unwrap().unwrap();
            begin(&place, &options, steps);
            let refused = open_writer(&place, &options, &mut |_, _| {});
            assert!(refused.is_err(), "behind {steps} steps");
            let made = promote(&place, &options, &actor()).unwrap();
            assert_eq!((made.old_ledger, made.old_size, made.position), (old.ledger, 3, 0), "{steps}");
            let now = open_reader(&place, &options).unwrap();
            assert_eq!((now.ledger.id, now.end()), (made.ledger, Position(2)));
            let schemas: Vec<_> = now.schemas.iter().map(|one| (one.kind.as_str(), one.position)).collect();
            assert_eq!(schemas, [("crm.contact", Position(1))], "behind {steps} steps");
            let before = open_reader(&place.earlier(old.ledger), &options).unwrap();
            assert_eq!(
                (before.ledger.id, before.end(), before.guard.root),
                (old.ledger, Position(3), old.root)
            );
            let depth = Depth { deep: true, rebuild: true };
            for place in [&place, &place.earlier(old.ledger)] {
                let report = verify(place, &options, depth, &mut |_, _| {}).unwrap();
                assert!(report.verified(), "{steps}: {:?}", report.faults);
            }
            let refused = open_writer(&place.earlier(old.ledger), &options, &mut |_, _| {});
            assert!(matches!(refused, Err(StoreError::ReadOnly(ReadOnly::Earlier))));
            assert!(matches!(promote(&place, &options, &actor()), Err(RestoreError::Promote(_))));
        }
    }

    #[test]
    fn subscriptions_begin_with_the_new_ledger_and_nothing_names_positions_of_the_old_one() {
        let (_folder, place, options) = restored();
        promote(&place, &options, &actor()).unwrap();
        let state = SqliteState::open_read_only(&place.state).unwrap();
        let all = |table| {
            let records = state.scan(table, None, 10).unwrap();
            records.into_iter().map(|record| (record.key, record.value)).collect::<Vec<_>>()
        };
        assert_eq!(all(Table::Subscription), [(b"s\0\0\0\x01".to_vec(), b"{}".to_vec())]);
        assert_eq!(all(Table::Cursor), [(vec![0, 0, 0, 1, 0, 0, 0, 0], cursor_value(0, 0))]);
        assert_eq!(all(Table::Delivery), []);
    }
}
