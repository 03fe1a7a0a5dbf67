//! The pages in Chromium: accessible, quiet, live, moved by keys, and proofs checked by the browser itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use waag_chromium::Chromium;
use waag_stdx::entropy::SystemEntropy;
use waag_web::{Pages, serve};

use crate::support::evidence::PERSON;
use crate::support::sample::SampleFigures;
use crate::support::{Sample, Still};

/// Serves samples on a thread of their own; gives the address.
pub(crate) fn served(house: &Arc<Sample>) -> String {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    let house = Arc::clone(house);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            send.send(listener.local_addr().unwrap().port()).unwrap();
            let empty = house.empty;
            let pages =
                Pages::with_figures(house, Arc::new(Still), move |_| Box::new(SampleFigures { empty }));
            let pages = pages.commanded(&SystemEntropy::new()).unwrap();
            serve(listener, pages, std::future::pending()).await.unwrap();
        });
    });
    format!("http://127.0.0.1:{}", receive.recv().unwrap())
}

pub(crate) fn quiet(browser: &Chromium) {
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

/// Where pictures are kept.
pub(crate) fn pictures() -> std::path::PathBuf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Opens pages in one theme, wide and narrow, checks them by axe-core's rules, and keeps pictures of them.
fn look_at(names: &[&str], theme: &str) {
    let base = served(&Sample::new(false));
    let new = served(&Sample::new(true));
    let mut browser = Chromium::start();
    for (name, address) in [
        ("overview", format!("{base}/")),
        ("operations", format!("{base}/operations")),
        ("loops", format!("{base}/operations?filter=loops")),
        ("duplicates", format!("{base}/operations?filter=duplicates")),
        ("odd", format!("{base}/operations?filter=odd")),
        ("found", format!("{base}/invoice?id=INV-2026")),
        ("invoice", format!("{base}/invoice?id=INV-2026-104233")),
        ("cash", format!("{base}/cash")),
        ("help", format!("{base}/help")),
        ("new-node", format!("{new}/")),
        ("subscriptions", format!("{base}/subscriptions")),
        ("subscription", format!("{base}/subscriptions/erp-payments")),
        ("subscription-stopped", format!("{base}/subscriptions/treasury-mirror")),
        ("dead-letters", format!("{base}/dead-letters")),
        ("dead-letter", format!("{base}/dead-letters?subscription=erp-payments&from=126&to=127")),
        ("discard", format!("{base}/dead-letters/confirm?do=discard&subscription=erp-payments")),
        ("replay", format!("{base}/replay")),
        (
            "replay-confirm",
            format!(
                "{base}/replay/confirm?subscription=erp-payments&from=1000&rate=0&pattern={}",
                "%7B%22type%22%3A%5B%22x%22%5D%7D"
            ),
        ),
        ("patterns", format!("{base}/patterns?subscription=erp-payments")),
        ("patterns-refused", format!("{base}/patterns?pattern=%7B%0A%20%20%22type%22%3A%20%5Bx%5D%0A%7D")),
        ("event", format!("{base}/event/3")),
        ("new-deliveries", format!("{new}/subscriptions")),
        ("ledger", format!("{base}/ledger")),
        ("packs", format!("{base}/evidence")),
        ("subjects", format!("{base}/subjects")),
        ("backups", format!("{base}/backups")),
        ("new-ledger", format!("{new}/ledger")),
        ("new-backups", format!("{new}/backups")),
    ] {
        if !names.contains(&name) {
            continue;
        }
        for width in [1_440, 390] {
            browser.look(theme, "", width);
            browser.open(&address);
            let found = browser.violations();
            let file = pictures().join(format!("{name}-{theme}-{width}.png"));
            std::fs::write(&file, browser.picture(None)).unwrap();
            assert_eq!(found, json!([]), "{name} in {theme}, {width} wide: {found:#}");
            assert_eq!(browser.overflow(), json!(0), "{name} is wider than a window of {width}");
        }
    }
    quiet(&browser);
}

#[test]
fn needs_chromium_figures_are_accessible_and_quiet_in_light() {
    look_at(&["overview", "cash", "new-node"], "light");
}

#[test]
fn needs_chromium_lists_are_accessible_and_quiet_in_light() {
    look_at(&["operations", "invoice", "help"], "light");
}

#[test]
fn needs_chromium_further_lists_are_accessible_and_quiet_in_light() {
    look_at(&["loops", "duplicates", "odd", "found"], "light");
}

#[test]
fn needs_chromium_further_lists_are_accessible_and_quiet_in_dark() {
    look_at(&["loops", "duplicates", "odd", "found"], "dark");
}

#[test]
fn needs_chromium_figures_are_accessible_and_quiet_in_dark() {
    look_at(&["overview", "cash", "new-node"], "dark");
}

#[test]
fn needs_chromium_lists_are_accessible_and_quiet_in_dark() {
    look_at(&["operations", "invoice", "help"], "dark");
}

/// The pages of deliveries, in runs of about the same length.
const DELIVERIES: [[&str; 4]; 3] = [
    ["subscriptions", "subscription", "subscription-stopped", "new-deliveries"],
    ["dead-letters", "dead-letter", "discard", "event"],
    ["replay", "replay-confirm", "patterns", "patterns-refused"],
];

#[test]
fn needs_chromium_subscriptions_are_accessible_and_quiet_in_light() {
    look_at(&DELIVERIES[0], "light");
}

#[test]
fn needs_chromium_dead_letters_are_accessible_and_quiet_in_light() {
    look_at(&DELIVERIES[1], "light");
}

#[test]
fn needs_chromium_replays_and_patterns_are_accessible_and_quiet_in_light() {
    look_at(&DELIVERIES[2], "light");
}

#[test]
fn needs_chromium_subscriptions_are_accessible_and_quiet_in_dark() {
    look_at(&DELIVERIES[0], "dark");
}

#[test]
fn needs_chromium_dead_letters_are_accessible_and_quiet_in_dark() {
    look_at(&DELIVERIES[1], "dark");
}

#[test]
fn needs_chromium_replays_and_patterns_are_accessible_and_quiet_in_dark() {
    look_at(&DELIVERIES[2], "dark");
}

/// The pages of evidence, in runs of about the same length.
const EVIDENCE: [[&str; 3]; 2] = [["ledger", "packs", "new-ledger"], ["subjects", "backups", "new-backups"]];

#[test]
fn needs_chromium_ledger_and_packs_are_accessible_and_quiet_in_light() {
    look_at(&EVIDENCE[0], "light");
}

#[test]
fn needs_chromium_subjects_and_backups_are_accessible_and_quiet_in_light() {
    look_at(&EVIDENCE[1], "light");
}

#[test]
fn needs_chromium_ledger_and_packs_are_accessible_and_quiet_in_dark() {
    look_at(&EVIDENCE[0], "dark");
}

#[test]
fn needs_chromium_subjects_and_backups_are_accessible_and_quiet_in_dark() {
    look_at(&EVIDENCE[1], "dark");
}

/// Opens what forms lead to, in both themes and widths, checks it, and keeps pictures.
#[test]
fn needs_chromium_what_forms_of_evidence_lead_to_is_accessible_and_a_dropped_pack_is_checked() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.look("light", "", 1_440);
    browser.open(&format!("{base}/subjects"));
    browser.value(&format!("document.getElementById('person').value = '{PERSON}'"));
    browser.value("document.getElementById('look-form').requestSubmit()");
    browser.loaded();
    let person = browser.value("location.pathname").as_str().unwrap().to_owned();
    let drop = |browser: &mut Chromium, pack: &str| {
        browser.open(&format!("{base}/evidence"));
        browser.until("!document.querySelector('.drop-word').hidden");
        browser.value(&format!(
            "(() => {{ const held = new DataTransfer(); held.items.add(new File(['{pack}'], 'a pack.zip'));
             const zone = document.querySelector('.drop-zone');
             for (const kind of ['dragover', 'drop']) zone.dispatchEvent(new DragEvent(kind, {{ bubbles: true,
             cancelable: true, dataTransfer: held }})); }})()"
        ));
        browser.loaded();
        let told = browser.value("document.getElementById('main').innerText");
        (browser.value("location.pathname").as_str().unwrap().to_owned(), told.as_str().unwrap().to_owned())
    };
    let (good, told) = drop(&mut browser, "PK good");
    assert!(told.contains("Verified") && told.contains("a pack.zip"), "{told}");
    let (bad, told) = drop(&mut browser, "PK gooe");
    assert!(told.contains("Not verified") && told.contains("E0382"), "{told}");
    for (name, path) in [
        ("subject", person.clone()),
        ("erase", format!("{person}/confirm?do=erase")),
        ("checked-good", good),
        ("checked-bad", bad),
    ] {
        for (theme, width) in [("light", 1_440), ("dark", 390)] {
            browser.look(theme, "", width);
            browser.open(&format!("{base}{path}"));
            let found = browser.violations();
            let file = pictures().join(format!("{name}-{theme}-{width}.png"));
            std::fs::write(&file, browser.picture(None)).unwrap();
            assert_eq!(found, json!([]), "{name} in {theme}, {width} wide: {found:#}");
        }
    }
    quiet(&browser);
}

/// What a number's cell or a chart shows beyond the box around it, in windows that people have.
#[test]
fn needs_chromium_no_number_is_cut_off_and_nothing_runs_out_of_its_card() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    let mut cut = Vec::new();
    for (width, paths) in [
        (1_920, &["/", "/operations", "/cash", "/ledger"][..]),
        (1_400, &["/", "/operations", "/operations?filter=loops", "/cash", "/ledger"]),
        (1_280, &["/", "/operations"]),
        (390, &["/ledger", "/cash"]),
    ] {
        browser.look("light", "", width);
        for path in paths {
            browser.open(&format!("{base}{path}"));
            let out = browser.value(
                "(() => {
                  const out = [];
                  const beyond = (one, box) => box && one.checkVisibility()
                    && one.getBoundingClientRect().right > box.getBoundingClientRect().right + 1;
                  if (innerWidth > 1000) for (const one of document.querySelectorAll('.list td.r, .speeds td.r, .dues td.r'))
                    if (beyond(one, one.closest('.scroll'))) out.push(one.innerText);
                  for (const one of document.querySelectorAll('.chart, .chart .u-wrap, .card-head, .hint'))
                    if (beyond(one, one.closest('.card'))) out.push(one.className);
                  if (beyond(document.querySelector('.fresh'), document.querySelector('main'))) out.push('top');
                  return out;
                })()",
            );
            if width == 1_400 {
                let name = path.trim_matches('/').replace(['?', '='], "-");
                let file = pictures().join(format!("{name}-at-{width}.png"));
                std::fs::write(&file, browser.picture(None)).unwrap();
            }
            if out != json!([]) {
                cut.push(format!("{path} in a window of {width}: {out}"));
            }
        }
    }
    assert!(cut.is_empty(), "{cut:#?}");
    quiet(&browser);
}

#[test]
fn needs_chromium_printed_pages_have_their_figures_and_no_controls() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    // The width of A4 within its margins.
    browser.look("dark", "print", 720);
    for (name, path) in [
        ("overview", "/"),
        ("operations", "/operations"),
        ("cash", "/cash"),
        ("subscription", "/subscriptions/erp-payments"),
        ("dead-letters", "/dead-letters"),
        ("ledger", "/ledger"),
        ("backups", "/backups"),
    ] {
        browser.open(&format!("{base}{path}"));
        let seen = "[...document.querySelectorAll('nav:not(.tabs), .top, .choice, button, select')].filter((one) => one.checkVisibility()).length";
        assert_eq!(browser.value(seen), json!(0), "{name}");
        let light = "getComputedStyle(document.querySelector('.card')).backgroundColor";
        assert_eq!(browser.value(light), json!("rgb(255, 255, 255)"), "{name}: paper is white");
        std::fs::write(pictures().join(format!("{name}-print.png")), browser.picture(None)).unwrap();
    }
}

#[test]
fn needs_chromium_the_browser_proves_a_true_entry_and_no_false_one() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/invoice?id=INV-7"));
    let verify = |browser: &mut Chromium, position: u64| {
        browser.value(&format!("document.getElementById('v{position}').className = 'verdict'"));
        browser
            .until(&format!("!document.querySelector('button.verify[data-position=\"{position}\"]').hidden"));
        browser
            .value(&format!("document.querySelector('button.verify[data-position=\"{position}\"]').click()"));
        browser.until(&format!("document.getElementById('v{position}').className !== 'verdict'"));
        browser
            .value(&format!("document.getElementById('v{position}').innerText"))
            .as_str()
            .unwrap()
            .to_owned()
    };
    for position in 0..5 {
        let told = verify(&mut browser, position);
        assert!(told.contains("Proven under the key that this node offers"), "{told}");
        assert_eq!(told.matches("holds").count(), 5, "{told}");
    }
    // Another ledger's key: everything but the signature holds.
    let other = "document.getElementById('vkey').value = 'other+00000000+AQAA'";
    browser.value(other);
    let told = verify(&mut browser, 1);
    assert!(told.contains("Not proven") && told.contains("fails"), "{told}");
    browser.value("document.getElementById('vkey').value = ''");
    house.tampered.store(true, Ordering::Relaxed);
    let told = verify(&mut browser, 2);
    assert!(told.contains("Not proven: do not rely on this entry."), "{told}");
    assert!(browser.value("document.getElementById('v2').classList.contains('bad')") == json!(true));
    quiet(&browser);
}

#[test]
fn needs_chromium_every_flipped_byte_of_a_proof_is_red() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/invoice?id=INV-7"));
    // Every byte of the entry and every character of the proof file, one at a time, through the page's own module.
    let red = browser.value(
        "(async () => {
          const { check, fromBase64, leafHash, toBase64 } = await import('/assets/proof.js');
          const told = await (await fetch('/proof/3.json')).json();
          const entry = fromBase64(told.entry);
          const shown = toBase64(await leafHash(entry));
          const run = async (entry, file) => (await check({ entry, file, keys: told.keys, shown, position: 3, own: '' }))
            .every((step) => step.state === 'good');
          const missed = [];
          if (!await run(entry, told.proof)) missed.push('true proof');
          for (let at = 0; at < entry.length; at += 1) {
            const other = entry.slice(); other[at] ^= 1;
            if (await run(other, told.proof)) missed.push('entry ' + at);
          }
          for (let at = 0; at < told.proof.length; at += 1) {
            const code = told.proof.charCodeAt(at) ^ 1;
            const other = told.proof.slice(0, at) + String.fromCharCode(code) + told.proof.slice(at + 1);
            if (await run(entry, other)) missed.push('proof ' + at + ' ' + JSON.stringify(told.proof.slice(at - 8, at + 8)));
          }
          if (await run(new Uint8Array(), '')) missed.push('nothing');
          return missed;
        })()",
    );
    assert_eq!(red, json!([]), "{red:#}");
}

#[test]
fn needs_chromium_an_order_goes_from_the_page_to_the_router_and_from_no_other_site() {
    let house = Sample::new(false);
    let base = served(&house);
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/dead-letters/confirm?do=discard&subscription=erp-payments"));
    let orders = || house.deliveries.orders.lock().unwrap().len();
    let send = "document.querySelector('main form button[type=submit]').click()";
    browser.value(send);
    assert_eq!(browser.value("location.pathname"), json!("/dead-letters/confirm"), "a reason is required");
    browser.value("document.getElementById('reason').value = 'they were tests'");
    // Later than the answer to this very call, which the page's end would cut off.
    browser.value(&format!("void setTimeout(() => {send}, 20)"));
    browser.loaded();
    assert_eq!(browser.value("location.pathname"), json!("/dead-letters"));
    assert_eq!(orders(), 1);
    // Another node of this machine is the same site to a browser, but another origin.
    let other = served(&Sample::new(false));
    browser.open(&format!("{other}/subscriptions/erp-payments"));
    browser.complaints.clear();
    let refused = browser.value(&format!(
        "fetch('{base}/jobs/42/cancel', {{ method: 'POST', mode: 'no-cors', credentials: 'include' }}).then(() => 'sent', () => 'not sent')"
    ));
    assert_eq!((refused, orders()), (json!("not sent"), 1), "the page's own policy connects nowhere else");
}

#[test]
fn needs_chromium_charts_are_drawn_where_no_script_runs_and_once_where_one_does() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    let drawn = "document.querySelectorAll('.chart').length + ' ' + document.querySelectorAll('.chart .still path').length
      + ' ' + document.querySelectorAll('.chart canvas').length";
    browser.open(&format!("{base}/operations"));
    assert_eq!(browser.value(drawn), json!("2 0 2"));
    quiet(&browser);
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.call("Page.navigate", json!({ "url": format!("{base}/operations") }));
    browser.loaded();
    std::fs::write(pictures().join("operations-without-scripts.png"), browser.picture(None)).unwrap();
    assert_eq!(browser.value(drawn), json!("2 7 0"));
}

#[test]
fn needs_chromium_keys_move_through_lists_and_pages() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/operations"));
    browser.press("j");
    browser.press("j");
    browser.press("k");
    browser.press("j");
    assert_eq!(browser.value("document.activeElement.innerText"), json!("INV-2026-105210"));
    browser.press("Enter");
    browser.until("location.pathname === '/invoice' && document.readyState === 'complete'");
    browser.press("g");
    browser.press("c");
    browser.until("location.pathname === '/cash' && document.readyState === 'complete'");
    browser.press("/");
    browser.press("I");
    assert_eq!(
        browser.value("document.activeElement.id + ' ' + document.activeElement.value"),
        json!("find I")
    );
    quiet(&browser);
}
