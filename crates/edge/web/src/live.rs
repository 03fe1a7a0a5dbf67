//! Live pages: progress pushed to open pages as server-sent events (WHATWG HTML §9.2), never more than four a second.
//!
//! An event says how far the read model is and what has stopped, not what changed: the page fetches itself again, so
//! that filters, masks and rights are decided in one place. Each event's id is all of that together; who comes back with
//! `Last-Event-ID` is told at once where things stand, whatever was missed. A line ends after a while and is opened
//! again: one whose client has stopped reading looks like any other for as long as little is told.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Sleep;
use waag_stdx::clock::Clock;

use crate::format;
use crate::ports::deliveries::Deliveries;
use crate::ports::evidence::Evidence;
use crate::ports::{Halts, House, Progress};

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

/// Lines that ask how things stand at once: each holds a blocking thread while it does.
const ASKED_AT_ONCE_MAX: usize = 4;
/// How long a line lasts, in seconds; then its page opens another one.
const LINE_S_MAX: u64 = 900;

/// A text that is another one whenever what a page shows beside the read model's progress has changed.
///
/// It may take its time, so a blocking thread waits for it; a line asks again only once it has.
pub(crate) type Stamp = Arc<dyn Fn() -> String + Send + Sync>;

/// The lines of all open pages.
pub(crate) struct Lines {
    places: Arc<Semaphore>,
    asking: Arc<Semaphore>,
    lasting: Duration,
}

impl Default for Lines {
    fn default() -> Self {
        Self::of(LIVE_CONNECTIONS_MAX, Duration::from_secs(LINE_S_MAX))
    }
}

impl Lines {
    fn of(most: usize, lasting: Duration) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            asking: Arc::new(Semaphore::new(ASKED_AT_ONCE_MAX)),
            lasting,
        }
    }

    /// The answer that stays open and tells how things stand, until the house or the listener closes, or the line has
    /// lasted its time; none where there are as many lines as may be.
    pub(crate) fn answer(
        &self,
        changes: watch::Receiver<Progress>,
        closing: watch::Receiver<bool>,
        clock: Arc<dyn Clock>,
        stamp: Stamp,
    ) -> Option<Response> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let ends = Box::pin(tokio::time::sleep(self.lasting));
        let asking = Arc::clone(&self.asking);
        let line = Line { changes, closing, clock, stamp, asking, known: None, ends, _place: place };
        let events = stream::unfold(Some(line), |line| async move { next(line?).await });
        let beat = KeepAlive::new().interval(Duration::from_secs(HEARTBEAT_S)).text("beat");
        Some(Sse::new(events).keep_alive(beat).into_response())
    }
}

struct Line {
    changes: watch::Receiver<Progress>,
    closing: watch::Receiver<bool>,
    clock: Arc<dyn Clock>,
    stamp: Stamp,
    asking: Arc<Semaphore>,
    /// What was told last: how far the read model was, and the stamp.
    known: Option<(u64, String)>,
    ends: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

/// A line's next event, and the line where it goes on behind that.
async fn next(mut line: Line) -> Option<(Result<Event, Infallible>, Option<Line>)> {
    let known = line.known.take();
    let stamp = tokio::select! {
        biased;
        // An open line must not hold up the end of the program.
        _ = line.closing.wait_for(|closing| *closing) => return None,
        () = line.ends.as_mut() => return Some((Ok(again()), None)),
        stamp = moved_on(&mut line.changes, &line.stamp, &line.asking, known) => stamp?,
    };
    let progress = *line.changes.borrow_and_update();
    let event = told(&progress, &stamp, &*line.clock);
    line.known = Some((progress.projected, stamp));
    Some((Ok(event), Some(line)))
}

/// The stamp at once where nothing was told so far; otherwise when the read model or the stamp has moved on, after the
/// least gap. `None` when nobody can change progress any more.
async fn moved_on(
    changes: &mut watch::Receiver<Progress>,
    stamp: &Stamp,
    asking: &Arc<Semaphore>,
    known: Option<(u64, String)>,
) -> Option<String> {
    let Some((projected, known)) = known else { return Some(asked(stamp, asking).await) };
    let progressed = async {
        tokio::time::sleep(Duration::from_millis(PUSH_GAP_MS)).await;
        changes.changed().await.ok()
    };
    let others = async {
        loop {
            tokio::time::sleep(Duration::from_millis(STAMP_ASKED_MS)).await;
            let stamp = asked(stamp, asking).await;
            if stamp != known {
                return stamp;
            }
        }
    };
    tokio::select! {
        progressed = progressed => progressed?,
        stamp = others => return Some(stamp),
    }
    // Told again at the same place, the read model has stopped or goes on.
    let is_same_place = changes.borrow().projected == projected;
    Some(if is_same_place { asked(stamp, asking).await } else { known })
}

/// Asks for a stamp in turn; the turn ends when that is done, though the line may have gone before.
async fn asked(stamp: &Stamp, asking: &Arc<Semaphore>) -> String {
    let Ok(turn) = Arc::clone(asking).acquire_owned().await else { return String::new() };
    let stamp = Arc::clone(stamp);
    let work = tokio::task::spawn_blocking(move || {
        let told = stamp();
        drop(turn);
        told
    });
    work.await.unwrap_or_default()
}

/// What every page tells beside progress, which is what has stopped, and what this one tells beside that.
pub(crate) fn of_house(house: Arc<dyn House>, more: Option<Stamp>) -> Stamp {
    Arc::new(move || halted(house.halts()) + &more.as_ref().map_or_else(String::new, |more| more()))
}

/// The codes of what has stopped; an empty text where all goes on.
pub(crate) fn halted(Halts { writer, shown }: Halts) -> String {
    let writer = writer.map_or_else(String::new, |code| format!(".writer-{code}"));
    let shown = shown.map_or_else(String::new, |code| format!(".shown-{code}"));
    writer + &shown
}

/// The id of an event: another one whenever a page drawn before would be drawn otherwise.
pub(crate) fn id(progress: &Progress, stamp: &str) -> String {
    format!("{}{stamp}", progress.projected)
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
        .id(id(progress, stamp))
        .retry(Duration::from_millis(RETRY_MS))
        .data(data)
}

/// The last event of a line; one without data would not be heard of.
fn again() -> Event {
    Event::default().event("again").data("{}")
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::sync::Mutex;
    use waag_model::time::UtcNanos;

    use super::*;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> UtcNanos {
            UtcNanos(0)
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    struct Told {
        progress: watch::Sender<Progress>,
        closing: watch::Sender<bool>,
        stamp: Arc<Mutex<String>>,
    }

    impl Told {
        fn new() -> Self {
            let progress = watch::Sender::new(Progress { projected: 7, newest: None });
            Self { progress, closing: watch::Sender::new(false), stamp: Arc::default() }
        }

        /// The line's events as texts.
        fn line(&self, lines: &Lines) -> Option<impl stream::Stream<Item = String> + Unpin + use<>> {
            let stamp = Arc::clone(&self.stamp);
            let stamp: Stamp = Arc::new(move || stamp.blocking_lock().clone());
            let (changes, closing) = (self.progress.subscribe(), self.closing.subscribe());
            let answer = lines.answer(changes, closing, Arc::new(Still), stamp)?;
            let texts = answer.into_body().into_data_stream();
            Some(texts.map(|text| String::from_utf8(text.unwrap().to_vec()).unwrap()))
        }
    }

    #[tokio::test]
    async fn a_line_tells_a_halt_at_the_same_place_and_at_once_where_progress_is_told_of() {
        let (lines, told) = (Lines::default(), Told::new());
        let mut line = told.line(&lines).unwrap();
        assert!(line.next().await.unwrap().contains("id: 7\n"));
        *told.stamp.lock().await = ".shown-E0690".to_owned();
        told.progress.send_modify(|_| {});
        let told_at_once = Duration::from_millis(STAMP_ASKED_MS - 100);
        let next = tokio::time::timeout(told_at_once, line.next()).await.unwrap().unwrap();
        assert!(next.contains("id: 7.shown-E0690\n"), "{next}");
        // What nobody tells of is asked for.
        *told.stamp.lock().await = ".writer-E0602.shown-E0690".to_owned();
        assert!(line.next().await.unwrap().contains("id: 7.writer-E0602.shown-E0690\n"));
        told.progress.send_modify(|progress| progress.projected = 8);
        assert!(line.next().await.unwrap().contains("id: 8.writer-E0602.shown-E0690\n"));
    }

    #[tokio::test]
    async fn a_line_ends_after_its_time_asks_to_be_opened_again_and_gives_its_place_back() {
        let (lines, told) = (Lines::of(1, Duration::from_millis(300)), Told::new());
        let mut line = told.line(&lines).unwrap();
        assert!(line.next().await.unwrap().contains("id: 7\n"));
        assert!(told.line(&lines).is_none(), "there is one place");
        let last = line.next().await.unwrap();
        assert!(last.contains("event: again\n") && last.contains("data: {}\n"), "{last}");
        assert_eq!(line.next().await, None);
        drop(line);
        assert!(told.line(&lines).is_some());
        told.closing.send_replace(true);
        assert_eq!(told.line(&lines).unwrap().next().await, None, "the listener closes");
    }

    #[tokio::test]
    async fn few_lines_ask_at_once_whether_or_not_their_clients_are_still_there() {
        let (lines, told) = (Lines::default(), Told::new());
        let held = told.stamp.lock().await;
        let asking = Arc::clone(&lines.asking);
        for _ in 0..3 * ASKED_AT_ONCE_MAX {
            let mut line = told.line(&lines).unwrap();
            let first = tokio::time::timeout(Duration::from_millis(20), line.next()).await;
            assert!(first.is_err(), "its stamp is held back");
        }
        assert_eq!(asking.available_permits(), 0, "those that ask keep their turns");
        drop(held);
        let all = u32::try_from(ASKED_AT_ONCE_MAX).unwrap();
        drop(tokio::time::timeout(Duration::from_secs(20), asking.acquire_many(all)).await.unwrap());
    }

    #[test]
    fn what_has_stopped_is_part_of_an_events_id() {
        let progress = Progress { projected: 12, newest: None };
        let id = |writer, shown| id(&progress, &halted(Halts { writer, shown }));
        assert_eq!(id(None, None), "12");
        let ids = [id(None, None), id(Some("E1"), None), id(None, Some("E1")), id(Some("E1"), Some("E1"))];
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }
}
