//! What a domain is: three pure functions, and nothing of the world.
//!
//! Place in the way of an event: `decide`, and later `project`. The engine calls; a domain answers with values.
//! A new flow of money is a new implementation of [`Domain`] and a line of wiring.
//! Not here: keeping state and snapshots (the engine), rows in SQL (`flow/views`), any input or output.
//!
//! Invariants:
//! - `DOMAIN-1`: the same arguments give the same answer: no clock, no randomness, no disk, no other domain.
//! - `DOMAIN-2`: `decide` refuses or answers with events; it never changes state itself. `evolve` never refuses.

pub mod memory;
pub mod passthrough;
pub mod project;

use std::fmt;

use waag_model::event::{Accepted, Event};

/// A domain's rules. `State` is what its decisions rest on, for one stream.
pub trait Domain: Send + Sync {
    /// What `decide` needs to know of the past of one stream.
    type State: Default + Clone + Send;

    /// The stream whose state a command needs; `None` for facts, which are accepted as they come.
    fn stream<'a>(&self, command: &'a Accepted<'_>) -> Option<&'a str>;

    /// The events that follow from a command, given the state of its stream.
    ///
    /// # Errors
    /// [`Refusal`], in the domain's words; nothing is then recorded.
    fn decide<'a>(&self, state: &Self::State, command: Accepted<'a>) -> Result<Vec<Accepted<'a>>, Refusal>;

    /// The state after an event. It has happened: whatever it says, this does not fail.
    fn evolve(&self, state: Self::State, event: &Event<'_>) -> Self::State;
}

/// A domain's no, with a stable code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: &'static str,
    /// The reason, in the domain's words.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}
