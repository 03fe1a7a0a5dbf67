//! Trying a pattern: which of some events match, and where a refused one goes wrong. Pure.

use waag_pattern::{Pattern, PatternError, Reason, RuleId, RuleSet, Scratch};

use crate::format;
use crate::ports::Recent;

/// Longest line of a refused pattern that is shown, in characters on each side of the place.
const LINE_CHARS_MAX: usize = 60;

/// Longest JSON of an event that is shown, in bytes: 200 events stand on a page, and one may be a mebibyte long.
const SHOWN_BYTES_MAX: usize = 16 * 1_024;

/// What came of a pattern.
#[derive(Clone, Debug)]
pub(crate) enum Trial {
    /// Nothing was tried.
    None,
    /// It is no pattern.
    Refused(Refusal),
    /// It is one, and this many of the events match.
    Tried(usize),
}

/// Why a pattern is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) reason: String,
    /// JSON pointer to the place; empty for the whole.
    pub(crate) path: String,
    /// Line and column, where the text is no JSON there, and that line with a mark below the place.
    pub(crate) at: Option<(usize, usize, String)>,
}

/// An event and what the pattern says of it.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    /// None for the reader's own event.
    pub(crate) position: Option<u64>,
    pub(crate) kind: String,
    pub(crate) subject: String,
    /// None without a pattern; otherwise whether it matches, or why that cannot be told.
    pub(crate) verdict: Option<Result<bool, String>>,
    /// Its JSON, set in lines.
    pub(crate) json: String,
}

/// Tries a pattern on events; those that match stand first, otherwise in the order given.
pub(crate) fn try_on(pattern: Option<&str>, events: &[Recent], own: Option<&str>) -> (Trial, Vec<Tried>) {
    let mut rules = RuleSet::new();
    let mut trial = Trial::None;
    if let Some(text) = pattern {
        match Pattern::parse(text.as_bytes()) {
            Ok(pattern) => {
                rules.insert(RuleId(0), &pattern);
                trial = Trial::Tried(0);
            }
            Err(error) => trial = Trial::Refused(refusal(&error, text)),
        }
    }
    let mut scratch = Scratch::new();
    let is_tried = matches!(trial, Trial::Tried(_));
    let mut judged = |position: Option<u64>, json: &str| Tried {
        verdict: is_tried.then(|| {
            let matched = rules.matches(json.as_bytes(), &mut scratch);
            matched.map(|found| !found.is_empty()).map_err(|error| format!("{} ({})", error, error.code()))
        }),
        ..read(position, json)
    };
    let mine = own.map(|json| judged(None, json));
    let mut tried: Vec<Tried> = mine
        .into_iter()
        .chain(events.iter().map(|event| judged(Some(event.position.0), &event.json)))
        .collect();
    let matches = |event: &Tried| matches!(event.verdict, Some(Ok(true)));
    if is_tried {
        trial = Trial::Tried(tried.iter().filter(|event| matches(event)).count());
    }
    tried.sort_by_key(|event| (event.position.is_some(), !matches(event)));
    (trial, tried)
}

fn read(position: Option<u64>, json: &str) -> Tried {
    let value: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str).unwrap_or("").to_owned();
    Tried { position, kind: text("type"), subject: text("subject"), verdict: None, json: beginning(json) }
}

/// JSON in lines; of a long one, its beginning.
fn beginning(json: &str) -> String {
    if json.len() <= SHOWN_BYTES_MAX {
        return format::json_in_lines(json);
    }
    let end = (0..=SHOWN_BYTES_MAX).rev().find(|at| json.is_char_boundary(*at)).unwrap_or(0);
    let shown = format::json_in_lines(json.get(..end).unwrap_or(""));
    format!(
        "{shown}\n… (the first {} of {} bytes)",
        format::count(end as u64),
        format::count(json.len() as u64)
    )
}

pub(crate) fn refusal(error: &PatternError, text: &str) -> Refusal {
    let at = if let Reason::NotJson { offset, .. } = error.reason { Some(place(text, offset)) } else { None };
    Refusal { code: error.code(), reason: error.reason.to_string(), path: error.path.clone(), at }
}

/// Line and column of a byte, from 1, and the line with a mark below it.
fn place(text: &str, offset: usize) -> (usize, usize, String) {
    let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (before, behind) = text.split_at_checked(offset).unwrap_or((text, ""));
    let line = before.matches('\n').count().saturating_add(1);
    let start = before.rsplit('\n').next().unwrap_or("");
    let column = start.chars().count().saturating_add(1);
    let cut: String = start.chars().skip(column.saturating_sub(LINE_CHARS_MAX)).collect();
    let rest: String = behind.chars().take_while(|c| *c != '\n').take(LINE_CHARS_MAX).collect();
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = cut.chars().chain(rest.chars()).map(plain).collect();
    let mark = " ".repeat(cut.chars().count());
    (line, column, format!("{shown}\n{mark}^"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use waag_model::ids::Position;

    fn events() -> Vec<Recent> {
        let event = |position, kind: &str| Recent {
            position: Position(position),
            json: format!(r#"{{"type":"{kind}","subject":"S-{position}","data":{{"total":1.10}}}}"#),
        };
        vec![event(9, "a.x"), event(8, "b.x"), event(7, "a.y")]
    }

    #[test]
    fn what_matches_stands_first_and_is_counted() {
        let (trial, tried) = try_on(Some(r#"{"type":["b.x"]}"#), &events(), Some("[]"));
        assert!(matches!(trial, Trial::Tried(1)));
        let seen: Vec<_> = tried.iter().map(|event| event.position).collect();
        assert_eq!(seen, [None, Some(8), Some(9), Some(7)], "the reader's own, the matching, the others");
        assert!(matches!(&tried[0].verdict, Some(Err(why)) if why.contains("E1106")), "{:?}", tried[0]);
        assert_eq!((tried[1].kind.as_str(), tried[1].subject.as_str()), ("b.x", "S-8"));
        let (trial, tried) = try_on(None, &events(), None);
        assert!(matches!(trial, Trial::None) && tried.iter().all(|event| event.verdict.is_none()));
    }

    #[test]
    fn a_long_event_is_tried_whole_and_shown_in_part() {
        let long = |length: usize| format!(r#"{{"a":"{}","type":"x"}}"#, "é".repeat(length));
        let own = long(SHOWN_BYTES_MAX);
        let (trial, tried) = try_on(Some(r#"{"type":["x"]}"#), &[], Some(&own));
        assert!(matches!(trial, Trial::Tried(1)), "what is not shown is matched all the same");
        assert!(
            tried[0].json.len() < SHOWN_BYTES_MAX + 100
                && tried[0].json.ends_with(&format!("{} bytes)", format::count(own.len() as u64)))
        );
        assert!(!try_on(None, &[], Some(&long(100))).1[0].json.contains('…'));
    }

    #[test]
    fn a_refused_pattern_says_where() {
        let text = "{\n  \"é\": [x]\n}";
        let (Trial::Refused(told), _) = try_on(Some(text), &[], None) else { panic!("it is no JSON") };
        assert_eq!(told.at, Some((2, 9, "  \"é\": [x]\n        ^".to_owned())));
        let (Trial::Refused(told), _) = try_on(Some(r#"{"data":{"n":[{"no":1}]}}"#), &[], None) else {
            panic!("`no` is no operator")
        };
        assert!(told.at.is_none() && told.path.starts_with("/data/n"), "{told:?}");
        let long = format!("{{\"{}", "x".repeat(5_000));
        let (Trial::Refused(told), _) = try_on(Some(&long), &[], None) else { panic!("it ends too early") };
        assert!(told.at.unwrap().2.len() < 4 * LINE_CHARS_MAX);
    }
}
