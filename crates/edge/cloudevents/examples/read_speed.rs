//! Time to read and to write one event of about 600 bytes: `cargo run --release -p waag-cloudevents --example read_speed`.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::hint::black_box;

use waag_cloudevents::{Refusal, read_event, write_event};
use waag_stdx::clock::{Clock, SystemClock};

const ROUNDS: u32 = 400_000;
const RUNS: usize = 7;

const EVENT: &str = concat!(
    r#"{"specversion":"1.0","id":"9f1c2d34-5b6a-4788-9c0d-1e2f3a4b5c6d","source":"urn:example:erp:invoices","#,
    r#""type":"com.example.invoice.approved.v1","subject":"INV-2026-00418822","time":"2026-11-21T03:55:33.123456Z","#,
    r#""datacontenttype":"application/json","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","#,
    r#""data":{"invoice":"INV-2026-00418822","supplier":{"id":"S-20017","country":"NL"},"#,
    r#""amount":{"value":12503.50,"currency":"EUR"},"lines":3,"due":"2026-12-21","approved_by":"u-5512","#,
    r#""note":"xK4mTq09ZbVw2LrNf8uYcE7hJdPsGa31oRiXvQe5kMtBnUyWzCfHgDlSxAj6p"}}"#
);

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs.get(runs.len() / 2).copied().unwrap_or_default()
}

fn timed(clock: &SystemClock, mut step: impl FnMut()) -> f64 {
    let runs = (0..RUNS).map(|_| {
        let start = clock.monotonic();
        (0..ROUNDS).for_each(|_| step());
        (clock.monotonic() - start).as_secs_f64() * 1e9 / f64::from(ROUNDS)
    });
    median(runs.collect())
}

fn main() -> Result<(), Refusal> {
    let clock = SystemClock::new();
    let event = read_event(EVENT.as_bytes())?;
    let read = timed(&clock, || {
        let _ = black_box(read_event(black_box(EVENT.as_bytes())));
    });
    let mut out = Vec::new();
    let write = timed(&clock, || {
        out.clear();
        write_event(black_box(&event), &mut out);
        black_box(&out);
    });
    println!("{} bytes: read {read:.0} ns, write {write:.0} ns (median of {RUNS} runs)", EVENT.len());
    Ok(())
}
