//! Lists of the operations page by the real queries: their places, what events told of why, their files, and invoices
//! that are found by what their ids begin with.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::http::{StatusCode, header};
use tokio::sync::watch;
use waag_domain::memory::MemoryRows;
use waag_domain::project::{Fact, Projection, Reads};
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_web::Pages;
use waag_web::ports::{Field, Health, House, HouseError, Progress, Proof, Recorded, Shown};

use crate::pages::{ask, get, text};
use crate::support::{NOW, Sample, Still};

/// An event: a type, and the members of its data.
pub(crate) type Told = (&'static str, Vec<(&'static str, String)>);

/// A house of events that were told, of which all were accepted a day ago.
pub(crate) struct Telling {
    sample: Arc<Sample>,
    rows: MemoryRows,
    told: Vec<Told>,
    /// From where on the log cannot be read.
    damaged_from: u64,
}

const ACCEPTED: UtcNanos = UtcNanos(NOW.0 - 86_400_000_000_000);

impl Telling {
    pub(crate) fn new(told: Vec<Told>) -> Arc<Self> {
        Self::damaged(told, u64::MAX)
    }

    fn damaged(told: Vec<Told>, damaged_from: u64) -> Arc<Self> {
        let data: Vec<_> = told
            .iter()
            .map(|(_, members)| {
                let member = |(name, value): &(&'static str, String)| {
                    let number = value.parse().ok().filter(|_| *name == "amount_minor");
                    let text = Value::Text(Cow::Owned(value.clone()));
                    (Cow::Borrowed(*name), number.map_or(text, Value::Integer))
                };
                Value::Object(Object::from_members(members.iter().map(member).collect()).unwrap())
            })
            .collect();
        let attributes = Object::from_members(Vec::new()).unwrap();
        let facts: Vec<Fact<'_>> = (0u64..)
            .zip(told.iter().zip(&data))
            .map(|(at, ((kind, _), data))| Fact {
                position: Position(at),
                committed: UtcNanos(ACCEPTED.0 + at as i64),
                accepted: ACCEPTED,
                kind,
                id: None,
                source: None,
                subject: None,
                actor: None,
                attributes: &attributes,
                data: Some(data),
            })
            .collect();
        let mut rows = MemoryRows::default();
        Invoices::new(Config::default()).project(&facts, &mut rows).unwrap();
        Arc::new(Self { sample: Sample::new(false), rows, told, damaged_from })
    }
}

impl House for Telling {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
        Ok(Box::new(self.rows.clone()))
    }

    fn history(&self, positions: &[Position]) -> Result<Vec<Recorded>, HouseError> {
        if positions.iter().any(|at| at.0 >= self.damaged_from) {
            return Err(HouseError { code: "E0411", reason: "the log cannot be read".to_owned() });
        }
        let recorded = |at: &Position| {
            let (kind, members) = self.told.get(usize::try_from(at.0).unwrap())?;
            // A contact's words are a person's.
            let field = |(name, text): &(&str, String)| Field {
                path: (*name).to_owned(),
                shown: if text.starts_with("person") {
                    Shown::Masked("1234".to_owned())
                } else {
                    Shown::Plain(text.clone())
                },
            };
            Some(Recorded {
                position: *at,
                leaf: waag_ledger::hash::leaf_hash(b""),
                kind: (*kind).to_owned(),
                id: None,
                source: None,
                happened: None,
                accepted: ACCEPTED,
                committed: ACCEPTED,
                actor: None,
                fields: members.iter().map(field).collect(),
            })
        };
        Ok(positions.iter().filter_map(recorded).collect())
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

pub(crate) fn told(kind: &'static str, members: &[(&'static str, &str)]) -> Told {
    (kind, members.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
}

pub(crate) fn received(id: &str) -> Told {
    told(
        "invoice.ingestion",
        &[
            ("invoice_id", id),
            ("amount_minor", "125050"),
            ("currency", "EUR"),
            ("region", "eu-west-1"),
            ("vendor", "=Acme, BV"),
        ],
    )
}

pub(crate) async fn page(house: &Arc<Telling>, path: &str) -> String {
    let response = ask(Pages::new(Arc::clone(house) as _, Arc::new(Still)), get(path)).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    text(response).await
}

/// The records of a list's file, each with its cells as they stand there.
pub(crate) async fn file(house: &Arc<Telling>, path: &str) -> Vec<String> {
    let response = ask(Pages::new(Arc::clone(house) as _, Arc::new(Still)), get(path)).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    let bytes = to_bytes(response.into_body(), 1 << 24).await.unwrap().to_vec();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with("\r\n"));
    text.trim_end_matches("\r\n").split("\r\n").map(str::to_owned).collect()
}

/// As many invoices as asked for that returned to a stage, every tenth of them of another region; the last one is paid.
fn returned(count: usize) -> Vec<Told> {
    let stage =
        |kind, id: &str, more: &[(&'static str, &str)]| told(kind, &[&[("invoice_id", id)], more].concat());
    let ids: Vec<String> = (0..count).map(|number| format!("INV-{number:04}")).collect();
    let mut all: Vec<Told> = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        let region = [("region", if number % 10 == 0 { "uk-1" } else { "eu-west-1" })];
        all.push(stage("invoice.ingestion", id, &region));
        all.push(stage("invoice.authorization", id, &[]));
        all.push(stage("invoice.ingestion", id, &[]));
    }
    all.extend(ids.last().map(|id| stage("invoice.posting", id, &[("status", "paid")])));
    all
}

#[tokio::test]
async fn each_list_is_narrowed_and_says_how_many_there_are_where_that_is_known() {
    let house = Telling::new(returned(640));
    let whole = page(&house, "/operations?filter=loops").await;
    assert!(whole.contains("1–50 of 640"), "{whole}");
    let first = page(&house, "/operations?filter=loops&region=uk-1").await;
    assert!(first.contains("1–50 that match</p>"), "how many is not known before all are read: {first}");
    let next = first.split("rel=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let last = page(&house, &next.replace("&#38;", "&").replace("&amp;", "&")).await;
    assert!(last.contains("51–64 of 64 that match") && !last.contains("rel=\"next\""), "{last}");
    let records = file(&house, "/operations.csv?filter=loops&region=uk-1").await;
    assert_eq!(records.len(), 65, "the header and all that match");
    // The last one is paid, and so in no stage.
    let open = file(&house, "/operations.csv?filter=loops&stage=ingestion").await;
    assert!(open.len() == 640 && !open.iter().any(|record| record.contains("INV-0639")), "{}", open.len());
    let none = page(&house, "/operations?filter=duplicates&currency=EUR").await;
    assert!(none.contains("Nothing in this list matches these choices."), "{none}");
}

#[tokio::test]
async fn a_page_of_which_nothing_matches_leads_on() {
    let mut events = returned(1);
    // Odd ones, the newest first: more than are looked at for one page.
    events.extend(
        (0..2_100).map(|_| told("invoice.ingestion", &[("invoice_id", "INV-X"), ("status", "whatever")])),
    );
    events.insert(
        0,
        told("invoice.ingestion", &[("invoice_id", "INV-0000"), ("region", "uk-1"), ("status", "whatever")]),
    );
    let house = Telling::new(events);
    let first = page(&house, "/operations?filter=odd&region=uk-1").await;
    assert!(first.contains("the next page looks on") && first.contains("rel=\"next\""), "{first}");
    let records = file(&house, "/operations.csv?filter=odd&region=uk-1").await;
    assert!(records.len() == 2 && records[1].contains("INV-0000"), "{records:#?}");
}

#[tokio::test]
async fn a_list_says_why_in_the_words_of_the_event_that_told_it() {
    let house = Telling::new(vec![
        received("INV-1"),
        told(
            "invoice.reconciliation",
            &[("invoice_id", "INV-1"), ("status", "mismatch"), ("exception", "price_variance")],
        ),
        // What is told later of something else does not hide it.
        told(
            "invoice.reconciliation",
            &[("invoice_id", "INV-1"), ("status", "mismatch"), ("exception", "missing_receipt")],
        ),
        received("INV-2"),
        told(
            "invoice.reconciliation",
            &[("invoice_id", "INV-2"), ("status", "on_hold"), ("reason", "<asked> Jan")],
        ),
        received("INV-3"),
        told(
            "invoice.reconciliation",
            &[("invoice_id", "INV-3"), ("status", "on_hold"), ("reason", "person's words")],
        ),
        received("INV-4"),
        told(
            "invoice.reconciliation",
            &[("invoice_id", "INV-4"), ("status", "mismatch"), ("exception", "old_news")],
        ),
        told("invoice.reconciliation", &[("invoice_id", "INV-4"), ("status", "started")]),
    ]);
    let html = page(&house, "/operations?filter=open").await;
    for seen in
        [">missing receipt</span>", "&#60;asked&#62; Jan", "masked, ends in</span> 1234", "Blocked", "Failed"]
    {
        assert!(html.contains(seen), "{seen}: {html}");
    }
    assert!(!html.contains("price variance"), "the newest word counts");
    assert!(!html.contains("old news"), "what went wrong before is not why it stands there");
    assert!(!html.contains("person's words") && !html.contains("person&#39;s words"));
    let records = file(&house, "/operations.csv?filter=open").await;
    let of = |id: &str| records.iter().find(|record| record.starts_with(&format!("{id},"))).unwrap();
    assert!(of("INV-1").ends_with(",true,missing_receipt"), "{records:#?}");
    assert!(of("INV-3").ends_with(",true,(masked)") && of("INV-4").ends_with(",true,"), "{records:#?}");
}

#[tokio::test]
async fn an_odd_event_leads_to_itself_and_says_what_could_not_be_read() {
    let house = Telling::new(vec![
        told("invoice.ingestion", &[("status", "zur_pruefung"), ("currency", "EURO")]),
        told("invoice.lunch", &[("invoice_id", "INV-1")]),
    ]);
    let html = page(&house, "/operations?filter=odd").await;
    assert!(
        html.contains("href=\"/event/0\"")
            && html.contains("href=\"/event/1\"")
            && !html.contains("/proof/0.")
    );
    for seen in [
        "Unknown invoice, unknown status, unknown currency",
        "<dt>status</dt><dd>zur_pruefung</dd>",
        "<dt>currency</dt><dd>EURO</dd>",
        "invoice.lunch",
        "1–2 of 2",
    ] {
        assert!(html.contains(seen), "{seen}: {html}");
    }
    let records = file(&house, "/operations.csv?filter=odd").await;
    assert!(records[0].starts_with("position,type,odd,invoice,stage,"));
    assert!(records[1].starts_with("1,invoice.lunch,unknown_stage,INV-1,"), "{records:#?}");
    assert!(records[2].starts_with("0,invoice.ingestion,unknown_invoice unknown_status unknown_currency,,"));
    assert!(records[2].ends_with(",zur_pruefung; EURO"));
}

#[tokio::test]
async fn a_closed_invoice_says_so_where_open_ones_have_their_stage() {
    let again = |id| {
        [
            received(id),
            told("invoice.reconciliation", &[("invoice_id", id)]),
            told("invoice.ingestion", &[("invoice_id", id), ("status", "started")]),
        ]
    };
    let events = again("INV-1").into_iter().chain(again("INV-2")).chain([
        told("invoice.posting", &[("invoice_id", "INV-2"), ("status", "paid")]),
        received("INV-3"),
        told("invoice.reconciliation", &[("invoice_id", "INV-3")]),
        told("invoice.ingestion", &[("invoice_id", "INV-3"), ("status", "rejected")]),
    ]);
    let house = Telling::new(events.collect());
    let html = page(&house, "/operations?filter=loops").await;
    let row = |id: &str| html.split("<tr ").find(|row| row.contains(&format!(">{id}</a>"))).unwrap();
    assert!(
        row("INV-1").contains("data-of=\"Stage\">Ingestion</td>")
            && row("INV-1").contains("1 return, in progress")
    );
    assert!(
        row("INV-2").contains("</span> paid</span>") && !row("INV-2").contains("Posting"),
        "{}",
        row("INV-2")
    );
    assert!(row("INV-3").contains("</span> rejected</span>"), "{}", row("INV-3"));
}

#[tokio::test]
async fn a_page_says_which_rows_of_how_many_it_has() {
    let mut events: Vec<Told> = (0..120).map(|n| received(&format!("INV-{n:03}"))).collect();
    events.push(told("invoice.posting", &[("invoice_id", "INV-005"), ("region", "uk-1")]));
    let house = Telling::new(events);
    let (mut address, mut places) = ("/operations?filter=received_not_cleared".to_owned(), Vec::new());
    loop {
        let html = page(&house, &address).await;
        let place = html.split("<p id=\"list-place\">").nth(1).unwrap();
        places.push(place.split('<').next().unwrap().to_owned());
        let next = html.split("<a rel=\"next\" href=\"").nth(1);
        match next.and_then(|rest| rest.split('"').next()) {
            Some(next) => address = next.replace("&#38;", "&"),
            None => break,
        }
    }
    assert_eq!(places, ["1–50 of 120", "51–100 of 120", "101–120 of 120"]);
    let html = page(&house, "/operations?filter=open&region=uk-1").await;
    assert!(html.contains(">1–1 of 1 that match</p>"), "{html}");
    // An address of before does not know how many came before it.
    let html = page(&house, &address.replace("&seen=100", "")).await;
    assert!(html.contains(">20 of 120</p>"));
}

#[tokio::test]
async fn a_list_is_taken_as_a_file_with_the_same_choices() {
    let house = Telling::new(vec![
        received("=2+5"),
        received("INV-2"),
        told("invoice.posting", &[("invoice_id", "INV-2"), ("status", "posted"), ("due_date", "2026-12-24")]),
    ]);
    let records = file(&house, "/operations.csv?filter=received_not_cleared").await;
    assert_eq!(
        records[0],
        "invoice,stage,state,stuck,since,deadline,amount,currency,due_date,vendor,vendor_class,region,received,\
         approved,closed,returns,exception,reason"
    );
    let formula = records.iter().find(|record| record.starts_with("'=2+5,ingestion,in_progress,")).unwrap();
    assert!(
        formula.contains(",1250.50,EUR,,\"'=Acme, BV\",,eu-west-1,2026-11-19T14:30:00Z,,,0,false,"),
        "{formula}"
    );
    let posted = records.iter().find(|record| record.starts_with("INV-2,posting,waiting,false,")).unwrap();
    assert!(posted.contains(",2026-12-25T00:00:00Z,1250.50,EUR,2026-12-24,"), "{posted}");
    let narrowed = file(&house, "/operations.csv?filter=received_not_cleared&stage=posting").await;
    assert_eq!(narrowed.len(), 2);
    assert_eq!(
        file(&house, "/operations.csv").await.len(),
        1,
        "nothing is stuck, and the header says what would be"
    );
    let response =
        ask(Pages::new(Arc::clone(&house) as _, Arc::new(Still)), get("/operations.csv?filter=open")).await;
    let disposition = response.headers()[header::CONTENT_DISPOSITION].to_str().unwrap().to_owned();
    assert_eq!(disposition, "attachment; filename=\"waag-open-2026-11-20.csv\"");
    for refused in ["/operations.csv?filter=lunch", "/operations.csv?stage=lunch", "/operations.csv?after=x"]
    {
        let response = ask(Pages::new(Arc::clone(&house) as _, Arc::new(Still)), get(refused)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{refused}");
    }
    let html = page(&house, "/operations?filter=received_not_cleared&stage=posting").await;
    assert!(html.contains(
        "href=\"/operations.csv?filter=received_not_cleared&#38;stage=posting\" download>Download as CSV"
    ));
}

#[tokio::test]
async fn a_file_has_ten_thousand_rows_and_says_that_there_are_more() {
    let some = |count: usize| Telling::new((0..count).map(|n| received(&format!("I{n:05}"))).collect());
    let whole = file(&some(10_000), "/operations.csv?filter=open").await;
    assert_eq!(whole.len(), 10_001);
    assert!(whole[10_000].starts_with("I09999,"), "{}", whole[10_000]);
    let cut = file(&some(10_001), "/operations.csv?filter=open").await;
    assert_eq!(cut.len(), 10_002);
    let last = &cut[10_001];
    assert!(
        last.starts_with("\"(there is more: this file ends after 10,000 rows; ")
            || last.starts_with("(there is more")
    );
    let mut ids: Vec<&str> = cut[1..=10_000].iter().map(|record| record.split(',').next().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 10_000, "no row twice");
}

#[tokio::test]
async fn an_id_that_is_not_whole_leads_to_those_that_begin_with_it() {
    let mut events: Vec<Told> = (0..25).map(|n| received(&format!("INV-2026-{n:02}"))).collect();
    events.extend([received("INV-7"), received("INV-71"), received("inv-9")]);
    let house = Telling::new(events);
    let html = page(&house, "/invoice?id=%20INV-7%20").await;
    assert!(html.contains("Timeline"), "the whole id leads to its invoice");
    let html = page(&house, "/invoice?id=INV-2026-1").await;
    assert_eq!(html.matches("class=\"id whole\" href=\"/invoice?id=INV-2026-1").count(), 10);
    assert!(html.contains("10 invoices") && !html.contains("INV-2026-20"));
    let html = page(&house, "/invoice?id=%20INV-2026").await;
    assert_eq!(html.matches("class=\"id whole\" href=\"/invoice?id=INV-2026-").count(), 20);
    assert!(html.contains("The first 20 invoices") && html.contains("Type more of the id"));
    for none in ["/invoice?id=INV-8", "/invoice?id=Inv-7", "/invoice?id=%20"] {
        let response = ask(Pages::new(Arc::clone(&house) as _, Arc::new(Still)), get(none)).await;
        assert!(response.status().is_client_error(), "{none}");
    }
}

#[tokio::test]
async fn a_due_date_leads_to_the_approved_invoices_that_are_to_be_paid_from_it_on() {
    let approved = |id: &'static str, due: &'static str| {
        [
            received(id),
            told("invoice.authorization", &[("invoice_id", id), ("status", "approved"), ("due_date", due)]),
        ]
    };
    let events = [
        approved("INV-1", "2026-11-10"),
        approved("INV-2", "2026-11-24"),
        approved("INV-3", "2026-11-25"),
        approved("INV-4", "2026-12-24"),
    ];
    let house = Telling::new(events.into_iter().flatten().chain([received("INV-5")]).collect());
    let cash = page(&house, "/cash?by=day").await;
    let links: Vec<String> = cash
        .split("href=\"/operations?")
        .skip(1)
        .map(|rest| format!("/operations?{}", rest.split('"').next().unwrap().replace("&#38;", "&")))
        .collect();
    let row = cash.split("<tr>").find(|row| row.contains("datetime=\"2026-11-25\"")).unwrap();
    let from =
        links.iter().find(|link| row.contains(&format!("\"{}\"", link.replace('&', "&#38;")))).unwrap();
    let html = page(&house, from).await;
    let ids: Vec<bool> =
        ["INV-1", "INV-2", "INV-3", "INV-4"].map(|id| html.contains(&format!(">{id}</a>"))).to_vec();
    assert_eq!(ids, [false, false, true, true], "{from}: {html}");
    assert!(html.contains(">2 of 4 that match</p>") && html.contains("First page"), "{html}");
    for link in &links {
        assert!(page(&house, link).await.contains("EUR"), "{link}");
    }
    assert!(page(&house, links.first().unwrap()).await.contains(">1–5 of 5 that match</p>"));
    // That list has a tab where it is shown, and none beside the others.
    assert!(page(&house, "/operations?filter=open").await.contains(">All open "));
    assert!(!page(&house, "/operations").await.contains(">All open "));
}

#[tokio::test]
async fn a_file_that_cannot_be_read_to_its_end_breaks_off_and_is_not_as_if_it_were_whole() {
    let blocked = |n: usize| {
        let id = format!("I{n:05}");
        ("invoice.reconciliation", vec![("invoice_id", id), ("status", "blocked".to_owned())])
    };
    let house = |damaged_from| Telling::damaged((0..500).map(blocked).collect(), damaged_from);
    let ask_for = |house: Arc<Telling>| {
        ask(Pages::new(house as _, Arc::new(Still)), get("/operations.csv?filter=open"))
    };
    let whole = ask_for(house(u64::MAX)).await;
    assert!(to_bytes(whole.into_body(), 1 << 24).await.is_ok());
    let cut = ask_for(house(300)).await;
    assert_eq!(cut.status(), StatusCode::OK, "it had begun when the damage was met");
    assert!(to_bytes(cut.into_body(), 1 << 24).await.is_err());
    // Where nobody reads on, nothing is read any more, and the next file has its turn.
    let house = house(u64::MAX);
    for _ in 0..20 {
        let left = ask_for(Arc::clone(&house)).await;
        assert_eq!(left.status(), StatusCode::OK);
        drop(left);
    }
}

#[tokio::test]
async fn an_invoice_that_waits_for_its_next_stage_shows_the_deadline_of_that() {
    let house = Telling::new(vec![
        received("INV-1"),
        told(
            "invoice.authorization",
            &[("invoice_id", "INV-1"), ("status", "approved"), ("due_date", "2026-11-10")],
        ),
    ]);
    let html = page(&house, "/invoice?id=INV-1").await;
    let stage = |name: &str| {
        let found = html.split("<li class=\"").find(|li| li.contains(&format!("step-name\">{name}<")));
        found.unwrap().to_owned()
    };
    assert!(html.contains("authorization, waiting for posting"), "{html}");
    assert!(
        stage("Posting").contains(" late</span>, stage deadline was <time")
            && !stage("Authorization").contains("stage deadline")
    );
    assert!(html.contains("<dt>Deadline</dt><dd>2026-11-11 00:00:00 UTC, of posting</dd>"));
    // What the event told reads as words, money and dates.
    assert!(
        html.contains("<h3>Authorization: approved</h3>")
            && html.contains("1,250.50 <span class=\"iso\">EUR")
    );
    assert!(html.contains("<span title=\"due_date\">Due date</span>") && !html.contains(">amount_minor<"));
}

#[tokio::test]
async fn what_nobody_told_of_an_invoice_is_shown_as_that() {
    let posting = |status| told("invoice.posting", &[("invoice_id", "INV-1"), ("status", status)]);
    let approved = told("invoice.authorization", &[("invoice_id", "INV-2"), ("status", "approved")]);
    let house = Telling::new(vec![posting("posted"), approved]);
    let html = page(&house, "/invoice?id=INV-1").await;
    assert!(html.contains("<dt>Approved</dt><dd>not told, implied by posting</dd>"), "{html}");
    assert_eq!(html.matches("<li class=\"left-out\">").count(), 3, "{html}");
    assert!(html.contains("left out, or not told") && !html.contains("step-time\">not yet"), "{html}");
    // No event of this house has a time.
    assert!(html.contains("counts from 2026-11-19 14:30:00 UTC, when it was accepted"), "{html}");
    let told = page(&house, "/invoice?id=INV-2").await;
    assert!(told.contains("<dt>Approved</dt><dd>2026-11-19 14:30:00 UTC</dd>"), "{told}");
    let records = file(&house, "/operations.csv?filter=open").await;
    let at = records.first().unwrap().split(',').position(|name| name == "approved").unwrap();
    let cell = |id: &str| {
        let record = records.iter().find(|record| record.starts_with(&format!("{id},"))).unwrap();
        record.split(',').nth(at).unwrap().to_owned()
    };
    assert_eq!(cell("INV-1"), "");
    assert!(cell("INV-2").starts_with("2026-11-19T14:30:00"), "{}", cell("INV-2"));
}
