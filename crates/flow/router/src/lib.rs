//! The router.

mod core;
pub mod error;
mod feed;
mod jobs;
pub mod key;
pub mod lane;
mod letters;
mod load;
mod manage;
mod meter;
pub mod notice;
mod owed;
pub mod ports;
mod pulls;
mod reading;
pub mod records;
pub mod registry;
pub mod router;
pub mod rules;
pub mod shown;
pub mod source;
pub mod spec;
pub mod target;
pub mod transform;
