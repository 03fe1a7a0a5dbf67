//! The columns of lists in Chromium: each has its room, whatever is told.

use serde_json::json;
use waag_chromium::Chromium;

use crate::browser::{pictures, quiet, served};
use crate::support::Sample;

/// Lists of invoices and events, in windows that people have, with ids and names of any length.
#[test]
fn needs_chromium_no_column_of_a_list_lies_over_another_or_runs_out_of_sight() {
    let base = served(&Sample::new(false));
    let mut browser = Chromium::start();
    for width in [1_440, 1_280] {
        for path in [
            "/operations",
            "/operations?filter=loops",
            "/operations?filter=duplicates",
            "/operations?filter=odd",
            "/invoice?id=INV-2026",
        ] {
            for is_long in [false, true] {
                browser.look("light", "", width);
                browser.open(&format!("{base}{path}"));
                if is_long {
                    browser.value(
                        "for (const one of document.querySelectorAll('.wide a.id')) { one.className = 'id'; one.innerText = 'INV'.repeat(16); }
                         for (const one of document.querySelectorAll('.wide .why')) one.innerText = 'because '.repeat(20);
                         for (const one of document.querySelectorAll('.wide td.name')) one.innerText = 'Vereinigte Stahl'.repeat(6);",
                    );
                }
                let wrong = browser.value(
                    "(() => {
                      const list = document.querySelector('.wide'), box = list.closest('.scroll'), wrong = [];
                      if (box.scrollWidth > box.clientWidth) wrong.push(`scrolls by ${box.scrollWidth - box.clientWidth}`);
                      const range = document.createRange();
                      for (const row of list.querySelectorAll('tr')) {
                        const cells = [...row.children].map((cell) => {
                          range.selectNodeContents(cell);
                          return [cell, range.getBoundingClientRect(), cell.getBoundingClientRect()];
                        });
                        for (const [cell, text, place] of cells)
                          if (text.right > place.right + 1 || text.left < place.left - 1) wrong.push(cell.innerText);
                        for (let at = 1; at < cells.length; at++)
                          if (cells[at - 1][1].right > cells[at][2].left + 1) wrong.push(`over: ${cells[at][0].innerText}`);
                      }
                      return wrong.slice(0, 5);
                    })()",
                );
                assert_eq!(wrong, json!([]), "{path} in a window of {width}, long: {is_long}");
                let name = path.trim_matches('/').replace(['?', '=', '/'], "-");
                let long = if is_long { "-long" } else { "" };
                let file = pictures().join(format!("list-{name}{long}-{width}.png"));
                std::fs::write(&file, browser.picture(Some(900.0))).unwrap();
            }
        }
    }
    quiet(&browser);
}
