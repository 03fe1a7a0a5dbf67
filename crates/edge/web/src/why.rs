//! What events told of why an invoice is in a list: exceptions, reasons, and what could not be read in an odd event.
//!
//! The read model keeps that something went wrong, and not the words for it: they are read from the recorded events of
//! the rows that are shown, through the port that an invoice's page reads with, so that they are masked alike.
//! Not here: which event is asked (`load/list`), how the words look (`templates/`).

use std::time::Duration;

use waag_model::ids::Position;
use waag_stdx::clock::Clock;

use crate::error::WebError;
use crate::format;
use crate::model::{Row, Telling};
use crate::ports::{Field, House, Recorded, Shown};

/// The name under which the time of an event is asked for, which is no member of its data.
pub(crate) const TIME: &str = "time";
/// How long events are read for one page; each may lie in a frame of megabytes.
pub(crate) const READ_WITHIN: Duration = Duration::from_millis(20);
/// Longest text of one telling, in bytes; the invoice's page has more of it.
const TEXT_BYTES_MAX: usize = 160;
/// Most values of one event.
const TELLINGS_MAX: usize = 4;

/// Puts what events told into rows; gives how many of them were not read for want of time.
///
/// # Errors
/// [`WebError::House`] where the log cannot be read.
pub(crate) fn fill(
    house: &dyn House,
    clock: &dyn Clock,
    within: Duration,
    rows: &mut [Row],
) -> Result<u64, WebError> {
    let until = clock.monotonic().saturating_add(within);
    let mut left = 0u64;
    for row in rows {
        let Some(asks) = &row.asks else { continue };
        if clock.monotonic() > until {
            left = left.saturating_add(1);
            continue;
        }
        let found = house.history(&[Position(asks.position)])?;
        row.told = found.first().map_or_else(Vec::new, |event| told(event, &asks.members));
    }
    Ok(left)
}

/// What an event told under these names.
pub(crate) fn told(event: &Recorded, members: &[&'static str]) -> Vec<Telling> {
    let of = |name: &'static str| {
        let time = event.happened.filter(|_| name == TIME);
        let time = time.map(|at| Telling { name, shown: Shown::Plain(format::absolute(&at)) });
        let is_here = move |field: &&Field| {
            let rest = field.path.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) && tells(&field.shown)
        };
        let told = event.fields.iter().filter(is_here);
        told.map(move |field| Telling { name, shown: cut(&field.shown) }).chain(time)
    };
    members.iter().copied().flat_map(of).take(TELLINGS_MAX).collect()
}

/// Whether a value has words: `exception` may be a mere yes or no.
fn tells(shown: &Shown) -> bool {
    match shown {
        Shown::Plain(text) => !matches!(text.as_str(), "" | "true" | "false" | "null"),
        Shown::Masked(_) | Shown::Erased => true,
    }
}

/// As it was told: a number with its point, and not too much of a text.
fn cut(shown: &Shown) -> Shown {
    match shown {
        Shown::Plain(text) if let Some(number) = format::decimal(text) => Shown::Plain(number),
        Shown::Plain(text) if text.len() > TEXT_BYTES_MAX => {
            let head = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or("");
            Shown::Plain(format!("{head}…"))
        }
        whole @ (Shown::Plain(_) | Shown::Masked(_) | Shown::Erased) => whole.clone(),
    }
}

/// The text with its first letter as a sentence has it.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// A code such as `price_variance` as words; any other text as it is.
pub(crate) fn words(text: &str) -> String {
    let is_code = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_code { text.replace('_', " ") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use waag_ledger::hash::leaf_hash;
    use waag_model::time::UtcNanos;

    use super::*;

    fn event(fields: &[(&str, Shown)]) -> Recorded {
        let field = |(path, shown): &(&str, Shown)| Field { path: (*path).to_owned(), shown: shown.clone() };
        Recorded {
            position: Position(1),
            leaf: leaf_hash(b""),
            kind: String::new(),
            id: None,
            source: None,
            happened: Some(UtcNanos(0)),
            accepted: UtcNanos(0),
            committed: UtcNanos(0),
            actor: None,
            fields: fields.iter().map(field).collect(),
        }
    }

    #[test]
    fn what_is_masked_or_erased_stays_so_and_a_mere_yes_tells_nothing() {
        let plain = |text: &str| Shown::Plain(text.to_owned());
        let event = event(&[
            ("exception", plain("true")),
            ("exception.code", plain("price_variance")),
            ("exceptional", plain("x")),
            ("reason", Shown::Masked("1234".to_owned())),
            ("reason.more", Shown::Erased),
            ("status", plain("mismatch")),
            ("amount", plain("12505e-3")),
        ]);
        assert_eq!(told(&event, &["amount"])[0].shown, plain("12.505"));
        let found: Vec<Shown> =
            told(&event, &["exception", "reason"]).into_iter().map(|telling| telling.shown).collect();
        assert_eq!(found, [plain("price_variance"), Shown::Masked("1234".to_owned()), Shown::Erased]);
        let time = told(&event, &[TIME]);
        assert_eq!(time[0].shown, plain("1970-01-01 00:00:00 UTC"));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters_and_many_are_few() {
        let long = Shown::Plain(format!("{}é", "x".repeat(TEXT_BYTES_MAX - 1)));
        let events = [(); 9].map(|()| ("reason", long.clone()));
        let found = told(&event(&events), &["reason"]);
        assert_eq!(found.len(), TELLINGS_MAX);
        assert_eq!(found[0].shown, Shown::Plain(format!("{}…", "x".repeat(TEXT_BYTES_MAX - 1))));
    }

    #[test]
    fn a_code_reads_as_words_and_other_text_as_it_is() {
        assert_eq!(words("price_variance"), "price variance");
        assert_eq!(words("PO_7 differs"), "PO_7 differs");
    }
}
