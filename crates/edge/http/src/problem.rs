//! Problem documents (RFC 9457): `type`, `title`, `status`, `detail`, `code`, and `errors` with the path of each fault.
//!
//! Not here: the codes and their words (`fault`).

use std::borrow::Cow;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ACCEPT_ENCODING, HeaderName, HeaderValue};

use crate::fault::{Fault, Kind, MADE_ANEW, Outcome, Unread};
use crate::json;

/// Most faults that one answer lists, beside the first of each event that has an outcome of its own; the rest is counted.
pub(crate) const ERRORS_MAX: usize = 100;

/// An answer on its way to the connection.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Its media type; empty where it has none, or `headers` has it.
    pub(crate) media: &'static str,
    pub(crate) body: Bytes,
    /// The code of the fault that ended the request, for the log.
    pub(crate) code: Option<&'static str>,
    pub(crate) retry_after_s: Option<u64>,
    /// Events recorded, recorded before, refused.
    pub(crate) counts: [u64; 3],
    /// What this answer tells in headers of its own; one named here stands in place of the door's.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self::of("application/json", status, body)
    }

    pub(crate) fn of(media: &'static str, status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            status,
            media,
            body: body.into(),
            code: None,
            retry_after_s: None,
            counts: [0; 3],
            headers: Vec::new(),
        }
    }
}

/// The answer to a request that a fault ended.
pub(crate) fn answer(fault: &Fault) -> Answer {
    document(&fault.kind, fault.kind.status(), std::iter::once((None, fault.clone())))
}

/// The answer to a request of which every event was refused.
pub(crate) fn of_items(faults: impl Iterator<Item = (usize, Fault)>) -> Answer {
    let faults: Vec<_> = faults.map(|(index, fault)| (Some(index), fault)).collect();
    let conflicts = faults.iter().all(|(_, fault)| fault.kind.status() == StatusCode::CONFLICT);
    let status = if conflicts { StatusCode::CONFLICT } else { Kind::Items.status() };
    document(&Kind::Items, status, faults.into_iter())
}

fn document(kind: &Kind, status: StatusCode, faults: impl Iterator<Item = (Option<usize>, Fault)>) -> Answer {
    let code = kind.code();
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"{\"type\":\"urn:waag:error:");
    out.extend_from_slice(code.as_bytes());
    out.extend_from_slice(b"\",\"title\":");
    json::text(&mut out, &title(kind));
    out.extend_from_slice(b",\"status\":");
    json::number(&mut out, u64::from(status.as_u16()));
    out.extend_from_slice(b",\"detail\":");
    json::text(&mut out, &kind.to_string());
    out.extend_from_slice(b",\"code\":\"");
    out.extend_from_slice(code.as_bytes());
    out.extend_from_slice(b"\",\"errors\":[");
    let mut count = 0;
    for (index, fault) in faults {
        let above = index.map(|index| format!("/{index}")).unwrap_or_default();
        for fault in fault.each() {
            count += 1;
            if count > ERRORS_MAX {
                continue;
            }
            if count > 1 {
                out.push(b',');
            }
            entry(&mut out, &above, fault);
        }
    }
    out.push(b']');
    errors_more(&mut out, count.saturating_sub(ERRORS_MAX));
    out.push(b'}');
    let mut headers = Vec::new();
    if matches!(kind, Kind::ContentEncoding) {
        // What would have been read (RFC 9110 §15.5.16).
        headers.push((ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    Answer {
        status,
        media: "application/problem+json",
        body: out.into(),
        code: Some(code),
        retry_after_s: kind.retry_after_s(),
        counts: [0; 3],
        headers,
    }
}

/// How many faults are told nowhere, where there are any.
pub(crate) fn errors_more(out: &mut Vec<u8>, more: usize) {
    if more > 0 {
        out.extend_from_slice(b",\"errors_more\":");
        json::number(out, more as u64);
    }
}

/// What stays the same from occurrence to occurrence (RFC 9457 §3.1.3).
fn title(kind: &Kind) -> Cow<'static, str> {
    let fixed = if matches!(kind, Kind::Event(..) | Kind::Schema(_) | Kind::Time(_)) {
        "the event was refused"
    } else if matches!(kind, Kind::NotFound(_)) {
        "nothing is served under this path"
    } else if matches!(kind, Kind::MediaType(_) | Kind::Charset | Kind::ContentEncoding) {
        "the content type is none that this path reads"
    } else if matches!(kind, Kind::Header(_) | Kind::HeaderTwice(_) | Kind::NoAttribute(..)) {
        "a header has a form that it may not have"
    } else if matches!(kind, Kind::IdempotencyForm | Kind::IdempotencyLength(_)) {
        "the header `Idempotency-Key` is no quoted string"
    } else if matches!(kind, Kind::Asked(_)) {
        "the body cannot be understood"
    } else if matches!(kind, Kind::Unread(Unread::MadeAnew(..))) {
        MADE_ANEW
    } else if let Kind::Router(outcome, ..) = kind {
        if *outcome == Outcome::Failed { "deliveries failed" } else { "the router refused it" }
    } else {
        return kind.to_string().into();
    };
    fixed.into()
}

/// One fault as an object: `path` below `above`, `reason`, `code`.
pub(crate) fn entry(out: &mut Vec<u8>, above: &str, fault: &Fault) {
    out.extend_from_slice(b"{\"path\":");
    json::text(out, &format!("{above}{}", fault.path));
    out.extend_from_slice(b",\"reason\":");
    json::text(out, &fault.to_string());
    out.extend_from_slice(b",\"code\":\"");
    out.extend_from_slice(fault.kind.code().as_bytes());
    out.extend_from_slice(b"\"}");
}
