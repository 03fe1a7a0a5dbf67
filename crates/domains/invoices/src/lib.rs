//! What became of every invoice, from its first event to its payment: a read model over the ledger.
//!
//! Place in the way of an event: `project`. Events of the types `invoice.ingestion`, `invoice.reconciliation`,
//! `invoice.authorization` and `invoice.posting` are facts that are only monitored: nothing here can refuse one, so the
//! domain has no commands, no decisions and no ports. An invoice is in one of four stages and in one of six
//! conditions ([`state::Condition`]); [`event`] says which event moves it where, [`project`] keeps the rows,
//! [`queries`], [`standing`], [`speed`], [`cash`], [`life`], [`lists`], [`named`] and [`figures`] read
//! them.
//! Not here: whose database holds the rows (`flow/views`, the drivers), pages (`edge/web`), the entries that an
//! invoice's history points to (the log).
//!
//! Invariants:
//! - `INVOICE-1`: an event out of order, repeated, late, after the close, with unknown words or for an unknown invoice
//!   is kept and marked, never dropped: it is in its invoice's history or in the list of odd events.
//! - `INVOICE-2`: order is by position; the time an event tells moves no cursor and no closing of a figure.
//! - `INVOICE-3`: a counter of open invoices is the sum over the invoices' rows, after every batch.
//! - `INVOICE-4`: what is learned is learned when the commit time passes midnight UTC, from whole days before it.
//! - `PROJECT-1` to `PROJECT-3` of `flow/domain`.

mod batch;
pub mod cash;
mod classes;
mod codec;
pub mod config;
pub mod event;
pub mod figures;
mod gather;
mod key_share;
mod learn;
pub mod life;
pub mod lists;
mod mix;
pub mod moves;
pub mod named;
mod names;
mod packed;
pub mod project;
pub mod queries;
mod segments;
pub mod settings;
pub mod sketch;
pub mod speed;
pub mod standing;
pub mod state;
pub mod tables;
mod tally;
pub mod when;
mod write;
