//! What JetStream says and is asked, as JSON: acknowledgements, streams, consumers, and the subjects for it.
//!
//! Not here: sending and awaiting it (`target`, `source`).
//! Source: docs.nats.io, "JetStream wire API reference"; ADR-1 and ADR-15 of nats-architecture-and-design.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::error::{ApiError, NatsError};
use crate::protocol::{Headers, Message};

/// No responder: nobody listens on the subject.
pub(crate) const NO_RESPONDERS: u16 = 503;
/// JetStream's number for a stream that is not there.
pub(crate) const STREAM_NOT_FOUND: u32 = 10_059;
/// And for a consumer.
pub(crate) const CONSUMER_NOT_FOUND: u32 = 10_014;
/// And for a message.
pub(crate) const MESSAGE_NOT_FOUND: u32 = 10_037;

#[derive(Deserialize)]
struct WireError {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct Envelope {
    error: Option<WireError>,
}

/// That a stream has a message.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) stream: String,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
}

/// A stream's identity and extent.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) created: String,
    pub(crate) config: StreamConfig,
    pub(crate) state: StreamState,
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamConfig {
    #[serde(default)]
    retention: String,
}

impl StreamConfig {
    /// Whether a message goes with its acknowledgement; a consumer of such a stream begins with whatever is there.
    pub(crate) fn is_work_queue(&self) -> bool {
        self.retention == "workqueue"
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// A consumer, as far as it must be ours.
#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerInfo {
    pub(crate) config: ConsumerConfig,
    #[serde(default)]
    pub(crate) delivered: Delivered,
}

/// How far a consumer has delivered, acknowledged or not.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Delivered {
    pub(crate) stream_seq: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConsumerConfig {
    #[serde(default)]
    ack_policy: String,
    #[serde(default)]
    filter_subject: Option<String>,
    #[serde(default)]
    filter_subjects: Option<Vec<String>>,
    #[serde(default)]
    deliver_subject: Option<String>,
}

impl ConsumerConfig {
    /// Whether it is one that [`consumer`] could have made.
    pub(crate) fn is_ours(&self) -> bool {
        let is_none = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
        let whole = is_none(&self.filter_subject) && self.filter_subjects.as_ref().is_none_or(Vec::is_empty);
        self.ack_policy == "explicit" && whole && is_none(&self.deliver_subject)
    }
}

#[derive(Deserialize)]
struct GotMessage {
    message: WireMessage,
}

#[derive(Deserialize)]
struct WireMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
    time: String,
}

/// A message of a stream, however it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) sequence: u64,
    /// When the stream took it, as RFC 3339 has it.
    pub(crate) time: String,
    pub(crate) subject: String,
    pub(crate) headers: Headers,
    pub(crate) payload: Box<[u8]>,
}

/// Reads an answer of the JetStream API, or a publish acknowledgement; `asked` is the subject that was asked.
pub(crate) fn answer<T: DeserializeOwned>(message: &Message, asked: &str) -> Result<T, NatsError> {
    if message.headers.status == Some(NO_RESPONDERS) {
        return Err(NatsError::NoStream(asked.to_owned()));
    }
    let no_answer = || NatsError::Unanswered(format!("what answers on `{asked}` is not JetStream"));
    let envelope: Envelope = serde_json::from_slice(&message.payload).map_err(|_| no_answer())?;
    if let Some(WireError { code, err_code, description }) = envelope.error {
        return Err(ApiError { code, err_code, description }.into_error());
    }
    serde_json::from_slice(&message.payload).map_err(|_| no_answer())
}

/// Reads the answer to a request for one message.
pub(crate) fn got(message: &Message, asked: &str) -> Result<Kept, NatsError> {
    let WireMessage { subject, seq, data, hdrs, time } = answer::<GotMessage>(message, asked)?.message;
    let no_base64 = |_| NatsError::Unanswered("a message of the stream cannot be read".to_owned());
    let headers = Headers::read(&STANDARD.decode(hdrs).map_err(no_base64)?);
    let payload = STANDARD.decode(data).map_err(no_base64)?.into();
    Ok(Kept { sequence: seq, time, subject, headers, payload })
}

/// Whether JetStream said that there is none of what was asked for.
pub(crate) fn is_missing(error: &NatsError, err_code: u32) -> bool {
    matches!(error, NatsError::JetStream(error) if error.err_code == err_code)
}

/// A durable pull consumer of a whole stream, from a sequence on where there is one.
pub(crate) fn consumer(stream: &str, name: &str, from: Option<u64>, ack_pending_max: usize) -> String {
    let mut config = json!({
        "name": name, "durable_name": name, "ack_policy": "explicit", "ack_wait": 30_000_000_000_u64,
        "max_deliver": -1, "max_ack_pending": ack_pending_max, "replay_policy": "instant", "deliver_policy": "all",
    });
    if let (Some(from), Some(members)) = (from, config.as_object_mut()) {
        members.insert("deliver_policy".to_owned(), "by_start_sequence".into());
        members.insert("opt_start_seq".to_owned(), from.into());
    }
    json!({ "stream_name": stream, "config": config, "action": "create" }).to_string()
}

/// Where a delivered message stands in its stream, from the subject for its acknowledgement:
/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<nanoseconds>.<pending>`, or with
/// domain and account before the stream and something random at the end.
pub(crate) fn place(reply: &[u8]) -> Option<(u64, i64)> {
    let text = std::str::from_utf8(reply).ok()?;
    let parts: Vec<&str> = text.strip_prefix("$JS.ACK.")?.split('.').collect();
    let at = match parts.len() {
        7 => 3,
        9 | 10 => 5,
        _ => return None,
    };
    Some((parts.get(at)?.parse().ok()?, parts.get(at.checked_add(2)?)?.parse().ok()?))
}

/// Whether a text may name a stream or a consumer and stand in a subject.
pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= 255 && name.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: Option<u16>, payload: &str) -> Message {
        Message {
            subject: b"i".as_slice().into(),
            subscription: 1,
            reply: None,
            headers: Headers { status, ..Headers::default() },
            payload: payload.as_bytes().into(),
        }
    }

    #[test]
    fn an_acknowledgement_an_error_nobody_and_anything_else() {
        let read = |payload| answer::<Stored>(&message(None, payload), "s");
        let stored = Stored { stream: "S".to_owned(), seq: 3, duplicate: true };
        assert_eq!(read(r#"{"stream":"S","seq":3,"duplicate":true,"domain":"hub"}"#), Ok(stored));
        let error = r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"S","seq":0}"#;
        assert_eq!(read(error).unwrap_err().code(), "E1175");
        for other in ["", "{}", "+ACK", r#"{"stream":"S"}"#, "[]"] {
            assert_eq!(read(other).unwrap_err().code(), "E1172", "{other}");
        }
        assert_eq!(answer::<Stored>(&message(Some(503), ""), "s"), Err(NatsError::NoStream("s".to_owned())));
    }

    #[test]
    fn the_place_stands_in_both_forms_of_the_subject() {
        assert_eq!(place(b"$JS.ACK.S.C.1.42.7.1700000000000000000.3"), Some((42, 1_700_000_000_000_000_000)));
        assert_eq!(place(b"$JS.ACK.hub.acc.S.C.1.42.7.17.3"), Some((42, 17)));
        assert_eq!(place(b"$JS.ACK.hub.acc.S.C.1.42.7.17.3.rnd"), Some((42, 17)));
        for wrong in ["", "$JS.ACK.S.C.1.x.7.17.3", "$JS.ACK.S.C.1.42.7.17", "_INBOX.1.2.3.4.5.6.7.8"] {
            assert_eq!(place(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
