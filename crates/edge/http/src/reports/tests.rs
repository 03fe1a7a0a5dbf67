//! What is asked, and cursors.

use waag_invoices::lists::After;
use waag_invoices::named::List;

use super::asked::{Asked, LINES_DEFAULT};
use super::cursor;
use crate::routes::Report;

#[test]
fn a_cursor_is_of_what_it_was_made_of_and_any_other_text_is_none() {
    let place = After { order: i64::MIN, class: i64::MAX, id: "é\"\\/\u{0}~".to_owned() };
    let text = cursor::text("stuck", &place);
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
    assert_eq!(cursor::read("stuck", &text), Some(place));
    assert_eq!(cursor::read("open", &text), None);
    for at in 0..text.len() {
        assert_eq!(cursor::read("stuck", text.get(..at).unwrap()), None, "{at}");
    }
    for bad in ["", "=", "W10", "bnVsbA", "WyJzdHVjayIsMSwxLCJhIiwxXQ"] {
        assert_eq!(cursor::read("stuck", bad), None, "{bad}");
    }
}

#[test]
fn what_is_not_asked_has_its_default() {
    let asked = Asked::of(Report::List, "/v1/invoices", "").unwrap();
    let Asked::List { list, narrow, after, most } = asked else { panic!("{asked:?}") };
    assert_eq!((list, narrow, after, most), (List::Open, Default::default(), None, LINES_DEFAULT));
    assert_eq!(Asked::of(Report::Figures, "", "&&").unwrap(), Asked::Figures { days: 30, until: None });
    let asked = Asked::of(Report::Invoice, "/v1/invoices/a%20b+", "limit=7").unwrap();
    assert_eq!(asked, Asked::Invoice { id: "a b+".to_owned(), gone: 0, most: 7 });
}
