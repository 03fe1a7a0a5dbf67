//! `bench visible`: from an event's acknowledgement to the open page that shows it, at a steady rate, on a running node.
//!
//! A reader stands for a browser with the overview open: it hears of progress on the line of events, fetches the page
//! again, one request at a time, and has seen an event when a page is there to its last byte that was asked for after
//! the line told of that event. A sender posts batches at their times, whether the last one was answered or not late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use waag_fixtures::workload::{Shape, Workload};

use crate::client::{Line, Live};
use crate::events::Events;
use crate::measure::percentile;

/// Events of a request.
const BATCH: usize = 100;
/// Connections that send.
const SENDERS: usize = 4;
/// What an event may take from acknowledgement to the page, in milliseconds.
const BAR_MS: f64 = 1_000.0;
/// How long the last events are waited for.
const DRAIN: Duration = Duration::from_secs(10);

struct Options {
    door: SocketAddr,
    pages: SocketAddr,
    key: String,
    rate: u64,
    seconds: u64,
}

fn options(arguments: &[&str]) -> anyhow::Result<Options> {
    let (mut door, mut pages, mut key, mut rate, mut seconds) = (None, None, None, 10_000, 30);
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { anyhow::bail!("each option takes a value") };
        match *name {
            "--door" => door = Some(value.parse()?),
            "--pages" => pages = Some(value.parse()?),
            "--key" => key = Some((*value).to_owned()),
            "--rate" => rate = value.parse()?,
            "--seconds" => seconds = value.parse()?,
            other => anyhow::bail!("unknown option {other}"),
        }
    }
    let needed = "--door, --pages and --key tell the node";
    Ok(Options {
        door: door.context(needed)?,
        pages: pages.context(needed)?,
        key: key.context(needed)?,
        rate,
        seconds,
    })
}

/// What was acknowledged: when, and the position behind the newest event of a batch.
type Acknowledged = Arc<Mutex<Vec<(Instant, u64)>>>;

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let options = Arc::new(options(arguments)?);
    let count = usize::try_from(options.rate * options.seconds)?;
    let events = Events::take(&mut Workload::new(u64::from(std::process::id()), Shape::default()), count);
    let bodies: Arc<Vec<Vec<u8>>> = Arc::new(events.batches(BATCH).iter().map(|lines| body(lines)).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (acknowledged, seen) = runtime.block_on(measure(&options, &bodies))?;
    let mut times = Vec::new();
    let mut pages = seen.iter().peekable();
    for (at, behind) in &acknowledged {
        while pages.next_if(|(_, shown)| shown < behind).is_some() {}
        let (shown_at, _) = pages.peek().context("an acknowledged event never came to the page")?;
        times.push(shown_at.saturating_duration_since(*at).as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let p99 = percentile(&times, 0.99);
    println!(
        "{} events/s in batches of {BATCH} for {} s: from acknowledgement to the open page p50 {:.0} ms, p99 {p99:.0} ms, \
         most {:.0} ms ({} batches, {} pages fetched)",
        options.rate,
        options.seconds,
        percentile(&times, 0.5),
        percentile(&times, 1.0),
        times.len(),
        seen.len(),
    );
    ensure!(p99 < BAR_MS, "the bar is {BAR_MS} ms");
    Ok(())
}

fn body(lines: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![b'['];
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(line);
    }
    body.push(b']');
    body
}

/// Sends, and looks at the page; gives what was acknowledged and what pages had come, each in order.
async fn measure(
    options: &Arc<Options>,
    bodies: &Arc<Vec<Vec<u8>>>,
) -> anyhow::Result<(Vec<(Instant, u64)>, Vec<(Instant, u64)>)> {
    let acknowledged: Acknowledged = Arc::default();
    let ended = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(look(options.pages, Arc::clone(&acknowledged), Arc::clone(&ended)));
    let start = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|number| {
            let (options, bodies) = (Arc::clone(options), Arc::clone(bodies));
            tokio::spawn(send(number, start, options, bodies, Arc::clone(&acknowledged)))
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    let took = start.elapsed();
    ended.store(true, Ordering::Release);
    let seen = reader.await??;
    let mut acknowledged = acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // A page shows all that stands before what it shows, so what came to the ledger first is looked up first.
    acknowledged.sort_unstable_by_key(|(_, behind)| *behind);
    let wanted = Duration::from_secs(options.seconds);
    ensure!(took < wanted + wanted / 10, "the node did not keep up: {:.1} s", took.as_secs_f64());
    Ok((acknowledged, seen))
}

/// Sends every fourth batch at its time.
async fn send(
    number: usize,
    start: Instant,
    options: Arc<Options>,
    bodies: Arc<Vec<Vec<u8>>>,
    acknowledged: Acknowledged,
) -> anyhow::Result<()> {
    let mut line = Line::open(options.door).await?;
    for (at, body) in bodies.iter().enumerate().skip(number).step_by(SENDERS) {
        let events = u32::try_from(at * BATCH)?;
        let due = start + Duration::from_secs(1) * events / u32::try_from(options.rate)?;
        tokio::time::sleep_until(due.into()).await;
        let answer = line.post_batch(&options.key, body).await?;
        let now = Instant::now();
        let behind = newest(&answer).context("an answer without a position")? + 1;
        acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push((now, behind));
    }
    Ok(())
}

/// The greatest position that an answer tells.
fn newest(answer: &str) -> Option<u64> {
    let positions = answer.split("\"position\":").skip(1);
    positions.filter_map(|rest| rest.split([',', '}']).next()?.trim().parse().ok()).max()
}

/// Fetches the overview again whenever the line tells of progress; gives when each page was there and what it shows.
async fn look(
    pages: SocketAddr,
    acknowledged: Acknowledged,
    ended: Arc<AtomicBool>,
) -> anyhow::Result<Vec<(Instant, u64)>> {
    let mut live = Live::open(pages).await?;
    let mut line = Line::open(pages).await?;
    let mut seen = Vec::new();
    let mut end: Option<Instant> = None;
    loop {
        let told = tokio::time::timeout(Duration::from_millis(500), live.next()).await;
        if let Ok(projected) = told {
            let projected = projected?;
            line.get("/").await?;
            seen.push((Instant::now(), projected));
        }
        if ended.load(Ordering::Acquire) {
            let newest = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
            let newest = newest.iter().map(|(_, behind)| *behind).max().unwrap_or(0);
            let deadline = *end.get_or_insert_with(|| Instant::now() + DRAIN);
            if seen.last().is_some_and(|(_, shown)| *shown >= newest) {
                return Ok(seen);
            }
            ensure!(Instant::now() < deadline, "the page did not catch up");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_greatest_position_of_an_answer_is_found() {
        let answer = r#"{"items":[{"position":7,"x":1},{"status":"refused"},{"position": 9}]}"#;
        assert_eq!(newest(answer), Some(9));
        assert_eq!(newest("{}"), None);
    }
}
