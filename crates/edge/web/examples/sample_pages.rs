//! Serves every page over a house of samples, to look at them: `cargo run -p waag-web --example sample_pages -- 8090`.
//!
//! A second argument `empty` shows a new node.

#[expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "the tests' own house, with samples of known size"
)]
#[path = "../tests/web/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use support::sample::SampleFigures;
use support::{Sample, Still};
use waag_stdx::entropy::SystemEntropy;
use waag_web::{Pages, serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap_or_else(|| "8090".to_owned()).parse()?;
    let empty = arguments.next().is_some_and(|word| word == "empty");
    let house = Sample::new(empty);
    let pages =
        Pages::with_figures(house.clone(), Arc::new(Still), move |_| Box::new(SampleFigures { empty }));
    let pages = pages.commanded(&SystemEntropy::new())?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    if !empty {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(700)).await;
                house.progress.send_modify(|progress| progress.projected += 1);
            }
        });
    }
    serve(listener, pages, std::future::pending()).await?;
    Ok(())
}
