//! What is in sight in windows that people have, and on paper: no figure is cut, lines are told apart without colour,
//! and each landmark has a name of its own.

use serde_json::json;
use waag_chromium::Chromium;

use crate::browser::{pictures, quiet, served};
use crate::support::Sample;

#[test]
fn needs_chromium_a_verdict_stays_within_its_box() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    for width in [1_440, 1_024, 390] {
        browser.look("light", "", width);
        browser.open(&format!("{base}/invoice?id=INV-7"));
        browser.until("document.querySelector('.verify') && !document.querySelector('.verify').hidden");
        // The key that the node offers is named whole, and nothing in it breaks by itself.
        browser
            .value("void import('/assets/verify.js').then(() => document.querySelector('.verify').click())");
        browser.until("document.querySelector('.verdict li') !== null");
        let out = browser.value(
            "[...document.querySelectorAll('.verdict *')].filter((one) => one.getBoundingClientRect().right
               > one.closest('.verdict').getBoundingClientRect().right).map((one) => one.textContent)",
        );
        std::fs::write(pictures().join(format!("verdict-{width}.png")), browser.picture(None)).unwrap();
        assert_eq!((out, browser.overflow()), (json!([]), json!(0)), "in a window of {width}");
    }
    quiet(&browser);
}

/// What of amounts is cut by the box that scrolls or hides around them.
const CUT: &str = "(() => {
  const cut = [], range = document.createRange();
  for (const one of document.querySelectorAll('.money, .list td.r, .dues td.r, .values > *')) {
    if (one.closest('.regions')) continue;
    range.selectNodeContents(one);
    const text = range.getBoundingClientRect();
    for (let box = one; box && box.id !== 'main'; box = box.parentElement) {
      if (!one.checkVisibility() || getComputedStyle(box).overflowX === 'visible') continue;
      const place = box.getBoundingClientRect();
      if (text.right > place.right + 1 || text.left < place.left - 1) cut.push(one.innerText);
    }
  }
  return cut.slice(0, 5);
})()";

#[test]
fn needs_chromium_no_amount_is_cut_in_any_window() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    let mut wrong = Vec::new();
    for width in [1_280, 1_200, 1_024, 768, 390] {
        for path in ["/", "/cash", "/operations", "/operations?filter=odd", "/invoice?id=INV-2026"] {
            // The list of eight on the overview scrolls on a phone, and shows that it does.
            if (width, path) == (390, "/") {
                continue;
            }
            browser.look("light", "", width);
            browser.open(&format!("{base}{path}"));
            let cut = browser.value(CUT);
            let name = path.trim_matches('/').replace(['?', '=', '/'], "-");
            let file = pictures().join(format!("whole-{name}-{width}.png"));
            std::fs::write(file, browser.picture(Some(2_000.0))).unwrap();
            if cut != json!([]) || browser.overflow() != json!(0) {
                wrong.push(format!("{path} at {width}: {cut}, wider by {}", browser.overflow()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Where a table goes on, its side lies in shadow and moves with what is shown.
    let shadow = "getComputedStyle(document.querySelector('.scroll')).backgroundAttachment";
    assert_eq!(browser.value(shadow), json!("local, local, scroll, scroll"));
}

#[test]
fn needs_chromium_further_currencies_open_by_keyboard_and_stand_on_paper() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/"));
    let seen = "[...document.querySelectorAll('.tile li')].filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length";
    assert_eq!(browser.value(seen), json!(0));
    browser.value("document.querySelector('.tile summary').focus()");
    browser.press("Enter");
    assert_eq!(browser.value(seen), json!(2));
    assert_eq!(
        browser.value("document.querySelector('.tile details').innerText.includes('JPY')"),
        json!(true)
    );
    browser.look("light", "print", 720);
    let height =
        "Math.min(...[...document.querySelectorAll('.tile details')].map((one) => one.offsetHeight)) > 20";
    assert_eq!(browser.value(height), json!(true), "all of them are printed");
    quiet(&browser);
}

#[test]
fn needs_chromium_lines_of_charts_are_told_apart_without_colour() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/operations"));
    let marks = "(() => { const marks = [...document.querySelectorAll('#trend .u-series:not(:first-child) .u-marker')]
      .map((one) => getComputedStyle(one).backgroundImage.replace(/rgba?\\([^)]*\\)/g, 'colour')).filter((one) => one);
      return [marks.length, new Set(marks).size]; })()";
    assert_eq!(browser.value(marks), json!([4, 4]));
    browser.look("light", "print", 720);
    let printed = "(() => { const seen = (one) => one.checkVisibility(), all = (of) => [...document.querySelectorAll(of)];
      return [all('#trend .u-marker').filter(seen).length, all('#trend .u-value').filter(seen).length,
        all('.key, .u-marker').every((one) => getComputedStyle(one).printColorAdjust === 'exact')]; })()";
    assert_eq!(browser.value(printed), json!([4, 0, true]));
    quiet(&browser);
    browser.look("light", "", 1_440);
    browser.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.call("Page.navigate", json!({ "url": format!("{base}/operations") }));
    browser.loaded();
    let still = marks.replace(".u-series:not(:first-child) .u-marker", ".still .key");
    assert_eq!(browser.value(&still), json!([4, 4]));
}

#[test]
fn needs_chromium_a_printed_list_begins_on_the_sheet_of_its_heading_and_names_itself() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/operations?region=eu-west-1"));
    let seen = "[...document.querySelectorAll('.printed')].filter((one) => one.checkVisibility()).map((one) => one.innerText)";
    assert_eq!(browser.value(seen), json!([]), "the choices themselves stand on the screen");
    browser.look("light", "print", 720);
    let said = browser.value(seen).to_string();
    assert!(
        said.contains("Only region eu-west-1.") && said.contains("What happened: last 24 hours"),
        "{said}"
    );
    let broken =
        "[...document.querySelectorAll('.card')].filter((one) => getComputedStyle(one).breakInside !== 'auto'
      && one.offsetHeight > 400).length";
    assert_eq!(browser.value(broken), json!(0), "a long card goes over sheets");
    let paper = browser.call("Page.printToPDF", json!({ "paperWidth": 8.27, "paperHeight": 11.69 }));
    let file = paper["data"].as_str().unwrap().to_owned();
    std::fs::write(pictures().join("operations.pdf.base64"), file).unwrap();
}

#[test]
fn needs_chromium_each_landmark_has_its_own_name_and_all_text_lies_in_one() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    for path in [
        "/",
        "/operations",
        "/cash",
        "/invoice?id=INV-7",
        "/event/3",
        "/subscriptions",
        "/subscriptions/erp-payments",
        "/dead-letters",
        "/replay",
        "/patterns",
        "/ledger",
        "/evidence",
        "/subjects",
        "/backups",
        "/help",
    ] {
        browser.open(&format!("{base}{path}"));
        browser.violations();
        let found = browser.value(
            "axe.run(document, { runOnly: ['region', 'landmark-unique', 'landmark-no-duplicate-banner',
               'landmark-one-main', 'landmark-banner-is-top-level', 'landmark-main-is-top-level'] })
             .then((all) => all.violations.map((one) => one.id + ': ' + one.nodes.map((node) => node.html.slice(0, 160)).join(' | ')))",
        );
        assert_eq!(found, json!([]), "{path}: {found:#}");
    }
    quiet(&browser);
}

#[test]
fn needs_chromium_a_key_verifies_the_newest_event_where_none_is_chosen() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    browser.open(&format!("{base}/invoice?id=INV-7"));
    browser.until("!document.querySelector('button.verify').hidden");
    browser.press("v");
    browser.until("document.querySelector('.verdict li') !== null");
    let told = "[...document.querySelectorAll('.verdict:not(:empty)')].map((one) => one.id)";
    assert_eq!(browser.value(told), json!(["v4"]));
    browser.press("k");
    browser.press("v");
    browser.until("document.querySelector('#v3 li') !== null");
    assert_eq!(browser.value(told), json!(["v3", "v4"]));
    quiet(&browser);
}
