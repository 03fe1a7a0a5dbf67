//! The files a browser loads beside pages: embedded, named by their content, kept for a year.
//!
//! A file's address holds the start of its SHA-256, so that a page always gets the very files it was made with, and a
//! cache never has to ask. What is not our own stands in `assets/vendor` with licence, version and hash.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};

/// Hexadecimal digits of a hash in an address.
const HASH_DIGITS: usize = 16;

const TEXT_JS: &str = "text/javascript; charset=utf-8";
const TEXT_CSS: &str = "text/css; charset=utf-8";

/// One embedded file.
struct Asset {
    /// How templates call it.
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// Its address under `/assets/`.
    file: String,
    tag: String,
}

macro_rules! files {
    ($($name:literal, $kind:expr, $path:literal;)*) => {
        [$(($name, $kind, include_bytes!(concat!("../assets/", $path)).as_slice())),*]
    };
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let files = files! {
        "waag.css", TEXT_CSS, "waag.css";
        "uplot.css", TEXT_CSS, "vendor/uplot-1.6.32.min.css";
        "htmx.js", TEXT_JS, "vendor/htmx-4.0.1.min.js";
        "uplot.js", TEXT_JS, "vendor/uplot-1.6.32.iife.min.js";
        "keys.js", TEXT_JS, "keys.js";
        "live.js", TEXT_JS, "live.js";
        "charts.js", TEXT_JS, "charts.js";
        "verify.js", TEXT_JS, "verify.js";
        "proof.js", TEXT_JS, "proof.js";
        "evidence.js", TEXT_JS, "evidence.js";
        "icon.svg", "image/svg+xml", "icon.svg";
    };
    files.into_iter().map(|(name, kind, bytes)| asset(name, kind, bytes)).collect()
});

fn asset(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Asset {
    let hash: String = digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .take(HASH_DIGITS / 2)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    Asset { name, kind, bytes, file: format!("{stem}-{hash}.{end}"), tag: format!("\"{hash}\"") }
}

/// The address of a file, as a template names it; of no file where there is none, which a test would see.
pub(crate) fn url(name: &str) -> String {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    format!("/assets/{}", found.map_or("", |asset| asset.file.as_str()))
}

/// Answers for a file; `None` where no file has this name.
///
/// A module imports another by its plain name, whose content may change: that name is answered too, and revalidated.
pub(crate) fn answer(file: &str, asked: &HeaderMap) -> Option<Response> {
    let by_hash = ASSETS.iter().find(|asset| asset.file == file);
    let asset = by_hash.or_else(|| ASSETS.iter().find(|asset| asset.name == file))?;
    let cache = if by_hash.is_some() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == asset.tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.kind)], asset.bytes).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        headers.insert(header::ETAG, tag);
    }
    Some(response)
}
