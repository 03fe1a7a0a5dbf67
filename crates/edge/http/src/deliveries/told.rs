//! What is told about deliveries: the router's own JSON forms, events as they are delivered, and figures.
//!
//! Not here: those forms (`flow/router`, `shown`).

use std::fmt;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use serde::Serialize;
use waag_router::error::RouterError;
use waag_router::router::Router;
use waag_router::shown::{self, JobShown, Leased, Overview};
use waag_stdx::figures::{Family, Figures, counter, gauge};

use super::asked::Page;
use crate::fault::Fault;
use crate::json;
use crate::problem::Answer;

/// The JSON of one of the router's forms.
pub(crate) fn json(shown: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and JSON that was read before: there is nothing that cannot be written.
    serde_json::to_vec(shown).unwrap_or_default()
}

#[derive(Serialize)]
struct Overviews<'a> {
    subscriptions: &'a [Overview],
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct Jobs<'a> {
    jobs: &'a [JobShown],
}

/// A piece of the list of subscriptions, and where to go on.
pub(crate) fn overviews(mut all: Vec<Overview>, page: &Page<String>) -> Vec<u8> {
    if let Some(after) = &page.after {
        all.retain(|one| one.spec.name > *after);
    }
    let has_more = all.len() > page.most;
    all.truncate(page.most);
    let next = all.last().filter(|_| has_more).map(|last| last.spec.name.as_str());
    json(&Overviews { subscriptions: &all, next })
}

/// Jobs, the newest first.
pub(crate) fn jobs(jobs: &[JobShown]) -> Vec<u8> {
    json(&Jobs { jobs })
}

/// How many there are.
pub(crate) fn count(count: u64) -> Vec<u8> {
    format!("{{\"count\":{count}}}").into_bytes()
}

/// An answer with a place to go on at.
pub(crate) fn located(status: StatusCode, place: &str, body: Vec<u8>) -> Answer {
    let mut answer = Answer::json(status, body);
    if let Ok(place) = HeaderValue::from_str(place) {
        answer.headers.push((LOCATION, place));
    }
    answer
}

/// A job that goes on after the answer.
pub(crate) fn started(job: &JobShown) -> Answer {
    located(StatusCode::ACCEPTED, &format!("/v1/delivery-jobs/{}", job.number), json(job))
}

/// Leased events, each as it is delivered, byte for byte.
pub(crate) fn leased(events: &[Leased]) -> Vec<u8> {
    let bytes: usize = events.iter().map(|event| event.body.len() + 160).sum();
    let mut out = Vec::with_capacity(bytes + 16);
    out.extend_from_slice(b"{\"events\":[");
    for (number, event) in events.iter().enumerate() {
        out.extend_from_slice(if number == 0 { b"{\"lease\":" } else { b",{\"lease\":" });
        json::text(&mut out, &event.lease);
        out.extend_from_slice(b",\"position\":");
        json::number(&mut out, event.position);
        out.extend_from_slice(b",\"attempt\":");
        json::number(&mut out, u64::from(event.attempt));
        if let Some(replay) = event.replay {
            out.extend_from_slice(b",\"replay\":");
            json::number(&mut out, u64::from(replay));
        }
        out.extend_from_slice(b",\"lease_ms\":");
        json::number(&mut out, event.lease_ms);
        out.extend_from_slice(b",\"event\":");
        out.extend_from_slice(if event.body.is_empty() { b"null" } else { &event.body });
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    out
}

/// What became of answers to leases, in their order.
pub(crate) fn results(leases: &[String], results: Vec<Result<(), RouterError>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 * leases.len() + 16);
    out.extend_from_slice(b"{\"results\":[");
    for (number, (lease, result)) in leases.iter().zip(results).enumerate() {
        out.extend_from_slice(if number == 0 { b"{\"lease\":" } else { b",{\"lease\":" });
        json::text(&mut out, lease);
        match result.map_err(Fault::from) {
            Ok(()) => out.extend_from_slice(b",\"done\":true}"),
            Err(fault) => {
                out.extend_from_slice(b",\"code\":");
                json::text(&mut out, fault.kind.code());
                out.extend_from_slice(b",\"reason\":");
                json::text(&mut out, &fault.to_string());
                out.push(b'}');
            }
        }
    }
    out.extend_from_slice(b"]}");
    out
}

/// A router's figures, beside the door's own.
#[derive(Clone)]
pub struct RouterFigures(pub Arc<Router>);

impl fmt::Debug for RouterFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterFigures").finish_non_exhaustive()
    }
}

impl Figures for RouterFigures {
    fn families(&self) -> Vec<Family> {
        families(&self.0.figures())
    }
}

fn families(figures: &shown::Figures) -> Vec<Family> {
    let shown::Figures {
        subscriptions,
        stopped,
        delivered,
        failed,
        given_up,
        dead_letters,
        lag_events_max,
        oldest_undelivered_s,
        waiting_keys,
        parked_keys,
        too_deep,
        unreadable,
    } = *figures;
    vec![
        counter("waag_router_delivered", "Deliveries.", delivered),
        counter("waag_router_failed", "Attempts that failed.", failed),
        counter("waag_router_given_up", "Events that became dead letters.", given_up),
        counter(
            "waag_router_too_deep",
            "Events not shown to subscriptions, since too many causes stand before them.",
            too_deep,
        ),
        counter("waag_router_unreadable", "Events that no pattern could be held against.", unreadable),
        gauge("waag_router_dead_letters", "Dead letters there are.", dead_letters),
        gauge(
            "waag_router_lag_events_max",
            "How far the slowest subscription is behind: its events that are not delivered, and those not looked at.",
            lag_events_max,
        ),
        gauge(
            "waag_router_oldest_undelivered_seconds",
            "Age of the oldest event that a subscription has neither got nor looked past.",
            oldest_undelivered_s,
        ),
        gauge("waag_router_waiting_keys", "Keys that wait for a further attempt.", waiting_keys),
        gauge("waag_router_parked_keys", "Keys that wait for a dead letter to be dealt with.", parked_keys),
        gauge("waag_router_subscriptions", "Subscriptions there are.", subscriptions),
        gauge("waag_router_subscriptions_stopped", "Subscriptions that stopped by themselves.", stopped),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::metrics;

    #[test]
    fn leased_events_stand_in_the_answer_as_they_are() {
        let event = |number: u32, replay| Leased {
            lease: format!("l\"{number}"),
            position: 7,
            kind: "t".to_owned(),
            attempt: number,
            replay,
            lease_ms: 30_000,
            body: b"{\"n\": 1.50}".to_vec(),
        };
        let text = leased(&[event(1, None), event(2, Some(9))]);
        assert_eq!(text.windows(11).filter(|piece| *piece == b"{\"n\": 1.50}").count(), 2);
        let told: Value = serde_json::from_slice(&text).unwrap();
        let event: Value = serde_json::from_str("{\"n\": 1.50}").unwrap();
        assert_eq!(
            told["events"][1],
            json!({"lease": "l\"2", "position": 7, "attempt": 2, "replay": 9, "lease_ms": 30_000, "event": event})
        );
        assert!(told["events"][0].get("replay").is_none());
        assert_eq!(leased(&[]), b"{\"events\":[]}");
    }

    #[test]
    fn each_answer_has_its_result() {
        let leases = ["a".to_owned(), "b".to_owned()];
        let text = results(&leases, vec![Ok(()), Err(RouterError::Lease("b".to_owned()))]);
        let told: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(told["results"][0], json!({"lease": "a", "done": true}));
        assert_eq!(told["results"][1]["lease"], "b");
        assert!(told["results"][1]["code"].is_string() && told["results"][1]["reason"].is_string());
    }

    #[test]
    fn figures_have_names_without_labels() {
        let figures = shown::Figures {
            delivered: 3,
            parked_keys: 2,
            oldest_undelivered_s: 7,
            ..shown::Figures::default()
        };
        let text = metrics::text(&families(&figures));
        assert!(
            text.contains("# TYPE waag_router_delivered counter\n# HELP waag_router_delivered Deliveries.\n")
        );
        assert!(
            text.contains("\nwaag_router_delivered_total 3\n")
                && text.contains("\nwaag_router_parked_keys 2\n")
        );
        assert!(text.contains("\nwaag_router_oldest_undelivered_seconds 7\n"), "{text}");
        assert!(!text.contains('{'));
    }
}
