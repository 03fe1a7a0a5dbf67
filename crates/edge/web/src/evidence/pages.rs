//! The pages that only show: the ledger before outsiders, backups and drills (`WEB-1`).

use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::screens::{BackupsScreen, LedgerScreen};
use super::{evidence_of, failed};
use crate::router::{Shared, done, page_with_forms, shell};

pub(super) async fn ledger(pages: Shared, headers: HeaderMap, uri: Uri) -> Response {
    page_with_forms(pages, headers, uri, |pages, visit| {
        let shell = shell(pages, visit, "Ledger", "evidence", true);
        let ledger = evidence_of(pages)?.standing().map_err(failed)?;
        Ok(LedgerScreen { shell, tab: "ledger", ledger }.render()?)
    })
    .await
}

/// The checkpoint that an outsider should take: the published one with its cosignatures, else the newest.
pub(super) async fn checkpoint(State(pages): Shared, headers: HeaderMap, uri: Uri) -> Response {
    let found = done(pages, headers, uri, |pages, _| {
        let ledger = evidence_of(pages)?.standing().map_err(failed)?;
        let published = ledger.publication.map(|publication| publication.note);
        published.or(ledger.note).ok_or(crate::error::WebError::NoEntry(0))
    });
    match found.await {
        Ok(note) => {
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            let name = HeaderValue::from_static("attachment; filename=\"checkpoint\"");
            ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], note).into_response()
        }
        Err(refusal) => refusal,
    }
}

pub(super) async fn backups(pages: Shared, headers: HeaderMap, uri: Uri) -> Response {
    page_with_forms(pages, headers, uri, |pages, visit| {
        let shell = shell(pages, visit, "Backups and drills", "evidence", true);
        let kept = evidence_of(pages)?.upkeep().map_err(failed)?;
        Ok(BackupsScreen { shell, tab: "backups", kept }.render()?)
    })
    .await
}
