//! The pages over HTTP: what is answered, what is refused, and what every answer bears.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use tokio::sync::watch;
use tower_service::Service;
use waag_domain::memory::MemoryRows;
use waag_domain::project::{Fact, Projection, Reads};
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_model::value::{Object, Value};
use waag_stdx::entropy::SystemEntropy;
use waag_web::ports::{Field, Health, House, HouseError, Progress, Proof, Recorded, Shown};
use waag_web::{Pages, WebError, router, serve};

use crate::support::sample::SampleFigures;
use crate::support::{NOW, Sample, Still};

fn sample(empty: bool) -> Pages {
    Pages::with_figures(Sample::new(empty), Arc::new(Still), move |_| Box::new(SampleFigures { empty }))
}

pub(crate) async fn ask(pages: Pages, request: Request<Body>) -> Response {
    router(pages).call(request).await.unwrap()
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).header(header::HOST, "127.0.0.1:8081").body(Body::empty()).unwrap()
}

pub(crate) async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 22).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn every_page_says_what_it_knows_without_javascript() {
    for (path, seen) in [
        ("/", &["12,907", "INV-2026-104233", "touchless rate", "71.3", "Newest event", "131 stuck"][..]),
        ("/operations", &["Approved, not paid", "46,058", "eu-north-1", "Next page", "2026-11-16"]),
        (
            "/invoice?id=INV-7",
            &["INV-7", "18,450.00", "/proof/3.tlog-proof", "erased", "4300", "Leaf hash", " delayed</span>"],
        ),
        ("/cash?currency=USD", &["1,482,334,512.00", "USD", "overdue", "No due date", "this week"]),
        ("/help", &["Next and previous row"]),
    ] {
        let response = ask(sample(false), get(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let html = text(response).await;
        for part in seen {
            assert!(html.contains(part), "{path} lacks {part}");
        }
    }
}

#[tokio::test]
async fn the_week_of_today_is_overdue_until_yesterday_and_to_come_from_today() {
    let html = text(ask(sample(false), get("/cash")).await).await;
    let row = |day: &str| {
        let found = html.split("<tr>").find(|row| row.contains(&format!("<time datetime=\"{day}\"")));
        found.and_then(|row| row.split("</tr>").next()).unwrap_or("").to_owned()
    };
    let (monday, today, next) = (row("2026-11-16"), row("2026-11-20"), row("2026-11-23"));
    assert!(monday.contains("until yesterday") && monday.contains("overdue"), "{monday}");
    assert!(today.contains("from today") && today.contains("this week"), "{today}");
    assert!(next.contains("to come"), "{next}");
    let bar = html.split("<div class=\"bar-slot\"").find(|bar| bar.contains("16 Nov:")).unwrap();
    assert!(bar.contains("EUR overdue, ") && bar.contains("EUR to come"), "{bar}");
    assert!(!bar.contains("height=\"0\""), "both parts are drawn: {bar}");
}

#[tokio::test]
async fn no_page_has_inline_script_inline_style_or_a_foreign_address() {
    for path in ["/", "/operations", "/invoice?id=INV-7", "/cash", "/help", "/nothing"] {
        let html = text(ask(sample(false), get(path)).await).await;
        for forbidden in
            [" style=", "<style", " onclick=", " onload=", "javascript:", "src=\"http", "href=\"http"]
        {
            assert!(!html.contains(forbidden), "{path} has {forbidden}");
        }
        for script in html.split("<script").skip(1) {
            assert!(
                script.contains("src=\"/assets/") && script.contains("></script>"),
                "{path}: {script:.60}"
            );
        }
    }
}

#[tokio::test]
async fn every_answer_is_fenced_in_refusals_included() {
    let foreign = Request::get("/").header(header::HOST, "evil.example").body(Body::empty()).unwrap();
    for request in [get("/"), get("/nothing"), get("/live"), get("/assets/waag.css"), foreign] {
        let response = ask(sample(false), request).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"));
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"));
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()["cross-origin-opener-policy"], "same-origin");
        assert!(response.headers().contains_key(header::CACHE_CONTROL));
    }
}

#[tokio::test]
async fn another_host_or_method_is_refused_at_the_door() {
    let foreign = Request::get("/").header(header::HOST, "evil.example").body(Body::empty()).unwrap();
    let response = ask(sample(false), foreign).await;
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
    assert!(text(response).await.starts_with(WebError::Host.code()));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE, Method::CONNECT]
    {
        let request = Request::builder().method(&method).uri("/").header(header::HOST, "localhost");
        let response = ask(sample(false), request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
    }
}

#[tokio::test]
async fn a_refused_method_is_told_which_the_address_takes() {
    let entropy = SystemEntropy::new();
    let silent = || sample(false);
    let asked = || sample(false).asked(&entropy).unwrap();
    let acts = || sample(false).commanded(&entropy).unwrap();
    let (put, pages) = (Method::PUT, ["GET, HEAD", "GET, HEAD", "GET, HEAD"]);
    for (method, path, [by_silent, by_asked, by_acts]) in [
        (&put, "/", pages),
        (&put, "/operations?range=30d", pages),
        (&put, "/event/3", pages),
        (&put, "/assets/waag.css", pages),
        (&put, "/replay", ["GET, HEAD", "GET, HEAD", "GET, HEAD, POST"]),
        (&put, "/subjects", ["GET, HEAD", "GET, HEAD, POST", "GET, HEAD, POST"]),
        (&Method::GET, "/dead-letters/redrive", ["", "", "POST"]),
        (&Method::HEAD, "/jobs/42/cancel", ["", "", "POST"]),
        (&put, "/subscriptions/erp-payments/pause", ["", "", "POST"]),
    ] {
        for (pages, allowed) in [(silent(), by_silent), (asked(), by_asked), (acts(), by_acts)] {
            let mut request = get(path);
            *request.method_mut() = method.clone();
            let response = ask(pages, request).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(response.headers()[header::ALLOW], allowed, "{method} {path}");
            assert_eq!(response.headers().get_all(header::ALLOW).iter().count(), 1);
        }
    }
    let mut nowhere = get("/nothing");
    *nowhere.method_mut() = put;
    let response = ask(silent(), nowhere).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(!response.headers().contains_key(header::ALLOW));
}

#[tokio::test]
async fn errors_have_a_page_with_a_code_and_what_to_do() {
    for (path, error) in [
        ("/nothing", WebError::NoPage),
        ("/operations?stage=lunch", WebError::Parameter { name: "stage", allowed: "" }),
        ("/invoice", WebError::Parameter { name: "id", allowed: "" }),
        ("/invoice?id=INV-0", WebError::NoInvoice(String::new())),
        ("/proof/99.json", WebError::NoEntry(99)),
        ("/proof/x.json", WebError::NoPage),
        ("/assets/waag-0000000000000000.css", WebError::NoPage),
    ] {
        let response = ask(sample(false), get(path)).await;
        assert!(response.status().is_client_error(), "{path}");
        let html = text(response).await;
        assert!(html.contains(error.code()) && html.contains("waag explain"), "{path}");
    }
}

#[tokio::test]
async fn what_a_reader_types_is_escaped() {
    let html =
        text(ask(sample(false), get("/invoice?id=%3Cscript%3Ealert(1)%3C%2Fscript%3E%22")).await).await;
    assert!(!html.contains("<script>alert"), "the id came through unescaped");
    assert!(html.contains("alert(1)"));
    // An id as a producer may tell it: with a NUL, and with what turns the order of writing round.
    let html = text(ask(sample(false), get("/invoice?id=INV%00-%E2%80%AE7")).await).await;
    assert!(html.contains("<h1 class=\"id\">INV\u{2400}-\\u{202e}7</h1>"), "{html}");
    assert!(!html.contains('\0') && !html.contains('\u{202e}'), "what nobody sees went into the page");
}

#[tokio::test]
async fn what_a_form_sends_back_is_what_it_was_given() {
    let pattern = "%7B%22subject%22%3A%5B%22%E2%80%AEx%22%5D%7D";
    let html = text(ask(sample(false), get(&format!("/patterns?pattern={pattern}"))).await).await;
    let (_, rest) = html.split_once("name=\"pattern\"").unwrap();
    let (typed, _) = rest.split_once("</textarea>").unwrap();
    assert!(typed.contains("&#8238;x"), "{typed}");
}

#[tokio::test]
async fn a_new_node_says_how_to_send_the_first_event() {
    let html = text(ask(sample(true), get("/")).await).await;
    assert!(html.contains("Record the first event") && html.contains("curl") && html.contains("/v1/events"));
    for path in ["/operations", "/cash"] {
        assert_eq!(ask(sample(true), get(path)).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_pages_of_an_empty_read_model_are_drawn_by_the_real_queries() {
    for path in
        ["/", "/operations", "/operations?filter=loops&range=30d", "/operations?filter=odd", "/cash?by=day"]
    {
        let response = ask(Pages::new(Sample::new(true), Arc::new(Still)), get(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
    }
    let unknown = ask(Pages::new(Sample::new(true), Arc::new(Still)), get("/operations?filter=lunch")).await;
    assert_eq!(unknown.status(), StatusCode::BAD_REQUEST);
}

/// A house whose read model was projected by the invoices' domain from a few events.
struct Told(Arc<Sample>);

impl House for Told {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
        let text = |name: &'static str, value: &'static str| {
            (Cow::Borrowed(name), Value::Text(Cow::Borrowed(value)))
        };
        let data = |status, stage_time: &'static str| {
            let members = vec![
                text("invoice_id", "INV-9"),
                text("vendor", "Nordwind <Energie>"),
                (Cow::Borrowed("amount_minor"), Value::Integer(1_234_567)),
                text("currency", "KWD"),
                text("status", status),
                text("due_date", "2026-11-01"),
                text("region", "eu-north-1"),
            ];
            let attributes = Object::from_members(vec![text("time", stage_time)]).unwrap();
            (attributes, Value::Object(Object::from_members(members).unwrap()))
        };
        let told = [
            ("invoice.ingestion", data("received", "2026-11-02T08:00:00Z")),
            ("invoice.reconciliation", data("started", "2026-11-03T08:00:00Z")),
            ("invoice.ingestion", data("received", "2026-11-02T08:00:00Z")),
        ];
        let mut rows = MemoryRows::default();
        for (at, (kind, (attributes, data))) in told.iter().enumerate() {
            let accepted = UtcNanos(NOW.0 - (18 - at as i64) * 86_400_000_000_000);
            let fact = Fact {
                position: Position(at as u64),
                committed: accepted,
                accepted,
                kind,
                id: Some("e"),
                source: Some("/erp"),
                subject: Some("INV-9"),
                actor: None,
                attributes,
                data: Some(data),
            };
            Invoices::new(Config::default()).project(&[fact], &mut rows).unwrap();
        }
        Ok(Box::new(rows))
    }

    fn history(&self, positions: &[Position]) -> Result<Vec<Recorded>, HouseError> {
        self.0.history(positions)
    }

    fn proof(&self, position: Position) -> Result<Option<Proof>, HouseError> {
        self.0.proof(position)
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    fn changes(&self) -> watch::Receiver<Progress> {
        self.0.changes()
    }
}

#[tokio::test]
async fn what_was_projected_stands_on_every_page() {
    for (path, seen) in [
        (
            "/",
            &[
                "INV-9",
                "1,234.567 <span class=\"iso\">KWD",
                "1 stuck",
                "Nordwind &#60;Energie&#62;",
                "Touchless rate",
            ][..],
        ),
        ("/operations?filter=stuck&region=eu-north-1", &["INV-9", "Reconciliation", "Late, in progress"]),
        ("/operations?filter=received_not_cleared&range=30d", &["INV-9", "1,234.567"]),
        (
            "/invoice?id=INV-9",
            &[
                "Reconciliation, in progress",
                "stuck",
                "2026-11-02 08:00:00 UTC",
                "/proof/1.tlog-proof",
                " out of order</span>",
            ],
        ),
        ("/invoice?id=%20INV-9%20", &["Reconciliation, in progress", "so far"]),
        ("/cash?currency=KWD", &["<span>1 invoice</span>"]),
        ("/cash?by=day", &["Before 2026-11-15", "overdue", "1,234.567", "from=2026-10-20"]),
        ("/cash?by=day&from=2026-10-30", &["2026-11-01", "overdue", "1,234.567", "Around today"]),
        ("/cash?from=2026-12-01", &["Before 2026-11-30", "1,234.567"]),
    ] {
        let pages = Pages::new(Arc::new(Told(Sample::new(false))), Arc::new(Still));
        let response = ask(pages, get(path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let html = text(response).await;
        for part in seen {
            let part = part.to_lowercase();
            assert!(html.to_lowercase().contains(&part), "{path} lacks {part}: {html}");
        }
    }
}

#[tokio::test]
async fn a_history_that_ended_is_led_to_and_shown_until_its_last_day() {
    let page = async |path: &str| {
        let pages = Pages::new(Arc::new(Told(Sample::new(false))), Arc::new(Still));
        let response = ask(pages, get(path)).await;
        (response.status(), text(response).await)
    };
    for (place, link) in [("/", "/?until=2026-11-03"), ("/operations", "/operations?until=2026-11-03")] {
        let (_, html) = page(place).await;
        assert!(html.contains("No event in the last 24 hours. Nearly all happened by 2026-11-03"), "{html}");
        assert!(html.contains(&format!("href=\"{link}\"")), "{html}");
        let (_, html) = page(link).await;
        for part in [
            "30 days until 2026-11-03",
            "<input type=\"date\" name=\"until\" max=\"2026-11-20\" value=\"2026-11-03\">",
            "2026-11-02",
            "</time>, one step is 1 d; the highest is 2<",
            "until=2026-10-04",
        ] {
            assert!(html.contains(part), "{link} lacks {part}: {html}");
        }
        assert!(!html.contains("No event in the"), "{html}");
    }
    let (_, before) = page("/?until=2026-11-02&range=7d").await;
    let (_, after) = page("/?until=2026-11-01&range=7d").await;
    assert!(before.contains("2026-11-02T00") && !before.contains("2026-11-03T00"), "{before}");
    assert!(
        after.contains("No event in the 7 days until 2026-11-01. Nearly all happened by 2026-11-03"),
        "{after}"
    );
    let (status, refused) = page("/?until=2026-11-02&range=24h").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused.contains("E1063"), "{refused}");
}

/// A house whose events all have very many values.
struct Wide(Arc<Sample>);

impl House for Wide {
    fn reads(&self) -> Result<Box<dyn Reads + Send>, HouseError> {
        self.0.reads()
    }

    fn history(&self, positions: &[Position]) -> Result<Vec<Recorded>, HouseError> {
        let mut events = self.0.history(positions)?;
        for event in &mut events {
            let field = |at: usize| Field { path: format!("p{at}"), shown: Shown::Plain(format!("v{at}-")) };
            event.fields = (0..16_384).map(field).collect();
            event.fields[0].shown = Shown::Plain("12345e-3".to_owned());
            event.fields[1].shown = Shown::Plain("x".repeat(60_000));
            event.happened = None;
        }
        Ok(events)
    }

    fn proof(&self, position: Position) -> Result<Option<Proof>, HouseError> {
        self.0.proof(position)
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    fn changes(&self) -> watch::Receiver<Progress> {
        self.0.changes()
    }
}

#[tokio::test]
async fn an_invoices_page_draws_some_values_of_an_event_and_the_events_page_all() {
    let wide = || {
        let figures = |_| -> Box<dyn waag_web::figures::Figures> { Box::new(SampleFigures { empty: false }) };
        Pages::with_figures(Arc::new(Wide(Sample::new(false))), Arc::new(Still), figures)
    };
    let html = text(ask(wide(), get("/invoice?id=INV-7")).await).await;
    assert_eq!(html.matches("<dt>p").count(), 5 * 64);
    assert!(html.contains("and 16,320 more; <a href=\"/event/4\">see the event whole</a>"));
    assert!(html.contains("and 58,976 more bytes") && html.len() < 200_000, "{} bytes", html.len());
    assert!(html.contains("<span title=\"12345e-3\">12.345</span>"));
    assert!(html.contains("no event time told that can be read"));
    let html = text(ask(wide(), get("/event/4")).await).await;
    assert_eq!(html.matches("<dt>p").count(), 16_384);
    assert!(html.contains(&"x".repeat(60_000)) && !html.contains("see the event whole"));
}

#[tokio::test]
async fn another_currency_than_the_one_asked_for_is_not_shown_in_silence() {
    let notice = "Nothing is outstanding in ZZZ.";
    for (path, is_told) in [("/cash?currency=ZZZ", true), ("/cash?currency=USD", false), ("/cash", false)] {
        let html = text(ask(sample(false), get(path)).await).await;
        assert_eq!(html.contains(notice), is_told, "{path}");
    }
    let html = text(ask(sample(true), get("/cash?currency=ZZZ")).await).await;
    assert!(html.contains("Nothing is outstanding") && !html.contains(notice), "nothing else is shown");
}

#[tokio::test]
async fn files_are_kept_for_a_year_by_their_hash_and_asked_for_again_by_their_name() {
    let html = text(ask(sample(false), get("/help")).await).await;
    let address = html.split('"').find(|part| part.starts_with("/assets/waag-")).unwrap().to_owned();
    let response = ask(sample(false), get(&address)).await;
    assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let tag = response.headers()[header::ETAG].clone();
    let mut again = get("/assets/waag.css");
    again.headers_mut().insert(header::IF_NONE_MATCH, tag);
    let response = ask(sample(false), again).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
}

#[tokio::test]
async fn light_and_dark_are_kept_in_a_cookie_and_lead_back_to_own_pages_only() {
    let response = ask(sample(false), get("/theme?to=dark&back=%2Fcash%3Fby%3Dday")).await;
    assert_eq!(response.headers()[header::LOCATION], "/cash?by=day");
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("waag_theme=dark;") && cookie.contains("SameSite=Strict"));
    let response = ask(sample(false), get("/theme?to=dark&back=%2F%2Fevil.example")).await;
    assert_eq!(response.headers()[header::LOCATION], "/");
    let mut dark = get("/");
    dark.headers_mut().insert(header::COOKIE, "a=b; waag_theme=dark".parse().unwrap());
    assert!(text(ask(sample(false), dark).await).await.contains("data-theme=\"dark\""));
}

#[tokio::test]
async fn pages_are_not_served_to_other_machines() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(listener, sample(false), std::future::pending()).await.unwrap_err();
    assert!(matches!(refused, WebError::NotLoopback(_)), "{refused}");
}

#[tokio::test]
async fn an_open_live_line_tells_where_things_stand_and_does_not_hold_up_the_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, sample(false), async move {
        stopped.await.ok();
    }));
    let mut line = tokio::net::TcpStream::connect(address).await.unwrap();
    line.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 5\r\n\r\n").await.unwrap();
    let mut told = String::new();
    while !told.contains("\"age_ms\":400") {
        let mut bytes = [0; 4_096];
        let count = line.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{told}");
        told.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    assert!(told.contains("id: 1284311") && told.contains("event: progress"), "{told}");
    stop.send(()).unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), server).await;
    assert!(ended.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_proof_file_holds_under_the_ledgers_key() {
    let entry = ask(sample(false), get("/proof/3.entry")).await;
    let entry = to_bytes(entry.into_body(), 1 << 16).await.unwrap();
    let file = text(ask(sample(false), get("/proof/3.tlog-proof")).await).await;
    let json: serde_json::Value =
        serde_json::from_str(&text(ask(sample(false), get("/proof/3.json")).await).await).unwrap();
    let key = json["keys"][0].as_str().unwrap().parse().unwrap();
    let proof = waag_ledger::tlog_proof::TlogProof::parse(file.as_bytes()).unwrap();
    assert_eq!(proof.verify(&entry, &[key]).unwrap().index(), 3);
    assert_eq!(json["proof"].as_str().unwrap(), file);
}

#[tokio::test]
async fn a_page_says_where_the_read_model_has_stopped() {
    let house = Sample::new(false);
    let pages = || {
        let house = Arc::clone(&house);
        Pages::with_figures(house, Arc::new(Still), |_| Box::new(SampleFigures { empty: false }))
    };
    let page = text(ask(pages(), get("/")).await).await;
    assert!(page.contains("Recording") && !page.contains("not shown"));
    house.halted.store(true, Ordering::Relaxed);
    let page = text(ask(pages(), get("/")).await).await;
    assert!(page.contains("Recording, not shown (E0690)"), "{page}");
}
