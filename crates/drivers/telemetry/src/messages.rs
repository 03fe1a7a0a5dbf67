//! OTLP's messages: spans and figures with the resource that they are of.
//!
//! Field numbers are those of opentelemetry-proto 1.x (`trace.proto`, `metrics.proto`, `common.proto`), which never change.

use waag_model::time::UtcNanos;
use waag_stdx::figures::{Family, Meaning, Sample, Value};

use crate::wire::Message;
use crate::{Attribute, Span};

/// `SPAN_KIND_SERVER`.
const KIND_SERVER: u64 = 2;
/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: u64 = 2;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;
/// The trace flag "sampled", and that it is known whether the parent is remote.
const SAMPLED: u32 = 0x101;
/// That it is.
const PARENT_IS_REMOTE: u32 = 0x200;

fn attribute(out: &mut Message, field: u64, name: &str, value: &Attribute) {
    out.message(field, |pair| {
        pair.bytes(1, name.as_bytes());
        pair.message(2, |any| match value {
            Attribute::Text(text) => any.bytes(1, text.as_bytes()),
            Attribute::Number(number) => any.varint_always(3, *number),
        });
    });
}

/// The resource that everything is of, as it stands in each message.
pub(crate) fn resource(attributes: &[(String, String)]) -> Vec<u8> {
    let mut out = Message::default();
    for (name, value) in attributes {
        attribute(&mut out, 1, name, &Attribute::Text(value.clone()));
    }
    out.0
}

/// `{Resource…} { scope, items }`, the frame that traces and metrics share.
fn framed(resource: &[u8], items: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut out = Message::default();
    out.message(1, |of_resource| {
        of_resource.bytes(1, resource);
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.bytes(1, b"waag");
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            items(of_scope);
        });
    });
    out.0
}

fn unix(time: UtcNanos) -> u64 {
    u64::try_from(time.0).unwrap_or(0)
}

/// An `ExportTraceServiceRequest`.
pub(crate) fn spans(resource: &[u8], spans: &[Span]) -> Vec<u8> {
    framed(resource, |scope| {
        for span in spans {
            scope.message(2, |out| write_span(out, span));
        }
    })
}

fn write_span(out: &mut Message, span: &Span) {
    out.bytes(1, &span.trace);
    out.bytes(2, &span.id);
    if let Some(parent) = &span.parent {
        out.bytes(4, parent);
    }
    out.bytes(5, span.name.as_bytes());
    out.varint(6, KIND_SERVER);
    let start = unix(span.start);
    out.fixed64(7, start);
    out.fixed64(8, start.saturating_add(u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX)));
    for (name, value) in &span.attributes {
        attribute(out, 9, name, value);
    }
    out.message(15, |status| status.varint(3, if span.is_error { STATUS_ERROR } else { 0 }));
    out.fixed32(16, if span.parent.is_some() { SAMPLED | PARENT_IS_REMOTE } else { SAMPLED });
}

/// An `ExportMetricsServiceRequest`: everything since `from`, as it is `now`.
pub(crate) fn figures(resource: &[u8], families: &[Family], from: UtcNanos, now: UtcNanos) -> Vec<u8> {
    framed(resource, |scope| {
        for family in families.iter().filter(|family| !family.samples.is_empty()) {
            scope.message(2, |out| write_family(out, family, (unix(from), unix(now))));
        }
    })
}

fn write_family(out: &mut Message, family: &Family, times: (u64, u64)) {
    out.bytes(1, family.name.as_bytes());
    out.bytes(2, family.help.as_bytes());
    // UCUM, as the specification asks.
    let unit = match family.unit {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some(_) | None => "1",
    };
    out.bytes(3, unit.as_bytes());
    let (field, is_sum) = match family.meaning {
        Meaning::Gauge => (5, false),
        Meaning::Counter => (7, true),
        Meaning::Histogram => (9, false),
    };
    out.message(field, |data| {
        for sample in &family.samples {
            data.message(1, |point| match &sample.value {
                Value::Buckets { bounds, counts, sum } => {
                    write_buckets(point, sample, (bounds, counts, *sum), times);
                }
                Value::Whole(number) => {
                    write_number(point, sample, times);
                    // `as_int` is signed.
                    point.fixed64(6, u64::try_from(i64::try_from(*number).unwrap_or(i64::MAX)).unwrap_or(0));
                }
                Value::Real(number) => {
                    write_number(point, sample, times);
                    point.double(4, *number);
                }
            });
        }
        if family.meaning != Meaning::Gauge {
            data.varint(2, CUMULATIVE);
        }
        data.varint(3, u64::from(is_sum));
    });
}

fn write_number(point: &mut Message, sample: &Sample, (from, now): (u64, u64)) {
    point.fixed64(2, from);
    point.fixed64(3, now);
    for (name, value) in &sample.labels {
        attribute(point, 7, name, &Attribute::Text((*value).to_owned()));
    }
}

fn write_buckets(
    point: &mut Message,
    sample: &Sample,
    (bounds, counts, sum): (&[f64], &[u64], f64),
    (from, now): (u64, u64),
) {
    point.fixed64(2, from);
    point.fixed64(3, now);
    point.fixed64(4, counts.iter().copied().fold(0, u64::saturating_add));
    point.double(5, sum);
    let packed =
        |values: &mut dyn Iterator<Item = u64>| values.flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
    point.bytes(6, &packed(&mut counts.iter().copied()));
    point.bytes(7, &packed(&mut bounds.iter().map(|bound| bound.to_bits())));
    for (name, value) in &sample.labels {
        attribute(point, 9, name, &Attribute::Text((*value).to_owned()));
    }
}
