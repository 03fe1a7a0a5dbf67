//! The door's own figures, and any figures as OpenMetrics text; a label's values are routes, status classes and codes of
//! errors, so their number is fixed by the program.
//!
//! Not here: figures of the engine, the views and the access log (the node adds them as `Figures`).
//! Source: OpenMetrics 1.0, Prometheus naming.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use waag_stdx::figures::{Family, Figures, Meaning, Sample, Value, counter, gauge};

use crate::fault::Kind;
use crate::problem::Answer;
use crate::routes::Route;

/// The media type of [`text`].
pub const MEDIA: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper bounds of the duration buckets, in microseconds.
const BUCKETS_US: [u64; 12] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 250_000, 1_000_000, 4_000_000];
/// The same in seconds.
const BUCKETS_S: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1.0, 4.0];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted for each route.
#[derive(Debug, Default)]
struct OfRoute {
    classes: [AtomicU64; CLASSES.len()],
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    duration_us: AtomicU64,
}

/// The door's own figures.
#[derive(Debug)]
pub struct Metrics {
    routes: [OfRoute; Route::LABELS.len()],
    /// Bounded by the codes that the program has.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    recorded: AtomicU64,
    before: AtomicU64,
    refused_events: AtomicU64,
    overloaded: AtomicU64,
    pub(crate) connections: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            // More than arrays have a default of.
            routes: std::array::from_fn(|_| OfRoute::default()),
            refused: Mutex::default(),
            recorded: AtomicU64::default(),
            before: AtomicU64::default(),
            refused_events: AtomicU64::default(),
            overloaded: AtomicU64::default(),
            connections: AtomicU64::default(),
        }
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn add(counter: &AtomicU64, by: u64) {
    if by > 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

fn sample(labels: Vec<(&'static str, &'static str)>, value: u64) -> Sample {
    Sample { labels, value: Value::Whole(value) }
}

impl Metrics {
    /// Counts an answered request.
    pub(crate) fn count(&self, route: Option<Route>, answer: &Answer, took: Duration) {
        let status = answer.status.as_u16();
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        let label = route.map_or(Route::LABELS.len() - 1, Route::label);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(of_route) = self.routes.get(label) {
            of_route.classes.get(class).iter().for_each(|counter| add(counter, 1));
            let bucket = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
            of_route.buckets.get(bucket).iter().for_each(|counter| add(counter, 1));
            add(&of_route.duration_us, us);
        }
        let [recorded, before, refused] = answer.counts;
        add(&self.recorded, recorded);
        add(&self.before, before);
        add(&self.refused_events, refused);
        add(&self.overloaded, u64::from(status == 503));
        if let Some(code) = answer.code {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let count = refused.entry(code).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn of_routes(&self) -> [Family; 2] {
        let (mut requests, mut durations) = (Vec::new(), Vec::new());
        for (route, counted) in Route::LABELS.into_iter().zip(&self.routes) {
            for (class, counter) in CLASSES.into_iter().zip(&counted.classes) {
                if read(counter) > 0 {
                    requests.push(sample(vec![("route", route), ("status", class)], read(counter)));
                }
            }
            let counts: Vec<u64> = counted.buckets.iter().map(read).collect();
            if counts.iter().any(|count| *count > 0) {
                let sum = read(&counted.duration_us) as f64 / 1e6;
                let value = Value::Buckets { bounds: &BUCKETS_S, counts, sum };
                durations.push(Sample { labels: vec![("route", route)], value });
            }
        }
        [
            Family::of("waag_http_requests", Meaning::Counter, "Requests answered.", requests),
            Family::of(
                "waag_http_request_duration_seconds",
                Meaning::Histogram,
                "Time from a request's head to its answer.",
                durations,
            ),
        ]
    }
}

impl Figures for Metrics {
    fn families(&self) -> Vec<Family> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let limit =
            |name, kind: Kind| sample(vec![("limit", name)], refused.get(kind.code()).copied().unwrap_or(0));
        let limited = vec![
            limit("key_rate", Kind::KeyRate(0)),
            limit("node_rate", Kind::NodeRate(0)),
            limit("key_day", Kind::Quota(0)),
        ];
        let outcomes =
            [("recorded", &self.recorded), ("before", &self.before), ("refused", &self.refused_events)];
        let outcomes = outcomes.map(|(name, counter)| sample(vec![("outcome", name)], read(counter)));
        let codes = refused.iter().map(|(code, count)| sample(vec![("code", code)], *count)).collect();
        let [requests, durations] = self.of_routes();
        vec![
            requests,
            durations,
            Family::of("waag_events", Meaning::Counter, "Events by what became of them.", outcomes.into()),
            Family::of(
                "waag_http_refused",
                Meaning::Counter,
                "Requests that ended with a fault, by its code.",
                codes,
            ),
            Family::of(
                "waag_http_limited",
                Meaning::Counter,
                "Requests turned away by a plan, by its limit.",
                limited,
            ),
            counter("waag_http_overloaded", "Requests answered with 503.", read(&self.overloaded)),
            gauge("waag_http_connections", "Open connections.", read(&self.connections)),
        ]
    }
}

/// Figures as OpenMetrics text, up to its end mark.
#[must_use]
pub fn text(families: &[Family]) -> String {
    let mut out = String::with_capacity(8_192);
    for Family { name, meaning, unit, help, samples } in families {
        let kind = match meaning {
            Meaning::Counter => "counter",
            Meaning::Gauge => "gauge",
            Meaning::Histogram => "histogram",
        };
        // Writing to memory cannot fail.
        let _ = writeln!(out, "# TYPE {name} {kind}");
        if let Some(unit) = unit {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(out, "# HELP {name} {help}");
        let total = if *meaning == Meaning::Counter { "_total" } else { "" };
        for Sample { labels, value } in samples {
            let name = format!("{name}{total}");
            match value {
                Value::Whole(value) => line(&mut out, &name, labels, None, *value as f64),
                Value::Real(value) => line(&mut out, &name, labels, None, *value),
                Value::Buckets { bounds, counts, sum } => {
                    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
                    let mut below = 0_u64;
                    for (bound, count) in bounds.zip(counts) {
                        below = below.saturating_add(*count);
                        line(&mut out, &format!("{name}_bucket"), labels, Some(bound), below as f64);
                    }
                    line(&mut out, &format!("{name}_sum"), labels, None, *sum);
                    line(&mut out, &format!("{name}_count"), labels, None, below as f64);
                }
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], bound: Option<f64>, value: f64) {
    let bound =
        bound.map(|bound| ("le", if bound.is_finite() { format!("{bound:?}") } else { "+Inf".to_owned() }));
    let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(bound);
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(out, "{name}{labels} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_each_form_of_figure() {
        let buckets = Value::Buckets { bounds: &[0.5, 1.0], counts: vec![1, 0, 2], sum: 7.25 };
        let families = [
            counter("a", "Things.", 1 << 40),
            gauge("b_bytes", "Size.", 3),
            Family::of(
                "c_seconds",
                Meaning::Histogram,
                "Times.",
                vec![Sample { labels: vec![("route", "/x")], value: buckets }],
            ),
        ];
        let expected = "# TYPE a counter\n# HELP a Things.\na_total 1099511627776\n\
            # TYPE b_bytes gauge\n# UNIT b_bytes bytes\n# HELP b_bytes Size.\nb_bytes 3\n\
            # TYPE c_seconds histogram\n# UNIT c_seconds seconds\n# HELP c_seconds Times.\n\
            c_seconds_bucket{route=\"/x\",le=\"0.5\"} 1\nc_seconds_bucket{route=\"/x\",le=\"1.0\"} 1\n\
            c_seconds_bucket{route=\"/x\",le=\"+Inf\"} 3\nc_seconds_sum{route=\"/x\"} 7.25\n\
            c_seconds_count{route=\"/x\"} 3\n# EOF\n";
        assert_eq!(text(&families), expected);
        for (us, s) in BUCKETS_US.into_iter().zip(BUCKETS_S) {
            assert!((us as f64 / 1e6 - s).abs() < 1e-12);
        }
    }
}
