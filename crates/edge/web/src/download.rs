//! Lists as CSV files, sent while they are read: one snapshot, a piece at a time (`WEB-6`).
//!
//! A file takes a turn as a page does, and holds it until the last piece is handed over, for two minutes at most; few are
//! made at once, so that pages have turns left. A file that was not finished ends with a broken connection, never as if
//! it were whole.
//! Not here: the form of a record (`csv`), which rows there are (`load`).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::Uri;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use waag_invoices::lists::PAGE_LINES_MAX;
use waag_model::time::UtcNanos;

use crate::address::{self, Asked};
use crate::error::WebError;
use crate::figures::Figures;
use crate::load::{after, listed};
use crate::model::Lines;
use crate::router::{Pages, Pairs, Shared, done};
use crate::{csv, door, why};

/// Most rows of a file; a last record says where there are more.
pub(crate) const ROWS_MAX: usize = 10_000;
/// Files made at once; each holds a page's turn.
const AT_ONCE_MAX: usize = 4;
/// How long a request waits for its place among them.
const PLACE_WAIT: Duration = Duration::from_secs(2);
/// How long a file may take until its client has read all but the last pieces.
const SENT_WITHIN: Duration = Duration::from_secs(120);
/// Pieces that wait for the client to read; each has at most [`PAGE_LINES_MAX`] rows.
const PIECES_AHEAD: usize = 2;

static MAKING: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// What is handed from the thread that reads to the answer's body.
enum Piece {
    Records(String),
    /// All is told; without it the body breaks off.
    End,
}

/// A list of the operations page, from the row on that its address names.
pub(crate) async fn operations(
    State(pages): Shared,
    headers: HeaderMap,
    uri: Uri,
    Query(pairs): Pairs,
) -> Response {
    let place = tokio::time::timeout(PLACE_WAIT, MAKING.acquire()).await;
    let Ok(Ok(place)) = place else { return door::plain(&WebError::Busy) };
    let (send, receive) = mpsc::channel(PIECES_AHEAD);
    let (begin, begun) = oneshot::channel();
    let until = Instant::now() + SENT_WITHIN;
    let work = tokio::spawn(done(Arc::clone(&pages), headers, uri, move |pages, _| {
        let _place = place;
        let now = pages.clock().now();
        let asked = address::read(pairs, now.day())?;
        let list = List { pages, asked: &asked, now, figures: pages.figures()? };
        let first = list.read(after(&asked)?.as_ref(), 0)?;
        // Whoever asked may have gone away.
        let _gone = begin.send(name(&asked, now));
        list.send(first, |piece| sent(pages, &send, piece, until))
    }));
    match begun.await {
        Ok(name) => file(&name, receive),
        Err(_) => match work.await {
            Ok(Err(refusal)) => refusal,
            Ok(Ok(())) => door::plain(&WebError::Drawing("a list came to nothing".to_owned())),
            Err(error) => door::plain(&WebError::Drawing(error.to_string())),
        },
    }
}

/// Hands a piece over; says whether anybody takes more.
fn sent(pages: &Pages, send: &mpsc::Sender<Piece>, piece: Piece, until: Instant) -> bool {
    let mut closing = pages.closing();
    Handle::current().block_on(async {
        tokio::select! {
            sent = tokio::time::timeout_at(until, send.send(piece)) => matches!(sent, Ok(Ok(()))),
            _ = closing.wait_for(|closing| *closing) => false,
        }
    })
}

/// `waag-stuck-2026-11-20.csv`.
fn name(asked: &Asked, now: UtcNanos) -> String {
    format!("waag-{}-{}.csv", filter(asked), now.day())
}

/// The list's word. It is one of ours: any other was refused.
fn filter(asked: &Asked) -> &str {
    if asked.filter.is_empty() { "stuck" } else { &asked.filter }
}

fn file(name: &str, receive: mpsc::Receiver<Piece>) -> Response {
    let pieces = stream::unfold(Some(receive), |receive| async {
        let mut receive = receive?;
        match receive.recv().await {
            Some(Piece::Records(text)) => Some((Ok(Bytes::from(text)), Some(receive))),
            Some(Piece::End) => None,
            None => Some((Err(std::io::Error::other("the list was not read to its end")), None)),
        }
    });
    let attachment = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, attachment.unwrap_or(HeaderValue::from_static("attachment"))),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// A list that is read within one snapshot.
struct List<'p> {
    pages: &'p Pages,
    asked: &'p Asked,
    now: UtcNanos,
    figures: Box<dyn Figures>,
}

impl List<'_> {
    fn read(&self, after: Option<&waag_invoices::lists::After>, rows: usize) -> Result<Lines, WebError> {
        let most = ROWS_MAX.saturating_sub(rows).min(PAGE_LINES_MAX);
        self.figures.lines(self.asked, self.now, after, most)
    }

    /// Reads on and hands over piece after piece, as long as they are taken.
    fn send(&self, first: Lines, take: impl Fn(Piece) -> bool) -> Result<(), WebError> {
        let filter = filter(self.asked);
        let (mut piece, mut rows, mut text) = (first, 0usize, String::new());
        csv::header(filter, &mut text);
        loop {
            let mut told: Vec<_> = piece.lines.iter().map(|line| listed(line, self.now)).collect();
            why::fill(self.pages.house(), self.pages.clock(), Duration::MAX, &mut told)?;
            for (line, row) in piece.lines.iter().zip(&told) {
                csv::line(line, &row.told, &mut text);
            }
            rows = rows.saturating_add(piece.lines.len());
            let next = piece.next.take();
            if next.is_some() && rows >= ROWS_MAX {
                csv::more(filter, rows, &mut text);
            }
            let is_taken = take(Piece::Records(std::mem::take(&mut text)));
            match next.filter(|_| rows < ROWS_MAX) {
                _ if !is_taken => return Ok(()),
                None => {
                    take(Piece::End);
                    return Ok(());
                }
                Some(next) => piece = self.read(Some(&next), rows)?,
            }
        }
    }
}
