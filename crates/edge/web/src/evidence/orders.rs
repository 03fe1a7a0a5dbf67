//! What forms of these pages ask or order: checked to be this run's, carried out, and led to a page that shows what came of
//! it (RFC 9110 §15.4.4), so that loading again does nothing twice.
//!
//! The door has checked where the form comes from (`door`, `forms`); its field is checked here (`WEB-1`).

use std::sync::Arc;

use axum::extract::Form;
use axum::extract::rejection::FormRejection;
use axum::http::header::{self, HeaderMap};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::kept::What;
use crate::deliveries::asked::Fields;
use crate::error::WebError;
use crate::router::{Pages, done};

pub(super) type Sent = Result<Form<Vec<(String, String)>>, FormRejection>;

/// Carries out what a form holds, and leads where that says.
pub(super) async fn carried_out<F>(
    pages: Arc<Pages>,
    headers: HeaderMap,
    uri: Uri,
    sent: Sent,
    work: F,
) -> Response
where
    F: FnOnce(&Pages, &Fields) -> Result<String, WebError> + Send + 'static,
{
    let done = done(pages, headers, uri, move |pages, _| {
        let Form(pairs) = sent.map_err(|error| WebError::Form(error.to_string()))?;
        let fields = Fields(pairs);
        own_form(pages, fields.text("token")?.unwrap_or(""))?;
        work(pages, &fields)
    });
    led(done.await)
}

/// Leads to a page, or shows why not.
pub(super) fn led(done: Result<String, Response>) -> Response {
    match done {
        Ok(to) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
        Err(refusal) => refusal,
    }
}

/// Whether a form is this run's.
pub(super) fn own_form(pages: &Pages, token: &str) -> Result<(), WebError> {
    let own = pages.forms().is_some_and(|forms| forms.is_field(token));
    own.then_some(()).ok_or(WebError::Forgery)
}

/// Keeps what a form led to, and gives the name under which it is.
pub(super) fn keep(pages: &Pages, what: What) -> Result<String, WebError> {
    let handle = pages.forms().ok_or(WebError::Method)?.handle();
    pages.kept().keep(handle.clone(), pages.clock().monotonic(), what);
    Ok(handle)
}

/// What is kept under a name.
pub(super) fn kept(pages: &Pages, handle: &str) -> Result<What, WebError> {
    pages.kept().find(handle, pages.clock().monotonic()).ok_or(WebError::Gone)
}
