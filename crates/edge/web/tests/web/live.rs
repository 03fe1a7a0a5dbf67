//! Open pages: they show progress by themselves, hear of what has stopped, and leave what a reader chose, opened or typed.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use serde_json::json;
use waag_chromium::Chromium;

use crate::browser::{quiet, served};
use crate::support::Sample;

#[test]
fn needs_chromium_an_open_page_shows_progress_within_a_second() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/"));
    browser.until("document.getElementById('fresh').classList.contains('on')");
    let (mut fastest, mut slowest) = (u64::MAX, 0);
    for step in 1..=5 {
        house.progress.send_modify(|progress| progress.projected = 2_000_000 + step);
        let millis =
            browser.until(&format!("document.getElementById('main').innerText.includes('2,000,00{step}')"));
        fastest = fastest.min(millis);
        slowest = slowest.max(millis);
        // The frame around the page goes with it.
        browser.until(&format!("document.getElementById('node').innerText.includes('2,000,00{step}')"));
    }
    println!("five pushes: {fastest} to {slowest} ms");
    // A machine that others use holds up one of them; what takes a second by itself holds up all.
    assert!(fastest < 1_000, "{fastest} ms");
    // A paused page stays as it is.
    browser.press("p");
    house.progress.send_modify(|progress| progress.projected = 3_000_000);
    browser.value("new Promise((done) => setTimeout(done, 700))");
    assert_eq!(
        browser.value("document.getElementById('main').innerText.includes('3,000,000')"),
        json!(false)
    );
    quiet(&browser);
}

#[test]
fn needs_chromium_an_open_page_hears_of_what_has_stopped() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.window(1_440);
    browser.open(&format!("{base}/"));
    browser.until("document.getElementById('fresh').classList.contains('on')");
    browser.value("document.body.dataset.since = 'the beginning'");
    let says =
        |place: &str, text: &str| format!("document.getElementById('{place}').innerText.includes('{text}')");
    house.halted.store(true, Ordering::Relaxed);
    // As the read model tells it: at the place where it stopped.
    house.progress.send_modify(|_| {});
    for place in ["node", "main"] {
        browser.until(&says(place, "Recording, not shown (E0690)"));
    }
    // Of the writer nobody tells; the page's line asks.
    house.halted.store(false, Ordering::Relaxed);
    house.full.store(true, Ordering::Relaxed);
    for place in ["node", "main"] {
        browser.until(&says(place, "Paused, disk nearly full (E0924)"));
    }
    house.stopped.store(true, Ordering::Relaxed);
    for place in ["node", "main"] {
        browser.until(&says(place, "Halted (E0602)"));
    }
    house.full.store(false, Ordering::Relaxed);
    house.stopped.store(false, Ordering::Relaxed);
    browser.until("!/E0|Halted/.test(document.getElementById('node').innerText)");
    assert_eq!(
        browser.value("document.body.dataset.since"),
        json!("the beginning"),
        "it was not loaded again"
    );
    quiet(&browser);
}

#[test]
fn needs_chromium_a_line_that_ends_is_opened_again_and_nothing_is_called_lost() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.call("Fetch.enable", json!({ "patterns": [{ "urlPattern": "*/live" }] }));
    browser.call("Page.navigate", json!({ "url": format!("{base}/") }));
    let held = browser.event("Fetch.requestPaused");
    // A line as the node ends it after its time.
    let told = "id: 1284311\nevent: progress\ndata: {\"age_ms\":400}\n\nevent: again\ndata: {}\n\n";
    let answer = json!({
        "requestId": held["requestId"],
        "responseCode": 200,
        "responseHeaders": [{ "name": "content-type", "value": "text/event-stream" }],
        "body": base64::engine::general_purpose::STANDARD.encode(told),
    });
    browser.call("Fetch.fulfillRequest", answer);
    let held = browser.event("Fetch.requestPaused");
    assert_eq!(browser.value("document.getElementById('fresh').classList.contains('on')"), json!(true));
    browser.call("Fetch.continueRequest", json!({ "requestId": held["requestId"] }));
    house.progress.send_modify(|progress| progress.projected = 2_000_001);
    browser.until("document.getElementById('main').innerText.includes('2,000,001')");
    assert_eq!(browser.value("document.getElementById('fresh-said').textContent"), json!(""));
    assert_eq!(browser.value("document.getElementById('fresh-lost').hidden"), json!(true));
    quiet(&browser);
}

#[test]
fn needs_chromium_a_page_that_could_not_be_drawn_stays_and_is_asked_again() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    // As wide as the column beside the page is shown at.
    browser.window(1_440);
    browser.open(&format!("{base}/"));
    browser.until("document.getElementById('fresh').classList.contains('on')");
    let shows = |text: &str| format!("document.getElementById('main').innerText.includes('{text}')");
    house.failing.store(true, Ordering::Relaxed);
    house.progress.send_modify(|progress| progress.projected = 2_000_001);
    browser.until("document.querySelector('.fresh.lost')?.innerText.includes('Page not renewed')");
    assert_eq!(browser.value(&shows("1,284,311")), json!(true), "what was drawn before stays");
    let beside = "document.getElementById('node').innerText";
    assert!(
        browser.value(beside).as_str().unwrap().contains("2026-11-20 14:30:00 UTC"),
        "and says of when it is"
    );
    assert_eq!(browser.value("document.querySelector('h1').innerText"), json!("Overview"));
    // No event comes, and yet the page is not left behind.
    house.failing.store(false, Ordering::Relaxed);
    browser.until(&shows("2,000,001"));
    browser.until("document.getElementById('fresh').classList.contains('on')");
    assert_eq!(browser.value("document.getElementById('fresh-lost').hidden"), json!(true));
    assert!(!browser.value(beside).as_str().unwrap().contains("UTC"), "it is of now again");
    browser.complaints.retain(|complaint| !complaint.contains("503"));
    quiet(&browser);
}

#[test]
fn needs_chromium_a_page_whose_thing_is_gone_says_so_and_asks_no_more() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/subscriptions/erp-payments"));
    browser.until("document.getElementById('fresh').classList.contains('on')");
    *house.deliveries.gone.lock().unwrap() = Some("erp-payments");
    house.deliveries.figures.lock().unwrap().failed = 1_000;
    browser.until("document.querySelector('h1').innerText === 'No such subscription'");
    assert_eq!(browser.value("'hxGet' in document.getElementById('main').dataset"), json!(false));
    assert_eq!(browser.value("document.querySelector('main form')"), json!(null), "nothing is left to order");
    browser.complaints.retain(|complaint| !complaint.contains("404"));
    quiet(&browser);
}

#[test]
fn needs_chromium_events_between_drawing_and_the_first_word_are_not_missed() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    // The page's own script is kept back until the node is further than what it drew.
    browser.call("Fetch.enable", json!({ "patterns": [{ "urlPattern": "*/live*.js" }] }));
    browser.call("Page.navigate", json!({ "url": format!("{base}/") }));
    let held = browser.event("Fetch.requestPaused");
    house.progress.send_modify(|progress| progress.projected = 2_000_001);
    browser.call("Fetch.continueRequest", json!({ "requestId": held["requestId"] }));
    browser.until("document.getElementById('main')?.innerText.includes('2,000,001')");
    quiet(&browser);
}

#[test]
fn needs_chromium_deliveries_move_on_by_themselves_and_leave_what_is_typed() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/subscriptions/erp-payments"));
    browser.until("document.getElementById('fresh').classList.contains('on')");
    browser.value("document.getElementById('pause-reason').value = 'half a sen'");
    house.deliveries.figures.lock().unwrap().failed = 1_000;
    browser.until("document.getElementById('main').innerText.includes('1,214 failed')");
    assert_eq!(browser.value("document.getElementById('pause-reason').value"), json!("half a sen"));
    quiet(&browser);
}

#[test]
fn needs_chromium_a_page_that_renews_itself_leaves_what_was_chosen_and_opened() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/"));
    browser.until("document.getElementById('fresh').classList.contains('on')");
    browser.press("j");
    browser.press("j");
    let chosen =
        "document.querySelector('[data-chosen] a').innerText + ' ' + document.activeElement.innerText";
    let before = browser.value(chosen);
    browser.value("document.querySelectorAll('details').forEach((one) => one.open = true)");
    for step in 1..=3 {
        house.progress.send_modify(|progress| progress.projected = 2_000_000 + step);
        browser.until(&format!("document.getElementById('main').innerText.includes('2,000,00{step}')"));
    }
    assert_eq!(browser.value(chosen), before);
    let closed = "document.querySelectorAll('details:not([open])').length + ' ' + document.querySelectorAll('[data-chosen]').length";
    assert_eq!(browser.value(closed), json!("0 1"));
    quiet(&browser);
}
