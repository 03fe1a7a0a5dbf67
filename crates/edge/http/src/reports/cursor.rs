//! Where a page ended, as a text that means nothing to who gets it: the next page is asked for with it.
//!
//! It names what it is a cursor of, so that one of another list, or of another invoice's events, is refused and not taken
//! for a place in this one. It is not signed: a made-up one begins a page somewhere, and reads nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use waag_invoices::lists::After;

/// The text of a place in what is named.
pub(crate) fn text(of: &str, place: &After) -> String {
    let told = serde_json::to_vec(&(of, place.order, place.class, &place.id));
    URL_SAFE_NO_PAD.encode(told.unwrap_or_default())
}

/// The place that a text names; none where it is no cursor of this.
pub(crate) fn read(of: &str, text: &str) -> Option<After> {
    let told = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (whose, order, class, id): (String, i64, i64, String) = serde_json::from_slice(&told).ok()?;
    (whose == of).then_some(After { order, class, id })
}
