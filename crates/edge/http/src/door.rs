//! One request to one answer: who asks, what for, and what is told.
//!
//! Order of a request: route → key → rate → body → idempotency → events → intake → receipt. What is refused early costs
//! little: no body is read for a key that is not valid or has no rate left.
//! Not here: connections (`server`), reading a body (`body`), the events in it (`events`, `invoices`), the form of answers
//! (`receipt`, `problem`).

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::sync::{Semaphore, oneshot};
use waag_invoices::event::Stage;
use waag_model::event::Data;
use waag_model::value::Value;
use waag_stdx::clock::Clock;
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_stdx::figures::{Family, Figures};

use crate::access::{AccessSink, Learned, Span, Watched};
use crate::deliveries::Turns;
use crate::events;
use crate::fault::{Absent, Fault, Kind};
use crate::idempotency::{self, Answers, Begun, Ending};
use crate::intake::{Job, Source, Take};
use crate::invoices::{self, Form, IdsMade, Invoices};
use crate::json;
use crate::keys::{KeyRecord, Keys, Role};
pub(crate) use crate::limit::Method as Does;
use crate::limit::{self, Left, Limiter};
use crate::mailbox::Mailbox;
use crate::mapping::{Mapping, Mappings};
use crate::media;
use crate::metrics::{self, Metrics};
use crate::openapi;
use crate::ports::{Ledger, Node};
use crate::problem::{self, Answer};
use crate::receipt::{self, Shape};
use crate::reports;
use crate::routes::Route;
use crate::shared::Shared;
use crate::stored;
use crate::tlog::LogTurns;
use crate::trace::{self, Trace};
use crate::validate::Validator;

/// The bounds of a request.
#[derive(Clone, Copy, Debug)]
pub struct DoorLimits {
    /// Largest body.
    pub body_bytes_max: usize,
    /// Longest time from a request's head to its body's end, in milliseconds.
    pub body_ms_max: u64,
    /// Longest time that an answer of the read models is read, in milliseconds.
    pub read_ms_max: u64,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self { body_bytes_max: 4 * 1_024 * 1_024, body_ms_max: 30_000, read_ms_max: 10_000 }
    }
}

/// What a door is made of.
pub struct DoorParts {
    /// The node behind it.
    pub node: Arc<dyn Node>,
    /// Who may pass.
    pub keys: Arc<Keys>,
    /// Clients' own field names.
    pub mappings: Arc<Mappings>,
    /// Rates and quotas.
    pub limiter: Arc<Limiter>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Spans' ids are drawn from here.
    pub entropy: Arc<dyn Entropy>,
    /// Who hears of each request when it is over: the access log, traces.
    pub access: Vec<Arc<dyn AccessSink>>,
    /// Whose figures stand beside the door's own.
    pub figures: Vec<Arc<dyn Figures>>,
    /// Bounds of a request.
    pub limits: DoorLimits,
}

impl DoorParts {
    /// A door without plans, access log or mappings of its own.
    #[must_use]
    pub fn plain(
        node: Arc<dyn Node>,
        keys: Arc<Keys>,
        mappings: Arc<Mappings>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            node,
            keys,
            mappings,
            limiter: Arc::default(),
            clock,
            entropy: Arc::new(SystemEntropy::new()),
            access: Vec::new(),
            figures: Vec::new(),
            limits: DoorLimits::default(),
        }
    }
}

/// Validators by event type.
pub type Schemas = HashMap<String, Validator>;

/// What answers requests; shared by all connections.
pub struct Door {
    pub(crate) parts: DoorParts,
    schemas: RwLock<Arc<Schemas>>,
    answers: Arc<Answers>,
    pub(crate) metrics: Arc<Metrics>,
    figures_text: Shared,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Turns to read events back (`stored`).
    pub(crate) reads: Arc<Semaphore>,
    /// Turns at the router, and the end of waiting for it.
    pub(crate) turns: Turns,
    /// Turns at the read models (`reports`).
    pub(crate) report_turns: Arc<Semaphore>,
    /// Turns at the published log (`tlog`).
    pub(crate) log_turns: LogTurns,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("limits", &self.parts.limits).finish_non_exhaustive()
    }
}

/// Who asks, as far as it is checked.
pub(crate) struct Pass {
    pub(crate) key: Arc<KeyRecord>,
    pub(crate) ledger: Arc<dyn Ledger>,
}

impl Door {
    /// A door.
    #[must_use]
    pub fn new(parts: DoorParts) -> Self {
        Self {
            parts,
            schemas: RwLock::default(),
            answers: Arc::default(),
            metrics: Arc::default(),
            figures_text: Shared::default(),
            mailbox: Arc::default(),
            reads: Arc::new(Semaphore::new(stored::READS_MAX)),
            turns: Turns::default(),
            report_turns: Arc::new(Semaphore::new(reports::READS_MAX)),
            log_turns: LogTurns::default(),
        }
    }

    /// Puts other schemas in place for the data of CloudEvents, by type.
    pub fn set_schemas(&self, schemas: Schemas) {
        *self.schemas.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(schemas);
    }

    pub(crate) fn node(&self) -> &dyn Node {
        &*self.parts.node
    }

    /// Ends waits for events that are not there yet, so that connections can end.
    pub(crate) fn end_waits(&self) {
        self.turns.end();
    }

    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        mut request: Request<Incoming>,
        client: Option<SocketAddr>,
    ) -> Response<Full<Bytes>> {
        let route = Route::find(request.uri().path());
        let has_trace = request.headers().contains_key("traceparent");
        let trace = if has_trace { Trace::of(request.headers(), &*self.parts.entropy) } else { None };
        let (sinks, clock, span) = (&self.parts.access, &*self.parts.clock, trace.as_ref().map(Span::from));
        let mut watched = Watched::new(sinks, clock, (request.method(), route), client, span);
        // A broken `tracestate` does not end the trace, and means nothing without one (Trace Context §3.3).
        let state = trace.and_then(|_| trace::state(request.headers()));
        // HEAD is GET without the body (RFC 9110 §9.3.2), which the connection leaves out; `Content-Length` stays.
        if request.method() == Method::HEAD && route.is_some_and(|route| route.knows(&Method::HEAD)) {
            *request.method_mut() = Method::GET;
        }
        let answered = self.route(route, request, &mut watched.learned).await;
        let answer = answered.unwrap_or_else(|fault| problem::answer(&fault));
        let took = watched.answered(&answer);
        self.metrics.count(route, &answer, took);
        response(answer, route, &watched.learned.left, (trace, state))
    }

    async fn route(
        &self,
        route: Option<Route>,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        if !has_host(&request) {
            return Err(Fault::of(Kind::Header("host")));
        }
        let route = route.ok_or_else(|| Fault::of(Kind::NotFound(Absent::Path)))?;
        if !route.knows(request.method()) {
            return Err(Fault::of(Kind::MethodNotAllowed));
        }
        match route {
            Route::Events => self.events(request, learned).await,
            Route::Event(position) => self.stored(position, &request, learned).await,
            Route::Invoices(stage) => self.invoices(stage, request, learned).await,
            Route::Mapping(stage) => self.mapping(stage, request, learned).await,
            Route::MappingTrial(stage) => {
                let pass = self.pass(request.headers(), Role::Producer, Does::Read, learned)?;
                let (head, body) = request.into_parts();
                media::json(&head.headers)?;
                let body = self.body(&head.headers, body, learned).await?;
                trial(&pass, stage, &body).map(|(answer, _)| answer)
            }
            Route::Delivery(delivery) => self.deliveries(delivery, request, learned).await,
            Route::Log(log) => self.tlog(log, request, learned).await,
            Route::Report(report) => self.report(report, &request, learned).await,
            Route::Ledger => self.ledger(request.headers(), learned),
            Route::Health => Ok(Answer::json(StatusCode::OK, b"{\"status\":\"alive\"}".to_vec())),
            Route::Ready => {
                self.parts.node.ready().map_err(Fault::of)?;
                Ok(Answer::json(StatusCode::OK, b"{\"status\":\"ready\"}".to_vec()))
            }
            Route::Metrics => {
                let body = self.figures().await?;
                Ok(Answer { body, ..Answer::of(metrics::MEDIA, StatusCode::OK, Vec::new()) })
            }
            Route::OpenApi => Ok(Answer::json(StatusCode::OK, openapi::text().to_vec())),
            Route::Docs => {
                let page = openapi::page::page().as_bytes().to_vec();
                Ok(Answer::of("text/html; charset=utf-8", StatusCode::OK, page))
            }
        }
    }

    /// Who asks, by the key in `x-api-key` or in `authorization: Bearer`, and whether its rate lasts.
    pub(crate) fn pass(
        &self,
        headers: &HeaderMap,
        role: Role,
        does: Does,
        learned: &mut Learned,
    ) -> Result<Pass, Fault> {
        let (own, authorization) =
            (media::once(headers, "x-api-key")?, media::once(headers, "authorization")?);
        let bearer = || {
            let (scheme, key) = authorization?.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_ascii())
        };
        let text = match own {
            Some(value) => value.to_str().map_err(|_| Fault::of(Kind::BadKey))?,
            None => bearer().ok_or_else(|| Fault::of(Kind::NoKey))?,
        };
        let key = self.parts.keys.check(text, self.parts.clock.now())?;
        learned.key = Some(Arc::clone(&key));
        if !key.role.may(role) {
            return Err(Fault::of(Kind::Forbidden));
        }
        let (who, now) = ((key.id.as_str(), key.plan.as_str()), &self.parts.clock);
        let taken = self.parts.limiter.request(who, does, (now.monotonic(), now.now()));
        learned.left = taken.left;
        taken.outcome?;
        let ledger = self.parts.node.ledger(&key.tenant).ok_or_else(|| Fault::of(Kind::NoTenant))?;
        Ok(Pass { key, ledger })
    }

    async fn events(&self, request: Request<Incoming>, learned: &mut Learned) -> Result<Answer, Fault> {
        let pass = self.pass(request.headers(), Role::Producer, Does::Record, learned)?;
        let (head, body) = request.into_parts();
        let idempotency_key = idempotency::key_of(&head.headers)?;
        let body = self.body(&head.headers, body, learned).await?;
        let repeated = idempotency_key
            .map(|key| (key, idempotency::fingerprint("/v1/events", &head.headers, &body, None)));
        let (source, shape) = events::source(&head.headers, body)?;
        let source = self.validated(source);
        self.once(&pass, repeated, source, shape, None).await
    }

    async fn invoices(
        &self,
        stage: Stage,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let pass = self.pass(request.headers(), Role::Producer, Does::Record, learned)?;
        let (head, body) = request.into_parts();
        media::json(&head.headers)?;
        let idempotency_key = idempotency::key_of(&head.headers)?;
        let body = self.body(&head.headers, body, learned).await?;
        let mapping = self.parts.mappings.find(&pass.key.id, stage);
        let (path, headers) = (head.uri.path(), &head.headers);
        let repeated = idempotency_key.clone().map(|key| {
            let fingerprint = idempotency::fingerprint(path, headers, &body, mapping.as_deref());
            (key, fingerprint)
        });
        let source = invoices::source_of(pass.key.actor.as_str());
        let form = Form { stage, mapping, idempotency_key, source };
        let shape = if invoices::is_array(&body) { Shape::Many } else { Shape::One };
        let ids_made = IdsMade::default();
        let source = Box::new(Invoices { form, body, ids_made: ids_made.clone() });
        self.once(&pass, repeated, source, shape, Some(ids_made)).await
    }

    /// Records a request's events, or gives the answer of the same request before.
    async fn once(
        &self,
        pass: &Pass,
        repeated: Option<(String, [u8; 32])>,
        source: Box<dyn Source>,
        shape: Shape,
        ids_made: Option<IdsMade>,
    ) -> Result<Answer, Fault> {
        let Some((key, fingerprint)) = repeated else {
            return self.record(pass, source, shape, None).await;
        };
        let mut ending = match self.begin(pass, &key, fingerprint)? {
            Begun::Before(answer) => return Ok(answer),
            // Forgets the key also where the client goes away and this is dropped half done.
            Begun::Now(ending) => ending,
        };
        let answer = self.record(pass, source, shape, ids_made).await?;
        ending.keep(&answer);
        Ok(answer)
    }

    /// Begins a request under its `Idempotency-Key`, or gives the answer of the same request before.
    pub(crate) fn begin(&self, pass: &Pass, key: &str, fingerprint: [u8; 32]) -> Result<Begun, Fault> {
        let name = idempotency::scope(&pass.key.tenant, &pass.key.actor, key);
        Ok(match self.answers.begin(&name, fingerprint, self.parts.clock.now())? {
            Some(answer) => Begun::Before(answer),
            None => Begun::Now(Ending { answers: Arc::clone(&self.answers), name, answer: None }),
        })
    }

    /// Hands a request's events to the intake and waits for what becomes of them.
    async fn record(
        &self,
        pass: &Pass,
        source: Box<dyn Source>,
        shape: Shape,
        ids_made: Option<IdsMade>,
    ) -> Result<Answer, Fault> {
        if !self.parts.node.has_room() {
            return Err(Fault::of(Kind::NoRoom));
        }
        let (sender, answer) = oneshot::channel();
        let (mailbox, limiter) = (Arc::clone(&self.mailbox), Arc::clone(&self.parts.limiter));
        let (key, accepted) = (Arc::clone(&pass.key), self.parts.clock.now());
        let job = Job {
            source,
            actor: pass.key.actor.clone(),
            accepted,
            answer: Box::new(move |settled| {
                let settled = match &ids_made {
                    Some(made) => receipt::by_idempotency_key(settled, made),
                    None => settled,
                };
                let answer = receipt::answer(settled, shape);
                let [recorded, _, _] = answer.counts;
                // Here and not after the wait: a client that goes away has used its quota all the same.
                limiter.recorded(&key.id, recorded, accepted);
                mailbox.post(sender, answer);
            }),
        };
        let gathering = pass.ledger.intake().offer(job).map_err(|_| Fault::of(Kind::QueueFull))?;
        if let Some(gathering) = gathering {
            // Not waited for: it is for all requests, and outlives this one.
            drop(tokio::spawn(gathering.run()));
        }
        answer.await.map_err(|_| Fault::of(Kind::Stopped))
    }

    /// All figures as text, made once for those who ask at the same time.
    async fn figures(&self) -> Result<Bytes, Fault> {
        let (own, others) = (Arc::clone(&self.metrics), self.parts.figures.clone());
        let make = move || {
            let mut families = own.families();
            families.extend(others.iter().flat_map(|figures| figures.families()));
            metrics::text(&families)
        };
        self.figures_text.get(make).await
    }

    /// A source whose events are held to their types' schemas, where there are any.
    fn validated(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        let schemas = Arc::clone(&self.schemas.read().unwrap_or_else(PoisonError::into_inner));
        if schemas.is_empty() { source } else { Box::new(Validated { source, schemas }) }
    }

    async fn mapping(
        &self,
        stage: Stage,
        request: Request<Incoming>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let does = if request.method() == Method::GET { Does::Read } else { Does::Write };
        let pass = self.pass(request.headers(), Role::Producer, does, learned)?;
        if request.method() == Method::GET {
            let known = self.parts.mappings.find(&pass.key.id, stage);
            let known = known.ok_or_else(|| Fault::of(Kind::NotFound(Absent::Mapping)))?;
            return Ok(Answer::json(StatusCode::OK, serde_json::to_vec(&*known).unwrap_or_default()));
        }
        let mut saved = (Answer::json(StatusCode::OK, b"{\"status\":\"removed\"}".to_vec()), None);
        if request.method() == Method::PUT {
            let (head, body) = request.into_parts();
            media::json(&head.headers)?;
            let body = self.body(&head.headers, body, learned).await?;
            let (answer, mapping) = trial(&pass, stage, &body)?;
            saved = (answer, Some(mapping));
        }
        let (answer, mapping) = saved;
        // The desk is a disk: not on the thread that serves connections.
        let (mappings, key) = (Arc::clone(&self.parts.mappings), pass.key.id.clone());
        let done = tokio::task::spawn_blocking(move || mappings.save(&key, stage, mapping));
        done.await.map_err(|_| Fault::of(Kind::Stopped))??;
        Ok(answer)
    }

    fn ledger(&self, headers: &HeaderMap, learned: &mut Learned) -> Result<Answer, Fault> {
        let pass = self.pass(headers, Role::Reader, Does::Read, learned)?;
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
}

impl Figures for Door {
    fn families(&self) -> Vec<Family> {
        let others = self.parts.figures.iter().flat_map(|figures| figures.families());
        self.metrics.families().into_iter().chain(others).collect()
    }
}

/// Events held to the schemas of their types.
struct Validated {
    source: Box<dyn Source>,
    schemas: Arc<Schemas>,
}

impl Source for Validated {
    fn each(&self, take: &mut Take<'_>) -> Result<(), Fault> {
        self.source.each(&mut |event| {
            take(event.and_then(|event| {
                let validator = self.schemas.get(event.kind.as_ref());
                let faults = match (validator, &event.data) {
                    (Some(validator), Data::Json(value)) => validator.faults(value, "/data"),
                    (Some(_), Data::None | Data::Binary(_)) => {
                        vec![Fault::of(Kind::Schema("has no JSON data".to_owned())).at("/data")]
                    }
                    (None, _) => Vec::new(),
                };
                Fault::all(faults).map_or(Ok(event), Err)
            }))
        })
    }

    fn bytes(&self) -> usize {
        self.source.bytes()
    }

    fn events_hint(&self) -> usize {
        self.source.events_hint()
    }
}

/// A mapping and what it makes of its sample.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Trial<'a> {
    #[serde(borrow)]
    mapping: &'a serde_json::value::RawValue,
    #[serde(borrow)]
    sample: &'a serde_json::value::RawValue,
}

fn trial(pass: &Pass, stage: Stage, body: &[u8]) -> Result<(Answer, Mapping), Fault> {
    let form = |error: serde_json::Error| Fault::of(Kind::Mapping(error.to_string()));
    // As strictly as an event: of two members of one name, or of a list, nobody would see which one counts.
    let whole = waag_cloudevents::read_value(body)?;
    if !matches!(whole.child("mapping"), Some(Value::Object(_))) {
        return Err(Fault::of(Kind::Mapping("`mapping` is an object, and so is what it is in".to_owned())));
    }
    let trial: Trial<'_> = serde_json::from_slice(body).map_err(form)?;
    let mapping = Mapping::read(trial.mapping.get().as_bytes())?;
    mapping.check_places()?;
    let form = Form {
        stage,
        mapping: Some(Arc::new(mapping.clone())),
        // A sample need not have an id: a request would bring its key.
        idempotency_key: Some("sample".to_owned()),
        source: invoices::source_of(pass.key.actor.as_str()),
    };
    let event = form.event(trial.sample.get().as_bytes(), None).map_err(|fault| {
        let of_sample = |fault: &Fault| Fault::of(fault.kind.clone()).at(&format!("/sample{}", fault.path));
        Fault { also: fault.each().map(of_sample).collect(), ..Fault::of(Kind::Sample) }
    })?;
    let mut out = b"{\"event\":".to_vec();
    waag_cloudevents::write_event(&event, &mut out);
    out.push(b'}');
    Ok((Answer::json(StatusCode::OK, out), mapping))
}

/// Whether a request tells once, and in a host's form, which host it is for (RFC 9112 §3.2); the text may be empty.
fn has_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_host = |host: &HeaderValue| {
        let text = host.to_str().map(str::trim_ascii);
        text.is_ok_and(|text| text.is_empty() || !text.contains('@') && Authority::from_str(text).is_ok())
    };
    let told = hosts.next().map_or(request.version() < Version::HTTP_11, is_host);
    told && hosts.next().is_none()
}

/// An answer as HTTP has it.
fn response(
    answer: Answer,
    route: Option<Route>,
    left: &[Left],
    (trace, state): (Option<Trace>, Option<String>),
) -> Response<Full<Bytes>> {
    let [recorded, _, _] = answer.counts;
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if !answer.media.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.media));
    }
    headers.extend(answer.headers);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut text = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if let Some((policy, level)) = limit::headers(left, recorded) {
        text("ratelimit-policy", policy);
        text("ratelimit", level);
    }
    if let Some(trace) = trace {
        text("traceparent", trace.text());
    }
    if let Some(state) = state {
        text("tracestate", state);
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if answer.status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(route) = route.filter(|_| answer.status == StatusCode::METHOD_NOT_ALLOWED) {
        headers.insert(ALLOW, HeaderValue::from_static(route.allow()));
    }
    if route == Some(Route::Docs) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(openapi::page::policy()));
    }
    response
}
