//! Two subscriptions of the demonstration: a book-keeping system in this process that takes postings and cannot take some
//! of them, and large invoices that wait for whoever pulls them.
//!
//! The book-keeping system refuses what it was not built for, as real ones do: postings to some accounts for good, so that
//! there are dead letters to look at and to try again, and now and then any of them, which pass with the next attempt.

use std::collections::BTreeMap;
use std::sync::Arc;

use waag_model::ids::Actor;
use waag_router::error::RouterError;
use waag_router::router::Router;
use waag_router::spec::Spec;
use waag_router::target::{Class, Delivery, Failure, Outcome, REFUSED, Reply, Target};

use crate::node::routing::Handlers;

/// The handler's name.
const LEDGER: &str = "book-keeping";
/// How far back the subscriptions begin, in events.
const BACK_EVENTS: u64 = 5_000;
/// What the postings that are refused have in them.
const CLOSED: &[u8] = b"\"account\":\"44";
/// One of so many is put off at its first attempt.
const PUT_OFF: u64 = 97;

/// Takes postings.
struct BookKeeping;

impl Target for BookKeeping {
    fn deliver(&self, delivery: Delivery, reply: Reply) {
        let (body, _) = delivery.body();
        let failed = |class, status, reason: &str, answer: &str| {
            let mut failure = Failure::new(class, REFUSED, reason);
            (failure.status, failure.response) = (Some(status), answer.to_owned());
            Outcome::Failed(failure)
        };
        reply.give(if body.windows(CLOSED.len()).any(|piece| piece == CLOSED) {
            failed(
                Class::Terminal,
                422,
                "the book-keeping system refuses the posting",
                "{\"error\":\"accounts 4400 to 4499 are closed\"}",
            )
        } else if delivery.attempt == 1 && delivery.event.position.0.is_multiple_of(PUT_OFF) {
            failed(Class::Transient, 503, "the book-keeping system is busy", "{\"error\":\"try again\"}")
        } else {
            Outcome::Delivered(Some(204))
        });
    }
}

/// The handlers of the demonstration.
#[must_use]
pub fn handlers() -> Handlers {
    let target: Arc<dyn Target> = Arc::new(BookKeeping);
    Handlers(BTreeMap::from([(LEDGER.to_owned(), target)]))
}

/// Makes the subscriptions where they are not there; they begin some thousand events before `end`.
///
/// # Errors
/// [`RouterError`].
pub fn subscribe(router: &Router, end: u64, by: &Actor) -> Result<(), RouterError> {
    let from = end.saturating_sub(BACK_EVENTS);
    let specs = [
        format!(
            r#"{{"name":"book-keeping","description":"Postings for the book-keeping system; accounts 4400 to 4499 are closed there",
            "pattern":{{"type":["invoice.posting"],"data":{{"status":["posted"]}}}},
            "target":{{"kind":"in-process","handler":"{LEDGER}"}},
            "retry":{{"attempts_max":5,"age_s_max":3600,"delay_ms_min":500,"delay_ms_max":60000}},
            "on_failure":"park","start":{{"position":{from}}}}}"#
        ),
        format!(
            r#"{{"name":"large-invoices","description":"Invoices of 50,000 and more, for whoever approves them",
            "pattern":{{"type":["invoice.ingestion"],"data":{{"amount_minor":[{{"numeric":[">=",5000000]}}]}}}},
            "target":{{"kind":"pull"}},"start":{{"position":{from}}}}}"#
        ),
    ];
    for spec in &specs {
        match router.create(Spec::read(spec.as_bytes())?, None, by) {
            Ok(_) | Err(RouterError::Exists(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_accounts_are_found_where_an_event_tells_them() {
        let event = br#"{"data":{"account":"4410","amount_minor":1}}"#;
        assert!(event.windows(CLOSED.len()).any(|piece| piece == CLOSED));
    }
}
