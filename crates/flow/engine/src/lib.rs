//! One writer per ledger: events are decided and sealed in parallel, given positions by one, and acknowledged when
//! they are durable, in the tree, and under a guarded checkpoint.
//!
//! Place in the way of an event: `decide`, `seal`, `append`, `integrate`; it hands on to whoever follows the ledger.
//! Not here: the stored form (`evidence/entry`), the tree (`evidence/ledger`), the log's contract (`evidence/log`), keys
//! (`evidence/keys`), rules of domains (`flow/domain`), any driver.

pub mod batch;
pub mod effect;
pub mod engine;
pub mod identity;
pub mod reader;
pub mod recover;
pub mod registry;
pub mod runtime;
pub mod sealer;
