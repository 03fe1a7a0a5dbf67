//! The pages as their readers get them: over HTTP, and in a browser.

mod browser;
mod chromium;
mod pages;
mod support;
mod vendored;
