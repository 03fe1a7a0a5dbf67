//! The pages that show deliveries; none of them changes anything (`WEB-1`).

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::http::header::HeaderMap;
use axum::response::Response;
use waag_model::ids::Position;
use waag_model::time::UtcNanos;
use waag_router::shown::{JobKind, JobShown, JobState, RATE_DEFAULT};

use super::asked::Fields;
use super::screens::{
    ConfirmLettersScreen, ConfirmReplayScreen, EventScreen, LettersScreen, PatternsScreen, ReplayScreen,
    SubscriptionScreen, SubscriptionsScreen,
};
use super::{commands, router_of, words, workbench};
use crate::error::WebError;
use crate::evidence::path;
use crate::format;
use crate::ports::deliveries::Deliveries;
use crate::router::{Pairs, Shared, drawn, page_with_forms as page, shell};

/// Dead letters on a page.
const LETTERS_ON_PAGE: usize = 50;
/// Dead letters that are shown before all of a filter are redriven or discarded.
const LETTERS_FIRST: usize = 5;
/// Ended jobs that stand above dead letters, beside those under way.
const ENDED_JOBS: usize = 1;
/// Most events that a pattern is tried on.
const EVENTS_MAX: usize = 200;
/// Events that a pattern is tried on where no other number is asked for.
const EVENTS_DEFAULT: usize = 50;

pub(crate) async fn subscriptions(pages: Shared, headers: HeaderMap, uri: Uri) -> Response {
    page(pages, headers, uri, |pages, visit| {
        let shell = shell(pages, visit, "Subscriptions", "deliveries", true);
        let mut list = router_of(pages)?.overviews()?;
        list.sort_by_key(words::urgency);
        Ok(SubscriptionsScreen { shell, tab: "subscriptions", list }.render()?)
    })
    .await
}

pub(crate) async fn subscription(
    pages: Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    page(pages, headers, uri, move |pages, visit| {
        let shell = shell(pages, visit, &name, "deliveries", true);
        let detail = router_of(pages)?.detail(&name)?;
        Ok(SubscriptionScreen { shell, detail }.render()?)
    })
    .await
}

pub(crate) async fn dead_letters(
    pages: Shared,
    headers: HeaderMap,
    uri: Uri,
    Query(pairs): Pairs,
) -> Response {
    page(pages, headers, uri, |pages, visit| {
        let fields = Fields(pairs);
        let (filter, after) = (fields.filter()?, fields.number("after")?);
        let router = router_of(pages)?;
        let mut subscriptions: Vec<(String, u64)> =
            router.overviews()?.into_iter().map(|one| (one.spec.name, one.dead_letters)).collect();
        subscriptions.sort_by_key(|(_, letters)| std::cmp::Reverse(*letters));
        let chosen = fields.owned("subscription")?;
        let first = subscriptions.first().map(|(name, _)| name.clone());
        let (mut count, mut page, mut jobs) = (0, waag_router::shown::LetterPage::default(), Vec::new());
        let subscription = chosen.or(first).unwrap_or_default();
        if !subscription.is_empty() {
            jobs = jobs_over_letters(router.detail(&subscription)?.jobs);
            count = router.count(&subscription, &filter)?;
            page = router.dead_letters(&subscription, &filter, after, LETTERS_ON_PAGE)?;
        }
        let shell = shell(pages, visit, "Dead letters", "deliveries", true);
        let tab = "dead-letters";
        let screen =
            LettersScreen { shell, tab, subscriptions, subscription, filter, after, count, page, jobs };
        Ok(screen.render()?)
    })
    .await
}

/// Redriving and discarding jobs: those under way, and the newest that ended.
fn jobs_over_letters(mut jobs: Vec<JobShown>) -> Vec<JobShown> {
    let mut ended = 0;
    jobs.retain(|job| {
        let runs = job.state == JobState::Running;
        ended += usize::from(!runs && job.kind != JobKind::Replay);
        job.kind != JobKind::Replay && (runs || ended <= ENDED_JOBS)
    });
    jobs
}

pub(crate) async fn confirm_letters(
    pages: Shared,
    headers: HeaderMap,
    uri: Uri,
    Query(pairs): Pairs,
) -> Response {
    page(pages, headers, uri, |pages, visit| {
        let fields = Fields(pairs);
        let discards = match fields.text("do")? {
            Some("redrive") => false,
            Some("discard") => true,
            _ => return Err(WebError::Parameter { name: "do", allowed: "`redrive` or `discard`" }),
        };
        let (subscription, mut filter) = (fields.subscription()?, fields.filter()?);
        let shell = shell(pages, visit, "Confirm", "deliveries", false);
        // What is given up after this count is not part of it.
        filter.until_ns = filter.until_ns.or(Some(shell.now.0));
        let router = router_of(pages)?;
        let count = router.count(&subscription, &filter)?;
        let first = router.dead_letters(&subscription, &filter, None, LETTERS_FIRST)?.letters;
        let tab = "dead-letters";
        Ok(ConfirmLettersScreen { shell, tab, discards, subscription, filter, count, first }.render()?)
    })
    .await
}

fn names(router: &dyn Deliveries) -> Result<Vec<String>, WebError> {
    Ok(router.overviews()?.into_iter().map(|one| one.spec.name).collect())
}

pub(crate) async fn replay(pages: Shared, headers: HeaderMap, uri: Uri, Query(pairs): Pairs) -> Response {
    page(pages, headers, uri, |pages, visit| {
        let router = router_of(pages)?;
        let (subscriptions, jobs) = (names(&*router)?, router.jobs()?);
        let subscription = Fields(pairs).owned("subscription")?.unwrap_or_default();
        let shell = shell(pages, visit, "Replay", "deliveries", true);
        Ok(ReplayScreen { shell, tab: "replay", subscriptions, subscription, jobs }.render()?)
    })
    .await
}

pub(crate) async fn confirm_replay(
    pages: Shared,
    headers: HeaderMap,
    uri: Uri,
    Query(pairs): Pairs,
) -> Response {
    page(pages, headers, uri, |pages, visit| {
        let fields = Fields(pairs);
        let subscription = fields.subscription()?;
        let asked = commands::replay_asked(&fields)?;
        let detail = router_of(pages)?.detail(&subscription)?;
        let shell = shell(pages, visit, "Confirm", "deliveries", false);
        let entries = shell.health.entries;
        let told = |position: Option<u64>, time: Option<i64>, other: String| match (position, time) {
            (Some(position), _) => format!("position {}", format::count(position)),
            (None, Some(nanos)) => {
                format!("the first event committed at {} or later", format::absolute(&UtcNanos(nanos)))
            }
            (None, None) => other,
        };
        let by_positions = asked.since_ns.is_none() && asked.until_ns.is_none();
        let span = asked.to.unwrap_or(entries).min(entries).saturating_sub(asked.from.unwrap_or(0));
        let rate = asked.rate.unwrap_or(RATE_DEFAULT);
        let mut hidden = vec![("subscription", subscription.clone()), ("rate", rate.to_string())];
        for name in ["from", "to", "pattern"] {
            hidden.extend(fields.owned(name)?.map(|value| (name, value)));
        }
        let screen = ConfirmReplayScreen {
            tab: "replay",
            place: detail.overview.spec.target.place(),
            from: told(asked.from, asked.since_ns, "the ledger's first event".to_owned()),
            to: told(asked.to, asked.until_ns, "the end of the ledger".to_owned()),
            positions: by_positions.then_some(span),
            pattern: asked.pattern.as_ref().map(|pattern| format::json_in_lines(pattern.get())),
            rate,
            shell,
            subscription,
            hidden,
        };
        Ok(screen.render()?)
    })
    .await
}

pub(crate) async fn patterns(pages: Shared, headers: HeaderMap, uri: Uri, Query(pairs): Pairs) -> Response {
    page(pages, headers, uri, |pages, visit| {
        let fields = Fields(pairs);
        let router = pages.house().router();
        let subscriptions = router.as_ref().map(|router| names(&**router)).transpose()?.unwrap_or_default();
        let of = match (fields.text("subscription")?, &router) {
            (Some(name), Some(router)) => router.detail(name)?.overview.spec.pattern,
            _ => None,
        };
        let of = of.map(|pattern| format::json_in_lines(pattern.get()));
        let pattern = fields.owned("pattern")?.or(of);
        let own = fields.owned("event")?;
        let most = fields.number("newest")?.unwrap_or(EVENTS_DEFAULT);
        if !(1..=EVENTS_MAX).contains(&most) {
            return Err(WebError::Parameter { name: "newest", allowed: "1 to 200 events" });
        }
        let recent = pages.house().recent(most)?;
        let (trial, events) = workbench::try_on(pattern.as_deref(), &recent, own.as_deref());
        let shell = shell(pages, visit, "Patterns", "deliveries", false);
        let screen = PatternsScreen {
            shell,
            tab: "patterns",
            subscriptions,
            pattern: pattern.unwrap_or_default(),
            own: own.unwrap_or_default(),
            most,
            trial,
            events,
        };
        Ok(screen.render()?)
    })
    .await
}

pub(crate) async fn event(
    State(pages): Shared,
    Path(position): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    drawn(pages, headers, uri, move |pages, visit| {
        let position: u64 = position.parse().map_err(|_| WebError::NoPage)?;
        let found = pages.house().history(&[Position(position)])?.into_iter().next();
        let event = found.ok_or(WebError::NoEntry(position))?;
        let shell = shell(pages, visit, &format!("Event {position}"), "", false);
        // A picture beside the event; where there is none, the event is shown all the same.
        let proof = pages.house().proof(event.position).ok().flatten();
        let way = proof.and_then(|proof| path::read(&proof.file, event.leaf));
        Ok(EventScreen { shell, event, way }.render()?)
    })
    .await
}
