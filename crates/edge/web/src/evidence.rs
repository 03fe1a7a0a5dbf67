//! The pages of evidence: how the ledger stands before outsiders, packs, persons, backups and drills.
//!
//! Place in the way of an event: `show`, for those who check and for those who answer for persons' data. A form that asks
//! leads to a page under a random name, so that what was asked stands in no address (`WEB-7`).
//! Not here: packs, erasures and backups themselves; the program's use cases do them and record them.

mod drawings;
mod kept;
mod orders;
mod packs;
mod pages;
pub(crate) mod path;
mod persons;
mod screens;
mod upload;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use self::kept::Kept;
use crate::error::WebError;
use crate::ports::HouseError;
use crate::ports::evidence::Evidence;
use crate::router::Pages;

/// Where a form that asks is sent; all other forms order.
const CHECK: &str = "/evidence/check";
const LOOK_UP: &str = "/subjects";

/// Addresses of these pages, and of what they ask and order.
pub(crate) fn addresses() -> Router<Arc<Pages>> {
    Router::new()
        .route("/ledger", get(pages::ledger))
        .route("/ledger/checkpoint", get(pages::checkpoint))
        .route("/evidence", get(packs::evidence).post(packs::make))
        // The handler bounds what it reads itself, since it has to wait for its turn first.
        .route(CHECK, get(packs::back).post(packs::check).layer(axum::extract::DefaultBodyLimit::disable()))
        .route("/evidence/checked/{handle}", get(packs::checked))
        .route("/evidence/packs/{digest}", get(packs::fetch))
        .route(LOOK_UP, get(persons::subjects).post(persons::look_up))
        .route("/subjects/{handle}", get(persons::subject))
        .route("/subjects/{handle}/confirm", get(persons::confirm))
        .route("/subjects/{handle}/{order}", post(persons::order))
        .route("/subjects/done/{handle}", get(persons::done))
        .route("/backups", get(pages::backups))
}

/// Whether a form sent to this address only asks.
pub(crate) fn is_question(path: &str) -> bool {
    [CHECK, LOOK_UP].contains(&path)
}

/// What the house tells of evidence.
fn evidence_of(pages: &Pages) -> Result<Arc<dyn Evidence>, WebError> {
    pages.house().evidence().ok_or(WebError::NoEvidence)
}

/// What went wrong behind these pages.
fn failed(error: HouseError) -> WebError {
    WebError::Evidence(error)
}
