//! Time to read and to write one event of about 600 bytes, beside two readers that only read JSON.
//!
//! `cargo run --release -p waag-cloudevents --example read_speed`.
//! With a reader's name and a count (`read_event 1000`; also `serde_json`, `jiter`) it does nothing but read that
//! often, for tools that count instructions or allocations: two runs, and the difference divided.
//! The best round counts: on a shared machine the others measure the neighbours.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::hint::black_box;

use jiter::JsonValue;
use waag_cloudevents::{Refusal, read_event, write_event};
use waag_stdx::clock::{Clock, SystemClock};

const CALLS_PER_ROUND: u32 = 10_000;
const ROUNDS: usize = 40;

const EVENT: &str = concat!(
    r#"{"specversion":"1.0","id":"9f1c2d34-5b6a-4788-9c0d-1e2f3a4b5c6d","source":"urn:example:erp:invoices","#,
    r#""type":"com.example.invoice.approved.v1","subject":"INV-2026-00418822","time":"2026-11-21T03:55:33.123456Z","#,
    r#""datacontenttype":"application/json","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
    r#""data":{"invoice":"INV-2026-00418822","supplier":{"id":"S-20017","country":"NL"},"#,
    r#""amount":{"value":12503.50,"currency":"EUR"},"lines":3,"due":"2026-12-21","approved_by":"u-5512","#,
    r#""note":"xK4mTq09ZbVw2LrNf8uYcE7hJdPsGa31oRiXvQe5kMtBnUyWzCfHgDlSxAj6p"}}"#
);

fn event() {
    let _ = black_box(read_event(black_box(EVENT.as_bytes())));
}

fn serde_json_value() {
    let _ = black_box(serde_json::from_slice::<serde_json::Value>(black_box(EVENT.as_bytes())));
}

fn jiter_value() {
    let _ = black_box(JsonValue::parse(black_box(EVENT.as_bytes()), false));
}

/// Nanoseconds per call, the best of the rounds so far and of one more.
fn round(clock: &SystemClock, best: f64, mut step: impl FnMut()) -> f64 {
    let start = clock.monotonic();
    (0..CALLS_PER_ROUND).for_each(|_| step());
    best.min((clock.monotonic() - start).as_secs_f64() * 1e9 / f64::from(CALLS_PER_ROUND))
}

fn main() -> Result<(), Refusal> {
    let mut arguments = std::env::args().skip(1);
    if let Some(reader) = arguments.next() {
        let count: u32 = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1_000);
        let step = match reader.as_str() {
            "serde_json" => serde_json_value,
            "jiter" => jiter_value,
            _ => event,
        };
        (0..count).for_each(|_| step());
        return Ok(());
    }
    let clock = SystemClock::new();
    let read = read_event(EVENT.as_bytes())?;
    let mut out = Vec::new();
    let (mut ours, mut serde, mut jiter, mut write) = (f64::MAX, f64::MAX, f64::MAX, f64::MAX);
    // In turns, so that a slow spell of the machine meets all of them.
    for _ in 0..ROUNDS {
        ours = round(&clock, ours, event);
        serde = round(&clock, serde, serde_json_value);
        jiter = round(&clock, jiter, jiter_value);
        write = round(&clock, write, || {
            out.clear();
            write_event(black_box(&read), &mut out);
            black_box(&out);
        });
    }
    println!("{} bytes, best of {ROUNDS} rounds of {CALLS_PER_ROUND}:", EVENT.len());
    println!("read_event        {ours:6.0} ns, {:.2} of serde_json's Value", ours / serde);
    println!("serde_json Value  {serde:6.0} ns");
    println!("jiter JsonValue   {jiter:6.0} ns");
    println!("write_event       {write:6.0} ns");
    Ok(())
}
