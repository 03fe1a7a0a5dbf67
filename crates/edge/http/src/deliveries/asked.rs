//! What is asked about deliveries: bodies and queries, read strictly, so that nothing in them is ignored.
//!
//! Not here: what a subscription may be (`flow/router`, `spec`), which is read from the very text that was sent; the
//! reader of queries (`query`, `ASK-2`).
//!
//! - `ASK-1`: a body is one JSON object of known members, each once; an array in the place of an object is refused, which
//!   serde alone would take for the object's members in order.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use waag_router::ports::Secret;
use waag_router::shown::{
    Filter, LETTERS_MAX, LeaseAnswer, PULL_MAX, PULL_WAIT_MS_MAX, RATE_DEFAULT, RATE_MAX, ReplayAsked,
};
use waag_router::spec::{Change, DELAY_MS_MAX, Spec, is_name};
use zeroize::Zeroizing;

use super::below;
use crate::fault::{Fault, Kind};
use crate::query::Parameters;

/// Largest body about deliveries: an event and a pattern to be tried, or as many answers as there may be.
pub(crate) const BODY_BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// Most answers to leases in a request.
pub(crate) const ANSWERS_MAX: usize = 1_000;
/// Longest reason, in characters.
pub(crate) const REASON_CHARS_MAX: usize = 500;
/// Longest secret, in characters.
pub(crate) const SECRET_CHARS_MAX: usize = 512;
/// Longest name of a lease, in characters.
pub(crate) const LEASE_CHARS_MAX: usize = 200;
/// Longest beginning of an event's type, in characters.
pub(crate) const KIND_CHARS_MAX: usize = 255;
/// Entries of a page where no other number is asked for, and most subscriptions of one.
pub(crate) const PAGE_MAX: usize = 100;
/// Events of a pull where no other number is asked for.
pub(crate) const PULL_DEFAULT: usize = 100;
/// What failures are by what follows from them.
pub(crate) const CLASSES: [&str; 4] = ["transient", "throttled", "terminal", "gone"];

/// A JSON object, and no array (`ASK-1`).
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    let Object(read) =
        serde_json::from_slice(body).map_err(|error| Fault::of(Kind::Asked(error.to_string())))?;
    Ok(read)
}

fn wrong(place: &str, what: impl Into<String>) -> Fault {
    Fault::of(Kind::Asked(what.into())).at(place)
}

fn has_chars(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().count() <= most
}

/// Whether a text tells anything, within the length of a reason.
fn is_reason(text: &str) -> bool {
    has_chars(text, REASON_CHARS_MAX) && text.chars().any(|c| !c.is_whitespace() && !c.is_control())
}

fn reason_of(text: String) -> Result<String, Fault> {
    let is_fine = is_reason(&text);
    is_fine
        .then_some(text)
        .ok_or_else(|| wrong("/reason", "`reason` has 1 to 500 characters, and tells something"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New<'a> {
    #[serde(borrow)]
    subscription: &'a RawValue,
    #[serde(borrow, default)]
    secret: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed<'a> {
    #[serde(borrow)]
    subscription: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotated<'a> {
    #[serde(borrow, default)]
    secret: Option<&'a RawValue>,
}

/// A subscription to be made, and the secret of its target where there is one.
pub(crate) fn subscription(body: &[u8]) -> Result<(Spec, Option<Secret>), Fault> {
    let New { subscription, secret } = read(body)?;
    Ok((spec(subscription)?, secret.map(secret_of).transpose()?))
}

/// A subscription in place of the one of this name.
pub(crate) fn change(body: &[u8], name: &str) -> Result<Change, Fault> {
    let Changed { subscription } = read(body)?;
    if spec(subscription)?.name != name {
        return Err(wrong("/subscription/name", "`name` is that of the path"));
    }
    Change::read(subscription.get().as_bytes()).map_err(|error| below("/subscription")(error.into()))
}

/// The secret to sign with from now on; none where one is to be made.
pub(crate) fn secret(body: &[u8]) -> Result<Option<Secret>, Fault> {
    let Rotated { secret } = read(body)?;
    secret.map(secret_of).transpose()
}

/// Read apart from the rest of its body, so that no words about it quote it.
fn secret_of(text: &RawValue) -> Result<Secret, Fault> {
    let secret = serde_json::from_str::<String>(text.get()).map(Zeroizing::new);
    let secret = secret.ok().filter(|secret| has_chars(secret, SECRET_CHARS_MAX));
    secret.map(Secret).ok_or_else(|| wrong("/secret", "`secret` is a string of 1 to 512 characters"))
}

fn spec(text: &RawValue) -> Result<Spec, Fault> {
    let spec = Spec::read(text.get().as_bytes()).map_err(|error| below("/subscription")(error.into()))?;
    if let Some(place) = ignored(text.get(), &spec.to_json()) {
        return Err(wrong(&format!("/subscription{place}"), "this is not read"));
    }
    Ok(spec)
}

/// The place of something in the text of a subscription that did not come into what was read of it.
fn ignored(asked: &str, written: &str) -> Option<String> {
    let members = |text| serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok();
    let Some((asked, written)) = members(asked).zip(members(written)) else { return Some(String::new()) };
    let value = |of: &BTreeMap<String, &RawValue>, name: &str| {
        of.get(name).and_then(|text| serde_json::from_str::<Value>(text.get()).ok())
    };
    ["target", "retry", "start"].into_iter().find_map(|name| {
        let asked = value(&asked, name)?;
        lost(&asked, &value(&written, name).unwrap_or_default()).map(|place| format!("/{name}{place}"))
    })
}

fn lost(asked: &Value, written: &Value) -> Option<String> {
    match (asked, written) {
        (Value::Object(asked), Value::Object(written)) => asked.iter().find_map(|(name, value)| {
            let place = written.get(name).map_or_else(|| Some(String::new()), |written| lost(value, written));
            place.map(|place| format!("/{name}{place}"))
        }),
        (Value::Object(_) | Value::Array(_), _) | (_, Value::Object(_) | Value::Array(_)) => {
            Some(String::new())
        }
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    reason: String,
}

/// Why a subscription is paused.
pub(crate) fn pause(body: &[u8]) -> Result<String, Fault> {
    reason_of(read::<Reason>(body)?.reason)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answers {
    answers: Vec<Object<LeaseAnswer>>,
}

/// Answers to leases.
pub(crate) fn answers(body: &[u8]) -> Result<Vec<LeaseAnswer>, Fault> {
    let Answers { answers } = read(body)?;
    if answers.is_empty() || answers.len() > ANSWERS_MAX {
        return Err(wrong("/answers", "there are 1 to 1,000 `answers`"));
    }
    let answers: Vec<_> = answers.into_iter().map(|Object(answer)| answer).collect();
    for (number, answer) in answers.iter().enumerate() {
        let at = |name: &str| format!("/answers/{number}/{name}");
        if !has_chars(answer.lease(), LEASE_CHARS_MAX) {
            return Err(wrong(&at("lease"), "`lease` has 1 to 200 characters"));
        }
        let LeaseAnswer::Reject { retry_after_ms, reason, .. } = answer else { continue };
        if reason.chars().count() > REASON_CHARS_MAX {
            return Err(wrong(&at("reason"), "`reason` has at most 500 characters"));
        }
        if retry_after_ms.is_some_and(|ms| ms > DELAY_MS_MAX) {
            return Err(wrong(&at("retry_after_ms"), "`retry_after_ms` is at most 86,400,000 (a day)"));
        }
    }
    Ok(answers)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    filter: Object<Filter>,
    #[serde(default)]
    rate: Option<u32>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// What is to be done to dead letters.
#[derive(Debug)]
pub(crate) struct LettersJob {
    pub(crate) filter: Filter,
    pub(crate) rate: u32,
    pub(crate) reason: String,
    pub(crate) dry_run: bool,
}

/// Dead letters to be redriven, or to be discarded, which takes a reason and knows no rate.
pub(crate) fn letters_job(body: &[u8], is_discard: bool) -> Result<LettersJob, Fault> {
    let Many { filter: Object(filter), rate, reason, dry_run } = read(body)?;
    check(&filter).map_err(|name| wrong(&format!("/filter/{name}"), form_of(name)))?;
    if is_discard && rate.is_some() {
        return Err(wrong("/rate", "`rate` is for redriving"));
    }
    let rate = rate.unwrap_or(RATE_DEFAULT);
    if !(1..=RATE_MAX).contains(&rate) {
        return Err(wrong("/rate", "`rate` is 1 to 100,000 events a second"));
    }
    let reason = match reason {
        Some(reason) => reason_of(reason)?,
        None if is_discard => return Err(wrong("/reason", "`reason` is required")),
        None => String::new(),
    };
    Ok(LettersJob { filter, rate, reason, dry_run })
}

/// A span of the ledger to be delivered again.
pub(crate) fn replay(body: &[u8]) -> Result<ReplayAsked, Fault> {
    let asked: ReplayAsked = read(body)?;
    if asked.rate.is_some_and(|rate| rate > RATE_MAX) {
        return Err(wrong("/rate", "`rate` is 0, which is no limit, to 100,000 events a second"));
    }
    if asked.reason.chars().count() > REASON_CHARS_MAX {
        return Err(wrong("/reason", "`reason` has at most 500 characters"));
    }
    Ok(asked)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial<'a> {
    #[serde(borrow)]
    pattern: &'a RawValue,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// A pattern and an event to try it on, as their texts are.
pub(crate) fn trial(body: &[u8]) -> Result<(&RawValue, &RawValue), Fault> {
    let Trial { pattern, event } = read(body)?;
    // The door would refuse an event with two members of one name.
    let refused = |refusal| {
        let fault = Fault::from(refusal);
        let path = format!("/event{}", fault.path);
        fault.at(&path)
    };
    waag_cloudevents::read_value(event.get().as_bytes()).map_err(refused)?;
    Ok((pattern, event))
}

/// The name of a member that has not its form.
fn check(filter: &Filter) -> Result<(), &'static str> {
    let is_code = |code: &String| {
        let digits = code.strip_prefix('E');
        digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|c| c.is_ascii_digit()))
    };
    let is_key =
        |key: &String| key.len() == 32 && key.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    let is_class = |class: &String| CLASSES.contains(&class.as_str());
    for (name, is_fine) in [
        ("kind", filter.kind.as_ref().is_none_or(|kind| has_chars(kind, KIND_CHARS_MAX))),
        ("code", filter.code.as_ref().is_none_or(is_code)),
        ("class", filter.class.as_ref().is_none_or(is_class)),
        ("key", filter.key.as_ref().is_none_or(is_key)),
    ] {
        is_fine.then_some(()).ok_or(name)?;
    }
    Ok(())
}

fn form_of(name: &str) -> &'static str {
    match name {
        "kind" => "`kind` has 1 to 255 characters",
        "code" => "`code` is an error code",
        "class" => "`class` is transient, throttled, terminal or gone",
        _ => "`key` is 32 hexadecimal digits in small letters",
    }
}

/// Nothing is asked by a query here.
pub(crate) fn no_query(query: &str) -> Result<(), Fault> {
    Parameters::of(query, &[]).map(drop)
}

/// A piece of a list: behind what, and how much.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<After> {
    pub(crate) after: Option<After>,
    pub(crate) most: usize,
}

impl Page<String> {
    /// A piece of the list of subscriptions.
    pub(crate) fn of_names(query: &str) -> Result<Self, Fault> {
        let mut told = Parameters::of(query, &["after", "max"])?;
        let after = told.text("after");
        if after.as_ref().is_some_and(|after| !is_name(after)) {
            return Err(Fault::of(Kind::Query("after")));
        }
        let most = told.within("max", (1, PAGE_MAX as u64), PAGE_MAX as u64)?;
        Ok(Self { after, most: usize::try_from(most).unwrap_or(PAGE_MAX) })
    }
}

/// Which dead letters, and which piece of their list.
pub(crate) fn letters(query: &str) -> Result<(Filter, Page<u64>), Fault> {
    let known = ["from", "to", "kind", "code", "class", "key", "since_ns", "until_ns", "after", "max"];
    let mut told = Parameters::of(query, &known)?;
    let filter = Filter {
        from: told.number("from")?,
        to: told.number("to")?,
        kind: told.text("kind"),
        code: told.text("code"),
        class: told.text("class"),
        key: told.text("key"),
        since_ns: told.number("since_ns")?,
        until_ns: told.number("until_ns")?,
    };
    check(&filter).map_err(|name| Fault::of(Kind::Query(name)))?;
    let most = told.within("max", (1, LETTERS_MAX as u64), PAGE_MAX as u64)?;
    let page = Page { after: told.number("after")?, most: usize::try_from(most).unwrap_or(PAGE_MAX) };
    Ok((filter, page))
}

/// Why a subscription is removed.
pub(crate) fn reason(query: &str) -> Result<String, Fault> {
    let reason = Parameters::of(query, &["reason"])?.text("reason").unwrap_or_default();
    is_reason(&reason).then_some(reason).ok_or_else(|| Fault::of(Kind::Query("reason")))
}

/// How many events, and how long to wait for the first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pull {
    pub(crate) most: usize,
    pub(crate) wait: Duration,
}

impl Pull {
    pub(crate) fn of(query: &str) -> Result<Self, Fault> {
        let mut told = Parameters::of(query, &["max", "wait_ms"])?;
        let most = told.within("max", (1, PULL_MAX as u64), PULL_DEFAULT as u64)?;
        let wait = told.within("wait_ms", (0, PULL_WAIT_MS_MAX), 0)?;
        let most = usize::try_from(most).unwrap_or(PULL_DEFAULT);
        Ok(Self { most, wait: Duration::from_millis(wait) })
    }
}

#[cfg(test)]
mod tests;
