//! `POST /v1/events`: CloudEvents in batch, structured and binary mode, and JSON Lines, as sources of events.
//!
//! Not here: an event's own form (`edge/cloudevents`), what becomes of it (`intake`).
//! In binary mode the headers and the body are written as one JSON event and read by the same strict reader, so that one
//! event has one meaning in every mode.
//!
//! Sources: CloudEvents HTTP protocol binding 1.0.2 §3, JSON event format §4.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::HeaderMap;
use waag_cloudevents::{Items, read_event, read_value};

use crate::fault::{Fault, Kind};
use crate::intake::{Source, Take};
use crate::json;
use crate::media;
use crate::percent;
use crate::receipt::Shape;

/// A guess of an event's bytes, for how many there are in a body.
const EVENT_BYTES_GUESS: usize = 512;
/// The content types that are read, as a refusal lists them.
const MEDIA_READ: &str = "`application/cloudevents+json`, `application/cloudevents-batch+json`, `application/jsonl`, or the data's own where `ce-` headers have the event's attributes";
/// What the headers of attributes begin with (HTTP binding §3.1.3).
pub(crate) const ATTRIBUTE_PREFIX: &str = "ce-";

/// Headers that would be members of the JSON event, but stand for no attribute in binary mode, and where what they would
/// say is (HTTP binding §3.1.1 and §3.1.2).
const NO_ATTRIBUTES: [(&str, &str); 3] = [
    ("ce-data", "the data is the body"),
    ("ce-data_base64", "the data is the body"),
    ("ce-datacontenttype", "the data's type is the header `content-type`"),
];

/// The events of a body, by the mode that the headers name.
///
/// # Errors
/// [`Kind::MediaType`], [`Kind::Charset`], [`Kind::Header`], [`Kind::HeaderTwice`], [`Kind::NoAttribute`]; the event's own, in binary mode.
pub(crate) fn source(headers: &HeaderMap, body: Bytes) -> Result<(Box<dyn Source>, Shape), Fault> {
    let media = media::told(headers)?;
    let essence = media::essence(media);
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    Ok(if is("application/cloudevents-batch+json") {
        media::utf_8(media)?;
        (Box::new(Batch(body)), Shape::Many)
    } else if is("application/cloudevents+json") {
        media::utf_8(media)?;
        (Box::new(One(body)), Shape::One)
    } else if ["application/jsonl", "application/x-ndjson", "application/json-lines"].into_iter().any(is) {
        media::utf_8(media)?;
        (Box::new(Lines(body)), Shape::Many)
    } else if essence.len() >= 23
        && essence.get(..23).is_some_and(|start| start.eq_ignore_ascii_case("application/cloudevents"))
    {
        // Another event format of CloudEvents: Avro, Protobuf.
        return Err(Fault::of(Kind::MediaType(MEDIA_READ)));
    } else if headers.keys().any(|name| name.as_str().starts_with(ATTRIBUTE_PREFIX)) {
        (Box::new(One(binary(headers, media, &body)?.into())), Shape::One)
    } else {
        return Err(Fault::of(Kind::MediaType(MEDIA_READ)));
    })
}

/// A JSON array of events.
struct Batch(Bytes);

impl Source for Batch {
    fn each(&self, take: &mut Take<'_>) -> Result<(), Fault> {
        let mut items = Items::new(&self.0)?;
        // The array is looked at to its end first: a broken one is refused whole.
        let mut whole = Vec::with_capacity(self.events_hint());
        while let Some(item) = items.next_item()? {
            whole.push(item.bytes);
        }
        for item in whole {
            if take(read_event(item).map_err(Fault::from)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn events_hint(&self) -> usize {
        (self.0.len() / EVENT_BYTES_GUESS).max(1)
    }
}

/// One JSON event.
struct One(Bytes);

impl Source for One {
    fn each(&self, take: &mut Take<'_>) -> Result<(), Fault> {
        let _one = take(read_event(&self.0).map_err(Fault::from));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn events_hint(&self) -> usize {
        1
    }
}

/// A JSON event a line.
struct Lines(Bytes);

impl Source for Lines {
    fn each(&self, take: &mut Take<'_>) -> Result<(), Fault> {
        for line in self.0.split(|byte| *byte == b'\n') {
            if line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                continue;
            }
            if take(read_event(line).map_err(Fault::from)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.0.len()
    }

    fn events_hint(&self) -> usize {
        (self.0.len() / EVENT_BYTES_GUESS).max(1)
    }
}

/// The JSON event that `ce-` headers and a body are (HTTP binding §3.1).
fn binary(headers: &HeaderMap, media: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::with_capacity(body.len() + 512);
    out.push(b'{');
    for (header, what) in NO_ATTRIBUTES {
        if headers.contains_key(header) {
            return Err(Fault::of(Kind::NoAttribute(header, what)));
        }
    }
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(ATTRIBUTE_PREFIX) else { continue };
        json::text(&mut out, name);
        out.push(b':');
        let value = value.to_str().map_err(|_| Fault::of(Kind::Header("ce-*")).at(&format!("/{name}")))?;
        let value = percent::of_header(value)
            .ok_or_else(|| Fault::of(Kind::Header("ce-*")).at(&format!("/{name}")))?;
        json::text(&mut out, &value);
        out.push(b',');
    }
    if !media.is_empty() {
        out.extend_from_slice(b"\"datacontenttype\":");
        json::text(&mut out, media);
        out.push(b',');
    }
    if body.is_empty() {
        out.pop();
    } else if media::is_json(media) {
        media::utf_8(media)?;
        // Read alone first: text that closes the value and goes on would write attributes of its own.
        read_value(body).map_err(|refusal| {
            let fault = Fault::from(refusal);
            let path = format!("/data{}", fault.path);
            fault.at(&path)
        })?;
        out.extend_from_slice(b"\"data\":");
        out.extend_from_slice(body);
    } else {
        out.extend_from_slice(b"\"data_base64\":\"");
        out.extend_from_slice(STANDARD.encode(body).as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn read(pairs: &[(&str, &str)], body: &'static [u8]) -> Result<String, &'static str> {
        let (source, _) =
            source(&headers(pairs), Bytes::from_static(body)).map_err(|fault| fault.kind.code())?;
        let mut out = Err("none");
        source
            .each(&mut |event| {
                out = event.map_err(|fault| fault.kind.code()).map(|event| {
                    let mut text = Vec::new();
                    waag_cloudevents::write_event(&event, &mut text);
                    String::from_utf8(text).unwrap()
                });
                std::ops::ControlFlow::Continue(())
            })
            .map_err(|fault| fault.kind.code())?;
        out
    }

    const CORE: [(&str, &str); 4] =
        [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

    #[test]
    fn binary_mode_gives_the_event_that_its_json_would() {
        let mut pairs = CORE.to_vec();
        pairs.extend([("content-type", "application/json"), ("ce-subject", "%C3%A9 %22a%22")]);
        let want = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","subject":"é \"a\"","datacontenttype":"application/json","data":{"a":1}}"#;
        assert_eq!(read(&pairs, br#"{"a":1}"#).unwrap(), want);
        let mut pairs = CORE.to_vec();
        pairs.push(("content-type", "text/plain"));
        assert!(read(&pairs, b"hi").unwrap().ends_with(r#""data_base64":"aGk="}"#));
        assert!(!read(&CORE, b"").unwrap().contains("data"));
    }

    #[test]
    fn a_body_cannot_write_attributes() {
        let mut pairs = CORE.to_vec();
        pairs.push(("content-type", "application/json"));
        assert_eq!(read(&pairs, br#"{},"subject":"other""#), Err("E0103"));
    }

    #[test]
    fn the_data_and_its_type_are_no_headers() {
        for (name, value) in
            [("ce-data", "hi"), ("ce-data_base64", "aGk="), ("ce-datacontenttype", "application/json")]
        {
            for media in [None, Some(("content-type", "text/plain"))] {
                let pairs: Vec<_> = CORE.into_iter().chain(media).chain([(name, value)]).collect();
                let fault = source(&headers(&pairs), Bytes::new()).map(|_| ()).unwrap_err();
                assert_eq!((fault.kind.code(), fault.kind.status().as_u16()), ("E0909", 400), "{name}");
                assert!(fault.to_string().contains(&format!("`{name}`")), "{fault}");
            }
        }
    }

    #[test]
    fn a_body_is_read_by_one_content_type_and_json_as_utf_8() {
        let event: &[u8] = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
        let of = |media: &str| {
            Bytes::from(if media.contains("batch") { [b"[", event, b"]"].concat() } else { event.to_vec() })
        };
        for media in
            ["application/cloudevents+json", "application/cloudevents-batch+json", "application/jsonl"]
        {
            let read = |media: &str| {
                source(&headers(&[("content-type", media)]), of(media))
                    .map(|_| ())
                    .map_err(|fault| fault.kind)
            };
            assert_eq!(read(&format!("{media}; charset=\"UTF-8\"")), Ok(()), "{media}");
            assert_eq!(read(&format!("{media}; Charset=utf-16")), Err(Kind::Charset), "{media}");
            let twice = [("content-type", media), ("content-type", "application/json")];
            let fault = source(&headers(&twice), of(media)).map(|_| ()).unwrap_err();
            assert_eq!((fault.kind.code(), fault.kind.status().as_u16()), ("E0909", 400), "{media}");
        }
        let binary = |media| CORE.into_iter().chain([("content-type", media)]).collect::<Vec<_>>();
        assert_eq!(read(&binary("application/json;charset=utf-16"), b"{}"), Err("E0906"));
        // What is kept as bytes is of whatever encoding its sender says.
        assert!(read(&binary("text/plain;charset=utf-16"), b"h\0i\0").is_ok());
    }

    #[test]
    fn what_is_no_event_is_refused_by_its_own_code() {
        assert_eq!(read(&[("content-type", "application/json")], b"{}"), Err("E0906"));
        assert_eq!(
            read(&[("content-type", "application/cloudevents+avro"), ("ce-id", "1")], b""),
            Err("E0906")
        );
        assert_eq!(read(&[], b""), Err("E0906"));
        let mut twice = CORE.to_vec();
        twice.push(("ce-id", "2"));
        assert_eq!(read(&twice, b""), Err("E0106"));
        for bad in ["%zz", "%+7"] {
            assert_eq!(read(&[("ce-id", bad), ("ce-type", "t")], b""), Err("E0909"), "{bad}");
        }
        assert_eq!(read(&CORE[..3], b""), Err("E0110"));
    }
}
