//! The pages of deliveries over HTTP: what they say, what they escape, and from whom they take an order.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use tower_service::Service;
use waag_router::shown::Filter;
use waag_stdx::entropy::SystemEntropy;
use waag_web::ports::deliveries::Order;
use waag_web::{Pages, WebError, router};

use crate::pages::{get, text};
use crate::support::deliveries::SampleDeliveries;
use crate::support::sample::SampleFigures;
use crate::support::{NOW, Sample, Still};

const HOST: &str = "127.0.0.1:8081";

fn pages(house: &Arc<Sample>) -> Pages {
    let empty = house.empty;
    Pages::with_figures(Arc::clone(house) as _, Arc::new(Still), move |_| Box::new(SampleFigures { empty }))
}

/// The addresses of a house, with commands, as one run of the program has them.
fn commanded(house: &Arc<Sample>) -> axum::Router {
    router(pages(house).commanded(&SystemEntropy::new()).unwrap())
}

async fn ask(router: &mut axum::Router, request: Request<Body>) -> Response {
    router.call(request).await.unwrap()
}

async fn read(router: &mut axum::Router, path: &str) -> String {
    let response = ask(router, get(path)).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    text(response).await
}

const PATHS: [&str; 10] = [
    "/subscriptions",
    "/subscriptions/erp-payments",
    "/subscriptions/treasury-mirror",
    "/subscriptions/alarms",
    "/dead-letters",
    "/dead-letters/confirm?do=redrive&subscription=erp-payments&class=terminal",
    "/dead-letters/confirm?do=discard&subscription=erp-payments",
    "/replay",
    "/replay/confirm?subscription=erp-payments&from=1200&to=2026-11-20&pattern=%7B%22type%22%3A%5B%22x%22%5D%7D",
    "/patterns?subscription=erp-payments&event=%5B%5D",
];

/// Asks for pages of a full house, and looks for what they must say.
async fn seen(pages: &[(&str, &[&str])]) {
    let mut router = commanded(&Sample::new(false));
    for (path, parts) in pages {
        let html = read(&mut router, path).await;
        for part in *parts {
            assert!(html.contains(part), "{path} lacks {part}: {html}");
        }
    }
}

#[tokio::test]
async fn subscriptions_and_dead_letters_are_told_without_javascript() {
    seen(&[
        (
            "/subscriptions",
            &[
                "erp-payments",
                "https://erp.example/hooks/waag/payments",
                "48,211",
                "<td class=\"r\">312</td>",
                "4.2",
                "7 h 3 m",
                "410 Gone",
                "by j.devries",
                "left alone for 42 s",
                "/replay#job-42",
                "1 stopped",
            ],
        ),
        (
            "/subscriptions/erp-payments",
            &[
                "which books them",
                "32 keys at most",
                "20 times at most, within 3 d, 1 s to 6 h apart",
                "&#62;=",
                "/event/1284309",
                "E1163",
                "maintenance",
                "Pause deliveries",
                "Parked keys",
                "of 1,204",
            ],
        ),
        ("/subscriptions/risk-engine", &["paused", "upgraded", "Resume deliveries"]),
        (
            "/dead-letters",
            &[
                "1,204",
                "E1162",
                "unknown cost centre 4711",
                "Redrive all 1,204",
                "parked behind it",
                "job 38",
                "/event/44",
                "Next page",
                "after=2012",
            ],
        ),
        (
            "/dead-letters?subscription=erp-payments&class=gone&kind=invoice.&since=2026-11-01",
            &["class gone, given up since 2026-11-01 00:00:00 UTC", "Clear", "2026-11-01T00:00:00"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn orders_jobs_patterns_and_events_are_told_without_javascript() {
    seen(&[
        (
            "/dead-letters/confirm?do=redrive&subscription=erp-payments&from=3&to=4",
            &[
                "Redrive 1 dead letter of erp-payments?",
                "position 3",
                "name=\"rate\"",
                "value=\"1000\"",
                "2026-11-20 14:30:00",
            ],
        ),
        (
            "/dead-letters/confirm?do=discard&subscription=erp-payments",
            &["Discard 1,204 dead letters", "up to 1,000 a second"],
        ),
        (
            "/dead-letters?subscription=erp-payments&from=126&to=127",
            &[
                "What was answered",
                "upstream database is in maintenance&#34;}",
                "Redrive it…",
                "position 126",
            ],
        ),
        ("/dead-letters/confirm?do=discard&subscription=alarms", &["There is nothing to discard"]),
        ("/replay", &["job 42", "811", "21 wait", "24 given up again", "Cancel", "treasury-mirror"]),
        (
            "/replay/confirm?subscription=erp-payments&from=1200&rate=0",
            &["position 1,200", "the end of the ledger", "1,283,111 positions", "no limit"],
        ),
        (PATHS[8], &["committed at 2026-11-20 00:00:00 UTC or later", "&#34;type&#34;"]),
        (PATHS[9], &["no event", "E1106", "your own", "your own", "matches", "no match", "INV-2026-104233"]),
        ("/patterns?pattern=%7B%22a%22%3A%5B%7B%22no%22%3A1%7D%5D%7D", &["Not a pattern", "E1103", "/a"]),
        ("/event/3", &["reconciliation", "/proof/3.tlog-proof", "4300", "/event/2"]),
    ])
    .await;
}

#[tokio::test]
async fn a_node_without_subscriptions_says_how_to_make_one() {
    let mut router = commanded(&Sample::new(true));
    let html = read(&mut router, "/subscriptions").await;
    assert!(html.contains("waag subscription create --name"), "{html}");
    for path in ["/dead-letters", "/replay", "/patterns"] {
        read(&mut router, path).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_has_a_page_with_a_code() {
    let mut router = commanded(&Sample::new(false));
    for (path, status) in [
        ("/subscriptions/nobody", 404),
        ("/dead-letters?subscription=nobody", 404),
        ("/dead-letters?class=lunch", 400),
        ("/dead-letters/confirm?do=burn&subscription=erp-payments", 400),
        ("/replay/confirm?subscription=erp-payments&pattern=%7B", 409),
        ("/patterns?newest=201", 400),
        ("/patterns?newest=0", 400),
        ("/event/7", 404),
        ("/event/x", 404),
    ] {
        let response = ask(&mut router, get(path)).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert!(text(response).await.contains("waag explain E"), "{path}");
    }
}

/// Everything in it that a page could stumble over.
const HOSTILE: &str = "</textarea></title><script>alert(1)</script>\" onmouseover=\"alert(2)' <img src=x> {{7*7}} &amp;\u{202e}\n\u{0}";

#[tokio::test]
async fn texts_of_others_are_only_text() {
    let mut house = Arc::into_inner(Sample::new(false)).unwrap();
    house.deliveries = Arc::new(SampleDeliveries { foreign: Some(HOSTILE), ..SampleDeliveries::new(false) });
    let mut router = commanded(&Arc::new(house));
    for path in PATHS {
        let html = read(&mut router, path).await;
        let seen = html.contains("alert(1)");
        assert!(seen || path.contains("confirm") || path.starts_with("/dead"), "{path} shows none of it");
        for forbidden in ["<script>alert", "\" onmouseover", "<img", "</textarea></title>"] {
            assert!(!html.contains(forbidden), "{path} has {forbidden}");
        }
    }
    for typed in ["/dead-letters?kind=", "/patterns?pattern=", "/patterns?event=", "/replay?subscription="] {
        let path = format!("{typed}%3C%2Ftextarea%3E%3Cscript%3Ealert(3)%3C%2Fscript%3E%22%20onfocus%3D%22");
        let html = read(&mut router, &path).await;
        for forbidden in ["<script>alert", "\" onfocus"] {
            assert!(!html.contains(forbidden), "{path} has {forbidden}");
        }
    }
}

#[tokio::test]
async fn no_page_has_inline_script_inline_style_or_a_foreign_address() {
    let mut router = commanded(&Sample::new(false));
    for path in PATHS {
        let html = read(&mut router, path).await;
        for forbidden in
            [" style=", "<style", " onclick=", " onload=", "javascript:", "src=\"http", "href=\"http"]
        {
            assert!(!html.contains(forbidden), "{path} has {forbidden}");
        }
        assert_eq!(html.matches("<script").count(), html.matches("<script src=\"/assets/").count(), "{path}");
    }
}

/// A form of this run: what a page gave as cookie and field.
struct Given {
    cookie: String,
    token: String,
}

async fn given(router: &mut axum::Router) -> Given {
    let response = ask(router, get("/subscriptions/erp-payments")).await;
    let cookie = response.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    assert!(
        cookie.starts_with("waag_form_8081=") && cookie.ends_with("; SameSite=Strict; HttpOnly"),
        "{cookie}"
    );
    let html = text(response).await;
    let token = html.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    Given { cookie: cookie.split(';').next().unwrap().to_owned(), token }
}

fn post(path: &str, given: &Given, origin: &str, body: &str) -> Request<Body> {
    Request::post(path)
        .header(header::HOST, HOST)
        .header(header::ORIGIN, origin)
        .header(header::COOKIE, &given.cookie)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(format!("token={}&{body}", given.token)))
        .unwrap()
}

const OWN: &str = "http://127.0.0.1:8081";

#[tokio::test]
async fn orders_go_to_the_router_with_actor_and_reason_and_lead_back() {
    let house = Sample::new(false);
    let mut router = commanded(&house);
    let form = given(&mut router).await;
    for (path, body, back) in [
        ("/subscriptions/erp-payments/pause", "reason=upgrade%20of%20it", "/subscriptions/erp-payments"),
        ("/subscriptions/risk-engine/resume", "", "/subscriptions/risk-engine"),
        (
            "/dead-letters/redrive",
            "subscription=erp-payments&class=terminal&until=2026-11-20T14:30:00.000000001Z&rate=50&reason=mended",
            "/dead-letters?subscription=erp-payments",
        ),
        (
            "/dead-letters/discard",
            "subscription=erp-payments&from=3&to=4&reason=a+test",
            "/dead-letters?subscription=erp-payments",
        ),
        (
            "/replay",
            "subscription=data-lake&from=12&to=2026-11-20&rate=0&reason=lost&pattern=%7B%22type%22%3A%5B%22x%22%5D%7D",
            "/replay",
        ),
        ("/jobs/42/cancel", "", "/replay"),
    ] {
        let response = ask(&mut router, post(path, &form, OWN, body)).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{path}: {}", text(response).await);
        assert_eq!(response.headers()[header::LOCATION], back, "{path}");
    }
    let orders = house.deliveries.orders.lock().unwrap();
    assert!(orders.iter().all(|(_, by)| by == "page"));
    let [pause, resume, redrive, discard, replay, cancel] =
        [0, 1, 2, 3, 4, 5].map(|at: usize| orders[at].0.clone());
    assert!(matches!(pause, Order::Pause { subscription, reason }
        if subscription == "erp-payments" && reason == "upgrade of it"));
    assert!(matches!(resume, Order::Resume { subscription } if subscription == "risk-engine"));
    let taken = Filter { class: Some("terminal".to_owned()), until_ns: Some(NOW.0 + 1), ..Filter::default() };
    assert!(
        matches!(redrive, Order::Redrive { filter, rate: 50, reason, .. } if filter == taken && reason == "mended")
    );
    assert!(
        matches!(discard, Order::Discard { filter, reason, .. } if filter == Filter::one(3) && reason == "a test")
    );
    let Order::Replay { asked, .. } = replay else { panic!("{replay:?}") };
    assert_eq!((asked.from, asked.to, asked.since_ns, asked.rate), (Some(12), None, None, Some(0)));
    assert_eq!(asked.until_ns, Some((NOW.day().0 as i64) * 86_400_000_000_000));
    assert_eq!((asked.pattern.unwrap().get(), asked.reason.as_str()), ("{\"type\":[\"x\"]}", "lost"));
    assert!(matches!(cancel, Order::Cancel { job: 42 }));
}

#[tokio::test]
async fn an_order_of_a_foreign_page_or_without_a_reason_does_nothing() {
    let house = Sample::new(false);
    let mut router = commanded(&house);
    let form = given(&mut router).await;
    let path = "/subscriptions/erp-payments/pause";
    let reason = "reason=x";
    let other = |cookie: &str, token: &str| Given { cookie: cookie.to_owned(), token: token.to_owned() };
    let another_run = given(&mut commanded(&house)).await;
    for (given, origin, why) in [
        (&form, "http://evil.example", "foreign"),
        (&form, "null", "hidden origin"),
        (&form, "http://127.0.0.1:9999", "another port"),
        (&other("", &form.token), OWN, "no cookie"),
        (&other(&form.cookie, ""), OWN, "no field"),
        (&other(&form.cookie, form.cookie.split('=').nth(1).unwrap()), OWN, "the cookie as field"),
        (&another_run, OWN, "another run"),
    ] {
        let response = ask(&mut router, post(path, given, origin, reason)).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{why}");
        assert!(text(response).await.contains(WebError::Forgery.code()), "{why}");
    }
    let mut without = post(path, &form, OWN, reason);
    without.headers_mut().remove(header::ORIGIN);
    assert_eq!(ask(&mut router, without).await.status(), StatusCode::FORBIDDEN, "no origin");
    for (path, body, status) in [
        (path, "reason=%20", 400),
        ("/dead-letters/discard", "subscription=erp-payments", 400),
        ("/dead-letters/redrive", "subscription=erp-payments&reason=x&rate=100001", 400),
        ("/replay", "subscription=erp-payments&reason=x&pattern=%7B%7D", 409),
        ("/jobs/99/cancel", "", 404),
        ("/jobs/x/cancel", "", 400),
        ("/subscriptions", "", 405),
        ("/patterns", "", 405),
    ] {
        let response = ask(&mut router, post(path, &form, OWN, body)).await;
        assert_eq!(response.status().as_u16(), status, "{path} {body}");
    }
    let mut no_form = post(path, &form, OWN, reason);
    no_form.headers_mut().remove(header::CONTENT_TYPE);
    assert_eq!(ask(&mut router, no_form).await.status(), StatusCode::BAD_REQUEST);
    let long = format!("reason={}", "x".repeat(256 * 1024));
    assert_eq!(ask(&mut router, post(path, &form, OWN, &long)).await.status(), StatusCode::BAD_REQUEST);
    // A GET never orders, whatever it bears.
    let mut read = get(&format!("{path}?token={}&{reason}", form.token));
    read.headers_mut().insert(header::COOKIE, form.cookie.parse().unwrap());
    assert_eq!(ask(&mut router, read).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(house.deliveries.orders.lock().unwrap().is_empty(), "nothing was ordered");
}

#[tokio::test]
async fn pages_without_commands_show_everything_and_order_nothing() {
    let house = Sample::new(false);
    let mut router = router(pages(&house));
    for path in PATHS {
        let response = ask(&mut router, get(path)).await;
        assert!(!response.headers().contains_key(header::SET_COOKIE), "{path}");
        let html = text(response).await;
        for control in ["method=\"post\"", "Redrive…", "Pause deliveries"] {
            assert!(!html.contains(control), "{path} has {control}");
        }
    }
    let form = Given { cookie: String::new(), token: String::new() };
    let response = ask(&mut router, post("/jobs/42/cancel", &form, OWN, "")).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}
