//! `bench pages`: how long each page takes over a large read model, named filters, narrowings and further pages included.
//!
//! The view is filled straight through the projection, in batches, into SQLite; then the real pages are served on
//! loopback and asked for over HTTP/1.1, so that a figure is what a browser waits for: the read of the rows, the drawing
//! and the answer to its last byte. An invoice's page leaves out its events as they were recorded, which come from the log.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::net::TcpListener;
use waag_domain::project::{Projection, Reads};
use waag_fixtures::prng::SplitMix;
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_sqlite::views::{SqliteViews, ViewsConfig};
use waag_stdx::clock::{Clock, SystemClock};
use waag_views::contract::{Cursor, Definition, ViewKey, Views, Which};
use waag_web::ports::{Health, House, HouseError, Progress, Proof, Recorded, Writer};
use waag_web::{Pages, serve};

use crate::client::Line;
use crate::lives::{Lives, id_of};
use crate::measure::{cpu_by_thread, peak_memory, percentile};

/// Invoices whose facts are one batch.
const BATCH_INVOICES: u64 = 15_000;
/// What a page may take, in milliseconds.
const BAR_MS: f64 = 50.0;
/// The view's name.
const VIEW: &str = "invoices";

struct BenchHouse {
    views: SqliteViews,
    events: u64,
    newest: UtcNanos,
    changes: tokio::sync::watch::Sender<Progress>,
}

impl House for BenchHouse {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
        match self.views.snapshot(VIEW, Which::Serving) {
            Ok(snapshot) => Ok(snapshot),
            Err(error) => Err(HouseError { code: error.code(), reason: error.to_string() }),
        }
    }

    fn history(&self, _positions: &[Position]) -> Result<Vec<Recorded>, HouseError> {
        Ok(Vec::new())
    }

    fn proof(&self, _position: Position) -> Result<Option<Proof>, HouseError> {
        Ok(None)
    }

    fn health(&self) -> Health {
        Health {
            version: "bench",
            origin: "bench/default/00".to_owned(),
            entries: self.events,
            progress: Progress { projected: self.events, newest: Some(self.newest) },
            writer: Writer::Writing,
            disk_free_bytes: 0,
            store_bytes: 0,
            shown_halted: None,
            uptime: Duration::from_secs(1),
            checkpoint: None,
            intake: "http://127.0.0.1:1".to_owned(),
        }
    }

    fn changes(&self) -> tokio::sync::watch::Receiver<Progress> {
        self.changes.subscribe()
    }
}

struct Options {
    invoices: u64,
    requests: usize,
    connections: usize,
    folder: PathBuf,
    keep: bool,
}

fn options(arguments: &[&str]) -> anyhow::Result<Options> {
    let mut options = Options {
        invoices: 300_000,
        requests: 200,
        connections: 1,
        folder: PathBuf::from("target/bench-pages"),
        keep: false,
    };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { anyhow::bail!("each option takes a value") };
        match *name {
            "--invoices" => options.invoices = value.parse()?,
            "--requests" => options.requests = value.parse()?,
            "--connections" => options.connections = value.parse()?,
            "--folder" => options.folder = value.into(),
            "--keep" => options.keep = value.parse()?,
            other => anyhow::bail!("unknown option {other}"),
        }
    }
    ensure!(options.requests > 0 && options.connections > 0 && options.invoices > 0, "nothing to ask");
    Ok(options)
}

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let options = options(arguments)?;
    std::fs::create_dir_all(&options.folder)?;
    let file = options.folder.join(format!("pages.{}.db", options.invoices));
    // A view that was not filled to its end is not taken for one.
    let mark = file.with_extension("filled");
    if !mark.exists() {
        remove(&file);
    }
    let views = SqliteViews::open(&file, ViewsConfig::default())?;
    let clock = SystemClock::new();
    let events = fill(&views, options.invoices, clock.now())?;
    std::fs::write(&mark, [])?;
    let newest = clock.now();
    let progress = Progress { projected: events, newest: Some(newest) };
    let changes = tokio::sync::watch::Sender::new(progress);
    let house = Arc::new(BenchHouse { views, events, newest, changes });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let pages = Pages::new(house, Arc::new(clock));
    runtime.spawn(serve(listener, pages, std::future::pending()));
    println!(
        "{} invoices of {events} events in {} MiB; {} requests a page on {} connections, HTTP/1.1 on loopback",
        options.invoices,
        std::fs::metadata(&file)?.len() >> 20,
        options.requests,
        options.connections,
    );
    let worst = runtime.block_on(ask_all(address, &options))?;
    println!("peak memory {} MiB", peak_memory(None) >> 20);
    println!("the slowest page's p99 is {worst:.1} ms; the bar is {BAR_MS} ms");
    drop(runtime);
    if !options.keep {
        drop(std::fs::remove_file(&mark));
        remove(&file);
    }
    ensure!(worst < BAR_MS, "a page is slower than the bar");
    Ok(())
}

/// Removes a database with what SQLite keeps beside it.
fn remove(file: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        drop(std::fs::remove_file(format!("{}{suffix}", file.display())));
    }
}

/// Projects all invoices, or takes a view that an earlier run made; gives the number of events.
fn fill(views: &SqliteViews, invoices: u64, now: UtcNanos) -> anyhow::Result<u64> {
    let projection = Invoices::new(Config::default());
    let key = ViewKey { name: VIEW.to_owned(), version: projection.version(), build: 0 };
    let definition = Definition { key: key.clone(), ledger: LedgerId([7; 16]), tables: projection.tables() };
    let mut cursor = views.open(&definition)?.cursor;
    if cursor.position.0 > 0 {
        println!("a view of an earlier run is taken");
        return Ok(cursor.position.0);
    }
    let start = Instant::now();
    let mut lives = Lives::new(invoices, now);
    loop {
        let projected = lives.batch(BATCH_INVOICES, |facts, position| -> anyhow::Result<Cursor> {
            let committed = facts.last().map_or(cursor.committed, |fact| fact.committed);
            let next = Cursor { position: Position(position), committed };
            views.commit(&key, cursor, next, &mut |rows| projection.project(facts, rows))?;
            Ok(next)
        });
        match projected {
            Some(next) => cursor = next?,
            None => break,
        }
        print!("\r{} events, {:.0} s ", cursor.position.0, start.elapsed().as_secs_f64());
        drop(std::io::stdout().flush());
    }
    println!("\rfilled in {:.0} s                ", start.elapsed().as_secs_f64());
    Ok(cursor.position.0)
}

/// A page and the addresses it is asked by, one after the other.
struct Asked {
    name: String,
    paths: Vec<String>,
}

impl Asked {
    fn one(path: &str) -> Self {
        Self { name: path.to_owned(), paths: vec![path.to_owned()] }
    }
}

/// Every page, range, named filter and narrowing, and a chain of further pages of each list.
async fn all(line: &mut Line, invoices: u64) -> anyhow::Result<Vec<Asked>> {
    let mut asked: Vec<Asked> = Vec::new();
    for period in [
        "range=1h",
        "range=24h",
        "range=7d",
        "range=30d",
        "range=1y",
        "range=1y&until=2026-10-31",
        "until=2018-01-01",
    ] {
        asked.push(Asked::one(&format!("/?{period}")));
        asked.push(Asked::one(&format!("/operations?{period}")));
    }
    let filters = ["stuck", "approved_not_paid", "received_not_cleared", "loops", "duplicates", "odd"];
    for filter in filters {
        let first = format!("/operations?filter={filter}");
        asked.push(Asked::one(&first));
        let mut chain = Vec::new();
        let mut next = Some(first.clone());
        while let (Some(path), true) = (next.take(), chain.len() < 40) {
            let html = line.get(&path).await?;
            next = next_of(&html);
            chain.extend(next.clone());
        }
        if !chain.is_empty() {
            asked.push(Asked { name: format!("{first} (further pages)"), paths: chain });
        }
    }
    for filter in filters.iter().take(3) {
        for narrow in [
            "stage=ingestion",
            "stage=posting",
            "region=uk-1",
            "currency=JPY",
            "stage=authorization&region=ap-southeast-2&currency=PLN",
            "region=nowhere",
        ] {
            asked.push(Asked::one(&format!("/operations?filter={filter}&{narrow}")));
        }
    }
    for path in [
        "/cash",
        "/cash?by=day",
        "/cash?currency=JPY",
        "/cash?currency=EUR&by=day&from=2020-01-01",
        "/cash?from=2027-06-01",
        "/help",
    ] {
        asked.push(Asked::one(path));
    }
    let mut prng = SplitMix::new(9);
    let any = |_| format!("/invoice?id={}", id_of(prng.below(invoices)));
    asked.push(Asked { name: "/invoice?id=…".to_owned(), paths: (0..500).map(any).collect() });
    Ok(asked)
}

/// The address of a list's next page.
fn next_of(html: &str) -> Option<String> {
    let link = html.split("rel=\"next\" href=\"").nth(1)?.split('"').next()?;
    Some(link.replace("&#38;", "&").replace("&amp;", "&"))
}

async fn ask_all(address: SocketAddr, options: &Options) -> anyhow::Result<f64> {
    let mut line = Line::open(address).await?;
    let asked = all(&mut line, options.invoices).await?;
    let mut worst = 0.0_f64;
    println!(
        "{:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  page",
        "first ms", "p50 ms", "p99 ms", "max ms", "CPU ms", "KiB"
    );
    for page in asked {
        let start = Instant::now();
        let path = page.paths.first().context("a path")?;
        let bytes = line.get(path).await?.len();
        let first = start.elapsed().as_secs_f64() * 1e3;
        let before = cpu();
        let mut times = measured(address, &page, options).await?;
        let spent = cpu().saturating_sub(before).as_secs_f64() * 1e3 / times.len() as f64;
        times.sort_by(f64::total_cmp);
        let p99 = percentile(&times, 0.99);
        worst = worst.max(p99);
        println!(
            "{first:>9.2} {:>9.2} {p99:>9.2} {:>9.2} {spent:>9.2} {:>9}  {}",
            percentile(&times, 0.5),
            percentile(&times, 1.0),
            bytes >> 10,
            page.name
        );
    }
    Ok(worst)
}

/// CPU time of the whole process so far, the asking included: what a busy machine does not make longer.
fn cpu() -> Duration {
    cpu_by_thread(None).into_values().sum()
}

/// The times of a page's requests, in milliseconds.
async fn measured(address: SocketAddr, page: &Asked, options: &Options) -> anyhow::Result<Vec<f64>> {
    let mut tasks = Vec::new();
    for number in 0..options.connections {
        let paths = page.paths.clone();
        let count = options.requests / options.connections;
        tasks.push(tokio::spawn(async move {
            let mut line = Line::open(address).await?;
            let mut times = Vec::with_capacity(count);
            for path in paths.iter().cycle().skip(number).take(count) {
                let start = Instant::now();
                line.get(path).await?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::next_of;

    #[test]
    fn the_link_to_the_next_page_is_read_as_a_browser_reads_it() {
        let html = r#"<a rel="next" href="/operations?filter=stuck&#38;after=1~2~x">Next page</a>"#;
        assert_eq!(next_of(html).as_deref(), Some("/operations?filter=stuck&after=1~2~x"));
        assert_eq!(next_of("<a>"), None);
    }
}
