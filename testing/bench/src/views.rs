//! Projecting: frames are read, the common parts opened, projected, and written to SQLite with the cursor.
//!
//! A ledger is filled first. `--rows N` puts N rows into the view before, so that a large view need not be projected
//! event by event to be measured; that goes with `--projection count` alone.

use std::path::PathBuf;
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
use waag_model::ids::Position;
use waag_sqlite::views::{SqliteViews, ViewsConfig};
use waag_stdx::clock::SystemClock;
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
