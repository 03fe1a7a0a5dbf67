//! A request's body: whole, within its bytes and its time, and as it is, without a content encoding.
//!
//! Not here: what the bytes say (`events`, `invoices`), the bounds themselves (`door`).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderValue, TRANSFER_ENCODING};

use crate::access::Learned;
use crate::door::Door;
use crate::fault::{Fault, Kind};

impl Door {
    /// A whole body within its bounds; one that came in one piece is not copied.
    pub(crate) async fn body(
        &self,
        headers: &HeaderMap,
        body: Incoming,
        learned: &mut Learned,
    ) -> Result<Bytes, Fault> {
        self.body_within(self.parts.limits.body_bytes_max, headers, body, learned).await
    }

    /// The same, of a path that takes less than others.
    pub(crate) async fn body_within(
        &self,
        limit: usize,
        headers: &HeaderMap,
        body: Incoming,
        learned: &mut Learned,
    ) -> Result<Bytes, Fault> {
        // Bytes that are read as something else than they are would be recorded so.
        if !is_identity(headers) {
            return Err(Fault::of(Kind::ContentEncoding));
        }
        if !is_framed_only(headers) {
            return Err(Fault::of(Kind::Header("transfer-encoding")));
        }
        let limit = limit.min(self.parts.limits.body_bytes_max);
        if body.size_hint().lower() > limit as u64 {
            return Err(Fault::of(Kind::BodyTooLarge(limit)));
        }
        let read = read_body(body, limit, &mut learned.bytes_in);
        let within = Duration::from_millis(self.parts.limits.body_ms_max);
        tokio::time::timeout(within, read).await.unwrap_or_else(|_| Err(Fault::of(Kind::BodyTime)))
    }
}

/// Whether a body stands as it is: no content encoding but `identity` (RFC 9110 §8.4).
fn is_identity(headers: &HeaderMap) -> bool {
    let is_plain = |coding: &[u8]| {
        let coding = coding.trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    };
    let values = headers.get_all(CONTENT_ENCODING).iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).all(is_plain)
}

/// Whether a body is at most cut into chunks: no other transfer coding is undone here, nor that one twice (RFC 9112 §6.1
/// and §7).
fn is_framed_only(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    values.next().is_none_or(is_chunked) && values.next().is_none()
}

async fn read_body(mut body: Incoming, limit: usize, bytes_in: &mut u64) -> Result<Bytes, Fault> {
    let expected = usize::try_from(body.size_hint().exact().unwrap_or(0)).unwrap_or(0);
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| Fault::of(Kind::BodyBroken))?.into_data() else { continue };
        *bytes_in += piece.len() as u64;
        if first.is_empty() && whole.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(expected.min(limit).max(first.len() + piece.len()));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        if whole.len() + piece.len() > limit {
            return Err(Fault::of(Kind::BodyTooLarge(limit)));
        }
        whole.extend_from_slice(&piece);
    }
    if first.len() > limit {
        return Err(Fault::of(Kind::BodyTooLarge(limit)));
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}
