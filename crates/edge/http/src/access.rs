//! What is known of a request when it is over, handed to whoever keeps it: the structured access log, traces.
//!
//! One telling per request that reached the door, also where its client went away before the answer
//! ([`CLIENT_GONE_STATUS`]); what hyper itself turns away (a head that is no HTTP) has none.
//! Not here: where lines are kept and for how long (the node); bodies, keys, paths and query strings, which are never told.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;

use crate::json;
use crate::keys::KeyRecord;
use crate::limit::Left;
use crate::problem::Answer;
use crate::routes::Route;
use crate::trace::Trace;

/// The status of a request whose client went away before its answer; nobody was told it (as other servers' logs have it).
pub const CLIENT_GONE_STATUS: u16 = 499;

/// Hears of each request when it is over; must not block, and may drop what it cannot keep up with, which it then counts.
pub trait AccessSink: Send + Sync {
    /// One request is over.
    fn over(&self, access: &Access<'_>);
}

/// One request's facts.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// When its head was there.
    pub at: UtcNanos,
    /// Its method, `_OTHER` where that is none of HTTP's own: a method is the client's text.
    pub method: &'static str,
    /// The route's pattern, not the path, for the same reason.
    pub route: &'static str,
    /// The HTTP status of the answer, or [`CLIENT_GONE_STATUS`].
    pub status: u16,
    /// The code of the fault that ended it.
    pub code: Option<&'static str>,
    /// The id of the API key.
    pub key: Option<&'a str>,
    /// Whose ledger the key writes.
    pub tenant: Option<&'a str>,
    /// Where it came from.
    pub client: Option<SocketAddr>,
    /// From its head to its answer.
    pub took: Duration,
    /// Bytes of its body, as far as it was read.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Events recorded, recorded before, refused.
    pub counts: [u64; 3],
    /// Its place in the caller's trace.
    pub span: Option<Span>,
}

/// A request's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace's id.
    pub trace: [u8; 16],
    /// The request's own id.
    pub id: [u8; 8],
    /// The caller's id.
    pub parent: [u8; 8],
    /// Whether the caller records it.
    pub sampled: bool,
}

impl From<&Trace> for Span {
    fn from(trace: &Trace) -> Self {
        Self { trace: trace.trace, id: trace.span, parent: trace.parent, sampled: trace.sampled }
    }
}

impl Access<'_> {
    /// The facts as a JSON object without a line feed.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"{\"time\":");
        quoted(&mut out, |out| drop(write!(out, "{}", self.at)));
        let texts = [
            (&b",\"method\":"[..], Some(self.method)),
            (b",\"route\":", Some(self.route)),
            (b",\"code\":", self.code),
            (b",\"key\":", self.key),
            (b",\"tenant\":", self.tenant),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                out.extend_from_slice(name);
                json::text(&mut out, value);
            }
        }
        if let Some(client) = self.client {
            out.extend_from_slice(b",\"client_address\":");
            quoted(&mut out, |out| drop(write!(out, "{}", client.ip())));
        }
        if let Some(span) = &self.span {
            for (name, id) in [(&b",\"trace_id\":"[..], &span.trace[..]), (b",\"span_id\":", &span.id)] {
                out.extend_from_slice(name);
                quoted(&mut out, |out| json::hex(out, id));
            }
        }
        let [recorded, before, refused] = self.counts;
        for (name, value) in [
            (&b",\"status\":"[..], u64::from(self.status)),
            (b",\"duration_us\":", u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)),
            (b",\"bytes_in\":", self.bytes_in),
            (b",\"bytes_out\":", self.bytes_out),
            (b",\"events\":", self.counts.iter().sum()),
            (b",\"recorded\":", recorded),
            (b",\"before\":", before),
            (b",\"refused\":", refused),
        ] {
            out.extend_from_slice(name);
            json::number(&mut out, value);
        }
        if let Some(client) = self.client {
            out.extend_from_slice(b",\"client_port\":");
            json::number(&mut out, u64::from(client.port()));
        }
        out.push(b'}');
        out
    }
}

/// Appends in quotes what has nothing to escape.
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// The methods of HTTP (RFC 9110, RFC 5789), so that nothing of a client's own stands in a log.
fn method_of(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// What is learned of a request on its way, for headers and log.
#[derive(Default)]
pub(crate) struct Learned {
    pub(crate) key: Option<Arc<KeyRecord>>,
    pub(crate) left: Vec<Left>,
    pub(crate) bytes_in: u64,
}

/// A request under way; when it ends without an answer, that is told too.
pub(crate) struct Watched<'d> {
    sinks: &'d [Arc<dyn AccessSink>],
    clock: &'d dyn Clock,
    at: UtcNanos,
    start: Duration,
    method: &'static str,
    route: Option<Route>,
    client: Option<SocketAddr>,
    span: Option<Span>,
    pub(crate) learned: Learned,
    is_told: bool,
}

impl<'d> Watched<'d> {
    pub(crate) fn new(
        sinks: &'d [Arc<dyn AccessSink>],
        clock: &'d dyn Clock,
        (method, route): (&Method, Option<Route>),
        client: Option<SocketAddr>,
        span: Option<Span>,
    ) -> Self {
        Self {
            sinks,
            clock,
            at: if sinks.is_empty() { UtcNanos(0) } else { clock.now() },
            start: clock.monotonic(),
            method: method_of(method),
            route,
            client,
            span,
            learned: Learned::default(),
            is_told: false,
        }
    }

    /// It is answered; how long it took.
    pub(crate) fn answered(&mut self, answer: &Answer) -> Duration {
        let took = self.clock.monotonic().saturating_sub(self.start);
        // The body of an answer to HEAD is not sent.
        let bytes_out = if self.method == "HEAD" { 0 } else { answer.body.len() as u64 };
        self.tell(took, answer.status.as_u16(), answer.code, (bytes_out, answer.counts));
        took
    }

    fn tell(
        &mut self,
        took: Duration,
        status: u16,
        code: Option<&'static str>,
        (bytes_out, counts): (u64, [u64; 3]),
    ) {
        self.is_told = true;
        if self.sinks.is_empty() {
            return;
        }
        let access = Access {
            at: self.at,
            method: self.method,
            route: self.route.and_then(|route| Route::LABELS.get(route.label())).copied().unwrap_or("other"),
            status,
            code,
            key: self.learned.key.as_ref().map(|key| key.id.as_str()),
            tenant: self.learned.key.as_ref().map(|key| key.tenant.as_str()),
            client: self.client,
            took,
            bytes_in: self.learned.bytes_in,
            bytes_out,
            counts,
            span: self.span,
        };
        self.sinks.iter().for_each(|sink| sink.over(&access));
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            let took = self.clock.monotonic().saturating_sub(self.start);
            self.tell(took, CLIENT_GONE_STATUS, None, (0, [0; 3]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use hyper::StatusCode;
    use waag_stdx::clock::SystemClock;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<(u16, u64)>>);

    impl AccessSink for Kept {
        fn over(&self, access: &Access<'_>) {
            self.0.lock().unwrap().push((access.status, access.bytes_out));
        }
    }

    #[test]
    fn every_request_is_told_once_also_one_whose_client_went_away() {
        let kept = Arc::new(Kept::default());
        let sinks: [Arc<dyn AccessSink>; 1] = [kept.clone()];
        let clock = SystemClock::new();
        let watched = |method| Watched::new(&sinks, &clock, (&method, None), None, None);
        for method in [Method::GET, Method::HEAD] {
            watched(method).answered(&Answer::json(StatusCode::OK, vec![b'0'; 7]));
        }
        drop(watched(Method::GET));
        // An answer to HEAD has a length, but no body that is sent.
        assert_eq!(*kept.0.lock().unwrap(), [(200, 7), (200, 0), (CLIENT_GONE_STATUS, 0)]);
    }

    #[test]
    fn a_line_is_one_json_object_and_holds_no_text_of_the_client() {
        let access = Access {
            at: UtcNanos(1_700_000_000_000_000_000),
            method: method_of(&Method::from_bytes(b"X-SECRET").unwrap()),
            route: "/v1/events",
            status: 207,
            code: Some("E0917"),
            key: Some("0f3a9c0d1e2b4a57"),
            tenant: Some("bank"),
            client: Some("[::1]:80".parse().unwrap()),
            took: Duration::from_micros(1_234),
            bytes_in: 10,
            bytes_out: 20,
            counts: [1, 2, 3],
            span: Some(Span { trace: [1; 16], id: [2; 8], parent: [3; 8], sampled: true }),
        };
        let line: serde_json::Value = serde_json::from_slice(&access.line()).unwrap();
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20.000000000Z", "method": "_OTHER", "route": "/v1/events", "code": "E0917",
            "key": "0f3a9c0d1e2b4a57", "tenant": "bank", "client_address": "::1", "client_port": 80,
            "trace_id": "01".repeat(16), "span_id": "02".repeat(8), "status": 207, "duration_us": 1_234,
            "bytes_in": 10, "bytes_out": 20, "events": 6, "recorded": 1, "before": 2, "refused": 3,
        });
        assert_eq!(line, expected);
        assert_eq!(method_of(&Method::POST), "POST");
    }
}
