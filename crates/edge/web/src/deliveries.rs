//! The pages of the router: subscriptions, dead letters, jobs and replay, the pattern workbench, and one event.
//!
//! Place in the way of an event: `show`, beside the figures; what a button orders goes back to the router, which records it
//! with its actor (`WEB-1`). An order is first shown with what it would do, then confirmed with a reason.
//! Not here: how deliveries are made and kept (`flow/router`), what patterns mean (`flow/pattern`).

pub(crate) mod asked;
mod commands;
mod pages;
mod screens;
mod words;
mod workbench;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::error::WebError;
use crate::ports::deliveries::Deliveries;
use crate::router::Pages;

/// Addresses of these pages, and of what they order.
pub(crate) fn addresses() -> Router<Arc<Pages>> {
    Router::new()
        .route("/subscriptions", get(pages::subscriptions))
        .route("/subscriptions/{name}", get(pages::subscription))
        .route("/subscriptions/{name}/pause", post(commands::pause))
        .route("/subscriptions/{name}/resume", post(commands::resume))
        .route("/dead-letters", get(pages::dead_letters))
        .route("/dead-letters/confirm", get(pages::confirm_letters))
        .route("/dead-letters/redrive", post(commands::redrive))
        .route("/dead-letters/discard", post(commands::discard))
        .route("/replay", get(pages::replay).post(commands::replay))
        .route("/replay/confirm", get(pages::confirm_replay))
        .route("/jobs/{number}/cancel", post(commands::cancel))
        .route("/patterns", get(pages::patterns))
        .route("/event/{position}", get(pages::event))
}

/// The house's router.
fn router_of(pages: &Pages) -> Result<Arc<dyn Deliveries>, WebError> {
    pages.house().router().ok_or(WebError::NoDeliveries)
}
