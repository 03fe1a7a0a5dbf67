//! `bench router matching`: events per second and core against 100 rules of mixed kinds, from bytes and already parsed, and
//! whether 100,000 exact or prefix rules cost more than 100.
//!
//! One thread, one scratch memory, events drawn from a seed before anything is measured. Figures are events per second of
//! the thread's own CPU time, beside those by the clock, because a machine that is shared takes time away. Sizes that are
//! compared take turns within one run.

use std::time::Instant;

use anyhow::{Context, anyhow};
use serde_json::Value;
use waag_fixtures::prng::SplitMix;
use waag_pattern::{Pattern, RuleId, RuleSet, Scratch};

use crate::measure::{cpu_of_this_thread, median, peak_memory};

/// Bytes of an event; a note at its end fills it up.
const EVENT_BYTES: usize = 900;
const MIXED_RULES: u64 = 100;
const FEW: u64 = 100;
const MANY: u64 = 100_000;
/// What must be reached from bytes, in events a second.
const TARGET: f64 = 300_000.0;

const TYPES: [&str; 8] = [
    "invoice.received",
    "invoice.approved",
    "invoice.posted",
    "invoice.rejected",
    "payment.ordered",
    "payment.settled",
    "payment.returned",
    "statement.booked",
];
const COUNTRIES: [&str; 10] = ["NL", "BE", "DE", "FR", "AT", "IT", "ES", "PT", "PL", "DK"];

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let (mut events, mut rounds) = (20_000, 7);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let number = rest.next().context("a number is missing")?.parse()?;
        match *argument {
            "--events" => events = number,
            "--rounds" => rounds = number,
            other => anyhow::bail!("unknown argument `{other}`"),
        }
    }
    mixed(events, rounds)?;
    growing(events, rounds, "exact", &|key| format!(r#"["{key}"]"#))?;
    growing(events, rounds, "prefix", &|key| format!(r#"[{{"prefix": "{key}"}}]"#))?;
    println!("peak resident memory {} MiB", peak_memory(None) >> 20);
    Ok(())
}

/// Events and rules of a run.
struct Load {
    rules: RuleSet,
    events: Vec<String>,
}

/// What one pass over all events took.
struct Pass {
    by_cpu: f64,
    by_clock: f64,
    matches: usize,
}

impl Load {
    fn pass(&self, mut each: impl FnMut(usize, &str) -> anyhow::Result<usize>) -> anyhow::Result<Pass> {
        let (start, cpu) = (Instant::now(), cpu_of_this_thread());
        let mut matches = 0;
        for (at, event) in self.events.iter().enumerate() {
            matches += each(at, event)?;
        }
        let count = self.events.len() as f64;
        let cpu = (cpu_of_this_thread() - cpu).as_secs_f64();
        Ok(Pass { by_cpu: count / cpu, by_clock: count / start.elapsed().as_secs_f64(), matches })
    }

    fn text_pass(&self, scratch: &mut Scratch) -> anyhow::Result<Pass> {
        self.pass(|_, event| Ok(self.rules.matches(event.as_bytes(), scratch)?.len()))
    }
}

fn mixed(events: usize, rounds: usize) -> anyhow::Result<()> {
    let mut random = SplitMix::new(4);
    let mut rules = RuleSet::new();
    for id in 0..MIXED_RULES {
        let text = mixed_rule(id);
        rules.insert(RuleId(id), &Pattern::parse(text.as_bytes()).with_context(|| text)?);
    }
    let events = (0..events).map(|_| event(&mut random, MANY)).collect::<Vec<_>>();
    let load = Load { rules, events };
    let bytes: usize = load.events.iter().map(String::len).sum();
    let parsed: Vec<Value> =
        load.events.iter().map(|event| serde_json::from_str(event)).collect::<Result<_, _>>()?;
    println!(
        "{} events of {} bytes ({} leaves), {MIXED_RULES} rules of 17 kinds, one thread, {rounds} rounds",
        load.events.len(),
        bytes / load.events.len().max(1),
        parsed.first().map_or(0, leaves),
    );
    let mut scratch = Scratch::new();
    let (mut text_runs, mut parsed_runs, mut parse_runs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        text_runs.push(load.text_pass(&mut scratch)?);
        parsed_runs.push(load.pass(|at, _| {
            let event = parsed.get(at).ok_or_else(|| anyhow!("an event is missing"))?;
            Ok(load.rules.matches_value(event, &mut scratch)?.len())
        })?);
        parse_runs.push(load.pass(|_, event| {
            let value: Value = serde_json::from_str(event)?;
            Ok(usize::from(std::hint::black_box(value).is_object()))
        })?);
    }
    show("from bytes", &text_runs, load.events.len());
    show("already parsed", &parsed_runs, load.events.len());
    show("beside it: serde_json to a Value, no matching", &parse_runs, load.events.len());
    let reached = figure(&text_runs, |pass| pass.by_cpu);
    println!(
        "  target {TARGET:.0}/s from bytes: {}",
        if reached >= TARGET { "reached" } else { "NOT reached" }
    );
    Ok(())
}

/// The same events against few and many rules of which each event matches one, in turn.
fn growing(events: usize, rounds: usize, kind: &str, field: &dyn Fn(&str) -> String) -> anyhow::Result<()> {
    let load = |count: u64| -> anyhow::Result<(Load, f64)> {
        let patterns = (0..count)
            .map(|id| {
                let text = format!(r#"{{"specversion": ["1.0"], "subject": {}}}"#, field(&subject(id)));
                Pattern::parse(text.as_bytes()).with_context(|| text)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut rules = RuleSet::new();
        let start = Instant::now();
        (0..).zip(&patterns).for_each(|(id, pattern)| rules.insert(RuleId(id), pattern));
        let built = start.elapsed().as_secs_f64();
        let mut random = SplitMix::new(5);
        Ok((Load { rules, events: (0..events).map(|_| event(&mut random, count)).collect() }, built))
    };
    let ((few, _), (many, built)) = (load(FEW)?, load(MANY)?);
    let mut scratch = Scratch::new();
    let (mut few_runs, mut many_runs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        few_runs.push(few.text_pass(&mut scratch)?);
        many_runs.push(many.text_pass(&mut scratch)?);
    }
    println!(
        "{kind} rules, all with a further field in common, each event matches one; {MANY} inserted in {built:.2} s"
    );
    show(&format!("{FEW} rules"), &few_runs, events);
    show(&format!("{MANY} rules"), &many_runs, events);
    let ratio = figure(&few_runs, |pass| pass.by_cpu) / figure(&many_runs, |pass| pass.by_cpu);
    println!(
        "  {MANY} rules take {ratio:.2} times as long; target 2: {}",
        if ratio <= 2.0 { "reached" } else { "NOT reached" }
    );
    Ok(())
}

fn figure(passes: &[Pass], of: impl Fn(&Pass) -> f64) -> f64 {
    median(&passes.iter().map(of).collect::<Vec<_>>())
}

fn show(what: &str, passes: &[Pass], events: usize) {
    let matches = passes.first().map_or(0, |pass| pass.matches) as f64 / events as f64;
    let slowest = passes.iter().map(|pass| pass.by_cpu).fold(f64::INFINITY, f64::min);
    let fastest = passes.iter().map(|pass| pass.by_cpu).fold(0.0, f64::max);
    println!(
        "  {what}: {:.0} events/s of CPU time (rounds {slowest:.0} to {fastest:.0}), {:.0}/s by the clock, {matches:.2} matches an event",
        figure(passes, |pass| pass.by_cpu),
        figure(passes, |pass| pass.by_clock),
    );
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(leaves).sum(),
        Value::Object(members) => members.values().map(leaves).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

fn subject(id: u64) -> String {
    format!("C{id:05}-")
}

fn one<'a>(random: &mut SplitMix, of: &[&'a str]) -> &'a str {
    let at = usize::try_from(random.below(of.len() as u64)).unwrap_or(0);
    of.get(at).copied().unwrap_or_default()
}

/// An event in CloudEvents' JSON form with one of `customers` as its subject.
fn event(random: &mut SplitMix, customers: u64) -> String {
    let line = |random: &mut SplitMix| {
        format!(
            r#"{{"sku":"SKU-{:05}","quantity":{},"price":{}.{:02},"country":"{}"}}"#,
            random.below(50_000),
            random.below(40) + 1,
            random.below(900),
            random.below(100),
            one(random, &COUNTRIES),
        )
    };
    let lines: Vec<String> = (0..3).map(|_| line(random)).collect();
    let (kind, number) = (one(random, &TYPES), random.below(1_000_000));
    let subject = subject(random.below(customers));
    let mut event = format!(
        r#"{{"specversion":"1.0","id":"{:016x}","source":"/erp/{}/{}","type":"{kind}","subject":"{subject}","time":"2026-{:02}-{:02}T{:02}:15:30.{:03}Z","datacontenttype":"application/json","data":{{"number":"INV-{number:06}","total":{}.{:02},"currency":"{}","priority":{},"supplier":{{"name":"Bakkerij De Gouden Krakeling {}","country":"{}","iban":"NL{:02}WAAG{:010}","vat":null}},"lines":[{}],"origin":{{"ip":"10.{}.{}.{}","agent":"erp-connector/{}.{}"}},"tags":["{}","q{}"],"path":"/inbox/{}/scan-{}.pdf","note":""#,
        random.next_u64(),
        one(random, &COUNTRIES),
        random.below(20),
        random.below(12) + 1,
        random.below(28) + 1,
        random.below(24),
        random.below(1_000),
        random.below(60_000),
        random.below(100),
        one(random, &["EUR", "GBP", "CHF", "SEK"]),
        random.below(10),
        random.below(1_000),
        one(random, &COUNTRIES),
        random.below(100),
        random.below(10_000_000_000),
        lines.join(","),
        random.below(4),
        random.below(256),
        random.below(256),
        random.below(9),
        random.below(99),
        one(random, &["urgent", "late", "credit", "partial", "first"]),
        random.below(4) + 1,
        random.below(500),
        random.below(100_000),
    );
    while event.len() + 3 < EVENT_BYTES {
        event.push_str(one(random, &["e", "t", "a", "o", "i", "n", " ", "s", "h", "r"]));
    }
    event.push_str("\"}}");
    event
}

/// Rules of 17 kinds, all operators among them; most match few events, as subscriptions do.
fn mixed_rule(id: u64) -> String {
    let nth = |of: &[&'static str]| {
        of.iter().cycle().nth(usize::try_from(id / 17).unwrap_or(0)).copied().unwrap_or_default()
    };
    let (kind, country, n) = (nth(&TYPES), nth(&COUNTRIES), id / 17);
    match id % 17 {
        0 => format!(r#"{{"type": ["{kind}"], "subject": ["C{:05}-"]}}"#, n * 7_919),
        1 => format!(r#"{{"subject": [{{"prefix": "C{:03}"}}]}}"#, n * 131),
        2 => format!(r#"{{"data": {{"path": [{{"suffix": "{n}.pdf"}}]}}, "type": ["{kind}"]}}"#),
        3 => format!(
            r#"{{"data": {{"total": [{{"numeric": [">=", {}]}}]}}, "type": ["{kind}"]}}"#,
            50_000 + n * 500
        ),
        4 => format!(
            r#"{{"data": {{"total": [{{"numeric": [">", {}, "<", {}]}}]}}}}"#,
            n * 1_000,
            n * 1_000 + 50
        ),
        5 => format!(r#"{{"data": {{"priority": [{n}], "supplier": {{"country": ["{country}"]}}}}}}"#),
        6 => format!(r#"{{"data": {{"path": [{{"wildcard": "/inbox/{n}*/scan-*7.pdf"}}]}}}}"#),
        7 => format!(r#"{{"data": {{"origin": {{"ip": [{{"cidr": "10.{}.{}.0/24"}}]}}}}}}"#, n % 4, n * 17),
        8 => format!(
            r#"{{"type": ["{kind}"], "data": {{"currency": [{{"anything-but": ["EUR", "GBP"]}}], "priority": [9]}}}}"#
        ),
        9 => format!(
            r#"{{"data": {{"currency": [{{"equals-ignore-case": "sek"}}], "supplier": {{"name": [{{"suffix": " {n}"}}]}}}}}}"#
        ),
        10 => format!(
            r#"{{"source": [{{"prefix": {{"equals-ignore-case": "/ERP/{country}/1"}}}}], "type": ["{kind}"]}}"#
        ),
        11 => format!(
            r#"{{"data": {{"lines": {{"sku": [{{"prefix": "SKU-0{n}"}}], "country": ["{country}"]}}}}}}"#
        ),
        12 => format!(
            r#"{{"data": {{"lines": {{"quantity": [40], "country": ["{country}"]}}, "tags": ["urgent"]}}}}"#
        ),
        13 => {
            format!(r#"{{"type": ["{kind}"], "data": {{"supplier": {{"blocked": [{{"exists": true}}]}}}}}}"#)
        }
        14 => format!(
            r#"{{"type": ["{kind}"], "data": {{"approver": [{{"exists": false}}], "priority": [{n}]}}}}"#
        ),
        15 => format!(
            r#"{{"$or": [{{"data": {{"tags": ["late"]}}}}, {{"data": {{"supplier": {{"vat": [null]}}}}}}], "subject": [{{"prefix": "C9{n}"}}]}}"#
        ),
        _ => format!(
            r#"{{"data": {{"supplier": {{"name": [{{"anything-but": {{"prefix": "Bakkerij"}}}}]}}, "number": [{{"prefix": "INV-00{n}"}}]}}}}"#
        ),
    }
}
