//! The invoices' read model over HTTP: every path of it, by whoever may ask, in the form that the document tells.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::invoices::{HOUR, START, TestView, Told};
use support::{Client, More, Response, Settings, TestDoor, new_key};
use waag_http::fault::{Kind, Unread};
use waag_http::keys::Role;
use waag_http::openapi;

const fn told(invoice: &'static str, stage: &'static str, hours: i64) -> Told {
    Told { invoice, stage, hours, data: &[], amount_minor: None }
}

const VALUE: &[(&str, &str)] = &[
    ("vendor", "Hansa Papier GmbH"),
    ("currency", "EUR"),
    ("region", "eu-west-1"),
    ("reference", "R-1"),
    ("due_date", "2026-06-28"),
];

/// Three invoices in euros, one of them paid, two of them alike and odd; one without a value.
fn events() -> Vec<Told> {
    let priced = |invoice, hours| Told {
        data: VALUE,
        amount_minor: Some(12_550),
        ..told(invoice, "ingestion", hours)
    };
    vec![
        priced("A", 0),
        priced("B", 1),
        priced("a/b é+%?#\"", 2),
        told("C", "ingestion", 3),
        Told { data: &[("status", "whatever")], ..told("B", "authorization", 4) },
        told("B", "ingestion", 5),
        told("A", "reconciliation", 6),
        Told { data: &[("status", "approved")], ..told("A", "authorization", 7) },
        Told { data: &[("status", "paid")], ..told("A", "posting", 30) },
        told("", "posting", 31),
    ]
}

fn door_of(view: TestView) -> (TestDoor, Client) {
    let door =
        TestDoor::open_with(Settings::default(), More { invoices: Some(Arc::new(view)), ..More::default() });
    let client = reader_of(&door);
    (door, client)
}

fn reader_of(door: &TestDoor) -> Client {
    client_of(door, "default", Role::Reader)
}

fn client_of(door: &TestDoor, tenant: &str, role: Role) -> Client {
    let mut client = door.connect();
    client.key = new_key(&door.keys, tenant, role);
    client
}

/// The schemas of the document, closed: a member that they do not name is a fault.
fn closed(schema: &str) -> Value {
    fn close(value: &mut Value) {
        match value {
            Value::Object(members) => {
                if members.contains_key("properties") {
                    members.entry("additionalProperties").or_insert(json!(false));
                }
                members.values_mut().for_each(close);
            }
            Value::Array(items) => items.iter_mut().for_each(close),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut components = openapi::document()["components"].take();
    close(&mut components["schemas"]);
    json!({"$ref": format!("#/components/schemas/{schema}"), "components": components})
}

/// An answer of 200 that is what the document says of it, and says how fresh it is.
fn good(client: &mut Client, path: &str, schema: &str) -> Value {
    let Response { status, body, .. } = client.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
    let validator = options.should_validate_formats(true).build(&closed(schema)).unwrap();
    let faults: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{path}: {faults:#?}\n{body:#}");
    assert_eq!(body["projected"].as_u64(), Some(events().len() as u64), "{path}");
    assert!(body["at"].as_i64() > Some(START), "{path}");
    body
}

fn refused(client: &mut Client, path: &str, (status, code): (u16, &str)) -> Response {
    let got = client.get(path);
    assert_eq!((got.status, got.body["code"].as_str()), (status, Some(code)), "{path}: {}", got.body);
    assert_eq!(got.header("content-type"), Some("application/problem+json"), "{path}");
    got
}

fn ids(body: &Value) -> Vec<&str> {
    let line = |line: &'static str, one: &Value| one[line].is_string();
    let lines = body["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|one| one[if line("id", one) { "id" } else { "invoice" }].as_str().unwrap_or(""))
        .collect()
}

#[test]
fn each_list_is_told_in_its_form_and_page_by_page() {
    let (_door, mut client) = door_of(TestView::of(&events()));
    let mut list = |query: &str| good(&mut client, &format!("/v1/invoices{query}"), "InvoiceList");
    let all = list("");
    assert_eq!((all["list"].as_str(), ids(&all).len()), (Some("open"), 3));
    assert!(all.get("next").is_none());
    for (name, count) in [
        ("stuck", 3),
        ("received_not_cleared", 3),
        ("approved_not_paid", 0),
        ("loops", 1),
        ("duplicates", 2),
        ("odd", 2),
    ] {
        let whole = list(&format!("?list={name}"));
        assert_eq!((whole["list"].as_str(), ids(&whole).len()), (Some(name), count), "{whole:#}");
        let (mut after, mut found) = (String::new(), Vec::new());
        for _ in 0..count {
            let page = list(&format!("?list={name}&limit=1{after}"));
            found.extend(page["lines"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(&found, whole["lines"].as_array().unwrap(), "{name}");
    }
    assert_eq!(ids(&list("?currency=EUR&region=eu-west-1&stage=ingestion")).len(), 2);
    assert_eq!(ids(&list("?currency=&region=")), ["C"]);
    assert_eq!(ids(&list("?list=odd&currency=EUR")), ["B"]);
    assert!(ids(&list("?list=stuck&stage=posting")).is_empty());
    assert_eq!(ids(&list("?limit=200")).len(), 3);
}

#[test]
fn an_invoice_is_told_as_the_command_tells_it_with_its_events_by_page() {
    let (_door, mut client) = door_of(TestView::of(&events()));
    let mut life = |path: &str| good(&mut client, &format!("/v1/invoices/{path}"), "InvoiceLife");
    let whole = life("A");
    assert_eq!((whole["invoice"]["state"]["id"].as_str(), whole.get("next")), (Some("A"), None));
    assert_eq!(whole["invoice"]["state"]["condition"], "paid");
    let positions = |body: &Value| -> Vec<u64> {
        let steps = body["invoice"]["steps"].as_array().unwrap();
        steps.iter().map(|step| step["position"].as_u64().unwrap()).collect()
    };
    assert_eq!(positions(&whole), [0, 6, 7, 8], "the oldest first");
    let first = life("A?limit=3");
    let next = first["next"].as_str().unwrap();
    let second = life(&format!("A?limit=3&after={next}"));
    assert_eq!((positions(&first), positions(&second)), (vec![0, 6, 7], vec![8]));
    assert!(second.get("next").is_none());
    let odd = "a%2Fb%20%C3%A9+%25%3F%23%22";
    assert_eq!(life(odd)["invoice"]["state"]["id"], "a/b é+%?#\"");
    refused(&mut client, "/v1/invoices/none", (404, "E0985"));
    refused(&mut client, "/v1/invoices/a", (404, "E0985"));
    refused(&mut client, "/v1/invoices/%ff", (404, "E0900"));
    refused(&mut client, "/v1/invoices/a/b", (404, "E0900"));
    // A cursor of another invoice's events is none of these.
    refused(&mut client, &format!("/v1/invoices/B?after={next}"), (400, "E0919"));
    refused(&mut client, &format!("/v1/invoices?after={next}"), (400, "E0919"));
}

#[test]
fn figures_are_told_with_what_they_are_about() {
    let (_door, mut client) = door_of(TestView::of(&events()));
    let figures = good(&mut client, "/v1/figures?days=366", "InvoiceFigures");
    assert_eq!((figures["figures"].as_array().unwrap().len(), &figures["period"]["days"]), (10, &json!(366)));
    assert!(figures["period"]["first"].as_str() < figures["period"]["last"].as_str());
    assert_eq!(good(&mut client, "/v1/figures", "InvoiceFigures")["period"]["days"], 30);
    let past = good(&mut client, "/v1/figures?days=31&until=2019-01-31", "InvoiceFigures");
    assert_eq!(past["period"], json!({"days": 31, "first": "2019-01-01", "last": "2019-01-31"}));
    assert_eq!((&past["figures"][0]["value"], &past["figures"][8]), (&json!(null), &figures["figures"][8]));
    let newest = good(&mut client, "/v1/figures", "InvoiceFigures");
    let to_come = good(&mut client, "/v1/figures?until=9999-12-31", "InvoiceFigures");
    assert_eq!(to_come["period"], newest["period"], "days that are yet to come");
    refused(&mut client, "/v1/figures?until=2019-02-31", (400, "E0919"));
    refused(&mut client, "/v1/figures/times?until=2019-01-31", (400, "E0919"));
    let totals = good(&mut client, "/v1/figures/totals", "InvoiceTotals");
    let count = |name: &str| totals["totals"][name].as_i64().unwrap();
    assert_eq!((count("cases"), count("cleared"), count("stuck"), count("duplicates")), (4, 1, 3, 2));
    good(&mut client, "/v1/figures/times?days=1", "InvoiceTimes");
    let vendors = good(&mut client, "/v1/figures/vendors?limit=1", "InvoiceVendors");
    let hansa = &vendors["vendors"][0];
    assert_eq!(
        (hansa["vendor"].as_str(), &hansa["open"]["minor"]),
        (Some("Hansa Papier GmbH"), &json!(25_100))
    );
}

#[test]
fn a_series_is_of_its_span_and_says_which_that_is() {
    let (_door, mut client) = door_of(TestView::of(&events()));
    let span = "from=2026-06-01T00:30:00Z&to=2026-06-01T02:00:01%2B00:00";
    let path = format!("/v1/figures/series?stage=ingestion&grain=hour&{span}");
    let series = good(&mut client, &path, "InvoiceSeries");
    let points = series["points"].as_array().unwrap();
    let at: Vec<i64> = points.iter().map(|point| point["at"].as_i64().unwrap()).collect();
    assert_eq!(at, [START, START + HOUR, START + 2 * HOUR]);
    let ends = (series["from"].as_str(), series["to"].as_str());
    assert_eq!(ends, (Some("2026-06-01T00:00:00.000000000Z"), Some("2026-06-01T03:00:00.000000000Z")));
    let of = |vendor: &str| format!("{path}&vendor={vendor}");
    let vendors = good(&mut client, &of("Hansa%20Papier+GmbH"), "InvoiceSeries");
    assert_eq!(
        (vendors["vendor"].as_str(), &vendors["points"]),
        (Some("Hansa Papier GmbH"), &series["points"])
    );
    assert_eq!(good(&mut client, &of("none"), "InvoiceSeries")["points"], json!([]));
    for query in [
        "stage=posting",
        "stage=posting&grain=minute",
        "stage=posting&from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:60Z",
    ] {
        good(&mut client, &format!("/v1/figures/series?{query}"), "InvoiceSeries");
    }
}

#[test]
fn cash_is_told_by_due_date_and_currency() {
    let (_door, mut client) = door_of(TestView::of(&events()));
    let mut cash = |query: &str| good(&mut client, &format!("/v1/figures/cash{query}"), "InvoiceCash");
    let days = cash("?from=2026-06-27&limit=2");
    assert_eq!((&days["from"], &days["to"]), (&json!("2026-06-27"), &json!("2026-06-29")));
    let euros = &days["currencies"][0];
    assert_eq!(euros["outstanding"]["minor"], 25_100);
    assert_eq!(euros["steps"], json!([{"day": "2026-06-28", "sum": euros["outstanding"]}]));
    assert_eq!((&euros["before"]["invoices"], &euros["behind"]["invoices"]), (&json!(0), &json!(0)));
    assert_eq!(days["without_value"]["invoices"], 1);
    let weeks = cash("?by=week&from=2026-06-01&limit=1&currency=EUR");
    assert_eq!(
        (&weeks["to"], &weeks["currencies"][0]["behind"]["minor"]),
        (&json!("2026-06-08"), &json!(25_100))
    );
    assert_eq!(cash("?currency=USD")["currencies"], json!([]));
    let late = cash("?from=9999-12-31&by=week");
    assert_eq!(
        (&late["to"], &late["currencies"][0]["before"]["invoices"]),
        (&json!("9999-12-31"), &json!(2))
    );
    let early = cash("?from=0001-01-01&by=week");
    assert_eq!(
        (&early["from"], &early["currencies"][0]["behind"]["invoices"]),
        (&json!("0001-01-01"), &json!(2))
    );
}

#[test]
fn what_cannot_be_asked_is_refused_and_nothing_is_ignored() {
    let (_door, mut client) = door_of(TestView::of(&events()));
    for path in [
        "/v1/invoices?list=all",
        "/v1/invoices?filter=stuck",
        "/v1/invoices?limit=0",
        "/v1/invoices?limit=201",
        "/v1/invoices?limit=1&limit=1",
        "/v1/invoices?after=",
        "/v1/invoices?after=AAAA",
        "/v1/invoices?stage=Posting",
        "/v1/invoices?currency=eur",
        "/v1/invoices/A?days=1",
        "/v1/figures?days=0",
        "/v1/figures?days=367",
        "/v1/figures/totals?days=1",
        "/v1/figures/series",
        "/v1/figures/series?stage=posting&grain=week",
        "/v1/figures/series?stage=posting&grain=minute&vendor=V",
        "/v1/figures/series?stage=posting&vendor=",
        "/v1/figures/series?stage=posting&from=2026-06-01",
        "/v1/figures/series?stage=posting&from=2026-06-02T00:00:00Z&to=2026-06-01T00:00:00Z",
        "/v1/figures/times?days=01",
        "/v1/figures/vendors?limit=1001",
        "/v1/figures/cash?by=month",
        "/v1/figures/cash?from=2026-06-31",
        "/v1/figures/cash?from=0000-12-31",
        "/v1/figures/cash?from=2026-06-01T00:00:00Z",
        "/v1/figures/cash?currency=",
        "/v1/figures/cash?limit=201",
    ] {
        refused(&mut client, path, (400, "E0919"));
    }
}

const PATHS: [&str; 8] = [
    "/v1/invoices",
    "/v1/invoices/A",
    "/v1/figures",
    "/v1/figures/totals",
    "/v1/figures/series?stage=posting",
    "/v1/figures/times",
    "/v1/figures/vendors",
    "/v1/figures/cash",
];

#[test]
fn who_may_not_read_the_ledger_reads_no_figures_and_answers_are_not_stored() {
    let (door, mut client) = door_of(TestView::of(&events()));
    for path in PATHS {
        let got = client.get(path);
        assert_eq!((got.status, got.header("cache-control")), (200, Some("no-store")), "{path}");
        for (role, status) in [(Role::Admin, 200), (Role::Producer, 403), (Role::Subscriber, 403)] {
            let mut other = client_of(&door, "default", role);
            assert_eq!(other.get(path).status, status, "{path} as {role:?}");
        }
        let mut foreign = client_of(&door, "other", Role::Reader);
        refused(&mut foreign, path, (503, "E0915"));
        assert_eq!(client.call("GET", path, &[], b"").status, 401, "{path}");
        assert_eq!(client.post(path, "application/json", "{}").status, 405, "{path}");
    }
}

#[test]
fn rows_that_are_made_anew_or_cannot_be_read_are_told_with_when_to_ask_again() {
    for (kind, code, detail) in [
        (Kind::Unread(Unread::MadeAnew(3, 10)), "E0857", "3 of 10 events"),
        (Kind::Unread(Unread::Unreadable("E0690")), "E0690", "cannot be read"),
    ] {
        let (_door, mut client) = door_of(TestView::failing(kind));
        for path in PATHS {
            let got = refused(&mut client, path, (503, code));
            assert_eq!(got.header("retry-after"), Some("10"), "{path}");
            assert!(got.body["detail"].as_str().unwrap().contains(detail), "{}", got.body);
            assert!(!got.body["title"].as_str().unwrap().contains("3 of 10"), "RFC 9457 §3.1.3");
        }
    }
}

#[test]
fn a_read_that_takes_too_long_is_told_ends_by_itself_and_gives_its_turn_back() {
    let mut settings = Settings::default();
    settings.door.read_ms_max = 150;
    let view = TestView::slow(&events(), Duration::from_millis(100));
    let door = TestDoor::open_with(settings, More { invoices: Some(Arc::new(view)), ..More::default() });
    let slow = |door: &TestDoor| {
        let got = refused(&mut reader_of(door), "/v1/figures", (503, "E0984"));
        assert_eq!(got.header("retry-after"), Some("10"));
    };
    // More of them than are read at a time, one after the other: none holds its turn for good.
    for _ in 0..12 {
        slow(&door);
    }
    // One read is within the time, but for a machine that is held up.
    assert!((0..20).any(|_| reader_of(&door).get("/v1/invoices/A").status == 200));
}

#[test]
fn answers_beyond_those_that_are_read_at_a_time_are_turned_away() {
    let mut settings = Settings::default();
    settings.door.read_ms_max = 8_000;
    let view = TestView::slow(&events(), Duration::from_millis(3_000));
    let door = TestDoor::open_with(settings, More { invoices: Some(Arc::new(view)), ..More::default() });
    let ready = std::sync::Barrier::new(10);
    let statuses: Vec<(u16, Option<String>)> = std::thread::scope(|scope| {
        let ask = || {
            ready.wait();
            let got = reader_of(&door).get("/v1/invoices/A");
            (got.status, got.body["code"].as_str().map(str::to_owned))
        };
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let of = |status: u16| statuses.iter().filter(|(got, _)| *got == status).count();
    assert_eq!((of(200), of(503)), (8, 2), "{statuses:?}");
    assert!(statuses.iter().all(|(status, code)| *status == 200 || code.as_deref() == Some("E0983")));
}

#[test]
fn a_plan_limits_reads_of_figures_and_says_what_is_left() {
    use waag_http::limit::{Plan, Rate};
    let rate = Rate { per_s: 1, burst: 2 };
    let settings =
        Settings { plan: Some(Plan { read: Some(rate), ..Plan::default() }), ..Settings::default() };
    let view = Some(Arc::new(TestView::of(&events())) as _);
    let door = TestDoor::open_with(settings, More { invoices: view, ..More::default() });
    let mut client = reader_of(&door);
    let got = client.get("/v1/figures/totals");
    assert_eq!((got.status, got.header("ratelimit")), (200, Some("\"read\";r=1;t=1")));
    assert_eq!(client.get("/v1/invoices").status, 200);
    let got = client.get("/v1/invoices");
    assert_eq!((got.status, got.header("retry-after")), (429, Some("1")));
}
