//! Packs: the list of those handed out, one made, one fetched, one checked.
//!
//! A pack to be checked comes as a file in a form, one at a time and of bounded length (`WEB-6`); it is checked on the
//! server with the ledger's keys, by the same code as `waag-verify`, and not kept.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::Semaphore;

use super::kept::{Checked, What};
use super::orders::{self, Sent};
use super::screens::{CheckedScreen, EvidenceScreen};
use super::{evidence_of, failed, upload};
use crate::deliveries::asked::Fields;
use crate::error::WebError;
use crate::ports::evidence::packs::{PackAsked, PackFile};
use crate::router::{Pages, Shared, done, page_with_forms, shell};

/// Packs on the page.
const PACKS_ON_PAGE: usize = 100;
/// Longest pack that is checked here; a longer one is checked on the command line, which does not hold it in memory.
pub(super) const PACK_SENT_BYTES_MAX: usize = 64 * 1_024 * 1_024;
/// What a form has around a file, in bytes.
const FORM_AROUND_BYTES: usize = 8 * 1_024;
/// How long a file may take to come in.
const SENT_WITHIN: Duration = Duration::from_secs(60);
/// How long a file waits for the one before it.
const TURN_WAIT: Duration = Duration::from_secs(10);
/// Bytes of a pack that are read at a time.
const PIECE_BYTES: usize = 256 * 1_024;
/// Digits of a digest.
const DIGEST_CHARS: usize = 64;
/// Longest file name that is shown, in characters.
const FILE_CHARS_MAX: usize = 120;

/// Files on their way here: each is held in memory whole.
static SENDING: Semaphore = Semaphore::const_new(1);
/// Pieces of packs that are read at once: each holds a blocking thread, also when its client has gone away.
static READING: Semaphore = Semaphore::const_new(4);

pub(super) async fn evidence(pages: Shared, headers: HeaderMap, uri: Uri) -> Response {
    page_with_forms(pages, headers, uri, |pages, visit| {
        let shell = shell(pages, visit, "Evidence packs", "evidence", true);
        let evidence = evidence_of(pages)?;
        let list = evidence.packs(PACKS_ON_PAGE).map_err(failed)?;
        let making = evidence.making();
        Ok(EvidenceScreen { shell, tab: "packs", list, making }.render()?)
    })
    .await
}

/// Begins to make a pack.
pub(super) async fn make(State(pages): Shared, headers: HeaderMap, uri: Uri, sent: Sent) -> Response {
    orders::carried_out(pages, headers, uri, sent, |pages, fields| {
        let asked = asked(fields)?;
        evidence_of(pages)?.make(asked, &pages.house().actor()).map_err(failed)?;
        Ok("/evidence".to_owned())
    })
    .await
}

/// What a form asks a pack to hold.
fn asked(fields: &Fields) -> Result<PackAsked, WebError> {
    let ((from, since_ns), (to, until_ns)) = (fields.place("from")?, fields.place("to")?);
    let wants_reveal = fields.text("reveal")?.is_some();
    let reveal = fields.owned("reveal-reason")?;
    if wants_reveal && reveal.is_none() {
        let allowed = "a sentence that says why personal data is disclosed; it is recorded";
        return Err(WebError::Parameter { name: "reveal-reason", allowed });
    }
    let asked = PackAsked {
        invoice: fields.owned("invoice")?,
        person: fields.owned("person")?,
        kind: fields.owned("kind")?,
        since_ns,
        until_ns,
        from,
        to,
        last: fields.number("last")?,
        reveal: reveal.filter(|_| wants_reveal),
        reason: fields.reason()?,
    };
    let chooses = asked.invoice.is_some()
        || asked.person.is_some()
        || asked.kind.is_some()
        || asked.last.is_some()
        || [asked.since_ns, asked.until_ns].iter().any(Option::is_some)
        || [asked.from, asked.to].iter().any(Option::is_some);
    if !chooses {
        let allowed = "filled in, or another of the choices: a pack says what it is about";
        return Err(WebError::Parameter { name: "invoice", allowed });
    }
    Ok(asked)
}

/// The page with the form, for whoever comes back to the address that the form is sent to.
pub(super) async fn back() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/evidence")]).into_response()
}

/// Checks a pack that came as a file.
pub(super) async fn check(State(pages): Shared, headers: HeaderMap, uri: Uri, request: Request) -> Response {
    let told = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = told.and_then(upload::boundary).map(str::to_owned);
    let read = match boundary {
        Some(boundary) => received(request.into_body()).await.map(|body| (body, boundary)),
        None => Err(WebError::Upload("the form holds no file")),
    };
    let done = done(pages, headers, uri, move |pages, _| {
        let ((body, _turn), boundary) = read?;
        let parts = upload::parts(&body, &boundary).ok_or(WebError::Upload("the form is cut short"))?;
        let part = |name: &str| parts.iter().find(|part| part.name == name);
        let content = |name: &str| part(name).and_then(|part| body.get(part.content.clone()));
        let token = content("token").and_then(|bytes| std::str::from_utf8(bytes).ok());
        orders::own_form(pages, token.unwrap_or(""))?;
        let pack = content("pack").filter(|pack| !pack.is_empty());
        let pack = pack.ok_or(WebError::Upload("no file was chosen, or it is empty"))?;
        if pack.len() > PACK_SENT_BYTES_MAX {
            return Err(TOO_LONG);
        }
        let verdict = evidence_of(pages)?.check(pack).map_err(failed)?;
        let file = part("pack").and_then(|part| part.file.clone()).unwrap_or_default();
        let checked = Checked {
            file: file.chars().take(FILE_CHARS_MAX).collect(),
            bytes: u64::try_from(pack.len()).unwrap_or(u64::MAX),
            at: pages.clock().now(),
            verdict,
        };
        let handle = orders::keep(pages, What::Checked(Arc::new(checked)))?;
        Ok(format!("/evidence/checked/{handle}"))
    });
    orders::led(done.await)
}

const TOO_LONG: WebError = WebError::Upload("it is longer than 64 MiB");

/// A body of bounded length, when its turn comes; the turn lasts until the pack is checked.
async fn received(body: Body) -> Result<(Bytes, tokio::sync::SemaphorePermit<'static>), WebError> {
    let turn = tokio::time::timeout(TURN_WAIT, SENDING.acquire()).await;
    let Ok(Ok(turn)) = turn else { return Err(WebError::Busy) };
    let whole = axum::body::to_bytes(body, PACK_SENT_BYTES_MAX.saturating_add(FORM_AROUND_BYTES));
    match tokio::time::timeout(SENT_WITHIN, whole).await {
        Ok(Ok(bytes)) => Ok((bytes, turn)),
        Ok(Err(_)) => Err(TOO_LONG),
        Err(_) => Err(WebError::Upload("it did not come in within a minute")),
    }
}

pub(super) async fn checked(
    pages: Shared,
    Path(handle): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    page_with_forms(pages, headers, uri, move |pages, visit| {
        let What::Checked(checked) = orders::kept(pages, &handle)? else { return Err(WebError::Gone) };
        let shell = shell(pages, visit, "A pack checked", "evidence", false);
        let keys = evidence_of(pages)?.standing().map_err(failed)?.keys;
        Ok(CheckedScreen { shell, tab: "packs", checked, keys }.render()?)
    })
    .await
}

/// A pack that was made here, piece by piece.
pub(super) async fn fetch(
    State(pages): Shared,
    Path(digest): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let asked = digest.clone();
    let found = done(pages, headers, uri, move |pages: &Pages, _| {
        let is_digest = asked.len() == DIGEST_CHARS && asked.bytes().all(|byte| byte.is_ascii_hexdigit());
        let made = is_digest.then(|| evidence_of(pages).map(|evidence| evidence.made(&asked))).transpose()?;
        made.flatten().ok_or(WebError::NoPack)
    });
    let PackFile { bytes, content } = match found.await {
        Ok(file) => file,
        Err(refusal) => return refusal,
    };
    let pieces = stream::try_unfold(0u64, move |at| {
        let content = Arc::clone(&content);
        async move {
            if at >= bytes {
                return Ok::<_, std::io::Error>(None);
            }
            let turn = READING.acquire().await.map_err(std::io::Error::other)?;
            let read = tokio::task::spawn_blocking(move || {
                let piece = content.read_at(at, PIECE_BYTES);
                drop(turn);
                piece
            });
            let piece = read.await.map_err(std::io::Error::other)??;
            if piece.is_empty() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let next = at.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            Ok(Some((Bytes::from(piece), next)))
        }
    });
    let short: String = digest.chars().take(12).collect();
    let name = HeaderValue::from_str(&format!("attachment; filename=\"evidence-{short}.zip\""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
        (header::CONTENT_LENGTH, HeaderValue::from(bytes)),
        (header::CONTENT_DISPOSITION, name.unwrap_or(HeaderValue::from_static("attachment"))),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}
