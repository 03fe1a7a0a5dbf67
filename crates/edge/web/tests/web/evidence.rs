//! The pages of evidence over HTTP: what they say, what they escape, whom they name, and from whom they take a form.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use tower_service::Service;
use waag_stdx::entropy::SystemEntropy;
use waag_web::{Pages, WebError, router};

use crate::pages::{get, text};
use crate::support::evidence::{DIGEST, GOOD_PACK, PERSON, SampleEvidence, UNRECORDED};
use crate::support::sample::SampleFigures;
use crate::support::{Sample, Still};

const HOST: &str = "127.0.0.1:8081";
const OWN: &str = "http://127.0.0.1:8081";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=XbX";
/// The longest pack that is taken.
const SENT_BYTES_MAX: usize = 64 * 1_024 * 1_024;

fn pages(house: &Arc<Sample>) -> Pages {
    let empty = house.empty;
    Pages::with_figures(Arc::clone(house) as _, Arc::new(Still), move |_| Box::new(SampleFigures { empty }))
}

/// The addresses of a house, with commands.
fn commanded(house: &Arc<Sample>) -> axum::Router {
    router(pages(house).commanded(&SystemEntropy::new()).unwrap())
}

/// The addresses of a house that takes questions only.
fn asked(house: &Arc<Sample>) -> axum::Router {
    router(pages(house).asked(&SystemEntropy::new()).unwrap())
}

async fn ask(router: &mut axum::Router, request: Request<Body>) -> Response {
    router.call(request).await.unwrap()
}

async fn read(router: &mut axum::Router, path: &str) -> String {
    let response = ask(router, get(path)).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    text(response).await
}

/// A form of this run: what a page gave as cookie and field.
struct Given {
    cookie: String,
    token: String,
}

async fn given(router: &mut axum::Router) -> Given {
    let response = ask(router, get("/subjects")).await;
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    let html = text(response).await;
    let token = html.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    Given { cookie: cookie.split(';').next().unwrap().to_owned(), token }
}

fn send(path: &str, given: &Given, origin: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header(header::HOST, HOST)
        .header(header::ORIGIN, origin)
        .header(header::COOKIE, &given.cookie)
        .header(header::CONTENT_TYPE, kind)
        .body(body.into())
        .unwrap()
}

fn post(path: &str, given: &Given, body: &str) -> Request<Body> {
    send(path, given, OWN, FORM, format!("token={}&{body}", given.token))
}

/// The body of the form with a file.
fn with_file(token: &str, name: &str, pack: &[u8]) -> Vec<u8> {
    let head = format!(
        "--XbX\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n{token}\r\n--XbX\r\nContent-Disposition: \
         form-data; name=\"pack\"; filename=\"{name}\"\r\nContent-Type: application/zip\r\n\r\n"
    );
    [head.as_bytes(), pack, b"\r\n--XbX--\r\n"].concat()
}

fn place(response: &Response) -> String {
    response.headers()[header::LOCATION].to_str().unwrap().to_owned()
}

/// Sends a form and gives the page that it leads to, with its address.
async fn led(router: &mut axum::Router, request: Request<Body>) -> (String, String) {
    let response = ask(router, request).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER, "{}", text(response).await);
    let place = place(&response);
    let html = read(router, &place).await;
    (place, html)
}

#[tokio::test]
async fn ledger_packs_subjects_and_backups_are_told_without_javascript() {
    let mut router = commanded(&Sample::new(false));
    for (path, parts) in [
        (
            "/ledger",
            &[
                "1,284,311",
                "12 behind",
                "<code>waag.example/default/000102030405060708090a0b0c0d0e0f\n1284311",
                "A witness saw another history",
                "404: unknown log",
                "no answer within 10 s",
                "any 2 of 5 witnesses; missing rijks-witness",
                "not satisfied",
                "12 <span class=\"unit\">rounds",
                "slot 1 is damaged",
                "retired",
                "revoked",
                "214, which ended what they sealed",
                "waag-verify pack FILE",
            ][..],
        ),
        (
            "/evidence",
            &[
                DIGEST,
                "Download the pack",
                "entries of type invoice.posting",
                "letter of 12 November",
                "enctype=\"multipart/form-data\"",
                "Disclose the person",
                "/event/1284000",
            ],
        ),
        ("/subjects", &["kept by law", "erased", "restriction ended", "contact; 3 keys", "in 20 d"]),
        (
            "/backups",
            &[
                "late</span>",
                "E0884: the chunk 000017 is missing",
                "drill failed",
                "1.2 GiB free",
                "<code>waag explain E0748</code>",
                "30 m",
            ],
        ),
    ] {
        let html = read(&mut router, path).await;
        for part in parts {
            assert!(html.contains(part), "{path} lacks {part}: {html}");
        }
    }
}

#[tokio::test]
async fn a_new_node_says_what_is_not_there_yet() {
    let mut router = commanded(&Sample::new(true));
    for (path, part) in [
        ("/ledger", "Nobody cosigns"),
        ("/evidence", "None so far. Every pack that is made is recorded"),
        ("/subjects", "None so far."),
        ("/backups", "This ledger has no backup"),
    ] {
        let html = read(&mut router, path).await;
        assert!(html.contains(part), "{path} lacks {part}: {html}");
    }
}

/// Everything in it that a page could stumble over.
const HOSTILE: &str = "</textarea></title></pre><script>alert(1)</script>\" onmouseover=\"alert(2)' <img src=x> {{7*7}} &amp;\u{202e}\n\u{0}";

#[tokio::test]
async fn texts_of_others_are_only_text() {
    let mut house = Arc::into_inner(Sample::new(false)).unwrap();
    let evidence = SampleEvidence { foreign: Some(HOSTILE), ..SampleEvidence::new(false) };
    let state = waag_web::ports::evidence::packs::MakingState::Failed {
        code: HOSTILE.to_owned(),
        reason: HOSTILE.to_owned(),
    };
    let mut making = evidence.making.lock().unwrap().clone().unwrap();
    (making.state, making.what, making.by) = (state, HOSTILE.to_owned(), HOSTILE.to_owned());
    *evidence.making.lock().unwrap() = Some(making);
    house.evidence = Arc::new(evidence);
    let mut router = commanded(&Arc::new(house));
    let form = given(&mut router).await;
    let mut pages = Vec::new();
    for path in ["/ledger", "/evidence", "/subjects", "/backups"] {
        pages.push((path.to_owned(), read(&mut router, path).await));
    }
    let name = HOSTILE.replace(['"', '\n', '\0'], "");
    let file = with_file(&form.token, &name, b"bad");
    pages.push(led(&mut router, send("/evidence/check", &form, OWN, MULTIPART, file)).await);
    let (person, html) = led(&mut router, post("/subjects", &form, &format!("person={PERSON}"))).await;
    for order in ["erase", "restrict"] {
        let path = format!("{person}/confirm?do={order}");
        pages.push((path.clone(), read(&mut router, &path).await));
    }
    pages.push((person.clone(), html));
    pages.push(led(&mut router, post(&format!("{person}/erase"), &form, "reason=x")).await);
    for (path, html) in pages {
        let silent = path.ends_with("restrict");
        assert!(silent || html.contains("alert(1)"), "{path} shows none of it");
        for forbidden in ["<script>alert", "\" onmouseover", "<img", "</textarea></title>"] {
            assert!(!html.contains(forbidden), "{path} has {forbidden}");
        }
        for forbidden in [" style=", "<style", " onclick=", "javascript:", "src=\"http", "href=\"http"] {
            assert!(!html.contains(forbidden), "{path} has {forbidden}");
        }
        assert_eq!(html.matches("<script").count(), html.matches("<script src=\"/assets/").count(), "{path}");
    }
}

#[tokio::test]
async fn a_person_is_looked_up_without_an_id_in_any_address_or_page() {
    let house = Sample::new(false);
    let mut router = asked(&house);
    let form = given(&mut router).await;
    let (place, html) = led(&mut router, post("/subjects", &form, &format!("person={PERSON}"))).await;
    assert!(
        html.contains(".org") && html.contains("AWR art. 52(4)") && html.contains("contests the amounts")
    );
    assert!(html.contains("waag subject erase"), "without commands, the page says how to order it");
    assert!(!html.contains("confirm?do="), "and offers no order");
    for part in ["hendrika", "meulen", "example.org"] {
        assert!(!html.contains(part) && !place.contains(part), "{part}");
    }
    let handle = place.strip_prefix("/subjects/").unwrap();
    assert!(handle.len() == 32 && handle.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // Nobody is there, and nothing says which id was asked for.
    let (other, html) = led(&mut router, post("/subjects", &form, "person=somebody-else")).await;
    assert!(html.contains("Nothing is held") && !html.contains("somebody") && other != place);
    // Each is recorded once, before anything is shown, and not again when the page is.
    read(&mut router, &place).await;
    let looked_up = house.evidence.looked_up.lock().unwrap().clone();
    let by = |person: &str| (person.to_owned(), "page".to_owned());
    assert_eq!(looked_up, [by(PERSON), by("somebody-else")]);
    let unrecorded = ask(&mut router, post("/subjects", &form, &format!("person={UNRECORDED}"))).await;
    assert_eq!(unrecorded.status(), StatusCode::CONFLICT, "what cannot be recorded is not shown");
    // A person has no page under a name of anything else, or an unknown one.
    for path in
        [format!("/subjects/done/{handle}"), format!("/evidence/checked/{handle}"), "/subjects/00".to_owned()]
    {
        let response = ask(&mut router, get(&path)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(text(response).await.contains(WebError::Gone.code()));
    }
    // In an address the id is not looked at.
    let html = read(&mut router, &format!("/subjects?person={PERSON}")).await;
    let echoed = html.matches(PERSON).count();
    let own_address = html.matches(&format!("/subjects?person={PERSON}")).count();
    assert_eq!(echoed, own_address, "only where the page names its own address, which the reader wrote");
    let response = ask(&mut router, post("/subjects", &form, "person=%20")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn orders_about_a_person_go_out_once_with_actor_and_reason() {
    let house = Sample::new(false);
    let mut router = commanded(&house);
    let form = given(&mut router).await;
    let (person, html) = led(&mut router, post("/subjects", &form, &format!("person={PERSON}"))).await;
    assert!(html.contains("/confirm?do=erase") && html.contains("/confirm?do=unrestrict"));
    let confirm = read(&mut router, &format!("{person}/confirm?do=erase")).await;
    for part in
        ["This cannot be undone", "contact", "business 2026 until", "in 29 d", "GDPR art. 19", "bad-button"]
    {
        assert!(confirm.contains(part), "{part}: {confirm}");
    }
    for (path, body, status) in [
        ("erase", "", 400),
        ("erase", "reason=%20", 400),
        ("restrict", "reason=x&until=2027-13-01", 400),
        ("burn", "reason=x", 404),
    ] {
        let response = ask(&mut router, post(&format!("{person}/{path}"), &form, body)).await;
        assert_eq!(response.status().as_u16(), status, "{path} {body}");
    }
    for bad in ["", "?do=burn"] {
        let response = ask(&mut router, get(&format!("{person}/confirm{bad}"))).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    assert!(house.evidence.orders.lock().unwrap().is_empty(), "nothing was ordered so far");
    let restrict = post(&format!("{person}/restrict"), &form, "reason=contested&until=2027-01-31");
    let (_, html) = led(&mut router, restrict).await;
    assert!(html.contains("restricted") && html.contains("/event/3"));
    let (done, html) = led(&mut router, post(&format!("{person}/erase"), &form, "reason=asked+for")).await;
    for part in ["contact 2026; 1 key destroyed", "business", "2026-12-19 14:30:00", "Tell whoever has them"]
    {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("hendrika"));
    read(&mut router, &done).await;
    // The person is forgotten: the same form does nothing twice.
    let again = ask(&mut router, post(&format!("{person}/erase"), &form, "reason=asked+for")).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    let orders = house.evidence.orders.lock().unwrap();
    assert_eq!(orders.len(), 2);
    assert!(orders.iter().all(|(order, by)| by == "page" && order.ends_with(PERSON)));
    assert!(orders[0].0.starts_with("Restrict { until: Some(") && orders[0].0.contains("contested"));
    assert!(orders[1].0.starts_with("Erase { reason: \"asked for\" }"));
}

#[tokio::test]
async fn a_pack_is_made_of_what_the_form_chose() {
    let house = Sample::new(false);
    let mut router = commanded(&house);
    let form = given(&mut router).await;
    let all = "invoice=INV-7&person=p&kind=invoice.posting&from=2026-11-01&to=1200&last=50&reveal=yes&reveal-reason=claim&reason=audit";
    for (body, status) in [
        (all, 303),
        ("invoice=INV-7&reveal-reason=unused&reason=audit", 303),
        ("invoice=INV-7", 400),
        ("reason=audit", 400),
        ("invoice=INV-7&reveal=yes&reason=audit", 400),
        ("last=x&reason=audit", 400),
        ("from=yesterday&reason=audit", 400),
        ("invoice=INV-0&reason=audit", 409),
    ] {
        let response = ask(&mut router, post("/evidence", &form, body)).await;
        assert_eq!(response.status().as_u16(), status, "{body}");
    }
    let orders = house.evidence.orders.lock().unwrap();
    assert_eq!(orders.len(), 2);
    assert!(
        orders[0].0.starts_with("make INV-7|p|invoice.posting|claim|audit|None Some(1200) Some("),
        "{orders:?}"
    );
    assert!(orders[1].0.starts_with("make INV-7||||audit"), "no reveal without its box: {orders:?}");
}

#[tokio::test]
async fn a_pack_that_was_made_is_fetched_whole_and_no_other() {
    let mut router = asked(&Sample::new(false));
    let response = ask(&mut router, get(&format!("/evidence/packs/{DIGEST}"))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/zip");
    let name = response.headers()[header::CONTENT_DISPOSITION].to_str().unwrap();
    assert_eq!(name, "attachment; filename=\"evidence-4f9c21d07b6a.zip\"");
    let bytes = axum::body::to_bytes(response.into_body(), 1_024).await.unwrap();
    assert_eq!(bytes, GOOD_PACK);
    for other in ["00".repeat(32), "..%2Fstate".to_owned(), "x".to_owned()] {
        let response = ask(&mut router, get(&format!("/evidence/packs/{other}"))).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{other}");
    }
}

#[tokio::test]
async fn a_pack_is_checked_and_the_verdict_told_line_by_line() {
    let mut router = asked(&Sample::new(false));
    let form = given(&mut router).await;
    let check = |name: &str, pack: &[u8]| {
        send("/evidence/check", &form, OWN, MULTIPART, with_file(&form.token, name, pack))
    };
    let (place, html) = led(&mut router, check("evidence.zip", GOOD_PACK)).await;
    for part in ["Verified", "evidence.zip", "every line below holds", "unchecked", "waag-verify pack FILE"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("fails"));
    assert_eq!(
        read(&mut router, &place).await.matches("<li><span class=\"mark").count(),
        4,
        "kept for a while"
    );
    let (_, html) = led(&mut router, check("other.zip", b"PK bad")).await;
    for part in ["Not verified", "Do not rely on this pack", "E0382", "fails"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    let back = ask(&mut router, get("/evidence/check")).await;
    assert_eq!((back.status(), place_of(&back)), (StatusCode::SEE_OTHER, "/evidence".to_owned()));
}

fn place_of(response: &Response) -> String {
    place(response)
}

#[tokio::test]
async fn a_file_that_is_none_too_long_or_foreign_is_refused() {
    let house = Sample::new(false);
    let mut router = asked(&house);
    let form = given(&mut router).await;
    let path = "/evidence/check";
    let good = with_file(&form.token, "a.zip", GOOD_PACK);
    let cut = good[..good.len() - 8].to_vec();
    let none = with_file(&form.token, "a.zip", b"");
    let foreign_field = with_file("00", "a.zip", GOOD_PACK);
    for (why, kind, body, status) in [
        ("no file", FORM, format!("token={}", form.token).into_bytes(), 400),
        ("no boundary", "multipart/form-data", good.clone(), 400),
        ("another boundary", "multipart/form-data; boundary=Y", good.clone(), 400),
        ("cut short", MULTIPART, cut, 400),
        ("empty", MULTIPART, none, 400),
        ("another run's field", MULTIPART, foreign_field, 403),
        ("too long", MULTIPART, with_file(&form.token, "a.zip", &vec![0; SENT_BYTES_MAX + 1]), 400),
        ("far too long", MULTIPART, vec![b'-'; SENT_BYTES_MAX + 64 * 1_024], 400),
    ] {
        let response = ask(&mut router, send(path, &form, OWN, kind, body)).await;
        assert_eq!(response.status().as_u16(), status, "{why}");
        let code = if status == 403 { WebError::Forgery } else { WebError::Upload("") };
        assert!(text(response).await.contains(code.code()), "{why}");
    }
    for origin in ["http://evil.example", "null"] {
        let response = ask(&mut router, send(path, &form, origin, MULTIPART, good.clone())).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    // Just short enough: the whole of it is looked at.
    let long = with_file(&form.token, "a.zip", &vec![0; SENT_BYTES_MAX]);
    let (_, html) = led(&mut router, send(path, &form, OWN, MULTIPART, long)).await;
    assert!(html.contains("64.0\u{a0}MiB") && html.contains("Not verified"));
}

#[tokio::test]
async fn pages_that_only_ask_order_nothing_and_pages_without_forms_ask_nothing() {
    let house = Sample::new(false);
    let mut router = asked(&house);
    let form = given(&mut router).await;
    let (person, _) = led(&mut router, post("/subjects", &form, &format!("person={PERSON}"))).await;
    for path in ["/evidence".to_owned(), format!("{person}/erase"), "/replay".to_owned()] {
        let response = ask(&mut router, post(&path, &form, "invoice=INV-7&reason=x")).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    for path in ["/evidence", "/subscriptions/erp-payments"] {
        let html = read(&mut router, path).await;
        assert!(!html.contains("Make the pack</button>") && !html.contains("Pause deliveries"), "{path}");
    }
    for path in ["/evidence", "/subjects"] {
        let mut foreign = post(path, &form, &format!("person={PERSON}"));
        foreign.headers_mut().insert(header::ORIGIN, "http://evil.example".parse().unwrap());
        let status = ask(&mut router, foreign).await.status();
        let expected =
            if path == "/subjects" { StatusCode::FORBIDDEN } else { StatusCode::METHOD_NOT_ALLOWED };
        assert_eq!(status, expected, "{path}");
    }
    let mut silent = waag_web::router(pages(&house));
    assert_eq!(
        ask(&mut silent, post("/subjects", &form, "person=p")).await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert!(read(&mut silent, "/subjects").await.contains("waag subject report"));
    assert!(house.evidence.orders.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_checkpoint_is_a_file_and_pages_of_evidence_tell_that_they_changed() {
    let house = Sample::new(false);
    let mut router = asked(&house);
    let response = ask(&mut router, get("/ledger/checkpoint")).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert!(text(response).await.starts_with("waag.example/default/"));
    let empty = ask(&mut asked(&Sample::new(true)), get("/ledger/checkpoint")).await;
    assert_eq!(empty.status(), StatusCode::NOT_FOUND);
    let mut stream = ask(&mut router, get("/live?of=evidence")).await.into_body().into_data_stream();
    use futures_util::StreamExt as _;
    let first = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("id: 1284311.1"), "{first}");
    house.evidence.stamp.store(2, Ordering::Relaxed);
    let next = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(next.contains("id: 1284311.2"), "{next}");
}
