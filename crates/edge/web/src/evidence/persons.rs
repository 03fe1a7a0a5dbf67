//! Persons: looked up by their id, erased, restricted; the id stays out of addresses and pages (`WEB-7`).

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use axum::http::header::HeaderMap;
use axum::response::Response;
use waag_model::time::UtcDay;
use zeroize::Zeroizing;

use super::kept::What;
use super::orders::{self, Sent};
use super::screens::{ConfirmPersonScreen, DoneScreen, SubjectScreen, SubjectsScreen};
use super::{evidence_of, failed, words};
use crate::deliveries::asked::Fields;
use crate::error::WebError;
use crate::ports::evidence::persons::{DeedKind, Person, PersonOrder};
use crate::router::{Pages, Pairs, Shared, page_with_forms, shell};

/// Deeds on the page.
const DEEDS_ON_PAGE: usize = 50;

pub(super) async fn subjects(pages: Shared, headers: HeaderMap, uri: Uri) -> Response {
    page_with_forms(pages, headers, uri, |pages, visit| {
        let shell = shell(pages, visit, "Subjects", "evidence", true);
        let deeds = evidence_of(pages)?.deeds(DEEDS_ON_PAGE).map_err(failed)?;
        Ok(SubjectsScreen { shell, tab: "subjects", deeds }.render()?)
    })
    .await
}

/// Takes a person's id, has it recorded that they are looked up, and leads to a page under a random name.
pub(super) async fn look_up(State(pages): Shared, headers: HeaderMap, uri: Uri, sent: Sent) -> Response {
    orders::carried_out(pages, headers, uri, sent, |pages, fields| {
        let allowed = "the id by which events name the person";
        let person = fields.owned("person")?.ok_or(WebError::Parameter { name: "person", allowed })?;
        let actor = pages.house().actor();
        evidence_of(pages)?.record_look_up(&person, &actor).map_err(failed)?;
        let handle = orders::keep(pages, What::Person(Arc::new(Zeroizing::new(person))))?;
        Ok(format!("/subjects/{handle}"))
    })
    .await
}

/// Whom a name stands for.
fn named(pages: &Pages, handle: &str) -> Result<Arc<Zeroizing<String>>, WebError> {
    match orders::kept(pages, handle)? {
        What::Person(person) => Ok(person),
        What::Done(_) | What::Checked(_) => Err(WebError::Gone),
    }
}

fn standing(pages: &Pages, handle: &str) -> Result<Option<Person>, WebError> {
    let person = named(pages, handle)?;
    evidence_of(pages)?.look_up(&person).map_err(failed)
}

pub(super) async fn subject(
    pages: Shared,
    Path(handle): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    page_with_forms(pages, headers, uri, move |pages, visit| {
        let person = standing(pages, &handle)?;
        let shell = shell(pages, visit, "Subject", "evidence", false);
        Ok(SubjectScreen { shell, tab: "subjects", handle, person }.render()?)
    })
    .await
}

/// What may be ordered, by its word in addresses.
fn deed(word: Option<&str>) -> Result<DeedKind, WebError> {
    match word {
        Some("erase") => Ok(DeedKind::Erased),
        Some("restrict") => Ok(DeedKind::Restricted),
        Some("unrestrict") => Ok(DeedKind::Unrestricted),
        _ => {
            let allowed = "`erase`, `restrict` or `unrestrict`";
            Err(WebError::Parameter { name: "do", allowed })
        }
    }
}

pub(super) async fn confirm(
    pages: Shared,
    Path(handle): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Query(pairs): Pairs,
) -> Response {
    page_with_forms(pages, headers, uri, move |pages, visit| {
        let fields = Fields(pairs);
        let deed = deed(fields.text("do")?)?;
        let person = standing(pages, &handle)?.ok_or(WebError::Gone)?;
        let shell = shell(pages, visit, "Confirm", "evidence", false);
        Ok(ConfirmPersonScreen { shell, tab: "subjects", deed, handle, person }.render()?)
    })
    .await
}

/// Erases, restricts, or ends a restriction.
pub(super) async fn order(
    State(pages): Shared,
    Path((handle, word)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    sent: Sent,
) -> Response {
    orders::carried_out(pages, headers, uri, sent, move |pages, fields| {
        let reason = fields.reason()?;
        let order = match deed(Some(&word)).map_err(|_| WebError::NoPage)? {
            DeedKind::Restricted => PersonOrder::Restrict { until: day(fields)?, reason },
            DeedKind::Unrestricted => PersonOrder::Unrestrict { reason },
            DeedKind::Erased | DeedKind::ErasureRefused | DeedKind::Reported => PersonOrder::Erase { reason },
        };
        let person = named(pages, &handle)?;
        let outcome = evidence_of(pages)?.order(&person, &order, &pages.house().actor()).map_err(failed)?;
        if matches!(order, PersonOrder::Erase { .. }) {
            pages.kept().forget(&person);
        }
        let handle = orders::keep(pages, What::Done(Arc::new(outcome)))?;
        Ok(format!("/subjects/done/{handle}"))
    })
    .await
}

/// The day until which a restriction holds, where one is told.
fn day(fields: &Fields) -> Result<Option<UtcDay>, WebError> {
    let allowed = "a day such as `2027-01-31`";
    let read = |text: &str| words::day(text).ok_or(WebError::Parameter { name: "until", allowed });
    fields.text("until")?.map(read).transpose()
}

pub(super) async fn done(
    pages: Shared,
    Path(handle): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    page_with_forms(pages, headers, uri, move |pages, visit| {
        let What::Done(outcome) = orders::kept(pages, &handle)? else { return Err(WebError::Gone) };
        let shell = shell(pages, visit, "Done", "evidence", false);
        Ok(DoneScreen { shell, tab: "subjects", outcome }.render()?)
    })
    .await
}
