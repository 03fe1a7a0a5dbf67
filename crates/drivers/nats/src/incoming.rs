//! A stream's message as a CloudEvent: with the identity that it brings, or with its place in the stream.
//!
//! Pure. What is a CloudEvent keeps its own `source` and `id`, so that the same event by two ways is one: as JSON (the
//! structured mode, seen by its members), or by `ce-` headers (the binary mode). Anything else is data of an event whose
//! `source` is `nats://<origin>/<stream>` and whose `id` is `<stream>-<stream sequence>`, given by the broker once and
//! never again; after a reset that somebody has accepted, `<stream>-<generation>-<stream sequence>`. Batches of CloudEvents
//! are not unpacked.
//! Not here: whether the event is accepted; a strict reader may refuse what is a CloudEvent by its looks, and then
//! [`Incoming::opaque`] carries the same bytes under the broker's identity.
//! Source: CloudEvents 1.0.2, JSON event format; NATS protocol binding.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use waag_model::time::UtcNanos;

use crate::jetstream::Kept;
use crate::protocol::Headers;

/// The header by which a message says of which ledger its event is.
pub(crate) const LEDGER_HEADER: &str = "waag-ledger";
/// Nanoseconds of a second.
const SECOND_NS: i64 = 1_000_000_000;

/// What the events of a bridge are named by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    pub(crate) origin: String,
    pub(crate) stream: String,
    pub(crate) kind: String,
}

/// Whose identity an event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The message was a CloudEvent.
    Own,
    /// Its place in the stream.
    Place,
}

/// A message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Its number in the stream.
    pub sequence: u64,
    /// The event in the CloudEvents JSON format.
    pub json: Box<[u8]>,
    /// Whose `source` and `id` it has.
    pub identity: Identity,
    message: Kept,
    naming: Arc<Naming>,
    generation: u32,
}

impl Incoming {
    pub(crate) fn new(message: Kept, naming: Arc<Naming>, generation: u32) -> Self {
        let own = structured(&message).or_else(|| binary(&message));
        let identity = if own.is_some() { Identity::Own } else { Identity::Place };
        let sequence = message.sequence;
        let mut incoming = Self { sequence, json: Box::default(), identity, message, naming, generation };
        incoming.json = own.unwrap_or_else(|| incoming.placed(false));
        incoming
    }

    /// The NATS subject that it was published to.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.message.subject
    }

    /// The ledger whose event it carries, where a target of Waag published it: what a ledger has said itself is no news to it.
    #[must_use]
    pub fn ledger(&self) -> Option<&str> {
        header(&self.message.headers, LEDGER_HEADER)
    }

    /// The bytes as they were published.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.message.payload
    }

    /// The event with its place as identity and its bytes in base64, whatever they are.
    #[must_use]
    pub fn opaque(&self) -> Box<[u8]> {
        self.placed(true)
    }

    fn placed(&self, is_opaque: bool) -> Box<[u8]> {
        let Naming { origin, stream, kind } = &*self.naming;
        let Kept { sequence, time, subject, headers, payload } = &self.message;
        let id = match self.generation {
            0 => format!("{stream}-{sequence}"),
            generation => format!("{stream}-{generation}-{sequence}"),
        };
        let mut event = Object::new();
        event.text("specversion", "1.0");
        event.text("id", &id);
        event.text("source", &format!("nats://{origin}/{stream}"));
        event.text("type", kind);
        event.text("subject", &clean(subject));
        event.text("time", time);
        if let Some(id) = headers.get("Nats-Msg-Id").filter(|id| !id.is_empty()) {
            event.text("natsmsgid", &clean(id));
        }
        data(&mut event, payload, header(headers, "content-type"), is_opaque);
        event.end()
    }
}

/// The payload, where it is a CloudEvent by its members.
fn structured(message: &Kept) -> Option<Box<[u8]>> {
    #[derive(Deserialize)]
    struct Members {
        specversion: String,
        id: String,
        source: String,
        r#type: String,
    }
    let Members { specversion, id, source, r#type } = serde_json::from_slice(&message.payload).ok()?;
    let is_whole = specversion == "1.0" && ![id, source, r#type].contains(&String::new());
    is_whole.then(|| message.payload.clone())
}

/// The event that `ce-` headers make of the payload.
fn binary(message: &Kept) -> Option<Box<[u8]>> {
    let attribute =
        |name: &str| header(&message.headers, &format!("ce-{name}")).filter(|text| !text.is_empty());
    if attribute("specversion")? != "1.0" {
        return None;
    }
    let [_, _, _] = [attribute("id")?, attribute("source")?, attribute("type")?];
    let mut event = Object::new();
    let mut names = Vec::new();
    for (name, value) in &message.headers.fields {
        let name = name.to_ascii_lowercase();
        let Some(name) = name.strip_prefix("ce-") else { continue };
        let is_name = !name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        // What would collide with the event's own members, or stands there twice, has no one meaning.
        if !is_name || name.starts_with("data") || names.iter().any(|known| known == name) {
            return None;
        }
        names.push(name.to_owned());
        event.text(name, &percent_decoded(value)?);
    }
    data(&mut event, &message.payload, header(&message.headers, "content-type"), false);
    Some(event.end())
}

/// The data of an event: as JSON where it is that, and in base64 otherwise.
fn data(event: &mut Object, payload: &[u8], media_type: Option<&str>, is_opaque: bool) {
    let media_type = media_type.map(str::to_ascii_lowercase).filter(|text| is_media_type(text));
    let is_json = |text: &String| text.ends_with("/json") || text.ends_with("+json");
    let json = serde_json::from_slice::<&RawValue>(payload).ok();
    match json {
        Some(json) if !is_opaque && media_type.as_ref().is_none_or(is_json) => {
            if let Some(media_type) = &media_type {
                event.text("datacontenttype", media_type);
            }
            event.raw("data", json.get());
        }
        Some(_) | None if payload.is_empty() => {}
        Some(_) | None => {
            event.text("datacontenttype", media_type.as_deref().unwrap_or("application/octet-stream"));
            event.text("data_base64", &STANDARD.encode(payload));
        }
    }
}

fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        let is_part = |c: u8| c.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&c);
        name.len() <= 127
            && name.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric())
            && name.bytes().all(is_part)
    };
    text.split_once('/').is_some_and(|(first, second)| is_name(first) && is_name(second))
}

/// A header by its name in any case, as publishers write it.
fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Text with what is written as `%41` put in its place; none where it is no text then.
fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|c| char::from(*c).to_digit(16));
        let code = (*first == b'%').then(|| digit(0).zip(digit(1))).flatten();
        match code.and_then(|(high, low)| u8::try_from(high.saturating_mul(16).saturating_add(low)).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// Text without what an attribute may not have (CloudEvents 1.0.2 §3.1), each such character told by U+FFFD.
fn clean(text: &str) -> String {
    let is_none = |c: char| {
        let code = u32::from(c);
        c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
    };
    text.chars().map(|c| if is_none(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A point in time as JetStream itself writes it: RFC 3339 in UTC, fractions without zeros at their end.
pub(crate) fn rfc3339(time: UtcNanos) -> String {
    let (year, month, day) = time.day().civil();
    let of_day = time.0.div_euclid(SECOND_NS).rem_euclid(86_400);
    let mut text = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    );
    let nanos = time.0.rem_euclid(SECOND_NS);
    if nanos > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, ".{nanos:09}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('Z');
    text
}

/// A JSON object that is written member by member.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self(String::new())
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&serde_json::Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(json);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.raw(name, &serde_json::Value::from(text).to_string());
    }

    fn end(mut self) -> Box<[u8]> {
        self.0.push('}');
        self.0.into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn incoming(headers: &[(&str, &str)], payload: &[u8], generation: u32) -> Incoming {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let message = Kept {
            sequence: 9,
            time: "2026-11-21T16:00:00.5Z".to_owned(),
            subject: "S.a".to_owned(),
            headers: Headers { fields: headers.iter().map(own).collect(), ..Headers::default() },
            payload: payload.into(),
        };
        let naming =
            Naming { origin: "hub".to_owned(), stream: "S".to_owned(), kind: "nats.message".to_owned() };
        Incoming::new(message, Arc::new(naming), generation)
    }

    fn read(json: &[u8]) -> Value {
        serde_json::from_slice(json).unwrap()
    }

    #[test]
    fn what_is_no_event_has_its_place_as_identity() {
        let of = incoming(&[("Nats-Msg-Id", "m\u{1}")], br#"{"n":1.0}"#, 0);
        let expected = json!({
            "specversion": "1.0", "id": "S-9", "source": "nats://hub/S", "type": "nats.message", "subject": "S.a",
            "time": "2026-11-21T16:00:00.5Z", "natsmsgid": "m\u{fffd}", "data": {"n": 1.0},
        });
        assert_eq!((of.identity, read(&of.json)), (Identity::Place, expected));
        assert!(String::from_utf8_lossy(&of.json).contains("1.0}"), "digits stay");
        assert_eq!(read(&of.opaque())["data_base64"], STANDARD.encode(br#"{"n":1.0}"#));
        assert_eq!(read(&incoming(&[], b"", 2).json)["id"], "S-2-9");
        assert_eq!(read(&incoming(&[], b"", 0).json).get("data_base64"), None);
        let text = read(&incoming(&[("Content-Type", "text/plain")], b"1", 0).json);
        assert_eq!((&text["data_base64"], &text["datacontenttype"]), (&json!("MQ=="), &json!("text/plain")));
        let bytes = read(&incoming(&[("Content-Type", "none at all")], b"\xff", 0).json);
        assert_eq!(bytes["datacontenttype"], "application/octet-stream");
    }

    #[test]
    fn a_message_says_whose_event_it_carries() {
        let ledger = |headers: &[(&str, &str)]| incoming(headers, b"{}", 0).ledger().map(str::to_owned);
        assert_eq!(ledger(&[("Waag-Ledger", "07")]).as_deref(), Some("07"));
        assert_eq!(ledger(&[("waag-position", "7")]), None);
    }

    #[test]
    fn an_event_keeps_its_identity_in_both_modes() {
        let event = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1.10}"#;
        let of = incoming(&[], event, 0);
        assert_eq!((of.identity, &*of.json), (Identity::Own, event.as_slice()));
        assert_eq!(read(&of.opaque())["id"], "S-9");
        let headers = [
            ("ce-specversion", "1.0"),
            ("Ce-Id", "1"),
            ("ce-source", "/s%20%C3%A9%"),
            ("ce-type", "t"),
            ("ce-extra", "x"),
        ];
        let of = incoming(&headers, b"[1]", 0);
        let expected = json!({"specversion": "1.0", "id": "1", "source": "/s é%", "type": "t", "extra": "x", "data": [1]});
        assert_eq!((of.identity, read(&of.json)), (Identity::Own, expected));
    }

    #[test]
    fn what_only_looks_like_an_event_has_its_place() {
        for payload in [
            r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#,
            r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#,
            r#"{"specversion":"1.0","id":1,"source":"/s","type":"t"}"#,
            r#"{"specversion":"1.0","id":"1","id":"2","source":"/s","type":"t"}"#,
            r#"[{"specversion":"1.0","id":"1","source":"/s","type":"t"}]"#,
        ] {
            assert_eq!(incoming(&[], payload.as_bytes(), 0).identity, Identity::Place, "{payload}");
        }
        let all = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
        assert_eq!(incoming(&all, b"", 0).identity, Identity::Own);
        for without in 0..all.len() {
            let mut some = all.to_vec();
            some.remove(without);
            assert_eq!(incoming(&some, b"", 0).identity, Identity::Place, "{without}");
        }
        for (name, value) in [("ce-data", "x"), ("CE-ID", "2"), ("ce-a_b", "x"), ("ce-x", "%ff")] {
            let more = [all.as_slice(), &[(name, value)]].concat();
            assert_eq!(incoming(&more, b"", 0).identity, Identity::Place, "{name}");
        }
    }

    #[test]
    fn times_are_written_as_the_server_does() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_277_793_739_560_100, "2026-11-21T16:16:33.7395601Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(rfc3339(UtcNanos(nanos)), text);
        }
    }
}
