//! `GET /v1/events/{position}`: a recorded event in CloudEvents' structured mode, or in binary mode where that is asked for.
//!
//! Who may read: a reader and an administrator every event of the tenant, a producer those that it recorded itself.
//! Personal fields are masked; an administrator who gives a reason sees them, which is recorded before. What Waag knows of
//! an event stands in `waag-` headers, since the event itself is given back as its sender made it.
//! Not here: opening and masking (`ports::Ledger`, in the node), an event's JSON form (`edge/cloudevents`).
//!
//! Sources: CloudEvents HTTP protocol binding 1.0.2 §3.1 and §3.2, JSON event format §3.1.

use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, StatusCode};
use waag_cloudevents::{write_event, write_value};
use waag_model::event::{Data, Event};
use waag_model::value::Value;

use crate::access::Learned;
use crate::door::{Does, Door};
use crate::fault::{Absent, Fault, Kind};
use crate::json;
use crate::keys::Role;
use crate::media::{self, is_json};
use crate::percent;
use crate::ports::{Reveal, Stored};
use crate::problem::Answer;

/// Why an administrator wants to see personal fields; percent-encoded where it is not ASCII.
const REASON: &str = "waag-reveal-reason";
/// Longest reason.
const REASON_BYTES_MAX: usize = 1_000;
/// Most events that are read at a time, since each has its whole frame in memory meanwhile; further requests wait.
pub(crate) const READS_MAX: usize = 8;
/// Most bytes of a header that lists places; where there are more, it is `*`.
const PLACES_BYTES_MAX: usize = 4_096;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The event is the body.
    Structured,
    /// Attributes are headers, the data is the body.
    Binary,
}

impl Door {
    pub(crate) async fn stored<B>(
        &self,
        position: u64,
        request: &Request<B>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let pass = self.pass(request.headers(), Role::Reader, Does::Read, learned)?;
        let mode = mode(request.uri().query().unwrap_or_default())?;
        let reason = reason(request.headers())?;
        if reason.is_some() && pass.key.role != Role::Admin {
            return Err(Fault::of(Kind::Forbidden));
        }
        let reveal = reason.map(|reason| Reveal { by: pass.key.actor.clone(), reason });
        let ledger = pass.ledger;
        let turn = std::sync::Arc::clone(&self.reads).acquire_owned().await;
        let turn = turn.map_err(|_| Fault::of(Kind::Stopped))?;
        // The log is a disk: not on the thread that serves connections. A read goes on where its client goes away, and so
        // keeps its turn.
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            ledger.event(position, reveal.as_ref())
        });
        let stored = read.await.map_err(|_| Fault::of(Kind::Stopped))??;
        let stored = stored.ok_or_else(|| Fault::of(Kind::NotFound(Absent::Position)))?;
        let is_own = stored.actor.as_deref() == Some(pass.key.actor.as_str());
        if pass.key.role == Role::Producer && !is_own {
            return Err(Fault::of(Kind::Forbidden));
        }
        Ok(answer(position, stored, mode))
    }
}

/// The form that a query asks for; other parameters are not looked at.
fn mode(query: &str) -> Result<Mode, Fault> {
    let mut found = Mode::Structured;
    for pair in query.split('&') {
        found = match pair.split_once('=').unwrap_or((pair, "")) {
            ("mode", "structured") => Mode::Structured,
            ("mode", "binary") => Mode::Binary,
            ("mode", _) => return Err(Fault::of(Kind::Query("mode"))),
            _ => found,
        };
    }
    Ok(found)
}

fn reason(headers: &HeaderMap) -> Result<Option<String>, Fault> {
    let Some(value) = media::once(headers, REASON)? else { return Ok(None) };
    let bad = || Fault::of(Kind::Header(REASON));
    let reason = value.to_str().ok().and_then(percent::of_header).ok_or_else(bad)?;
    let reason = reason.trim();
    let is_fine = (1..=REASON_BYTES_MAX).contains(&reason.len()) && !reason.chars().any(char::is_control);
    is_fine.then(|| Some(reason.to_owned())).ok_or_else(bad)
}

fn answer(position: u64, stored: Stored, mode: Mode) -> Answer {
    let Stored { event, leaf, accepted, actor: _, masked, withheld } = stored;
    let mut answer = match mode {
        Mode::Structured => {
            let mut body = Vec::with_capacity(1_024);
            write_event(&event, &mut body);
            Answer::of("application/cloudevents+json", StatusCode::OK, body)
        }
        Mode::Binary => binary(&event),
    };
    let mut hash = Vec::with_capacity(64);
    json::hex(&mut hash, &leaf.0);
    let mut tell = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers.push((HeaderName::from_static(name), value));
        }
    };
    tell("waag-position", position.to_string());
    tell("waag-leaf-hash", String::from_utf8(hash).unwrap_or_default());
    tell("waag-accepted", accepted.to_string());
    for (name, places) in [("waag-masked", masked), ("waag-withheld", withheld)] {
        if !places.is_empty() {
            let told: Vec<String> = places.iter().map(|place| format!("\"{}\"", encoded(place))).collect();
            let told = told.join(", ");
            tell(name, if told.len() > PLACES_BYTES_MAX { "*".to_owned() } else { told });
        }
    }
    answer
}

/// Attributes as headers, data as the body (HTTP binding §3.1).
fn binary(event: &Event<'_>) -> Answer {
    let media = event.attributes.members().iter().find(|(name, _)| name == "datacontenttype");
    let media = media.and_then(|(_, value)| value.as_text());
    let (body, default) = match &event.data {
        Data::None | Data::Json(Value::Withheld(_)) => (Vec::new(), None),
        Data::Binary(bytes) => (bytes.to_vec(), None),
        // Text that is no JSON stands as it is (JSON format §3.1.1).
        Data::Json(Value::Text(text)) if media.is_some_and(|media| !is_json(media)) => {
            (text.as_bytes().to_vec(), None)
        }
        Data::Json(value) => {
            let mut out = Vec::new();
            write_value(value, &mut out);
            (out, Some("application/json"))
        }
    };
    let mut answer = Answer::of("", StatusCode::OK, body);
    let mut tell = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers.push((name, value));
        }
    };
    if let Some(media) = media.or(default) {
        // A media type's parameters may hold what a header may not.
        tell(CONTENT_TYPE, &media.chars().filter(char::is_ascii).collect::<String>());
    }
    // The body is what a sender sent, so a browser is to run nothing of it.
    tell(CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
    let mut attribute = |name: &str, value: &str| {
        if let Ok(name) = HeaderName::try_from(format!("ce-{name}")) {
            tell(name, &encoded(value));
        }
    };
    attribute("specversion", "1.0");
    attribute("id", &event.id);
    attribute("source", &event.source);
    attribute("type", &event.kind);
    if let Some(subject) = &event.subject {
        attribute("subject", subject);
    }
    for (name, value) in event.attributes.members().iter().filter(|(name, _)| name != "datacontenttype") {
        match value {
            Value::Text(text) => attribute(name, text),
            Value::Bool(value) => attribute(name, if *value { "true" } else { "false" }),
            Value::Integer(number) => attribute(name, &number.to_string()),
            // An attribute has no other type (CloudEvents §3.1); one that is withheld is left out.
            Value::Null | Value::Decimal(_) | Value::Array(_) | Value::Object(_) | Value::Withheld(_) => {}
        }
    }
    answer
}

/// An attribute's value as a header's (HTTP binding §3.1.3.2).
fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'"' | b'%' => out.push_str(&format!("%{byte:02X}")),
            b'!'..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use waag_cloudevents::read_event;
    use waag_ledger::hash::Hash;
    use waag_model::time::UtcNanos;

    use super::*;

    fn stored(event: &str) -> Stored {
        Stored {
            event: read_event(event.as_bytes()).unwrap().into_owned(),
            leaf: Hash([7; 32]),
            accepted: UtcNanos(0),
            actor: None,
            masked: vec!["/data/a b".to_owned(), String::new()],
            withheld: Vec::new(),
        }
    }

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.to_str().unwrap())
    }

    #[test]
    fn both_modes_give_the_event_that_was_recorded() {
        let event = r#"{"specversion":"1.0","id":"é \"1\" %","source":"/s","type":"t","subject":"ß","time":"2026-01-01T00:00:00Z","flag":true,"n":-3,"data":{"a":1.50}}"#;
        let told = answer(7, stored(event), Mode::Structured);
        assert_eq!(told.media, "application/cloudevents+json");
        assert_eq!(read_event(&told.body).unwrap(), read_event(event.as_bytes()).unwrap());
        assert!(told.body.ends_with(br#""data":{"a":1.50}}"#), "digits are as they were written");
        assert_eq!(header(&told, "waag-masked"), Some("\"/data/a%20b\", \"\""));
        assert_eq!(header(&told, "waag-withheld"), None);
        let told = answer(7, stored(event), Mode::Binary);
        for (name, value) in [
            ("ce-specversion", "1.0"),
            ("ce-id", "%C3%A9%20%221%22%20%25"),
            ("ce-subject", "%C3%9F"),
            ("ce-time", "2026-01-01T00:00:00Z"),
            ("ce-flag", "true"),
            ("ce-n", "-3"),
            ("content-type", "application/json"),
            ("waag-position", "7"),
        ] {
            assert_eq!(header(&told, name), Some(value), "{name}");
        }
        assert_eq!(told.body.as_ref(), br#"{"a":1.50}"#);
    }

    #[test]
    fn data_that_is_no_json_is_the_body_as_it_was() {
        for (data, body, media) in [
            (r#","datacontenttype":"text/plain","data":"h\"i""#, &b"h\"i"[..], Some("text/plain")),
            (r#","datacontenttype":"application/json","data":"hi""#, b"\"hi\"", Some("application/json")),
            (r#","data_base64":"AP8=""#, b"\0\xff", None),
            ("", b"", None),
        ] {
            let event = format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{data}}}"#);
            let told = answer(0, stored(&event), Mode::Binary);
            assert_eq!((told.body.as_ref(), header(&told, "content-type")), (body, media), "{data}");
            assert_eq!(header(&told, "ce-datacontenttype"), None);
        }
    }

    #[test]
    fn a_wish_has_its_form_or_is_refused() {
        assert_eq!(mode("").unwrap(), Mode::Structured);
        assert_eq!(mode("x=1&mode=binary").unwrap(), Mode::Binary);
        assert_eq!(mode("mode=other").unwrap_err().kind.code(), "E0919");
        assert_eq!(mode("mode").unwrap_err().kind.code(), "E0919");
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REASON, HeaderValue::try_from(text).unwrap());
            reason(&headers).map_err(|fault| fault.kind.code())
        };
        assert_eq!(asked("ticket 4711%2C %C3%BC").unwrap().unwrap(), "ticket 4711, ü");
        for bad in ["", " ", "%0A", "%zz", &"r".repeat(1_001)] {
            assert_eq!(asked(bad), Err("E0909"), "{bad}");
        }
    }
}
