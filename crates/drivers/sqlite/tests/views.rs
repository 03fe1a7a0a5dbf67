//! SQLite keeps the contract of views, and what is beside it: foreign files, leftovers, dropped views, kills.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use waag_domain::memory::MemoryRows;
use waag_domain::project::{Cell, Column, Index, Kind, Reads as _, Row, Rows as _, Scan, Table};
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_sqlite::views::{SqliteViews, ViewsConfig};
use waag_views::conformance::{ViewsHarness, views};
use waag_views::contract::{Cursor, Definition, Turn, ViewKey, Views, Which};
use waag_views::error::ViewsError;

struct Harness {
    folder: tempfile::TempDir,
    config: ViewsConfig,
}

impl Harness {
    fn new(config: ViewsConfig) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), config }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("views.db")
    }
}

impl ViewsHarness for Harness {
    fn open(&self) -> Result<Arc<dyn Views>, ViewsError> {
        Ok(Arc::new(SqliteViews::open(&self.path(), self.config)?))
    }

    fn reset(&self) -> Result<(), ViewsError> {
        for file in ["views.db", "views.db-wal", "views.db-shm"] {
            drop(std::fs::remove_file(self.folder.path().join(file)));
        }
        Ok(())
    }
}

#[test]
fn keeps_the_contract() {
    views(&Harness::new(ViewsConfig::default())).unwrap();
}

#[test]
fn keeps_the_contract_with_small_caches_and_a_mapped_file() {
    let config = ViewsConfig {
        writer_cache_kib: 64,
        reader_cache_kib: 64,
        mmap_bytes: 1 << 30,
        log_pages: 8,
        page_bytes: 1_024,
        range_rows: 16,
        readers_max: 4,
    };
    views(&Harness::new(config)).unwrap();
}

static TABLES: [Table; 1] = [Table {
    name: "numbers",
    columns: &[
        Column { name: "number", kind: Kind::Integer, nullable: false },
        Column { name: "round", kind: Kind::Integer, nullable: true },
        Column { name: "fill", kind: Kind::Bytes, nullable: false },
    ],
    key: 1,
    indexes: &[Index { name: "by_round", columns: &[1], present: Some(1) }],
}];

fn definition(build: u32) -> Definition {
    let key = ViewKey { name: "numbers".to_owned(), version: 1, build };
    Definition { key, ledger: LedgerId([1; 16]), tables: &TABLES }
}

fn at(position: u64) -> Cursor {
    if position == 0 {
        return Cursor::START;
    }
    Cursor { position: Position(position), committed: UtcNanos(i64::try_from(position).unwrap()) }
}

/// Puts rows whose number says which round wrote them last, and moves the cursor by one.
fn round(store: &SqliteViews, key: &ViewKey, number: u64, rows: i64) -> Result<(), ViewsError> {
    let round = i64::try_from(number).unwrap();
    store.commit(key, at(number), at(number + 1), &mut |view| {
        let row = |n: i64| vec![n.into(), (round + 1).into(), Cell::Bytes(vec![7; 300].into())];
        view.put(&TABLES[0], (0..rows).map(row).collect())
    })
}

fn everything() -> Scan<'static> {
    Scan { index: None, equal: &[], from: None, to: None, after: None, descending: false, limit: usize::MAX }
}

fn tables(path: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut names = connection.prepare("SELECT name FROM sqlite_schema ORDER BY name").unwrap();
    names.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn another_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE theirs(x)").unwrap();
    drop(connection);
    let refused = SqliteViews::open(&path, ViewsConfig::default()).unwrap_err();
    assert_eq!(refused.code(), "E0691");
    assert_eq!(tables(&path), ["theirs"]);
    std::fs::write(&path, [b'x'; 4_096]).unwrap();
    assert_eq!(SqliteViews::open(&path, ViewsConfig::default()).unwrap_err().code(), "E0691");
}

#[test]
fn a_dropped_view_leaves_nothing_and_what_a_crash_left_of_one_is_swept_at_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.db");
    let store = SqliteViews::open(&path, ViewsConfig::default()).unwrap();
    for build in 0..3 {
        store.open(&definition(build)).unwrap();
        round(&store, &definition(build).key, 0, 50_000).unwrap();
    }
    store.turn(&definition(1).key, Turn::Drop).unwrap();
    drop(store);
    let kept = tables(&path);
    assert!(
        kept.iter().all(|name| !name.contains(".1.1.")) && kept.contains(&"numbers.1.2.numbers".to_owned())
    );
    // As after a crash between the catalogue and the tables.
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("DELETE FROM view WHERE build = 2").unwrap();
    drop(connection);
    let store = SqliteViews::open(&path, ViewsConfig::default()).unwrap();
    let snapshot = store.snapshot("numbers", Which::Serving).unwrap();
    assert_eq!(snapshot.scan(&TABLES[0], &everything()).unwrap().len(), 50_000);
    drop(snapshot);
    drop(store);
    assert_eq!(tables(&path).iter().filter(|name| name.starts_with("numbers.")).count(), 6);
}

static VISITS: [Table; 1] = [Table {
    name: "visits",
    columns: &[
        Column { name: "id", kind: Kind::Text, nullable: false },
        Column { name: "minute", kind: Kind::Integer, nullable: true },
        Column { name: "state", kind: Kind::Bytes, nullable: false },
    ],
    key: 1,
    indexes: &[Index { name: "by_minute", columns: &[1], present: Some(1) }],
}];

/// How many there are of something in the file.
fn number(path: &Path, sql: &str) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row(sql, (), |row| row.get(0)).unwrap()
}

#[test]
fn rows_that_wait_for_their_places_are_read_as_if_they_were_there() {
    const IDS: u64 = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.db");
    let config = ViewsConfig { range_rows: 256, ..ViewsConfig::default() };
    let mut store = SqliteViews::open(&path, config).unwrap();
    let key = ViewKey { name: "visits".to_owned(), version: 1, build: 0 };
    let definition = Definition { key: key.clone(), ledger: LedgerId([1; 16]), tables: &VISITS };
    store.open(&definition).unwrap();
    let table = &VISITS[0];
    let mut model = MemoryRows::new();
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let mut state = 5_u64;
    let mut below = |end: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    };
    let (mut waited, mut ranges) = (0, 0);
    for at_round in 0..120_u64 {
        // All of them first, then a few at random, and now and then many.
        let count = if at_round == 0 { IDS } else { [3, 40, 40, 900][usize::try_from(below(4)).unwrap()] };
        let id = |n: u64| Cell::from(format!("INV-{n:05}").as_str());
        let rows: Vec<Row> = (0..count)
            .map(|n| {
                let id = id(if at_round == 0 { n } else { below(IDS + 100) });
                let minute = (below(3) > 0).then(|| i64::try_from(below(50)).unwrap());
                vec![id, minute.into(), Cell::Bytes(vec![u8::try_from(n % 251).unwrap(); 80].into())]
            })
            .collect();
        let gone: Vec<Row> = (0..below(4) * 5).map(|_| vec![id(below(IDS))]).collect();
        store
            .commit(&key, at(at_round), at(at_round + 1), &mut |view| {
                view.put(table, rows.clone())?;
                view.delete(table, &gone)
            })
            .unwrap();
        model.put(table, rows).unwrap();
        model.delete(table, &gone).unwrap();
        let snapshot = store.snapshot("visits", Which::Serving).unwrap();
        let asked: Vec<Row> = (0..40).map(|_| vec![id(below(IDS + 100))]).collect();
        assert_eq!(snapshot.get(table, &asked).unwrap(), model.get(table, &asked).unwrap());
        let after = vec![id(below(IDS))];
        for descending in [false, true] {
            for limit in [1, 7, 500, usize::MAX] {
                let scan = Scan { after: Some(&after), descending, limit, ..everything() };
                assert_eq!(snapshot.scan(table, &scan).unwrap(), model.scan(table, &scan).unwrap());
            }
            let scan = Scan { index: Some(&table.indexes[0]), descending, limit: 50, ..everything() };
            assert_eq!(snapshot.scan(table, &scan).unwrap(), model.scan(table, &scan).unwrap());
        }
        drop(snapshot);
        waited += number(&path, "SELECT count(*) FROM \"visits.1.0.visits+waiting\"");
        ranges = number(&path, "SELECT count(*) FROM \"visits.1.0.visits+ranges\"");
        if at_round % 30 == 7 {
            drop(store);
            store = SqliteViews::open(&path, config).unwrap();
        }
    }
    assert!(waited > 100 && ranges > 10, "{waited} pieces waited, {ranges} ranges");
    let snapshot = store.snapshot("visits", Which::Serving).unwrap();
    assert_eq!(snapshot.scan(table, &everything()).unwrap(), model.scan(table, &everything()).unwrap());
    drop(snapshot);
    drop(store);
    damaged_marks_are_told(&path, config, table);
}

/// Damages what waits in a store of visits, and mends it again.
fn damaged_marks_are_told(path: &Path, config: ViewsConfig, table: &'static Table) {
    // Marks that are not those of their rows, and fewer or more of them than rows.
    let last = "(SELECT max(at) FROM \"visits.1.0.visits+marks\")";
    for damaged in ["zeroblob(length(marks))", "substr(marks, 3)", "CAST(marks || marks AS BLOB)"] {
        let connection = rusqlite::Connection::open(path).unwrap();
        let sql = format!("SELECT marks FROM \"visits.1.0.visits+marks\" WHERE at = {last}");
        let sound: Vec<u8> = connection.query_row(&sql, (), |row| row.get(0)).unwrap();
        let update =
            |value: &str| format!("UPDATE \"visits.1.0.visits+marks\" SET marks = {value} WHERE at = {last}");
        assert_eq!(connection.execute(&update(damaged), ()).unwrap(), 1);
        let store = SqliteViews::open(path, config).unwrap();
        let snapshot = store.snapshot("visits", Which::Serving).unwrap();
        assert!(snapshot.scan(table, &everything()).is_err(), "{damaged}");
        drop((snapshot, store));
        assert_eq!(connection.execute(&update("?1"), (&sound,)).unwrap(), 1);
    }
    // Rows that wait and have no marks, and marks of none.
    for lost in ["marks", "waiting"] {
        let connection = rusqlite::Connection::open(path).unwrap();
        let name = format!("\"visits.1.0.visits+{lost}\"");
        let keep = format!("CREATE TEMP TABLE kept AS SELECT * FROM {name} WHERE at = {last}");
        connection.execute_batch(&keep).unwrap();
        let delete = format!("DELETE FROM {name} WHERE at = (SELECT at FROM kept)");
        assert_eq!(connection.execute(&delete, ()).unwrap(), 1);
        let store = SqliteViews::open(path, config).unwrap();
        let snapshot = store.snapshot("visits", Which::Serving).unwrap();
        let error = snapshot.scan(table, &everything()).unwrap_err().to_string();
        assert!(error.contains("malformed"), "{lost}: {error}");
        drop((snapshot, store));
        connection.execute_batch(&format!("INSERT INTO {name} SELECT * FROM kept")).unwrap();
    }
}

#[test]
fn many_readers_each_see_one_moment_while_rows_change() {
    let folder = tempfile::tempdir().unwrap();
    let config = ViewsConfig { log_pages: 64, readers_max: 3, ..ViewsConfig::default() };
    let store = SqliteViews::open(&folder.path().join("views.db"), config).unwrap();
    store.open(&definition(0)).unwrap();
    round(&store, &definition(0).key, 0, 200).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let look = || {
            let mut looks = 0;
            while !ended.load(Ordering::Acquire) {
                let snapshot = store.snapshot("numbers", Which::Serving).unwrap();
                let round = i64::try_from(snapshot.standing().cursor.position.0).unwrap();
                let rows = snapshot.scan(&TABLES[0], &everything()).unwrap();
                assert!(rows.len() == 200 && rows.iter().all(|row| row[1] == round.into()));
                looks += 1;
            }
            looks
        };
        let readers: Vec<_> = (0..6).map(|_| scope.spawn(look)).collect();
        (1..60).for_each(|number| round(&store, &definition(0).key, number, 200).unwrap());
        ended.store(true, Ordering::Release);
        let looks: u32 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(looks > 0);
    });
}

#[test]
fn the_log_stays_near_its_limit_however_much_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.db");
    let config = ViewsConfig { log_pages: 200, ..ViewsConfig::default() };
    let store = SqliteViews::open(&path, config).unwrap();
    store.open(&definition(0)).unwrap();
    let mut longest = 0;
    for number in 0..120 {
        round(&store, &definition(0).key, number, 600).unwrap();
        longest = longest.max(std::fs::metadata(folder.path().join("views.db-wal")).unwrap().len());
    }
    // A commit is about 60 pages: all of them would be 7,000, and the limit and one more are 260.
    assert!(longest < 500 * 4_096, "{longest} bytes");
    drop(store);
    assert!(!folder.path().join("views.db-wal").exists(), "closing folds all of it");
}

/// Set in the child that is killed.
const CHILD: &str = "WAAG_VIEWS_KILL_FOLDER";
/// Kills, and how many there may be until some commits were made on a slow machine.
const KILLS_MIN: u64 = 12;
const KILLS_MAX: u64 = 120;

#[test]
fn killed_in_the_middle_of_commits_rows_and_cursor_are_of_one_transaction() {
    let config = ViewsConfig { log_pages: 32, ..ViewsConfig::default() };
    if let Some(folder) = std::env::var_os(CHILD) {
        let store = SqliteViews::open(&PathBuf::from(folder).join("views.db"), config).unwrap();
        let start = store.open(&definition(0)).unwrap().cursor.position.0;
        println!("begun");
        for number in start.. {
            round(&store, &definition(0).key, number, 2_000).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for kill in 0..KILLS_MAX {
        if kill >= KILLS_MIN && before > 5 {
            return;
        }
        let name = "killed_in_the_middle_of_commits_rows_and_cursor_are_of_one_transaction";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads", "1"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("begun")));
        std::thread::sleep(Duration::from_millis(20 + kill % KILLS_MIN * 17));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = SqliteViews::open(&folder.path().join("views.db"), config).unwrap();
        let snapshot = store.snapshot("numbers", Which::Serving).unwrap();
        let position = snapshot.standing().cursor.position.0;
        // A killed process loses nothing that it committed: only a power failure may.
        assert!(position >= before, "{position} after {before}");
        before = position;
        let rows = snapshot.scan(&TABLES[0], &everything()).unwrap();
        let round = i64::try_from(position).unwrap();
        assert_eq!(rows.len(), if position == 0 { 0 } else { 2_000 });
        assert!(rows.iter().all(|row| row[1] == round.into()), "kill {kill}: rows of another round");
        let by_round = Scan { index: Some(&TABLES[0].indexes[0]), equal: &[round.into()], ..everything() };
        assert_eq!(snapshot.scan(&TABLES[0], &by_round).unwrap().len(), rows.len());
    }
    panic!("{before} commits in all: too few to be in the middle of any");
}
