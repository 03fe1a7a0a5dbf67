//! What the buttons of these pages order: read from a form of this page, given to the router, then led back to a page that
//! shows what came of it (RFC 9110 §15.4.4), so that loading again does nothing twice.
//!
//! The door has checked where the form comes from (`door`, `forms`); its field is checked here (`WEB-1`).

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::header::{self, HeaderMap};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;
use waag_model::ids::Actor;
use waag_pattern::Pattern;
use waag_router::error::RouterError;
use waag_router::shown::{RATE_MAX, ReplayAsked};

use super::asked::{self, Fields};
use super::router_of;
use crate::error::WebError;
use crate::ports::deliveries::Order;
use crate::router::{Pages, Shared, done};

type Sent = Result<Form<Vec<(String, String)>>, FormRejection>;

/// Gives an order that a form holds, and leads back.
async fn ordered<F>(pages: Arc<Pages>, headers: HeaderMap, uri: Uri, sent: Sent, read: F) -> Response
where
    F: FnOnce(&Fields) -> Result<(Order, String), WebError> + Send + 'static,
{
    let done = done(pages, headers, uri, move |pages, _| {
        let Form(pairs) = sent.map_err(|error| WebError::Form(error.to_string()))?;
        let fields = Fields(pairs);
        let token = fields.text("token")?.unwrap_or("");
        if !pages.forms().is_some_and(|forms| forms.is_field(token)) {
            return Err(WebError::Forgery);
        }
        let (order, back) = read(&fields)?;
        let actor = pages.house().actor();
        let actor = Actor::new(&actor).map_err(|error| WebError::Drawing(error.to_string()))?;
        router_of(pages)?.order(order, &actor)?;
        Ok(back)
    });
    match done.await {
        Ok(back) => (StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response(),
        Err(refusal) => refusal,
    }
}

pub(crate) async fn pause(
    State(pages): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    sent: Sent,
) -> Response {
    ordered(pages, headers, uri, sent, |fields| {
        let back = asked::subscription(&name);
        Ok((Order::Pause { subscription: name, reason: fields.reason()? }, back))
    })
    .await
}

pub(crate) async fn resume(
    State(pages): Shared,
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    sent: Sent,
) -> Response {
    ordered(pages, headers, uri, sent, |_| {
        let back = asked::subscription(&name);
        Ok((Order::Resume { subscription: name }, back))
    })
    .await
}

pub(crate) async fn redrive(State(pages): Shared, headers: HeaderMap, uri: Uri, sent: Sent) -> Response {
    ordered(pages, headers, uri, sent, |fields| {
        let (subscription, filter) = (fields.subscription()?, fields.filter()?);
        let back = asked::all_letters(&subscription);
        Ok((Order::Redrive { subscription, filter, rate: fields.rate()?, reason: fields.reason()? }, back))
    })
    .await
}

pub(crate) async fn discard(State(pages): Shared, headers: HeaderMap, uri: Uri, sent: Sent) -> Response {
    ordered(pages, headers, uri, sent, |fields| {
        let (subscription, filter) = (fields.subscription()?, fields.filter()?);
        let back = asked::all_letters(&subscription);
        Ok((Order::Discard { subscription, filter, reason: fields.reason()? }, back))
    })
    .await
}

pub(crate) async fn replay(State(pages): Shared, headers: HeaderMap, uri: Uri, sent: Sent) -> Response {
    ordered(pages, headers, uri, sent, |fields| {
        let subscription = fields.subscription()?;
        let asked = ReplayAsked { reason: fields.reason()?, ..replay_asked(fields)? };
        Ok((Order::Replay { subscription, asked }, "/replay".to_owned()))
    })
    .await
}

pub(crate) async fn cancel(
    State(pages): Shared,
    Path(job): Path<u32>,
    headers: HeaderMap,
    uri: Uri,
    sent: Sent,
) -> Response {
    ordered(pages, headers, uri, sent, move |_| Ok((Order::Cancel { job }, "/replay".to_owned()))).await
}

/// A replay as an address or a form tells it, without the reason; its pattern is checked.
pub(crate) fn replay_asked(fields: &Fields) -> Result<ReplayAsked, WebError> {
    let ((from, since_ns), (to, until_ns)) = (fields.place("from")?, fields.place("to")?);
    let rate = fields.number("rate")?;
    if rate.is_some_and(|rate| rate > RATE_MAX) {
        return Err(WebError::Parameter {
            name: "rate",
            allowed: "1 to 100,000 a second, or 0 for no limit",
        });
    }
    let pattern = match fields.text("pattern")? {
        None => None,
        Some(text) => {
            Pattern::parse(text.as_bytes()).map_err(RouterError::Pattern)?;
            let raw = RawValue::from_string(text.to_owned());
            Some(raw.map_err(|error| WebError::Form(error.to_string()))?)
        }
    };
    Ok(ReplayAsked { from, to, since_ns, until_ns, pattern, rate, reason: String::new() })
}
