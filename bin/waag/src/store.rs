//! One tenant's store on this machine: where everything is, and how it is made, opened to write and opened to read.
//!
//! Place: beneath every command, the benchmark and the crash tests. Drivers are named here and nowhere above.
//!
//! ```text
//! DIR/<tenant>/         log/  derived/hashes  derived/identity/  derived/schemas  objects/  views/
//! DIR.state/<tenant>/   state.db  guard  vault.key  writer.sock (while a long writer runs)
//! ```
//!
//! The two folders are apart so that a copy or a rollback of one shows in the other; `derived/` can be deleted whenever no
//! writer runs, and is made again.
//!
//! Not here: opening a ledger (`flow/engine`, `recover`), what the commands say (`cli`).
//!
//! - `STORE-1`: nothing is created but by [`init`](init::init()); opening what is not there names it and makes nothing.
//! - `STORE-2`: one process writes a store; a second one is told so and changes nothing.
//! - `STORE-3`: reading takes no lock, changes nothing, and sees nothing beyond the guard.
//! - `STORE-4`: what is shown or handed out beside a writer was recorded by it before.

pub mod backups;
mod begun;
pub mod beside;
pub mod drills;
pub mod error;
pub mod exports;
pub mod init;
pub mod keeping;
pub mod key_changes;
pub mod ledgers;
pub(crate) mod lines;
pub mod options;
pub mod own;
pub mod place;
pub mod proof;
pub mod reader;
pub mod restores;
pub mod room;
#[cfg(test)]
mod sample;
pub mod schemas;
pub mod subjects;
pub mod told_changes;
pub mod upkeep;
pub mod verify;
pub mod writer;
