//! Invoices, mappings, idempotency, limits, overload, and what the door tells of itself.

mod support;

use std::io::Write as _;

use support::{BATCH, Client, ONE, Response, Settings, TestDoor, event, new_key, no_day_ends_soon};
use waag_http::intake::IntakeLimits;
use waag_http::keys::Role;
use waag_http::limit::{Plan, Rate};
use waag_http::openapi;

const JSON: &str = "application/json";
const INVOICE: &str = r#"{"id":"n-1","invoice_id":"I-1","amount":12.50,"currency":"EUR","status":"received","time":"2026-11-21T08:00:00Z"}"#;

fn post(client: &mut Client, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let key = client.key.clone();
    let mut all = vec![("content-type", JSON), ("x-api-key", key.as_str())];
    all.extend_from_slice(headers);
    client.call("POST", path, &all, body.as_bytes())
}

#[test]
fn invoices_of_every_stage_are_recorded_and_their_faults_named() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    for (n, stage) in ["ingestion", "reconciliation", "authorization", "posting"].into_iter().enumerate() {
        let body = INVOICE.replace("n-1", &format!("n-{n}"));
        let got = post(&mut client, &format!("/invoices/{stage}"), &[], &body);
        assert_eq!((got.status, got.body["position"].as_u64()), (200, Some(n as u64)), "{got:?}");
    }
    let bad = r#"{"id":"x","invoice_id":"I","amount":"1","currency":"eur","status":"s","time":"now"}"#;
    let got = post(&mut client, "/invoices/posting", &[], bad);
    assert_eq!((got.status, got.header("content-type")), (422, Some("application/problem+json")));
    let paths: Vec<&str> =
        got.body["errors"].as_array().unwrap().iter().filter_map(|fault| fault["path"].as_str()).collect();
    assert_eq!(paths, ["/amount", "/currency", "/time"]);
    let mixed = format!("[{bad},{}]", INVOICE.replace("n-1", "n-9"));
    let got = post(&mut client, "/invoices/posting", &[], &mixed);
    assert_eq!((got.status, got.body["recorded"].as_u64()), (207, Some(1)), "{got:?}");
    assert_eq!(got.body["items"][0]["errors"].as_array().unwrap().len(), 3);
    assert_eq!(post(&mut client, "/invoices/other", &[], INVOICE).status, 404);
    assert_eq!(client.get("/invoices/posting").header("allow"), Some("POST"));
}

#[test]
fn a_format_without_ids_takes_them_from_the_idempotency_key() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let body = INVOICE.replace(r#""id":"n-1","#, "");
    let got = post(&mut client, "/invoices/ingestion", &[], &body);
    assert_eq!((got.status, got.body["code"].as_str()), (400, Some("E0941")));
    let key = [("idempotency-key", "\"k-1\"")];
    let first = post(&mut client, "/invoices/ingestion", &key, &body);
    let again = post(&mut client, "/invoices/ingestion", &key, &body);
    assert_eq!((first.status, &first.body), (200, &again.body));
    let other = body.replace("I-1", "I-2");
    let got = post(&mut client, "/invoices/ingestion", &key, &other);
    assert_eq!((got.status, got.body["code"].as_str()), (422, Some("E0943")));
    // An invoice's own id is no matter of the key: another invoice under it is a conflict.
    let own = INVOICE.replace("I-1", "I-3");
    assert_eq!(post(&mut client, "/invoices/posting", &[("idempotency-key", "\"k-2\"")], &own).status, 200);
    let got = post(&mut client, "/invoices/ingestion", &[("idempotency-key", "\"k-3\"")], &own);
    assert_eq!((got.status, got.body["code"].as_str()), (409, Some("E0922")), "{got:?}");
    for bad in [r"n\u0001", r"n\u0085"] {
        let got = post(&mut client, "/invoices/ingestion", &[], &INVOICE.replace("n-1", bad));
        assert_eq!((got.status, got.body["errors"][0]["path"].as_str()), (422, Some("/id")), "{got:?}");
    }
    // One that was made from a key is: here the first of a list under `k-4`, whose id is taken by another request's.
    assert_eq!(
        post(&mut client, "/invoices/ingestion", &[("idempotency-key", "\"k-4/0\"")], &body).status,
        200
    );
    let got =
        post(&mut client, "/invoices/ingestion", &[("idempotency-key", "\"k-4\"")], &format!("[{other}]"));
    assert_eq!((got.status, got.body["errors"][0]["code"].as_str()), (422, Some("E0943")), "{got:?}");
    // The other way round, the key was never used before: what is taken is the id that is made from it.
    let list = format!("[{other}]");
    assert_eq!(
        post(&mut client, "/invoices/ingestion", &[("idempotency-key", "\"k-5\"")], &list).status,
        200
    );
    let got = post(&mut client, "/invoices/ingestion", &[("idempotency-key", "\"k-5/0\"")], &body);
    assert_eq!((got.status, got.body["code"].as_str()), (409, Some("E0922")), "{got:?}");
    let got = post(&mut client, "/invoices/ingestion", &[("idempotency-key", "\"k-5/1\"")], &body);
    assert_eq!((got.status, got.body["status"].as_str()), (200, Some("recorded")), "{got:?}");
    let got = post(&mut client, "/invoices/ingestion", &[("idempotency-key", "k-1")], &body);
    assert_eq!((got.status, got.body["code"].as_str()), (400, Some("E0940")));
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(5));
}

#[test]
fn a_mapping_is_saved_only_when_its_sample_becomes_an_event() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let key = client.key.clone();
    let headers = [("content-type", JSON), ("x-api-key", key.as_str())];
    let mapping = r#"{"fields":{"id":"/uid","invoice_id":"/no","amount":"/sum/total","time":"/at"},"constants":{"currency":"EUR","status":"posted"}}"#;
    let sample = r#"{"uid":"u1","no":"R-7","sum":{"total":9},"at":"2026-11-21T08:00:00Z"}"#;
    let put = |client: &mut Client, sample: &str| {
        let body = format!(r#"{{"mapping":{mapping},"sample":{sample}}}"#);
        client.call("PUT", "/v1/mappings/posting", &headers, body.as_bytes())
    };
    let got = put(&mut client, &sample.replace('9', "\"9\""));
    assert_eq!((got.status, got.body["code"].as_str()), (422, Some("E0934")), "{got:?}");
    assert_eq!(got.body["errors"][1]["path"].as_str(), Some("/sample/sum/total"));
    let got = put(&mut client, r#"{"sum":{},"at":"now","more":1}"#);
    let told: Vec<&str> =
        got.body["errors"].as_array().unwrap().iter().filter_map(|fault| fault["path"].as_str()).collect();
    assert_eq!(told, ["", "/sample/no", "/sample/sum/total", "/sample/at"], "{got:?}");
    assert_eq!(client.get("/v1/mappings/posting").status, 404);
    let body = format!(r#"{{"mapping":{mapping},"sample":{sample}}}"#);
    let got = client.call("POST", "/v1/mappings/posting/try", &headers, body.as_bytes());
    assert_eq!((got.status, got.body["event"]["subject"].as_str()), (200, Some("R-7")));
    assert_eq!(client.get("/v1/mappings/posting").status, 404);
    assert_eq!(put(&mut client, sample).status, 200);
    assert_eq!(client.get("/v1/mappings/posting").body["fields"]["id"].as_str(), Some("/uid"));
    let got = post(&mut client, "/invoices/posting", &[], sample);
    assert_eq!((got.status, got.body["status"].as_str()), (200, Some("recorded")), "{got:?}");
    let got = post(&mut client, "/invoices/posting", &[], &sample.replace('9', "true"));
    assert_eq!(got.body["errors"][0]["path"].as_str(), Some("/sum/total"));
    let got = post(&mut client, "/invoices/posting", &[], &sample.replace("\"no\"", "\"other\""));
    assert_eq!((got.status, got.body["errors"][0]["path"].as_str()), (422, Some("/no")), "{got:?}");
    // What nobody would see the meaning of is refused: a member told twice, a list, a place that is none.
    let of = |mapping: &str| format!(r#"{{"mapping":{mapping},"sample":{sample}}}"#);
    for (body, code) in [
        (of(&mapping.replacen("\"amount\"", "\"amount\":\"/no\",\"amount\"", 1)), "E0106"),
        (format!("[{mapping},{sample}]"), "E0933"),
        (of(&format!("[{mapping}]")), "E0933"),
        (of(&mapping.replace("/uid", "/~2uid")), "E0933"),
        (of(&mapping.replace("/uid", "/uid~")), "E0933"),
    ] {
        let got = client.call("PUT", "/v1/mappings/posting", &headers, body.as_bytes());
        assert_eq!(got.body["code"].as_str(), Some(code), "{body}: {got:?}");
        assert!((400..500).contains(&got.status));
    }
    let plain = [("content-type", "text/plain"), headers[1]];
    assert_eq!(client.call("PUT", "/v1/mappings/posting", &plain, of(mapping).as_bytes()).status, 415);
    assert_eq!(client.get("/v1/mappings/posting").body["fields"]["id"].as_str(), Some("/uid"));
    assert_eq!(client.call("DELETE", "/v1/mappings/posting", &headers, b"").status, 200);
    assert_eq!(client.get("/v1/mappings/posting").status, 404);
}

#[test]
fn a_body_with_a_content_encoding_is_refused_by_every_path_that_reads_one() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let (key, admin) = (door.key.clone(), new_key(&door.keys, "default", Role::Admin));
    let call = |client: &mut Client, (method, path): (&str, &str), media: &str, coding: &str| {
        let key = if path.starts_with("/v1/subscriptions") { &admin } else { &key };
        let headers = [
            ("x-api-key", key.as_str()),
            ("content-type", media),
            ("content-encoding", coding),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/erp"),
            ("ce-type", "t"),
        ];
        client.call(method, path, &headers, b"\x1f\x8b\x08\0")
    };
    for (method, path, media) in [
        ("POST", "/v1/events", "text/plain"),
        ("POST", "/v1/events", ONE),
        ("POST", "/v1/events", BATCH),
        ("POST", "/v1/events", "application/jsonl"),
        ("POST", "/invoices/posting", JSON),
        ("POST", "/v1/mappings/posting/try", JSON),
        ("PUT", "/v1/mappings/posting", JSON),
        ("POST", "/v1/patterns/test", JSON),
        ("POST", "/v1/subscriptions", JSON),
    ] {
        for coding in ["gzip", "identity, gzip", "x-unknown"] {
            let got = call(&mut client, (method, path), media, coding);
            assert_eq!(
                (got.status, got.body["code"].as_str()),
                (415, Some("E0906")),
                "{path} {media}: {got:?}"
            );
            assert!(got.body["detail"].as_str().unwrap().contains("content-encoding"), "{got:?}");
            assert_eq!(got.header("accept-encoding"), Some("identity"));
        }
    }
    let got = call(&mut client, ("POST", "/v1/events"), "text/plain", "Identity");
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(1));
}

#[test]
fn a_body_has_one_content_type_and_json_is_utf_8_on_every_path_that_reads_it() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let admin = new_key(&door.keys, "default", Role::Admin);
    for (path, media, body) in [
        ("/v1/events", ONE, event("1", 1)),
        ("/invoices/posting", JSON, INVOICE.to_owned()),
        ("/v1/patterns/test", JSON, r#"{"pattern":{"type":["t"]},"event":{}}"#.to_owned()),
    ] {
        let of = |media: &str| {
            format!("{media};charset={}", if path == "/v1/events" { "utf-16" } else { "\"UTF-16\"" })
        };
        let wrong = of(media);
        for (medias, status, code) in [
            (&[media, media][..], 400, "E0909"),
            (&[media, "text/plain"], 400, "E0909"),
            (&[wrong.as_str()], 415, "E0906"),
        ] {
            let mut headers = vec![("x-api-key", admin.as_str())];
            headers.extend(medias.iter().map(|media| ("content-type", *media)));
            let got = client.call("POST", path, &headers, body.as_bytes());
            assert_eq!((got.status, got.body["code"].as_str()), (status, Some(code)), "{medias:?}: {got:?}");
        }
        let right = format!("{media}; Charset=\"Utf-8\"");
        let headers = [("x-api-key", admin.as_str()), ("content-type", right.as_str())];
        let got = client.call("POST", path, &headers, body.as_bytes());
        assert!(got.status == 200 || got.body["code"].as_str() == Some("E1150"), "{path}: {got:?}");
    }
}

#[test]
fn a_repeated_request_is_the_same_whatever_says_nothing_and_another_under_another_mapping() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let body = INVOICE.replace(r#""id":"n-1","#, "");
    let key = ("idempotency-key", "\"k-1\"");
    let first = post(&mut client, "/invoices/posting", &[key], &body);
    let again = post(&mut client, "/invoices/posting", &[key, ("content-encoding", "identity")], &body);
    assert_eq!((first.status, again.status, &first.body), (200, 200, &again.body), "{again:?}");
    let got = post(&mut client, "/invoices/posting", &[("idempotency-key", "\"a\tb\"")], &body);
    assert_eq!((got.status, got.body["code"].as_str()), (400, Some("E0940")), "{got:?}");
    // Another API key of the same holder, which names its fields otherwise.
    client.key = new_key(&door.keys, "default", Role::Producer);
    let headers = [("content-type", JSON), ("x-api-key", client.key.as_str())];
    let mapping = format!(
        r#"{{"mapping":{{"fields":{{"invoice_id":"/status","amount":"/amount","currency":"/currency","time":"/time"}},"constants":{{"status":"posted"}}}},"sample":{body}}}"#
    );
    let put = door.connect().call("PUT", "/v1/mappings/posting", &headers, mapping.as_bytes());
    assert_eq!(put.status, 200, "{put:?}");
    let got = post(&mut client, "/invoices/posting", &[key], &body);
    assert_eq!((got.status, got.body["code"].as_str()), (422, Some("E0943")), "{got:?}");
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(1));
}

#[test]
fn an_answer_about_many_bad_events_stays_in_proportion_and_tells_of_each() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    // Nine faults each: five fields are not there, four are not known.
    let bad = r#"{"a":1,"b":1,"c":1,"d":1}"#;
    let mixed = format!("[{INVOICE}{}]", format!(",{bad}").repeat(8_000));
    let got = post(&mut client, "/invoices/posting", &[], &mixed);
    assert_eq!((got.status, got.body["refused"].as_u64()), (207, Some(8_000)));
    let items = got.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 8_001);
    let listed = |item: &serde_json::Value| item["errors"].as_array().map_or(0, Vec::len);
    for item in items.iter().skip(1) {
        assert_eq!(
            (item["status"].as_str(), item["error"]["code"].as_str()),
            (Some("refused"), Some("E0930"))
        );
        let more = item["errors_more"].as_u64().unwrap_or(0);
        assert_eq!(listed(item).max(1) as u64 + more, 9, "{item}");
    }
    // A hundred are listed in all: those of eleven events, and the first of the next.
    assert_eq!(items.iter().map(listed).sum::<usize>(), 100);
    assert_eq!((listed(&items[11]), listed(&items[12]), listed(&items[13])), (9, 1, 0));
    let length: usize = got.header("content-length").unwrap().parse().unwrap();
    assert!(length < 6 * mixed.len(), "{length} of {}", mixed.len());
    let got =
        post(&mut client, "/invoices/posting", &[], &format!("[{bad}{}]", format!(",{bad}").repeat(19)));
    assert_eq!((got.status, got.body["errors"].as_array().unwrap().len()), (422, 100), "{got:?}");
    assert_eq!(got.body["errors_more"].as_u64(), Some(80));
}

#[test]
fn a_refusal_says_what_would_be_taken_or_what_is_not_there() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let told = |got: &Response, status: u16, code: &str, words: &str| {
        assert_eq!((got.status, got.body["code"].as_str()), (status, Some(code)), "{got:?}");
        assert!(got.body["detail"].as_str().unwrap().contains(words), "{words}: {got:?}");
        got.body["title"].as_str().unwrap().to_owned()
    };
    let got = client.post("/v1/events", "text/plain", "x");
    let title = told(&got, 415, "E0906", "`application/cloudevents-batch+json`, `application/jsonl`");
    for path in ["/invoices/posting", "/v1/patterns/test"] {
        let got = client.post(path, "text/plain", "x");
        assert_eq!(told(&got, 415, "E0906", "`application/json`"), title, "{path}");
    }
    for (path, words) in [
        ("/nowhere", "nothing is served under this path"),
        ("/v1/events/5000", "the ledger has no such position"),
        ("/v1/mappings/posting", "no mapping is set for this API key and stage"),
        (&format!("/witness/{}/checkpoint", "0f".repeat(32)), "this node witnesses no other logs"),
    ] {
        assert_eq!(told(&client.get(path), 404, "E0900", words), "nothing is served under this path");
    }
    for bad in ["\"\"".to_owned(), format!("\"{}\"", "x".repeat(201))] {
        let got = post(&mut client, "/invoices/posting", &[("idempotency-key", &bad)], INVOICE);
        told(&got, 400, "E0940", "1 to 200 bytes");
    }
    let twice = INVOICE.replace(r#""status""#, r#""amount":1,"status""#);
    let got = post(&mut client, "/invoices/posting", &[], &twice);
    let at = twice.rfind("\"amount\":").unwrap() + 9;
    told(&got, 400, "E0106", &format!("the name `amount` comes twice at byte {at}"));
    assert_eq!(got.body["errors"][0]["path"].as_str(), Some("/amount"));
}

#[test]
fn a_plan_is_held_to_and_told() {
    let rate = Some(Rate { per_s: 1, burst: 2 });
    let plan = Plan { write: rate, events_per_day: Some(3), ..Plan::default() };
    no_day_ends_soon();
    let door = TestDoor::open(Settings { plan: Some(plan), ..Settings::default() });
    let mut client = door.connect();
    let batch = format!("[{},{}]", event("1", 1), event("2", 2));
    let got = client.post("/v1/events", BATCH, batch);
    let policy = "\"write\";q=2;w=2, \"day\";q=3;w=86400;qu=\"waag-events\"";
    assert_eq!((got.status, got.header("ratelimit-policy")), (200, Some(policy)));
    let level = got.header("ratelimit").unwrap();
    assert!(level.starts_with("\"write\";r=1;t=1, \"day\";r=1;t="), "{level}");
    assert_eq!(client.post("/v1/events", ONE, event("3", 3)).status, 200);
    let got = client.post("/v1/events", ONE, event("4", 4));
    assert_eq!(
        (got.status, got.body["code"].as_str(), got.header("retry-after")),
        (429, Some("E0950"), Some("1"))
    );
    assert_eq!(got.header("ratelimit-policy"), Some(policy), "who is turned away is told why");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let got = client.post("/v1/events", ONE, event("5", 5));
    assert_eq!((got.status, got.body["code"].as_str()), (429, Some("E0952")));
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(3));
}

#[test]
fn overload_is_told_and_ends_and_nothing_acknowledged_is_lost() {
    let intake = IntakeLimits { queue_jobs_max: 4, ..IntakeLimits::default() };
    let door = TestDoor::open(Settings { intake, ..Settings::default() });
    let (mut recorded, mut turned_away) = (0, 0);
    let counts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..48)
            .map(|thread| {
                let door = &door;
                scope.spawn(move || {
                    let (mut client, mut counts) = (door.connect(), (0_u64, 0_u64));
                    for n in 0..20 {
                        let got = client.post("/v1/events", ONE, event(&format!("{thread}-{n}"), n));
                        match got.status {
                            200 => counts.0 += 1,
                            503 => {
                                assert!(got.header("retry-after").is_some());
                                assert_eq!(got.body["code"].as_str(), Some("E0913"));
                                counts.1 += 1;
                            }
                            other => panic!("{other}"),
                        }
                    }
                    counts
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for (good, away) in counts {
        recorded += good;
        turned_away += away;
    }
    assert!(turned_away > 0, "the queue was never full");
    let mut client = door.connect();
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(recorded));
    assert_eq!(client.post("/v1/events", ONE, event("after", 1)).status, 200);
}

#[test]
fn the_door_tells_its_figures_its_document_and_passes_traces_on() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let got = post(&mut client, "/invoices/posting", &[("traceparent", parent)], INVOICE);
    let told = got.header("traceparent").unwrap();
    assert!(
        told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with("-01") && told != parent
    );
    let got = client.get("/metrics");
    let text = got.body.as_str().unwrap();
    assert!(text.contains("waag_events_total{outcome=\"recorded\"} 1\n"), "{text}");
    assert!(text.contains("waag_http_requests_total{route=\"/invoices/{stage}\",status=\"2xx\"} 1\n"));
    assert!(text.ends_with("# EOF\n") && !text.contains(&door.key));
    let got = client.get("/openapi.json");
    assert_eq!(got.body, openapi::document());
    let page = client.get("/docs");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let page = page.body.as_str().unwrap();
    assert!(page.contains("<code>/v1/subscriptions/{name}/pull</code>") && !page.contains("<script"));
}

#[test]
fn needs_chromium_the_documents_page_is_accessible_in_light_and_dark_wide_and_narrow() {
    let door = TestDoor::open(Settings::default());
    let mut browser = waag_chromium::Chromium::start();
    for (theme, width) in [("light", 1_440), ("dark", 390)] {
        browser.look(theme, "", width);
        browser.open(&format!("http://{}/docs", door.address));
        assert_eq!(browser.violations(), serde_json::json!([]), "{theme}, {width} wide");
        assert_eq!(browser.overflow(), 0, "{theme}, {width} wide");
        let side = browser.value("getComputedStyle(document.querySelector('.side')).backgroundColor");
        assert_ne!(side, "rgba(0, 0, 0, 0)", "the style that stands in the page is taken");
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn the_document_says_whose_keys_may_ask_what() {
    let roles = [Role::Reader, Role::Producer, Role::Subscriber, Role::Admin];
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    assert_eq!(post(&mut client, "/invoices/posting", &[], INVOICE).status, 200);
    let keys = roles.map(|role| (role, new_key(&door.keys, "default", role)));
    let document = openapi::document();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(_, one)| one.is_object()) {
            let id = operation["operationId"].as_str().unwrap();
            let told = operation["x-waag-roles"].as_array().unwrap_or_else(|| panic!("{id} has no roles"));
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{id}");
            for (role, key) in &keys {
                let headers = [("x-api-key", key.as_str()), ("content-type", JSON)];
                let got = client.call(&method.to_uppercase(), &filled(path), &headers, b"");
                let may = told.is_empty() || told.contains(&serde_json::to_value(role).unwrap());
                // Without a body, a witness knows nobody either.
                let is_refused = got.status == 403 && !told.is_empty();
                assert_eq!(is_refused, !may, "{id} as {role:?}: {}", got.status);
            }
            if !told.is_empty() {
                assert_eq!(client.call(&method.to_uppercase(), &filled(path), &[], b"").status, 401, "{id}");
            }
        }
    }
}

/// A path of the document with values for what is left open in it.
fn filled(path: &str) -> String {
    let path = path.replace("{stage}", "posting").replace("{position}", "0");
    let path = path.replace("{name}", "billing").replace("{number}", "1");
    let path = path.replace("{level}", "0").replace("{index}", "000").replace("{width}", "1");
    path.replace("{log}", &"0".repeat(64)).replace("{id}", "INV-1")
}

#[test]
fn the_document_names_exactly_what_is_served() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let document = openapi::document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = filled(path);
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let got = client.call(method, &path, &[], b"");
            let is_told = item.get(method.to_lowercase()).is_some();
            assert_eq!(got.status != 405, is_told, "{method} {path}: {}", got.status);
            if let Some(allowed) = got.header("allow") {
                let (reads, head) = (allowed.split(", ").any(|one| one == "GET"), allowed.contains("HEAD"));
                assert_eq!(reads, head, "{path}: {allowed}");
            }
            assert!(got.status < 500, "{method} {path}: {}", got.status);
        }
    }
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let door = TestDoor::open(Settings::default());
    let mut client = door.connect();
    let key = door.key.clone();
    let headers = [("x-api-key", key.as_str())];
    let paths = ["/healthz", "/readyz", "/v1/ledger", "/docs", "/openapi.json", "/v1/events/0", "/nowhere"];
    for path in paths {
        // One connection: a body behind the head would be taken for the next answer.
        let told = client.call("HEAD", path, &headers, b"");
        let got = client.get(path);
        assert_eq!(told.status, got.status, "{path}");
        for name in ["content-length", "content-type", "cache-control"] {
            assert!(got.header(name).is_some(), "{path} {name}");
            assert_eq!(told.header(name), got.header(name), "{path} {name}");
        }
    }
    // Its length is another each time.
    let told = client.call("HEAD", "/metrics", &[], b"");
    assert!(
        told.status == 200 && told.header("content-length").is_some_and(|length| length != "0"),
        "{told:?}"
    );
    assert_eq!(client.call("HEAD", "/v1/ledger", &[], b"").status, 401);
    assert_eq!(client.call("HEAD", "/v1/events", &headers, b"").status, 405);
    let wrong = client.call("POST", "/healthz", &[], b"");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn no_nonsense_yields_a_5xx() {
    let door = TestDoor::open(Settings::default());
    let bodies =
        [&b""[..], b"\xff\xfe", b"[[[[[[[[", b"[null,1,\"x\",{},[]]", b"{\"specversion\":\"1.0\"}", b"\x00"];
    let media =
        [BATCH, ONE, JSON, "application/jsonl", "text/plain", "application/cloudevents+json; charset=x", ""];
    let mut client = door.connect();
    for path in
        ["/v1/events", "/invoices/posting", "/v1/mappings/posting/try", "/%00", "//", "/v1/events/../x"]
    {
        for media in media {
            for body in bodies {
                let got = client.post(path, media, body);
                assert!((400..500).contains(&got.status), "{path} {media} {body:?}: {got:?}");
            }
        }
    }
    for raw in ["GET\r\n\r\n", "\0\0\0\0\r\n\r\n", "POST /v1/events HTTP/1.1\r\ncontent-length: x\r\n\r\n"] {
        let mut client = door.connect();
        client.stream.write_all(raw.as_bytes()).unwrap();
        assert_eq!(client.read().status, 400, "{raw:?}");
    }
    assert_eq!(client.get("/v1/ledger").body["entries"].as_u64(), Some(0));
}

#[test]
fn a_slow_head_and_a_slow_body_end_in_their_time() {
    let mut settings = Settings::default();
    settings.server.head_ms_max = 300;
    let door = TestDoor::open(settings);
    let mut client = door.connect();
    client.stream.write_all(b"GET /healthz HT").unwrap();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut client.stream, &mut rest).unwrap();
    let mut settings = Settings::default();
    settings.door.body_ms_max = 300;
    let door = TestDoor::open(settings);
    let mut client = door.connect();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-type: {ONE}\r\ncontent-length: 10\r\n\r\nabc",
        door.key
    );
    client.stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(client.read().status, 408);
}

#[test]
fn a_client_that_does_not_read_is_let_go() {
    let mut settings = Settings::default();
    settings.server.write_stall_ms_max = 300;
    let door = TestDoor::open(settings);
    let mut deaf = door.connect();
    deaf.stream.set_write_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    // Answers of some 20 KiB each fill both sides' buffers long before these are all written.
    for _ in 0..4_000 {
        if deaf.stream.write_all(request).is_err() {
            break;
        }
    }
    let mut client = door.connect();
    let open = |client: &mut Client| {
        let got = client.get("/metrics");
        let text = got.body.as_str().unwrap();
        text.lines().find_map(|line| line.strip_prefix("waag_http_connections ")).unwrap().to_owned()
    };
    for _ in 0..300 {
        if open(&mut client) == "1" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the connection is still open: {}", open(&mut client));
}
