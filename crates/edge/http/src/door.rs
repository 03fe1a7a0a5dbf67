//! One request to one answer: who asks, what for, and what is told.
//!
//! `POST /v1/events` is answered here without a router in between: it is the way every event takes.
//! Not here: connections (`server`), the events in a body (`events`), the form of answers (`receipt`, `problem`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::oneshot;
use waag_stdx::clock::Clock;

use crate::events;
use crate::fault::{Fault, Kind};
use crate::intake::{Job, Source};
use crate::json;
use crate::keys::{KeyRecord, Keys, Role};
use crate::mailbox::Mailbox;
use crate::ports::{Ledger, Node};
use crate::problem::{self, Answer};
use crate::receipt::{self, Shape};

/// The bounds of a request.
#[derive(Clone, Copy, Debug)]
pub struct DoorLimits {
    /// Largest body.
    pub body_bytes_max: usize,
    /// Longest time from a request's head to its body's end, in milliseconds.
    pub body_ms_max: u64,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self { body_bytes_max: 4 * 1_024 * 1_024, body_ms_max: 30_000 }
    }
}

/// What answers requests; shared by all connections.
pub struct Door {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: DoorLimits,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Who asks, as far as it is checked.
pub(crate) struct Pass {
    pub(crate) key: Arc<KeyRecord>,
    pub(crate) ledger: Arc<dyn Ledger>,
}

impl Door {
    /// A door to a node.
    #[must_use]
    pub fn new(node: Arc<dyn Node>, keys: Arc<Keys>, clock: Arc<dyn Clock>, limits: DoorLimits) -> Self {
        Self { node, keys, clock, limits, mailbox: Arc::default() }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answered = match (request.method(), request.uri().path()) {
            (&Method::POST, "/v1/events") => self.events(request).await,
            (&Method::GET, "/v1/ledger") => self.ledger(request.headers()),
            (&Method::GET, "/healthz") => Ok(Answer::json(StatusCode::OK, b"{\"status\":\"alive\"}".to_vec())),
            (&Method::GET, "/readyz") => self.ready(),
            (_, "/v1/events" | "/v1/ledger" | "/healthz" | "/readyz") => Err(Fault::of(Kind::MethodNotAllowed)),
            _ => Err(Fault::of(Kind::NotFound)),
        };
        response(answered.unwrap_or_else(|fault| problem::answer(&fault)))
    }

    fn ready(&self) -> Result<Answer, Fault> {
        self.node.ready().map_err(|_| Fault::of(Kind::NotReady))?;
        Ok(Answer::json(StatusCode::OK, b"{\"status\":\"ready\"}".to_vec()))
    }

    /// Who asks, by the key in `x-api-key` or in `authorization: Bearer`.
    pub(crate) fn pass(&self, headers: &HeaderMap, role: Role) -> Result<Pass, Fault> {
        let bearer = || {
            let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_ascii())
        };
        let text = match headers.get("x-api-key") {
            Some(value) => value.to_str().map_err(|_| Fault::of(Kind::BadKey))?,
            None => bearer().ok_or_else(|| Fault::of(Kind::NoKey))?,
        };
        let key = self.keys.check(text, self.clock.now())?;
        if key.role < role {
            return Err(Fault::of(Kind::Forbidden));
        }
        let ledger = self.node.ledger(&key.tenant).ok_or_else(|| Fault::of(Kind::NoTenant))?;
        Ok(Pass { key, ledger })
    }

    async fn events(&self, request: Request<Incoming>) -> Result<Answer, Fault> {
        let pass = self.pass(request.headers(), Role::Producer)?;
        let (head, body) = request.into_parts();
        let body = self.body(body).await?;
        let (source, shape) = events::source(&head.headers, body)?;
        self.record(&pass, source, shape).await
    }

    /// Hands a request's events to the intake and waits for what becomes of them.
    pub(crate) async fn record(
        &self,
        pass: &Pass,
        source: Box<dyn Source>,
        shape: Shape,
    ) -> Result<Answer, Fault> {
        let (sender, answer) = oneshot::channel();
        let mailbox = Arc::clone(&self.mailbox);
        let job = Job {
            source,
            actor: pass.key.actor.clone(),
            accepted: self.clock.now(),
            answer: Box::new(move |settled| mailbox.post(sender, receipt::answer(settled, shape))),
        };
        pass.ledger.intake().offer(job).map_err(|_| Fault::of(Kind::QueueFull))?;
        answer.await.map_err(|_| Fault::of(Kind::Stopped))
    }

    fn ledger(&self, headers: &HeaderMap) -> Result<Answer, Fault> {
        let pass = self.pass(headers, Role::Reader)?;
        let status = pass.ledger.status();
        let told = status.checkpoint.checkpoint();
        let mut out = Vec::with_capacity(1_024);
        out.extend_from_slice(b"{\"entries\":");
        json::number(&mut out, told.size);
        out.extend_from_slice(b",\"projected\":");
        json::number(&mut out, status.projected);
        out.extend_from_slice(b",\"origin\":");
        json::text(&mut out, &told.origin);
        out.extend_from_slice(b",\"root\":\"");
        json::hex(&mut out, &told.root.0);
        out.extend_from_slice(b"\",\"checkpoint\":");
        json::text(&mut out, status.checkpoint.note());
        out.extend_from_slice(b",\"halted\":");
        match status.halted {
            Some(code) => json::text(&mut out, code),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
        Ok(Answer::json(StatusCode::OK, out))
    }

    /// A whole body within its bounds; one that came in one piece is not copied.
    pub(crate) async fn body(&self, body: Incoming) -> Result<Bytes, Fault> {
        let limit = self.limits.body_bytes_max;
        if body.size_hint().lower() > limit as u64 {
            return Err(Fault::of(Kind::BodyTooLarge(limit)));
        }
        let read = read_body(body, limit);
        let within = Duration::from_millis(self.limits.body_ms_max);
        tokio::time::timeout(within, read).await.unwrap_or_else(|_| Err(Fault::of(Kind::BodyTime)))
    }
}

async fn read_body(mut body: Incoming, limit: usize) -> Result<Bytes, Fault> {
    let expected = usize::try_from(body.size_hint().exact().unwrap_or(0)).unwrap_or(0);
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| Fault::of(Kind::BodyBroken))?.into_data() else { continue };
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

/// An answer as HTTP has it.
pub(crate) fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}
