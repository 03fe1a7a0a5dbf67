//! The structured access log: one line of facts per request, handed to whoever keeps it.
//!
//! Not here: where lines are kept and for how long (the node); bodies, keys and query strings, which are never logged.

use crate::json;
use crate::trace::Trace;
use waag_model::time::UtcNanos;

/// Takes lines; must not block and may drop lines when it cannot keep up, which it then counts.
pub trait AccessSink: Send + Sync {
    /// Takes one line without its line feed: a JSON object.
    fn line(&self, line: Vec<u8>);
}

/// One request's facts.
#[derive(Debug)]
pub(crate) struct Access<'a> {
    pub(crate) at: UtcNanos,
    pub(crate) method: &'a str,
    /// The route's pattern, not the path: a path is the client's text.
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) code: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) duration_us: u64,
    pub(crate) counts: [u64; 3],
    pub(crate) trace: Option<Trace>,
}

impl Access<'_> {
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut text = |name: &str, value: &str| {
            out.extend_from_slice(if out.is_empty() { b"{" } else { b"," });
            json::text(&mut out, name);
            out.push(b':');
            json::text(&mut out, value);
        };
        text("time", &self.at.to_string());
        text("method", self.method);
        text("route", self.route);
        for (name, value) in [("code", self.code), ("key", self.key), ("tenant", self.tenant)] {
            if let Some(value) = value {
                text(name, value);
            }
        }
        if let Some(trace) = &self.trace {
            text("traceparent", &trace.text());
        }
        let [recorded, before, refused] = self.counts;
        for (name, value) in [
            (&b",\"status\":"[..], u64::from(self.status)),
            (b",\"duration_us\":", self.duration_us),
            (b",\"recorded\":", recorded),
            (b",\"before\":", before),
            (b",\"refused\":", refused),
        ] {
            out.extend_from_slice(name);
            json::number(&mut out, value);
        }
        out.push(b'}');
        out
    }
}
