//! What the pages bear: histories without end, dates of any century, readers that go away, a house that takes its time
//! and one that has stopped.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::StreamExt as _;
use tokio::sync::watch;
use tower_service::Service;
use waag_domain::memory::MemoryRows;
use waag_domain::project::{Fact, Projection, Reads, Row, RowsError, Scan, Table};
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_stdx::clock::Clock;
use waag_stdx::entropy::SystemEntropy;
use waag_web::ports::{Health, House, HouseError, Progress, Proof, Recorded};
use waag_web::{Pages, WebError, router};

use crate::pages::{ask, get, text};
use crate::support::sample::SampleFigures;
use crate::support::{NOW, Sample, Still};

/// A house whose invoices were projected once, and that notes how many rows of histories were handed over.
struct Projected {
    sample: Arc<Sample>,
    rows: MemoryRows,
    read: Arc<AtomicUsize>,
}

impl Projected {
    /// Of invoices' events, with the words of each: an invoice's id, a stage, a status and a due date.
    fn new(events: &[[&'static str; 4]]) -> Arc<Self> {
        let text = |name: &'static str, value: &'static str| {
            (Cow::Borrowed(name), Value::Text(Cow::Borrowed(value)))
        };
        let told: Vec<_> = events
            .iter()
            .map(|[id, _, status, due]| {
                let members = vec![
                    text("invoice_id", id),
                    text("status", status),
                    text("due_date", due),
                    text("vendor", "Nordwind"),
                    (Cow::Borrowed("amount_minor"), Value::Integer(100)),
                    text("currency", "EUR"),
                ];
                (
                    Object::from_members(Vec::new()).unwrap(),
                    Value::Object(Object::from_members(members).unwrap()),
                )
            })
            .collect();
        let begin = NOW.0 - 86_400_000_000_000;
        let facts: Vec<Fact<'_>> = (0..)
            .zip(events.iter().zip(&told))
            .map(|(at, ([id, kind, ..], (attributes, data)))| Fact {
                position: Position(at),
                committed: UtcNanos(begin + at as i64),
                accepted: UtcNanos(begin + at as i64),
                kind,
                id: None,
                source: None,
                subject: Some(id),
                actor: None,
                attributes,
                data: Some(data),
            })
            .collect();
        let mut rows = MemoryRows::default();
        Invoices::new(Config::default()).project(&facts, &mut rows).unwrap();
        Arc::new(Self { sample: Sample::new(false), rows, read: Arc::default() })
    }
}

struct Counted(MemoryRows, Arc<AtomicUsize>);

impl Counted {
    fn count(&self, table: &Table, rows: usize) {
        self.1.fetch_add(if table.name == "history" { rows } else { 0 }, Ordering::Relaxed);
    }
}

impl Reads for Counted {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        self.count(table, keys.len());
        self.0.get(table, keys)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        let rows = self.0.scan(table, scan)?;
        self.count(table, rows.len());
        Ok(rows)
    }
}

impl House for Projected {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
        Ok(Box::new(Counted(self.rows.clone(), Arc::clone(&self.read))))
    }

    fn history(&self, positions: &[Position]) -> Result<Vec<Recorded>, HouseError> {
        let some = self.sample.history(&[Position(0)])?;
        let at = |at: &Position| some.first().map(|one| Recorded { position: *at, ..one.clone() });
        Ok(positions.iter().filter_map(at).collect())
    }

    fn proof(&self, position: Position) -> Result<Option<Proof>, HouseError> {
        self.sample.proof(position)
    }

    fn health(&self) -> Health {
        self.sample.health()
    }

    fn changes(&self) -> watch::Receiver<Progress> {
        self.sample.changes()
    }
}

#[tokio::test]
async fn a_page_of_a_long_history_reads_the_end_of_it() {
    let events = vec![["INV-1", "invoice.ingestion", "received", "2026-12-01"]; 5_000];
    let house = Projected::new(&events);
    let pages = Pages::new(Arc::clone(&house) as _, Arc::new(Still));
    let html = text(ask(pages, get("/invoice?id=INV-1")).await).await;
    assert!(html.contains("4,801–5,000 of 5,000 events, newest last"), "{html:.4000}");
    assert!(html.contains("<a rel=\"prev\" href=\"/invoice?id=INV-1&#38;before=4800\">Earlier events</a>"));
    assert_eq!(html.matches("class=\"event-head\"").count(), 200);
    assert!(html.contains("<li id=\"e4999\">") && html.contains("<li id=\"e4800\">"));
    assert!(html.contains("time assumed: 200 of the newest 200 events"));
    let read = house.read.load(Ordering::Relaxed);
    assert!(read <= 200 / 32 + 1, "{read} rows of the history were read");
    let short = Projected::new(&events[..200]);
    let html = text(ask(Pages::new(short, Arc::new(Still)), get("/invoice?id=INV-1")).await).await;
    assert!(html.contains("time assumed: 200 events") && html.contains("200 events, newest last"));
    assert!(!html.contains("Earlier events") && !html.contains("Newest events"));
}

#[tokio::test]
async fn every_event_of_a_long_history_is_on_one_of_its_pages() {
    let events = vec![["INV-1", "invoice.ingestion", "received", "2026-12-01"]; 1_000];
    let house = Projected::new(&events);
    let (mut address, mut seen) = ("/invoice?id=INV-1".to_owned(), Vec::new());
    loop {
        house.read.store(0, Ordering::Relaxed);
        let html = text(ask(Pages::new(Arc::clone(&house) as _, Arc::new(Still)), get(&address)).await).await;
        let read = house.read.load(Ordering::Relaxed);
        assert!(read <= 200 / 32 + 2 + 5, "{read} rows of the history were read");
        let page: Vec<u64> = html
            .split("<li id=\"e")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!(page.len() <= 200 && !page.is_empty(), "{address}");
        seen.splice(0..0, page);
        assert_eq!(html.contains("Newest events"), address.contains("before"), "{address}");
        let earlier = html.split("<a rel=\"prev\" href=\"").nth(1);
        match earlier.and_then(|rest| rest.split('"').next()) {
            Some(next) => address = next.replace("&#38;", "&"),
            None => break,
        }
    }
    assert_eq!(seen, (0..1_000).collect::<Vec<u64>>());
    let none = text(ask(Pages::new(house, Arc::new(Still)), get("/invoice?id=INV-1&before=0")).await).await;
    assert!(none.contains("No event of this invoice stands before this place"));
}

#[tokio::test]
async fn dates_of_any_century_stand_on_every_page() {
    // What follows from these dates lies at the two ends of the range of times, or beyond.
    let house = Projected::new(&[
        ["INV-PAST", "invoice.posting", "posted", "1600-01-01"],
        ["INV-NULL", "invoice.posting", "posted", "0000-01-01"],
        ["INV-FAR", "invoice.posting", "posted", "9999-12-31"],
        ["INV-PAST", "invoice.ingestion", "received", "1600-01-01"],
        ["INV-PAST", "invoice.posting", "posted", "1600-01-01"],
    ]);
    for path in [
        "/",
        "/?range=30d",
        "/operations",
        "/operations?filter=approved_not_paid",
        "/operations?filter=received_not_cleared&range=7d",
        "/operations?filter=loops",
        "/operations?filter=duplicates",
        "/operations?filter=odd",
        "/invoice?id=INV-PAST",
        "/invoice?id=INV-NULL",
        "/invoice?id=INV-FAR",
        "/cash",
        "/cash?by=day",
        "/cash?by=day&from=1600-01-01",
        "/cash?from=0000-01-01",
        "/cash?from=9999-12-31",
        "/help",
    ] {
        let pages = Pages::new(Arc::clone(&house) as _, Arc::new(Still));
        let response = ask(pages, get(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}: {}", text(response).await);
    }
    let html = text(ask(Pages::new(house, Arc::new(Still)), get("/")).await).await;
    assert!(html.contains("INV-PAST") && html.contains("106,751 d"), "{html}");
}

/// A clock at one end of the range of times.
struct At(UtcNanos);

impl Clock for At {
    fn now(&self) -> UtcNanos {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn every_page_can_be_drawn_at_either_end_of_the_range_of_times() {
    for now in [i64::MIN, i64::MAX].map(UtcNanos) {
        let pages = Pages::with_figures(Sample::new(false), Arc::new(At(now)), |_| {
            Box::new(SampleFigures { empty: false })
        });
        let mut router = router(pages.commanded(&SystemEntropy::new()).unwrap());
        for path in [
            "/",
            "/operations",
            "/invoice?id=INV-7",
            "/cash",
            "/cash?by=day",
            "/help",
            "/subscriptions",
            "/subscriptions/erp-payments",
            "/subscriptions/treasury-mirror",
            "/dead-letters",
            "/dead-letters/confirm?do=discard&subscription=erp-payments",
            "/replay",
            "/replay/confirm?subscription=erp-payments&from=1000&rate=0",
            "/patterns",
            "/event/3",
            "/ledger",
            "/evidence",
            "/subjects",
            "/backups",
        ] {
            let response = router.call(get(path)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{path}: {}", text(response).await);
        }
        let mut line = router.call(get("/live")).await.unwrap().into_body().into_data_stream();
        assert!(line.next().await.unwrap().is_ok());
    }
}

/// A house that does nothing until it is let, and notes how many wait for that.
struct Slow {
    sample: Arc<Sample>,
    let_go: Mutex<bool>,
    told: Condvar,
    waiting: AtomicUsize,
}

impl Slow {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            sample: Sample::new(false),
            let_go: Mutex::new(false),
            told: Condvar::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Waits until it is let go, or for so long that a test has failed.
    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let held = self.let_go.lock().unwrap();
        drop(self.told.wait_timeout_while(held, Duration::from_secs(30), |let_go| !*let_go).unwrap());
    }

    fn let_go(&self) {
        *self.let_go.lock().unwrap() = true;
        self.told.notify_all();
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl House for Slow {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
        self.wait();
        self.sample.reads()
    }

    fn history(&self, positions: &[Position]) -> Result<Vec<Recorded>, HouseError> {
        self.sample.history(positions)
    }

    fn proof(&self, position: Position) -> Result<Option<Proof>, HouseError> {
        self.wait();
        self.sample.proof(position)
    }

    fn health(&self) -> Health {
        self.wait();
        self.sample.health()
    }

    fn changes(&self) -> watch::Receiver<Progress> {
        self.sample.changes()
    }
}

#[tokio::test]
async fn no_more_pages_are_drawn_at_once_however_many_clients_go_away() {
    let house = Slow::new();
    let mut router = router(Pages::new(Arc::clone(&house) as _, Arc::new(Still)));
    for path in
        ["/", "/proof/3.json", "/nothing", "/assets/none.css", "/theme?to=none"].into_iter().cycle().take(60)
    {
        let gone = tokio::time::timeout(Duration::from_millis(10), router.call(get(path))).await;
        assert!(gone.is_err(), "{path} is not answered before it is let");
    }
    assert_eq!(house.waiting(), 16, "each of them holds a turn, and so a thread");
    // As many as may be are being drawn: whoever comes is told so, a proof's reader too.
    for path in ["/", "/proof/3.json", "/nothing"] {
        let answer = tokio::time::timeout(Duration::from_secs(10), router.call(get(path))).await.unwrap();
        let response = answer.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(text(response).await.starts_with(WebError::Busy.code()));
    }
    house.let_go();
    assert_eq!(router.call(get("/proof/3.json")).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_error_whose_page_takes_its_time_holds_up_no_other_answer() {
    let house = Slow::new();
    let mut router = router(Pages::new(Arc::clone(&house) as _, Arc::new(Still)));
    let mut slow = Vec::new();
    for path in ["/nothing", "/assets/none.css", "/theme?to=none", "/proof/x", "/operations?stage=lunch"] {
        slow.push((path, tokio::spawn(router.call(get(path)))));
    }
    while house.waiting() < slow.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(router.call(get("/assets/waag.css")).await.unwrap().status(), StatusCode::OK);
    assert!(!*house.let_go.lock().unwrap() && slow.iter().all(|(_, task)| !task.is_finished()));
    house.let_go();
    for (path, task) in slow {
        let response = task.await.unwrap().unwrap();
        assert!(response.status().is_client_error(), "{path}");
        assert!(text(response).await.contains("waag explain"), "{path}");
    }
}

#[tokio::test]
async fn a_live_line_tells_what_has_stopped_where_nothing_else_moves_on() {
    let house = Sample::new(false);
    let figures = |_| -> Box<dyn waag_web::figures::Figures> { Box::new(SampleFigures { empty: false }) };
    let pages = Pages::with_figures(Arc::clone(&house) as _, Arc::new(Still), figures);
    let mut router = router(pages);
    let mut line = router.call(get("/live")).await.unwrap().into_body().into_data_stream();
    let mut next = async || String::from_utf8(line.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(next().await.contains("id: 1284311\n"));
    house.halted.store(true, Ordering::Relaxed);
    assert!(next().await.contains("id: 1284311.shown-E0690\n"));
    house.stopped.store(true, Ordering::Relaxed);
    assert!(next().await.contains("id: 1284311.writer-E0602.shown-E0690\n"));
    // What a page was drawn of is told in the same words, so that it knows whether it is the newest.
    let html = text(router.call(get("/")).await.unwrap()).await;
    assert!(html.contains("data-drawn=\"1284311.writer-E0602.shown-E0690\""), "{html}");
    house.stopped.store(false, Ordering::Relaxed);
    house.halted.store(false, Ordering::Relaxed);
    assert!(next().await.contains("id: 1284311\n"));
}
