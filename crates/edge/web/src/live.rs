//! Live pages: progress pushed to open pages as server-sent events (WHATWG HTML §9.2), never more than four a second.
//!
//! An event says how far the read model is, not what changed: the page fetches itself again, so that filters, masks and
//! rights are decided in one place. Each event's id is that progress; who comes back with `Last-Event-ID` is told at
//! once where things stand, whatever was missed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use waag_stdx::clock::Clock;

use crate::format;
use crate::ports::Progress;
use crate::ports::deliveries::Deliveries;
use crate::ports::evidence::Evidence;

/// Least time between two events of one connection, in milliseconds: four a second.
const PUSH_GAP_MS: u64 = 250;
/// A comment is sent this long after the last event, in seconds, so that proxies and browsers keep the line.
const HEARTBEAT_S: u64 = 15;
/// How long a browser waits before it comes back, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// How often a page of deliveries or evidence asks whether they moved on, in milliseconds: they do without any event coming
/// in.
const STAMP_ASKED_MS: u64 = 1_000;
/// Open pages that are told of progress at once: fewer than there are connections, so that pages are answered beside them.
pub(crate) const LIVE_CONNECTIONS_MAX: usize = 192;
const _: () = assert!(LIVE_CONNECTIONS_MAX < crate::server::CONNECTIONS_MAX);

/// A text that is another one whenever what a page shows beside new events has changed.
///
/// It may take its time, so a blocking thread waits for it; a line asks again only once it has.
pub(crate) type Stamp = Arc<dyn Fn() -> String + Send + Sync>;

struct Line {
    changes: watch::Receiver<Progress>,
    closing: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
    /// Present where the page shows more than events.
    stamp: Option<Stamp>,
    told: String,
    started: bool,
    _place: OwnedSemaphorePermit,
}

/// The answer that stays open and tells progress, until the house or the listener closes.
pub(crate) fn answer(
    changes: watch::Receiver<Progress>,
    closing: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
    stamp: Option<Stamp>,
    place: OwnedSemaphorePermit,
) -> Response {
    let line = Line { changes, closing, clock, stamp, told: String::new(), started: false, _place: place };
    let events = stream::unfold(line, |mut line| async move {
        if line.started {
            // An open line must not hold up the end of the program.
            tokio::select! {
                progressed = moved_on(&mut line.changes, line.stamp.as_ref(), &line.told) => progressed?,
                _ = line.closing.wait_for(|closing| *closing) => return None,
            }
        }
        line.started = true;
        let progress = *line.changes.borrow_and_update();
        line.told = match &line.stamp {
            Some(stamp) => asked(stamp).await,
            None => String::new(),
        };
        let event = Ok::<_, Infallible>(told(&progress, &line.told, &*line.clock));
        Some((event, line))
    });
    let beat = KeepAlive::new().interval(Duration::from_secs(HEARTBEAT_S)).text("beat");
    Sse::new(events).keep_alive(beat).into_response()
}

/// Waits for the least gap and then for progress; `None` when nobody can change progress any more.
async fn progress_after_gap(changes: &mut watch::Receiver<Progress>) -> Option<()> {
    tokio::time::sleep(Duration::from_millis(PUSH_GAP_MS)).await;
    changes.changed().await.ok()
}

/// Waits for progress, or for a stamp that is another one.
async fn moved_on(changes: &mut watch::Receiver<Progress>, stamp: Option<&Stamp>, known: &str) -> Option<()> {
    let Some(stamp) = stamp else {
        return progress_after_gap(changes).await;
    };
    let others = async {
        loop {
            tokio::time::sleep(Duration::from_millis(STAMP_ASKED_MS)).await;
            if asked(stamp).await != known {
                return;
            }
        }
    };
    tokio::select! {
        progressed = progress_after_gap(changes) => progressed,
        () = others => Some(()),
    }
}

async fn asked(stamp: &Stamp) -> String {
    let stamp = Arc::clone(stamp);
    tokio::task::spawn_blocking(move || stamp()).await.unwrap_or_default()
}

/// What the pages of evidence tell beside new events.
pub(crate) fn of_evidence(evidence: Arc<dyn Evidence>) -> Stamp {
    Arc::new(move || format!(".{}", evidence.stamp()))
}

/// All totals in a row: another one whenever something was delivered, failed, waits, or was given up.
pub(crate) fn of_deliveries(deliveries: Arc<dyn Deliveries>) -> Stamp {
    Arc::new(move || totals(&*deliveries))
}

fn totals(deliveries: &dyn Deliveries) -> String {
    let told = deliveries.figures();
    let numbers = [
        told.subscriptions,
        told.stopped,
        told.delivered,
        told.failed,
        told.given_up,
        told.dead_letters,
        told.waiting_keys,
        told.parked_keys,
    ];
    numbers.map(|number| format!(".{number}")).concat()
}

/// One event: plain numbers and a time, no personal data.
fn told(progress: &Progress, stamp: &str, clock: &dyn Clock) -> Event {
    let newest = progress.newest.map_or_else(String::new, |at| format::seconds(&at));
    let age_ms = progress
        .newest
        .map_or(0, |at| clock.now().0.saturating_sub(at.0).max(0).checked_div(1_000_000).unwrap_or(0));
    let data =
        format!("{{\"projected\":{},\"newest\":\"{newest}\",\"age_ms\":{age_ms}}}", progress.projected);
    Event::default()
        .event("progress")
        .id(format!("{}{stamp}", progress.projected))
        .retry(Duration::from_millis(RETRY_MS))
        .data(data)
}
