//! The pages as their readers get them: over HTTP, and in a browser.

#![cfg(test)]
#![expect(clippy::cast_possible_truncation, reason = "samples of known size")]

mod bounds;
mod browser;
mod columns;
mod deliveries;
mod evidence;
mod lists;
mod live;
mod pages;
mod readme;
mod said;
mod sight;
mod support;
mod vendored;
