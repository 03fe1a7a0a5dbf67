//! Counters and one histogram as OpenMetrics text; labels are routes and status classes only, so their number is fixed.
//!
//! Not here: metrics of the engine and the views (the node adds its own text).
//! Source: OpenMetrics 1.0, Prometheus naming.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::problem::Answer;
use crate::routes::Route;

/// Upper bounds of the duration buckets, in microseconds.
const BUCKETS_US: [u64; 12] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 250_000, 1_000_000, 4_000_000];
const CLASSES: usize = 5;

/// The door's own figures.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: [[AtomicU64; CLASSES]; Route::LABELS.len()],
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    duration_us: AtomicU64,
    recorded: AtomicU64,
    before: AtomicU64,
    refused: AtomicU64,
    limited: AtomicU64,
    overloaded: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl Metrics {
    /// Counts an answered request.
    pub(crate) fn count(&self, route: Option<Route>, answer: &Answer, took: Duration) {
        let add = |counter: &AtomicU64, by: u64| {
            if by > 0 {
                counter.fetch_add(by, Ordering::Relaxed);
            }
        };
        let status = answer.status.as_u16();
        let class = usize::from(status / 100).clamp(1, CLASSES) - 1;
        let label = route.map_or(Route::LABELS.len() - 1, Route::label);
        if let Some(counter) = self.requests.get(label).and_then(|classes| classes.get(class)) {
            add(counter, 1);
        }
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            add(bucket, 1);
        }
        add(&self.duration_us, us);
        let [recorded, before, refused] = answer.counts;
        add(&self.recorded, recorded);
        add(&self.before, before);
        add(&self.refused, refused);
        add(&self.limited, u64::from(status == 429));
        add(&self.overloaded, u64::from(status == 503));
    }

    /// The figures as OpenMetrics text, up to its end mark.
    pub(crate) fn text(&self, entries: Option<u64>) -> String {
        let mut out = String::with_capacity(4_096);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // Writing to memory cannot fail.
        out.push_str("# TYPE waag_http_requests counter\n# HELP waag_http_requests Requests answered.\n");
        for (label, classes) in Route::LABELS.iter().zip(&self.requests) {
            for (class, counter) in (1..).zip(classes) {
                let value = read(counter);
                if value > 0 {
                    let _ = writeln!(
                        out,
                        "waag_http_requests_total{{route=\"{label}\",status=\"{class}xx\"}} {value}"
                    );
                }
            }
        }
        out.push_str("# TYPE waag_http_request_duration_seconds histogram\n# UNIT waag_http_request_duration_seconds seconds\n");
        out.push_str("# HELP waag_http_request_duration_seconds Time from a request's head to its answer.\n");
        let mut sum = 0;
        for (bound, counter) in BUCKETS_US.iter().zip(&self.buckets) {
            sum += read(counter);
            let _ = writeln!(
                out,
                "waag_http_request_duration_seconds_bucket{{le=\"{}\"}} {sum}",
                *bound as f64 / 1e6
            );
        }
        sum += self.buckets.last().map_or(0, read);
        let _ = writeln!(out, "waag_http_request_duration_seconds_bucket{{le=\"+Inf\"}} {sum}");
        let _ =
            writeln!(out, "waag_http_request_duration_seconds_sum {}", read(&self.duration_us) as f64 / 1e6);
        let _ = writeln!(out, "waag_http_request_duration_seconds_count {sum}");
        out.push_str("# TYPE waag_events counter\n# HELP waag_events Events by what became of them.\n");
        for (outcome, counter) in
            [("recorded", &self.recorded), ("before", &self.before), ("refused", &self.refused)]
        {
            let _ = writeln!(out, "waag_events_total{{outcome=\"{outcome}\"}} {}", read(counter));
        }
        for (name, help, counter) in [
            ("waag_http_limited", "Requests answered with 429.", &self.limited),
            ("waag_http_overloaded", "Requests answered with 503.", &self.overloaded),
        ] {
            let _ =
                writeln!(out, "# TYPE {name} counter\n# HELP {name} {help}\n{name}_total {}", read(counter));
        }
        let _ = writeln!(
            out,
            "# TYPE waag_http_connections gauge\n# HELP waag_http_connections Open connections.\nwaag_http_connections {}",
            read(&self.connections)
        );
        if let Some(entries) = entries {
            let _ = writeln!(
                out,
                "# TYPE waag_ledger_entries gauge\n# HELP waag_ledger_entries Entries under the newest checkpoint.\nwaag_ledger_entries {entries}"
            );
        }
        out.push_str("# EOF\n");
        out
    }
}
