//! A node as its user runs it: the real program as a process, asked over HTTP and beside it by its own commands.
//!
//! Each test has a folder of its own, ports that the system chooses, and a time for every wait; every process is killed
//! when its test ends, however it ends.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and measures real time"
)]

#[path = "../common/mod.rs"]
mod common;

mod bridges;
mod collectors;
mod crash;
mod demo;
mod disk;
mod doors;
mod ending;
mod evidence;
mod history;
mod keys;
mod nats;
mod operations;
mod overload;
mod packs;
mod publishing;
mod reports;
mod rules;
mod support;
mod tls;
mod upkeeping;
mod views;
mod webhooks;
