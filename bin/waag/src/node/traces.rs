//! Each request as a span of the caller's trace, or of one that begins here, for whoever collects traces.
//!
//! Whether a request is recorded is the caller's decision where it sent `traceparent` (the flag "sampled"), else a share.
//! Names are those of the OpenTelemetry semantic conventions for HTTP servers; nothing of a client's own text is told.
//! Not here: sending (`drivers/telemetry`), what is known of a request (`waag_http::access`).

use std::sync::atomic::{AtomicU64, Ordering};

use waag_http::access::{Access, AccessSink};
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_telemetry::{Attribute, Span, Spans};

/// How telemetry is set.
#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// Where it goes.
    pub to: waag_telemetry::Options,
    /// Of requests without a caller's trace, those recorded in 10,000.
    pub share: u32,
}

/// The whole of a share.
pub const SHARE_ALL: u32 = 10_000;

/// Makes spans of requests.
pub struct Traces {
    spans: Spans,
    entropy: SystemEntropy,
    share: u32,
    requests: AtomicU64,
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traces").field("share", &self.share).finish_non_exhaustive()
    }
}

/// A span's trace, its own id, its caller's.
struct Place {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
}

impl Traces {
    /// Spans are left here.
    #[must_use]
    pub fn new(spans: Spans, share: u32) -> Self {
        Self { spans, entropy: SystemEntropy::new(), share, requests: AtomicU64::new(0) }
    }

    /// Whether a request without a caller's trace is recorded: evenly spread rather than drawn.
    fn is_in_share(&self) -> bool {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let (share, all) = (u64::from(self.share.min(SHARE_ALL)), u64::from(SHARE_ALL));
        let at = number % all;
        (at + 1) * share / all > at * share / all
    }

    /// None where the request is not to be recorded.
    fn place(&self, access: &Access<'_>) -> Option<Place> {
        if let Some(span) = access.span {
            return span.sampled.then_some(Place {
                trace: span.trace,
                id: span.id,
                parent: Some(span.parent),
            });
        }
        if !self.is_in_share() {
            return None;
        }
        let (mut trace, mut id) = ([0; 16], [0; 8]);
        self.entropy.fill(&mut trace).ok()?;
        self.entropy.fill(&mut id).ok()?;
        Some(Place { trace, id, parent: None })
    }
}

impl AccessSink for Traces {
    fn over(&self, access: &Access<'_>) {
        let Some(Place { trace, id, parent }) = self.place(access) else { return };
        let text = |text: &str| Attribute::Text(text.to_owned());
        let [recorded, before, refused] = access.counts;
        let is_error = access.status >= 500;
        let mut attributes = vec![
            ("http.request.method", text(access.method)),
            ("http.route", text(access.route)),
            ("http.response.status_code", Attribute::Number(access.status.into())),
            ("http.request.body.size", Attribute::Number(access.bytes_in)),
            ("http.response.body.size", Attribute::Number(access.bytes_out)),
            ("waag.events.recorded", Attribute::Number(recorded)),
            ("waag.events.before", Attribute::Number(before)),
            ("waag.events.refused", Attribute::Number(refused)),
        ];
        if let Some(client) = access.client {
            attributes.push(("client.address", Attribute::Text(client.ip().to_string())));
        }
        for (name, value) in
            [("waag.tenant", access.tenant), ("waag.key.id", access.key), ("waag.code", access.code)]
        {
            attributes.extend(value.map(|value| (name, text(value))));
        }
        if is_error {
            attributes.push(("error.type", access.code.map_or_else(|| text("_OTHER"), text)));
        }
        self.spans.offer(Span {
            trace,
            id,
            parent,
            name: format!("{} {}", access.method, access.route),
            start: access.at,
            took: access.took,
            is_error,
            attributes,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_spread_evenly() {
        for (share, expected) in [(0, 0), (1, 2), (2_500, 5_000), (SHARE_ALL, 20_000), (u32::MAX, 20_000)] {
            let traces = Traces::new(waag_telemetry::Telemetry::spans(), share);
            let taken: Vec<bool> = (0..20_000).map(|_| traces.is_in_share()).collect();
            assert_eq!(taken.iter().filter(|taken| **taken).count(), expected, "{share}");
            if share == 2_500 {
                assert!(taken.chunks(4).all(|four| four.iter().filter(|taken| **taken).count() == 1));
            }
        }
    }
}
