//! The README's picture is the overview as it is: the picture tells the page it was made of, and that page is still drawn.
//!
//! A changed page needs a new picture: `WAAG_README_PICTURE=1 cargo nextest run -p waag-web readme` makes it. A run
//! without that word changes nothing.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use waag_chromium::Chromium;
use waag_web::Pages;

use crate::browser::served;
use crate::pages::{ask, get, text};
use crate::support::sample::SampleFigures;
use crate::support::{Sample, Still};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/images/overview.png");
/// How much of the page the picture shows, in pixels.
const HEIGHT: f64 = 1_150.0;
/// A PNG's signature and its first chunk, which other chunks follow.
const HEAD_BYTES: usize = 8 + 25;

/// The CRC of a PNG's chunks (ISO 3309), bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// The chunk that tells the page's hash: a keyword, a zero byte, a text (PNG specification, 11.3.3.2).
fn chunk(page: &str) -> Vec<u8> {
    let body = format!("tEXtpage\0{page}");
    let length = u32::try_from(body.len() - 4).unwrap();
    [&length.to_be_bytes()[..], body.as_bytes(), &crc(body.as_bytes()).to_be_bytes()].concat()
}

/// The hash of the page whose picture this is, with the files that it names by their hashes; the version is left out.
async fn page() -> String {
    let pages = Pages::with_figures(Sample::new(false), Arc::new(Still), |_| {
        Box::new(SampleFigures { empty: false })
    });
    let html = text(ask(pages, get("/")).await).await.replace(env!("CARGO_PKG_VERSION"), "");
    digest(&SHA256, html.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn needs_chromium_the_readme_shows_the_page_as_it_is() {
    let chunk = chunk(&page().await);
    if std::env::var_os("WAAG_README_PICTURE").is_some() {
        let base = served(&Sample::new(false));
        let mut browser = Chromium::start();
        browser.look("light", "", 1_440);
        browser.open(&format!("{base}/"));
        let made = browser.picture(Some(HEIGHT));
        let (head, rest) = made.split_at(HEAD_BYTES);
        std::fs::write(PICTURE, [head, &chunk, rest].concat()).unwrap();
    }
    let kept = std::fs::read(Path::new(PICTURE)).unwrap();
    assert!(kept.starts_with(b"\x89PNG\r\n\x1a\n"), "docs/images/overview.png is no picture");
    let shown = kept.windows(chunk.len()).any(|bytes| bytes == chunk);
    assert!(shown, "the overview has changed: WAAG_README_PICTURE=1 cargo nextest run -p waag-web readme");
}

#[test]
fn a_chunk_is_as_the_specification_has_it() {
    // The last chunk of every PNG has no body, and this CRC.
    assert_eq!(crc(b"IEND"), 0xAE42_6082);
    assert_eq!(chunk("x")[..13], *b"\0\0\0\x06tEXtpage\0");
}
