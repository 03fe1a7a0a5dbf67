//! Projecting: frames are read, the common parts opened, projected, and written to SQLite with the cursor.
//!
//! A ledger is filled first. A large view need not be projected event by event from that ledger to be measured:
//! `--rows N` puts N rows into it before, with `--projection count` alone; `--known true` lets every invoice be received
//! before, in the order of their ids, with `--projection invoices` alone, so that every event visits an invoice that is
//! there.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Context;
use waag_domain::project::{
    Cell, Column, Fact, Gathered, Gathering, Index, Kind, Projection, Row, Rows, RowsError, Table,
};
use waag_fixtures::workload::{Shape, Workload};
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_model::ids::{LedgerId, Position};
use waag_model::value::{Object, Value};
use waag_sqlite::views::{SqliteViews, ViewsConfig};
use waag_stdx::clock::{Clock, SystemClock};
use waag_views::contract::Views;
use waag_views::follow::{Following, run as project};
use waag_views::progress::Progress;
use waag_views::projector::Projector;
use waag_views::source::{BatchLimits, FactSource};

use crate::events::{Events, dictionary};
use crate::measure::{cpu_of_this_thread, peak_memory};
use crate::rig::{Folders, NoObjects, Rig, create, registry};
use crate::tables::Counted;

/// Events made at a time.
const CHUNK: usize = 20_000;
/// Invoices received at a time before measuring.
const KNOWN_BATCH: usize = 50_000;

static INVOICE: Table = Table {
    name: "invoice",
    columns: &[
        Column { name: "id", kind: Kind::Text, nullable: false },
        Column { name: "count", kind: Kind::Integer, nullable: false },
        Column { name: "deadline", kind: Kind::Integer, nullable: true },
        Column { name: "state", kind: Kind::Bytes, nullable: false },
    ],
    key: 1,
    indexes: &[Index { name: "by_deadline", columns: &[2], present: Some(2) }],
};
static TABLES: [Table; 1] =
    [Table { name: INVOICE.name, columns: INVOICE.columns, key: INVOICE.key, indexes: INVOICE.indexes }];
/// What a row carries beside its columns, in bytes.
const STATE_BYTES: usize = 150;

/// The least a projection does to an invoice's row; every fourth event moves it in the index.
struct Count;

impl Projection for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn version(&self) -> u32 {
        1
    }

    fn tables(&self) -> &'static [Table] {
        &TABLES
    }

    fn gather(&self) -> Box<dyn Gathering> {
        Box::new(Counting::default())
    }
}

/// Subjects and positions.
#[derive(Default)]
struct Counting(Vec<(String, i64)>);

impl Gathering for Counting {
    fn take(&mut self, fact: &Fact<'_>) {
        let position = i64::try_from(fact.position.0).ok();
        self.0.extend(fact.subject.map(str::to_owned).zip(position));
    }

    fn finish(mut self: Box<Self>) -> Box<dyn Gathered> {
        self.0.sort_unstable();
        self
    }
}

impl Gathered for Counting {
    fn write(&self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        let mut counts: Vec<(Row, i64, i64)> = Vec::new();
        for (subject, position) in &self.0 {
            match counts.last_mut() {
                Some((key, count, last)) if key.first().and_then(Cell::text) == Some(subject) => {
                    (*count, *last) = (*count + 1, *position);
                }
                _ => counts.push((vec![subject.as_str().into()], 1, *position)),
            }
        }
        let keys: Vec<Row> = counts.iter().map(|(key, ..)| key.clone()).collect();
        let found = rows.get(&INVOICE, &keys)?;
        let put = counts.into_iter().zip(found).map(|((key, count, last), found)| {
            let cell = |at: usize| found.as_ref().and_then(|row| row.get(at).and_then(Cell::integer));
            let deadline = if last % 4 == 0 { Some(last) } else { cell(2) };
            row(key, cell(1).unwrap_or(0) + count, deadline, last)
        });
        rows.put(&INVOICE, put.collect())
    }
}

fn row(key: Row, count: i64, deadline: Option<i64>, last: i64) -> Row {
    let fill = u8::try_from(last.rem_euclid(251)).unwrap_or(0);
    let rest = [count.into(), deadline.into(), Cell::Bytes(vec![fill; STATE_BYTES].into())];
    key.into_iter().chain(rest).collect()
}

struct Options {
    invoices: u64,
    events: u64,
    rows: u64,
    /// Every invoice is known before.
    known: bool,
    folder: PathBuf,
    batch: usize,
    projection: String,
    config: ViewsConfig,
    /// Tell rows and time by table.
    tables: bool,
}

fn options(arguments: &[&str]) -> anyhow::Result<Options> {
    let mut options = Options {
        invoices: 1_000_000,
        events: 2_000_000,
        rows: 0,
        known: false,
        folder: PathBuf::from("target/bench-store"),
        batch: BatchLimits::default().events_max,
        projection: "invoices".to_owned(),
        config: ViewsConfig::default(),
        tables: false,
    };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { anyhow::bail!("each option takes a value") };
        match *name {
            "--invoices" => options.invoices = value.parse()?,
            "--events" => options.events = value.parse()?,
            "--rows" => options.rows = value.parse()?,
            "--known" => options.known = value.parse()?,
            "--folder" => options.folder = value.into(),
            "--batch" => options.batch = value.parse()?,
            "--projection" => options.projection = (*value).to_owned(),
            "--tables" => options.tables = value.parse()?,
            "--page" => options.config.page_bytes = value.parse()?,
            "--cache-kib" => options.config.writer_cache_kib = value.parse()?,
            "--log-pages" => options.config.log_pages = value.parse()?,
            "--mmap" => options.config.mmap_bytes = value.parse()?,
            other => anyhow::bail!("unknown option {other}"),
        }
    }
    Ok(options)
}

/// Puts rows into a view that has none, in the order of their keys.
fn put_rows(views: &dyn Views, projector: &Projector, count: u64) -> anyhow::Result<()> {
    let view = views.list()?.into_iter().next().context("a view")?.key;
    let cursor = projector.cursor();
    for start in (0..count).step_by(200_000) {
        let end = count.min(start + 200_000);
        let rows: Vec<Row> = (start..end)
            .map(|n| {
                let last = i64::try_from(n).unwrap_or(0);
                row(vec![format!("INV-{n:010}").as_str().into()], 1, Some(last), last)
            })
            .collect();
        views.commit(&view, cursor, cursor, &mut |store| store.put(&INVOICE, rows.clone()))?;
    }
    Ok(())
}

/// Makes a view in which all invoices that the workload visits were received, in the order of their ids, over a day. It is
/// kept for further runs.
fn receive(file: &Path, options: &Options, ledger: LedgerId) -> anyhow::Result<()> {
    let (start, count) = (Instant::now(), options.invoices);
    let making = file.with_extension("making");
    drop(std::fs::remove_file(&making));
    let views: Arc<dyn Views> = Arc::new(SqliteViews::open(&making, options.config)?);
    let projection: Arc<dyn Projection> = Arc::new(Invoices::new(Config::default()));
    let (kept, progress) = (vec![Arc::clone(&projection)], Arc::new(Progress::new(None)));
    let cursor = Projector::open(ledger, Arc::clone(&views), kept, progress)?.cursor();
    let view = views.list()?.into_iter().next().context("a view")?.key;
    let now = SystemClock::new().now();
    let text = |text: String| Value::Text(Cow::Owned(text));
    for start in (0..count).step_by(KNOWN_BATCH) {
        let mut gathering = projection.gather();
        for n in start..count.min(start + KNOWN_BATCH as u64) {
            let vendor = n % 9_973;
            let data = vec![
                (Cow::Borrowed("invoice_id"), text(format!("INV-{n:010}"))),
                (Cow::Borrowed("vendor"), text(format!("V-{vendor:06}"))),
                (Cow::Borrowed("amount_minor"), Value::Integer(1_000 + i128::from(n % 10_000_000))),
                (Cow::Borrowed("currency"), text("EUR".to_owned())),
                (Cow::Borrowed("status"), text("received".to_owned())),
                (Cow::Borrowed("due_date"), text(format!("2027-{:02}-{:02}", 1 + n % 12, 1 + n % 28))),
                (Cow::Borrowed("region"), text("eu-west-1".to_owned())),
            ];
            let data =
                Value::Object(Object::from_members(data).map_err(|_| anyhow::anyhow!("a name twice"))?);
            let time = format!("2026-11-01T{:02}:{:02}:00Z", n * 24 / count.max(1), n % 60);
            let attributes = Object::from_members(vec![(Cow::Borrowed("time"), text(time))]);
            let attributes = attributes.map_err(|_| anyhow::anyhow!("a name twice"))?;
            gathering.take(&Fact {
                position: Position(0),
                committed: now,
                accepted: now,
                kind: "invoice.ingestion",
                id: None,
                source: None,
                subject: None,
                actor: None,
                attributes: &attributes,
                data: Some(&data),
            });
        }
        let gathered = gathering.finish();
        views.commit(&view, cursor, cursor, &mut |rows| gathered.write(rows))?;
    }
    drop(views);
    std::fs::rename(&making, file)?;
    println!("{count} invoices received before in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let options = options(arguments)?;
    let store = options.folder.join("views-store");
    let file = options.folder.join("views.db");
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{suffix}", file.display())));
    }
    let shape = Shape { open_invoices: options.invoices, ..Shape::default() };
    // A filled ledger is kept for the next run of the same shape.
    let mark = options.folder.join(format!("views-store.{}.{}", options.invoices, options.events));
    let folders = Folders::below(&store);
    let fill = !mark.exists();
    if fill {
        // Marks of what was filled before are of another store.
        for entry in std::fs::read_dir(&options.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("views-store.") {
                std::fs::remove_file(entry.path())?;
            }
        }
        drop(std::fs::remove_dir_all(&store));
        std::fs::create_dir_all(&store)?;
        create(&folders)?;
    }
    let rig = Rig::open(&folders, registry(&dictionary(&shape)?)?)?;
    if fill {
        let mut workload = Workload::new(11, shape);
        let mut recorded = 0;
        while recorded < options.events {
            let events = Events::take(&mut workload, CHUNK);
            recorded += rig.feed(&events.batches(500), 2, 8)?.recorded;
        }
        std::fs::write(&mark, b"")?;
    }
    let guarded = rig.writer.status().checkpoint.checkpoint().size;
    let known = rig.sealer.registry();
    let source = FactSource {
        ledger: rig.sealer.ledger(),
        log: rig.log.clone(),
        guarded: Arc::new(move || Position(guarded)),
        keyring: Arc::clone(&rig.keyring),
        objects: Arc::new(NoObjects),
        dictionaries: Arc::new(move |name: &[u8; 8]| known.dictionary(name).cloned()),
    };
    measure(&options, &file, source, guarded)
}

fn measure(
    options: &Options,
    file: &std::path::Path,
    source: FactSource,
    guarded: u64,
) -> anyhow::Result<()> {
    if options.known {
        anyhow::ensure!(options.projection == "invoices", "`--known` goes with `--projection invoices`");
        let known = options.folder.join(format!("views-known.{}.db", options.invoices));
        if !known.exists() {
            receive(&known, options, source.ledger)?;
        }
        std::fs::copy(&known, file)?;
    }
    let views: Arc<dyn Views> = Arc::new(SqliteViews::open(file, options.config)?);
    let projection: Arc<dyn Projection> = match options.projection.as_str() {
        "count" => Arc::new(Count),
        "invoices" => Arc::new(Invoices::new(Config::default())),
        other => anyhow::bail!("unknown projection {other}"),
    };
    let progress = Arc::new(Progress::new(None));
    let counted = Arc::new(Counted::new(Arc::clone(&projection)));
    let projection = if options.tables { Arc::clone(&counted) as Arc<dyn Projection> } else { projection };
    let mut projector =
        Projector::open(source.ledger, Arc::clone(&views), vec![projection], Arc::clone(&progress))?;
    if options.rows > 0 {
        let start = Instant::now();
        put_rows(views.as_ref(), &projector, options.rows)?;
        println!("{} rows put in {:.1} s", options.rows, start.elapsed().as_secs_f64());
    }
    let mut following = Following::new(source, Arc::new(SystemClock::new()));
    following.limits.events_max = options.batch;
    let (start, before) = (Instant::now(), cpu_of_this_thread());
    project(&mut projector, &following, Position(guarded), &AtomicBool::new(false))?;
    let took = start.elapsed();
    let cpu = cpu_of_this_thread().saturating_sub(before).as_secs_f64();
    let reached = progress.reached();
    anyhow::ensure!(reached.lag() == 0 && reached.cursor.position.0 == guarded, "not all was projected");
    println!(
        "projected {guarded} events of {} invoices at random by `{}`: {:.0}/s ({:.1} s; the writing thread's CPU {:.1} us an event; \
         {} batches of up to {}; page {}, cache {} MiB, log {} pages, mmap {}; file {} MiB; peak memory {} MiB)",
        options.invoices,
        options.projection,
        guarded as f64 / took.as_secs_f64(),
        took.as_secs_f64(),
        cpu * 1e6 / guarded as f64,
        reached.batches,
        options.batch,
        options.config.page_bytes,
        options.config.writer_cache_kib / 1_024,
        options.config.log_pages,
        options.config.mmap_bytes,
        std::fs::metadata(file)?.len() >> 20,
        peak_memory(None) >> 20,
    );
    if options.tables {
        counted.print(guarded);
    }
    Ok(())
}
