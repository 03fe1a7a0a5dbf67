//! Traces and figures sent to an OpenTelemetry collector: OTLP over HTTP, binary protobuf, off unless it is asked for.
//!
//! Place: a driver beside the way of an event. Spans are left in a bounded buffer; one thread sends them, and the figures
//! at an interval, with a time limit on everything. What finds no room or is not taken is dropped and counted: a collector
//! that is slow or gone costs a request nothing.
//! Not here: which figures there are (whoever implements `Figures`), what a request's span says (`bin/`).
//! The libraries of the OpenTelemetry project are not used: their SDK brings a seeded generator (`HOUSE-3`), and the
//! messages are few. They are held against that project's own message definitions by the node's tests.
//! Source: OTLP 1.x (opentelemetry-proto), environment variables as in the OpenTelemetry specification.
//!
//! - `OTLP-1`: what waits has at most [`WAITING_SPANS_MAX`] spans, and offering one never waits for anything but a short
//!   lock.
//! - `OTLP-2`: ending takes at most the time limit of one message each for spans and figures.

mod http;
mod messages;
mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use waag_model::time::UtcNanos;
use waag_stdx::clock::Clock;
use waag_stdx::figures::{Family, Figures, counter};

use http::Target;

/// Most spans that wait to be sent.
pub const WAITING_SPANS_MAX: usize = 8_192;
/// Most spans of one message.
const MESSAGE_SPANS_MAX: usize = 2_048;
/// How long spans wait for company, in milliseconds.
const GATHER_MS: u64 = 1_000;
/// Longest time that ending waits for a message, in milliseconds.
const ENDING_MS_MAX: u64 = 2_000;

/// Where telemetry goes, and how it is named.
#[derive(Clone)]
pub struct Options {
    /// `http://` or `https://` address to which `/v1/traces` and `/v1/metrics` are added.
    pub endpoint: String,
    /// Further headers of each message: names and values.
    pub headers: Vec<(String, String)>,
    /// The certificates (PEM) that an `https://` endpoint is checked against; none are taken from the system.
    pub certificate: Option<PathBuf>,
    /// Attributes of the resource, `service.name` among them.
    pub resource: Vec<(String, String)>,
    /// How often figures are sent, in milliseconds.
    pub metrics_ms: u64,
    /// Longest time for one message, in milliseconds.
    pub timeout_ms: u64,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold a token.
        f.debug_struct("Options").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Why telemetry cannot begin.
#[derive(Debug)]
pub enum TelemetryError {
    /// The endpoint is no address of a collector; why.
    Endpoint(String),
    /// A thread cannot be had.
    Thread(std::io::Error),
}

impl TelemetryError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Endpoint(_) => "E0870",
            Self::Thread(_) => "E0871",
        }
    }
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(why) => write!(f, "the telemetry endpoint cannot be used: {why}"),
            Self::Thread(_) => write!(f, "the telemetry thread cannot be started"),
        }
    }
}

impl std::error::Error for TelemetryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Endpoint(_) => None,
            Self::Thread(error) => Some(error),
        }
    }
}

/// The value of a span's attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

/// A server's span that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace's id.
    pub trace: [u8; 16],
    /// Its own id.
    pub id: [u8; 8],
    /// The caller's span; none where the trace begins here.
    pub parent: Option<[u8; 8]>,
    /// What was done, in few different words.
    pub name: String,
    /// When it began.
    pub start: UtcNanos,
    /// How long it took.
    pub took: Duration,
    /// Whether it failed by the server's fault.
    pub is_error: bool,
    /// Facts by their names in the semantic conventions.
    pub attributes: Vec<(&'static str, Attribute)>,
}

#[derive(Default)]
struct Waiting {
    spans: Vec<Span>,
    ending: bool,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    bell: Condvar,
    sent: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where spans are left; cheap to clone.
#[derive(Clone)]
pub struct Spans(Arc<Shared>);

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").finish_non_exhaustive()
    }
}

impl Spans {
    /// Leaves a span to be sent (`OTLP-1`).
    pub fn offer(&self, span: Span) {
        let mut waiting = self.0.waiting();
        if waiting.spans.len() >= WAITING_SPANS_MAX {
            drop(waiting);
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.spans.push(span);
        let is_many = waiting.spans.len() == MESSAGE_SPANS_MAX;
        drop(waiting);
        if is_many {
            self.0.bell.notify_one();
        }
    }
}

impl Figures for Spans {
    fn families(&self) -> Vec<Family> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        vec![
            counter("waag_telemetry_spans", "Spans that a collector took.", read(&self.0.sent)),
            counter("waag_telemetry_dropped", "Spans that were dropped.", read(&self.0.dropped)),
            counter(
                "waag_telemetry_failures",
                "Messages that a collector did not take.",
                read(&self.0.failures),
            ),
        ]
    }
}

/// The running sender. Dropping it sends what waits (`OTLP-2`).
pub struct Telemetry {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// A place for spans that nobody sends yet; [`Telemetry::start`] does.
    #[must_use]
    pub fn spans() -> Spans {
        Spans(Arc::default())
    }

    /// Begins to send those spans, and these figures. Whether the collector answers is seen later, by the counters.
    ///
    /// # Errors
    /// [`TelemetryError`].
    pub fn start(
        options: &Options,
        spans: &Spans,
        figures: Arc<dyn Figures>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, TelemetryError> {
        let shared = Arc::clone(&spans.0);
        let sender = Sender {
            traces: Target::new(options, "/v1/traces")?,
            metrics: Target::new(options, "/v1/metrics")?,
            resource: messages::resource(&options.resource),
            started: clock.now(),
            timeout: Duration::from_millis(options.timeout_ms.max(1)),
            every: Duration::from_millis(options.metrics_ms.max(100)),
            shared: Arc::clone(&shared),
            figures,
            clock,
        };
        let thread = std::thread::Builder::new().name("waag-telemetry".to_owned());
        let thread = thread.spawn(move || sender.run()).map_err(TelemetryError::Thread)?;
        Ok(Self { shared, thread: Some(thread) })
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.shared.waiting().ending = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The sending thread.
struct Sender {
    traces: Target,
    metrics: Target,
    resource: Vec<u8>,
    started: UtcNanos,
    timeout: Duration,
    every: Duration,
    shared: Arc<Shared>,
    figures: Arc<dyn Figures>,
    clock: Arc<dyn Clock>,
}

impl Sender {
    fn run(self) {
        let mut next = self.clock.monotonic().saturating_add(self.every);
        loop {
            let wait = Duration::from_millis(GATHER_MS).min(next.saturating_sub(self.clock.monotonic()));
            let may_wait = |waiting: &mut Waiting| waiting.spans.len() < MESSAGE_SPANS_MAX && !waiting.ending;
            let waited = self.shared.bell.wait_timeout_while(self.shared.waiting(), wait, may_wait);
            let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let ending = waiting.ending;
            let many = waiting.spans.len().min(MESSAGE_SPANS_MAX);
            let spans: Vec<Span> = waiting.spans.drain(..many).collect();
            drop(waiting);
            let timeout =
                if ending { self.timeout.min(Duration::from_millis(ENDING_MS_MAX)) } else { self.timeout };
            let has_sent = spans.is_empty() || self.send_spans(&spans, timeout);
            if ending || self.clock.monotonic() >= next {
                next = self.clock.monotonic().saturating_add(self.every);
                // A collector that just did not answer is not waited for twice at the end.
                if !ending || has_sent {
                    let families = self.figures.families();
                    let (from, now) = (self.started, self.clock.now());
                    let message = messages::figures(&self.resource, &families, from, now);
                    self.count(self.metrics.post(&message, timeout).is_ok());
                }
            }
            // At the end, whatever is beyond one message is dropped with the rest.
            if ending {
                let left = self.shared.waiting().spans.drain(..).count();
                self.shared.dropped.fetch_add(left as u64, Ordering::Relaxed);
                return;
            }
        }
    }

    fn send_spans(&self, spans: &[Span], timeout: Duration) -> bool {
        let message = messages::spans(&self.resource, spans);
        let is_taken = self.traces.post(&message, timeout).is_ok();
        let counter = if is_taken { &self.shared.sent } else { &self.shared.dropped };
        counter.fetch_add(spans.len() as u64, Ordering::Relaxed);
        self.count(is_taken);
        is_taken
    }

    fn count(&self, is_taken: bool) {
        if !is_taken {
            self.shared.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use waag_stdx::clock::SystemClock;

    use super::*;

    struct NoFigures;

    impl Figures for NoFigures {
        fn families(&self) -> Vec<Family> {
            Vec::new()
        }
    }

    fn span() -> Span {
        Span {
            trace: [1; 16],
            id: [2; 8],
            parent: None,
            name: "x".to_owned(),
            start: UtcNanos(0),
            took: Duration::ZERO,
            is_error: false,
            attributes: Vec::new(),
        }
    }

    fn options(endpoint: &str) -> Options {
        Options {
            endpoint: endpoint.to_owned(),
            headers: vec![("x-token".to_owned(), "secret".to_owned())],
            certificate: None,
            resource: Vec::new(),
            metrics_ms: 60_000,
            timeout_ms: 500,
        }
    }

    fn start(endpoint: &str, spans: &Spans) -> Result<Telemetry, TelemetryError> {
        Telemetry::start(&options(endpoint), spans, Arc::new(NoFigures), Arc::new(SystemClock::new()))
    }

    #[test]
    fn what_waits_is_bounded_and_a_collector_that_never_answers_delays_nobody() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let spans = Telemetry::spans();
        (0..WAITING_SPANS_MAX + 10).for_each(|_| spans.offer(span()));
        assert_eq!(spans.0.waiting().spans.len(), WAITING_SPANS_MAX);
        assert_eq!(spans.0.dropped.load(Ordering::Relaxed), 10);
        let clock = SystemClock::new();
        let telemetry = start(&format!("http://{}", silent.local_addr().unwrap()), &spans).unwrap();
        drop(telemetry);
        assert!(clock.monotonic() < Duration::from_secs(20), "{:?}", clock.monotonic());
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(read(&spans.0.sent) + read(&spans.0.dropped), WAITING_SPANS_MAX as u64 + 10);
        assert!(read(&spans.0.failures) > 0);
    }

    #[test]
    fn a_message_has_the_headers_and_a_refusal_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let heads = std::thread::spawn(move || {
            ["HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"].map(
                |answer| {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut piece = [0; 4_096];
                    let read = stream.read(&mut piece).unwrap();
                    stream.write_all(answer.as_bytes()).unwrap();
                    String::from_utf8_lossy(&piece[..read]).into_owned()
                },
            )
        });
        let target = Target::new(&options(&format!("http://{at}/otlp/")), "/v1/traces").unwrap();
        let timeout = Duration::from_secs(5);
        assert!(target.post(b"abc", timeout).is_err());
        assert!(target.post(b"abc", timeout).is_ok());
        for head in heads.join().unwrap() {
            assert!(head.starts_with("POST /otlp/v1/traces HTTP/1.1\r\n"), "{head}");
            for line in ["content-type: application/x-protobuf", "content-length: 3", "x-token: secret"] {
                assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
            }
        }
        assert!(target.post(b"", timeout).is_err(), "nobody is there");
    }

    #[test]
    fn an_endpoint_that_is_none_is_told() {
        for wrong in ["", "localhost:4318", "ftp://x", "http://", "http://a b", "http://x:99999", "https://x"]
        {
            let told = start(wrong, &Telemetry::spans()).unwrap_err();
            assert_eq!(told.code(), "E0870", "{wrong}");
        }
        let mut options = options("http://127.0.0.1:1");
        options.headers = vec![("a".to_owned(), "b\r\nc: d".to_owned())];
        assert!(Target::new(&options, "/v1/traces").is_err());
    }
}
