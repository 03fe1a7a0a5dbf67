//! Event patterns: which rules does this event concern?
//!
//! The language is that of Amazon EventBridge event patterns, whole. A pattern is an object shaped like the events it is
//! for; where the event has a value, it has an array of alternatives:
//!
//! ```
//! use waag_pattern::{Pattern, RuleId, RuleSet, Scratch};
//!
//! let large = Pattern::parse(br#"{
//!     "type": [{"prefix": "invoice."}],
//!     "data": {"total": [{"numeric": [">=", 10000]}], "lines": {"country": ["NL", "BE"], "vat": [{"exists": false}]}}
//! }"#)?;
//! let mut rules = RuleSet::new();
//! rules.insert(RuleId(7), &large);
//!
//! let event = br#"{"type": "invoice.posted",
//!     "data": {"total": 12000.00, "lines": [{"country": "DE"}, {"country": "BE"}, {"country": "NL", "vat": 21}]}}"#;
//! assert_eq!(rules.matches(event, &mut Scratch::new())?, [RuleId(7)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Place in the way of an event: the first step of *deliver*; the router asks it which subscriptions an event concerns,
//! the command line, the API and the pages try single patterns with it. It is pure: bytes in, numbers of rules out.
//! Not here: what becomes of a match; which events are shown to which rules.
//!
//! # How it is done
//!
//! `syntax` and `operator` read a pattern, `pattern` multiplies its `$or` out, `set` enters each combination in the `index`
//! under its rarest field. `capture` reads an event once, keeping only the leaves at paths that rules name (`paths`), and
//! `decide` looks those up and judges the candidates. `condition` is what each operator means. `names` and `beginnings` answer
//! "is this text among them" and "which of them does this text begin with".
//!
//! # Invariants
//!
//! - `PAT-1`: what an event matches depends on the event and the rule alone: not on other rules, their order, or what was
//!   inserted and removed before, nor on whether the event came as text or parsed (but for digits that parsing lost).
//! - `PAT-2`: a pattern is understood whole or refused with code, place and reason; nothing in it is ignored.
//! - `PAT-3`: fields match together only within the same element of an array.
//! - `PAT-4`: the time for an event is bounded by its bytes, plus for each candidate clause the leaves and objects at the
//!   clause's paths; no pattern and no event makes it exponential, and nothing recurses deeper than a named limit.
//! - `PAT-5`: an event is one whole JSON object or an error, whatever the rules look at.
//!
//! # Where verdicts differ from event-ruler's
//!
//! Each on purpose, each named where it is decided: numbers beyond a double's precision are exact (`number`); names are
//! not joined with dots (`paths`); an exact string that is an IP address is a string like any other, and `cidr` takes `/32`
//! and `/128` (`cidr`); `exists: false` does not depend on how names sort (`decide`); of a repeated name in an event the
//! last value counts (`capture`); and a field named twice, an empty list of operands and an inexact number are refused
//! (`operator`, `syntax`).
//!
//! Sources: Amazon EventBridge user guide, "Creating Amazon EventBridge event patterns", "Comparison operators for use in
//! event patterns" and "Arrays in event patterns"; README and sources of aws/event-ruler 2.0.1; RFC 8259, RFC 6901.

mod beginnings;
mod capture;
mod cidr;
mod condition;
mod decide;
mod fold;
mod glob;
mod index;
mod json;
mod leaf;
pub mod limits;
mod names;
mod number;
mod operator;
mod paths;
mod pattern;
mod refusal;
mod set;
mod slab;
mod syntax;

pub use pattern::Pattern;
pub use refusal::{EventError, Limit, PatternError, Reason};
pub use set::{RuleId, RuleSet, Scratch};
