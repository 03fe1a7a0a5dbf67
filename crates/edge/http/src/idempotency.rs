//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a repeated request gets the first answer.
//!
//! Answers are kept in memory for a day, bounded in number and bytes. What a restart or the bounds forget is found again
//! in the ledger: an event's identity is its `source` and `id`, and formats without an id make theirs from the key. A job
//! about deliveries is found in the list of jobs: its key is forgotten with its answer.
//! Not here: that identity (`flow/engine`, the identity index).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use hyper::HeaderMap;
use waag_model::ids::{Actor, TenantName};
use waag_model::time::UtcNanos;

use crate::events::ATTRIBUTE_PREFIX;
use crate::fault::{Fault, Kind};
use crate::mapping::Mapping;
use crate::problem::Answer;

/// How long an answer is kept, in nanoseconds: a day.
const KEPT_NS: i64 = 86_400 * 1_000_000_000;
/// Most keys that are remembered.
const KEYS_MAX: usize = 65_536;
/// Most bytes of answers that are remembered.
const BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// Longest key.
const KEY_BYTES_MAX: usize = 200;

/// The key of a request: a structured field's String (RFC 8941 §3.3.3), whose characters are those that can be seen and the
/// space.
///
/// # Errors
/// [`Kind::IdempotencyForm`], [`Kind::IdempotencyLength`].
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bad = || Fault::of(Kind::IdempotencyForm);
    if values.next().is_some() {
        return Err(bad());
    }
    let text = value.to_str().map_err(|_| bad())?.trim_ascii();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(bad)?;
    let mut key = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => key.push(chars.next().filter(|next| matches!(next, '"' | '\\')).ok_or_else(bad)?),
            // A tab passes as a header's text, and would be in the ids that are made from the key.
            ' '..='~' if char != '"' => key.push(char),
            _ => return Err(bad()),
        }
    }
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Fault::of(Kind::IdempotencyLength(KEY_BYTES_MAX)));
    }
    Ok(Some(key))
}

/// What a request is, so that another under the same key is recognised.
///
/// Headers that are a part of it count: in binary mode an event's id, type and source are there and not in the body. A
/// content encoding does not: there is none but `identity` (`body`), which says nothing. What a mapping makes of a body is
/// another request under another mapping: two API keys of one holder may have two.
pub(crate) fn fingerprint(
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
    mapping: Option<&Mapping>,
) -> [u8; 32] {
    let counts = |name: &str| name == "content-type" || name.starts_with(ATTRIBUTE_PREFIX);
    let told = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut told: Vec<(&str, &[u8])> = told.filter(|(name, _)| counts(name)).collect();
    // The order of headers of different names means nothing (RFC 9110 §5.3); that of the same name is kept.
    told.sort_by_key(|(name, _)| *name);
    let mut context = Context::new(&SHA256);
    let mut field = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    field(path.as_bytes());
    field(body);
    // A mapping's maps are sorted, and none has no bytes.
    let mapping = mapping.map(|mapping| serde_json::to_vec(mapping).unwrap_or_default());
    field(&mapping.unwrap_or_default());
    for (name, value) in told {
        field(name.as_bytes());
        field(value);
    }
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// Under which name an answer is remembered: no other tenant, actor or key has the same, whatever characters they are of.
pub(crate) fn scope(tenant: &TenantName, actor: &Actor, key: &str) -> String {
    let actor = actor.as_str();
    format!("{tenant}/{}/{actor}/{key}", actor.len())
}

/// A request under a key: what was answered to it before, or that it begins.
pub(crate) enum Begun {
    /// The answer of the same request before.
    Before(Answer),
    /// It begins.
    Now(Ending),
}

/// Keeps or forgets an idempotent request's answer when the request ends, however it ends.
pub(crate) struct Ending {
    pub(crate) answers: Arc<Answers>,
    pub(crate) name: String,
    pub(crate) answer: Option<Answer>,
}

impl Ending {
    /// This answer is kept, without what it counted: a repeated one records nothing.
    pub(crate) fn keep(&mut self, answer: &Answer) {
        self.answer = Some(Answer { counts: [0; 3], ..answer.clone() });
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.answers.end(&self.name, self.answer.as_ref());
    }
}

struct Entry {
    fingerprint: [u8; 32],
    since: UtcNanos,
    /// None while the request is under way.
    answer: Option<Answer>,
}

/// The answers that are remembered.
#[derive(Default)]
pub(crate) struct Answers(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    entries: HashMap<String, Entry>,
    order: VecDeque<(String, UtcNanos)>,
    bytes: usize,
}

impl Answers {
    /// Begins a request, or gives the answer of the one before; the name is that of its [`scope`].
    ///
    /// # Errors
    /// [`Kind::IdempotencyUnderWay`], [`Kind::IdempotencyReused`].
    pub(crate) fn begin(
        &self,
        name: &str,
        fingerprint: [u8; 32],
        now: UtcNanos,
    ) -> Result<Option<Answer>, Fault> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.forget(now);
        if let Some(known) = inner.entries.get(name) {
            if known.fingerprint != fingerprint {
                return Err(Fault::of(Kind::IdempotencyReused));
            }
            return match &known.answer {
                Some(answer) => Ok(Some(answer.clone())),
                None => Err(Fault::of(Kind::IdempotencyUnderWay)),
            };
        }
        inner.entries.insert(name.to_owned(), Entry { fingerprint, since: now, answer: None });
        inner.order.push_back((name.to_owned(), now));
        Ok(None)
    }

    /// Keeps a request's answer; one that a retry may better (429, 5xx) is forgotten with its key.
    pub(crate) fn end(&self, name: &str, answer: Option<&Answer>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer.filter(|answer| !answer.status.is_server_error() && answer.status.as_u16() != 429) {
            None => drop(inner.entries.remove(name)),
            Some(answer) => {
                if let Some(entry) = inner.entries.get_mut(name) {
                    entry.answer = Some(answer.clone());
                    inner.bytes += answer.body.len();
                }
            }
        }
    }
}

impl Inner {
    fn forget(&mut self, now: UtcNanos) {
        while let Some((_, since)) = self.order.front() {
            let is_old = now.0.saturating_sub(since.0) > KEPT_NS;
            if !is_old && self.order.len() < KEYS_MAX && self.bytes <= BYTES_MAX {
                return;
            }
            let Some((name, since)) = self.order.pop_front() else { return };
            if self.entries.get(&name).is_some_and(|entry| entry.since == since)
                && let Some(entry) = self.entries.remove(&name)
            {
                let bytes = entry.answer.map_or(0, |answer| answer.body.len());
                self.bytes = self.bytes.saturating_sub(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    fn key(value: &str) -> Result<Option<String>, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", value.parse().unwrap());
        key_of(&headers)
    }

    #[test]
    fn a_key_is_a_quoted_string() {
        assert_eq!(key_of(&HeaderMap::new()).unwrap(), None);
        assert_eq!(key(r#""a\"b\\""#).unwrap().unwrap(), r#"a"b\"#);
        for bad in ["abc", "", "\"", "\"a", r#""a"b""#, r#""a\x""#, "\"a\tb\"", "\"\t\"", "\"a\\\tb\""] {
            assert_eq!(key(bad).unwrap_err().kind, Kind::IdempotencyForm, "{bad}");
        }
        for bad in ["\"\"", &format!("\"{}\"", "x".repeat(201))] {
            assert_eq!(key(bad).unwrap_err().kind, Kind::IdempotencyLength(200), "{bad}");
        }
        assert!(key(&format!("\"{}\"", "x".repeat(200))).is_ok());
        let all: String = (' '..='~').filter(|char| !matches!(char, '"' | '\\')).collect();
        assert_eq!(key(&format!("\"{all}\"")).unwrap().unwrap(), all);
    }

    #[test]
    fn no_two_holders_and_keys_share_a_name() {
        let tenant = TenantName::new("bank").unwrap();
        let name = |actor: &str, key: &str| scope(&tenant, &Actor::new(actor).unwrap(), key);
        assert_ne!(name("a/b", "k"), name("a", "b/k"));
        assert_ne!(name("a/1/b", "k"), name("a", "1/b/k"));
        assert_ne!(name("1/a", "k"), name("1", "a/k"));
        assert_eq!(name("a/b", "k"), name("a/b", "k"));
    }

    #[test]
    fn every_header_that_is_a_part_of_a_request_counts_in_whatever_order() {
        let print = |pairs: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name.parse::<hyper::header::HeaderName>().unwrap(), value.parse().unwrap());
            }
            fingerprint("/v1/events", &headers, b"{}", None)
        };
        let first = [("content-type", "application/json"), ("ce-id", "1"), ("ce-type", "t")];
        let turned =
            [("ce-type", "t"), ("user-agent", "x"), ("ce-id", "1"), ("content-type", "application/json")];
        assert_eq!(print(&first), print(&turned));
        for other in [
            [("content-type", "application/json"), ("ce-id", "2"), ("ce-type", "t")],
            [("content-type", "text/plain"), ("ce-id", "1"), ("ce-type", "t")],
            [("content-type", "application/json"), ("ce-id", "1"), ("ce-type", "u")],
            [("content-type", "application/json"), ("ce-id", "1t"), ("ce-type", "")],
            [("content-type", "application/json"), ("ce-id", "1"), ("ce-subject", "t")],
        ] {
            assert_ne!(print(&first), print(&other), "{other:?}");
        }
        assert_ne!(print(&first), print(&first[..2]));
        // The only encoding that gets here says what its absence says.
        let encoded: Vec<_> = first.into_iter().chain([("content-encoding", "identity")]).collect();
        assert_eq!(print(&first), print(&encoded));
    }

    #[test]
    fn the_same_body_under_another_mapping_is_another_request() {
        let mapping = |text: &str| Mapping::read(text.as_bytes()).unwrap();
        let print = |mapping: Option<&Mapping>| fingerprint("/", &HeaderMap::new(), b"{}", mapping);
        let first = mapping(r#"{"fields":{"id":"/a","amount":"/b"}}"#);
        let same = mapping(r#"{"fields":{"amount":"/b","id":"/a"},"constants":{}}"#);
        let other = mapping(r#"{"fields":{"id":"/a","amount":"/c"}}"#);
        assert_eq!(print(Some(&first)), print(Some(&same)));
        assert_ne!(print(Some(&first)), print(Some(&other)));
        assert_ne!(print(Some(&first)), print(None));
    }

    #[test]
    fn a_repeated_request_gets_the_first_answer_until_it_is_forgotten() {
        let (answers, now) = (Answers::default(), UtcNanos(0));
        assert!(answers.begin("k", [1; 32], now).unwrap().is_none());
        assert_eq!(answers.begin("k", [1; 32], now).unwrap_err().kind, Kind::IdempotencyUnderWay);
        assert_eq!(answers.begin("k", [2; 32], now).unwrap_err().kind, Kind::IdempotencyReused);
        answers.end("k", Some(&Answer::json(StatusCode::OK, b"{}".to_vec())));
        assert_eq!(answers.begin("k", [1; 32], now).unwrap().unwrap().body.as_ref(), b"{}");
        assert_eq!(answers.begin("k", [2; 32], now).unwrap_err().kind, Kind::IdempotencyReused);
        assert!(answers.begin("k", [2; 32], UtcNanos(KEPT_NS + 1)).unwrap().is_none());
        answers.end("k", Some(&Answer::json(StatusCode::SERVICE_UNAVAILABLE, Vec::new())));
        assert!(answers.begin("k", [3; 32], UtcNanos(KEPT_NS + 1)).unwrap().is_none());
    }
}
