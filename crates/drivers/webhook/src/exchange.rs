//! One request and its answer, within bounds.
//!
//! `HOOK-2`: of an answer, a bounded head and a bounded beginning of the body are held; `HOOK-5`: what was written to one
//! connection is not written to another. Not here: what the answer means (`judge`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::http::uri::Uri;
use hyper::{Method, Request, Response};
use tokio::sync::Notify;
use waag_router::target::{Delivery, Failure, Outcome};

use crate::kept::Connection;
use crate::pool::Inner;
use crate::{BODY_BYTES_MAX, BODY_MS_MAX, INFORMATIONAL_MAX, connect, error, judge, secret};

const EVENT: HeaderValue = HeaderValue::from_static("application/cloudevents+json; charset=utf-8");
const TRANSFORMED: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("waag/", env!("CARGO_PKG_VERSION")));

/// A delivery's body, without a copy of it.
struct Carried(Delivery);

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        self.0.body().0
    }
}

/// An answer whose head is there, and the connection that its body comes on.
pub(crate) struct Answer {
    connection: Connection,
    response: Response<Incoming>,
}

/// Sends a delivery. The time of it is the caller's to bound.
pub(crate) async fn send(inner: &Inner, delivery: Delivery) -> Result<Answer, Failure> {
    let mut request = request(inner, delivery).ok_or_else(error::unsendable)?;
    let put_off = Arc::new(Notify::new());
    let (count, told) = (AtomicUsize::new(0), Arc::clone(&put_off));
    hyper::ext::on_informational(&mut request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= INFORMATIONAL_MAX {
            told.notify_one();
        }
    });
    loop {
        let kept = inner.place.take(&inner.policy, inner.shared.clock.monotonic());
        let is_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => connect::connect(&inner.shared, &inner.place, &inner.endpoint, &inner.policy).await?,
        };
        let sent = tokio::select! {
            biased;
            () = put_off.notified() => return Err(error::put_off()),
            sent = connection.sender.try_send_request(request) => sent,
        };
        match sent {
            Ok(response) => return Ok(Answer { connection, response }),
            Err(mut wrong) => match wrong.take_message() {
                // The receiver has closed a kept connection, and nothing has been written: the next one, or a new one.
                Some(unsent) if is_kept => request = unsent,
                Some(_) | None => return Err(error::broken(&wrong.into_error())),
            },
        }
    }
}

fn request(inner: &Inner, delivery: Delivery) -> Option<Request<Full<Bytes>>> {
    let id = delivery.message_id();
    let timestamp_s = inner.shared.clock.now().0.div_euclid(1_000_000_000);
    let (body, is_event) = delivery.body();
    let signatures = secret::signatures(&inner.secrets, &id, timestamp_s, body);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(Uri::from(inner.endpoint.path.clone()))
        .header(HOST, inner.authority.clone())
        .header(USER_AGENT, AGENT)
        .header(CONTENT_TYPE, if is_event { EVENT } else { TRANSFORMED })
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp_s)
        .header("webhook-signature", signatures)
        .header("waag-subscription", &*delivery.subscription)
        .header("waag-position", delivery.event.position.0)
        .header("waag-attempt", delivery.attempt);
    if let Some(replay) = delivery.replay {
        request = request.header("waag-replay", replay);
    }
    request.body(Full::new(Bytes::from_owner(Carried(delivery)))).ok()
}

/// Judges an answer, and keeps the connection where it was all well.
///
/// The head decides. A body that is slow or has no end costs its connection and a bounded wait, which is never longer than
/// what is left of the attempt's time.
pub(crate) async fn finish(inner: &Inner, answer: Answer, left: Duration) -> Outcome {
    let Answer { mut connection, response } = answer;
    let (head, mut body) = response.into_parts();
    let mut read = Vec::new();
    let reading = async {
        // A connection whose body has ended is ready at once, or it is being closed.
        read_body(&mut body, &mut read).await && connection.sender.ready().await.is_ok()
    };
    let wait = left.min(Duration::from_millis(BODY_MS_MAX));
    let is_ready = tokio::time::timeout(wait, reading).await.unwrap_or(false);
    let outcome = judge::judge(&head, &read, inner.shared.clock.now());
    if is_ready && matches!(outcome, Outcome::Delivered(_)) {
        inner.place.keep(connection, &inner.shared);
    }
    outcome
}

/// Reads a body up to the limit; whether it ended before.
async fn read_body(body: &mut Incoming, read: &mut Vec<u8>) -> bool {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let Ok(data) = frame.into_data() else { continue };
        let room = BODY_BYTES_MAX.saturating_sub(read.len());
        read.extend(data.iter().take(room));
        if data.len() > room {
            return false;
        }
    }
    true
}
