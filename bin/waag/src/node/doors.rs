//! The doors of a running node: the intake over HTTP, the pages, and the desk where other processes of this user ask.
//!
//! Not here: what is behind them (`node`), what they answer (`edge/http`, `edge/web`).

use std::fmt;
use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use waag_http::door::Schemas;
use waag_http::fault::Fault;
use waag_http::keys::{KeyError, Keys};
use waag_http::plans::PlanError;
use waag_http::server::{Server, ServerLimits};
use waag_http::tls::{Tls, TlsFiles};
use waag_http::validate::Validator;
use waag_stdx::entropy::{NoEntropy, SystemEntropy};
use waag_telemetry::TelemetryError;
use waag_web::{Pages, WebError};

use crate::cli::tell;
use crate::evidence;
use crate::store::beside::{Closing, Desk};

use super::Running;
use super::access_log::AccessLogOptions;
use super::api_keys::{ApiKeyError, Asked, carry_out};
use super::bridges;
use super::deliveries::{self, Deliveries};
use super::house::RunningHouse;
use super::operating::{self, Operating};
use super::plans;
use super::shipped::{INVOICE_SCHEMA, INVOICE_TYPES};
use super::subjects::{self, Subjects};
use super::traces::TelemetryOptions;

/// Files and connections that a node has open beside its door's connections: the pages' connections, the store's files,
/// those of deliveries and bridges.
const OTHERS_OPEN_MAX: u64 = 640;
/// Connections that are served however few files may be open.
const CONNECTIONS_LEAST: usize = 16;

/// Where a node's doors are.
#[derive(Clone, Debug)]
pub struct Where {
    /// Events.
    pub listen: SocketAddr,
    /// Certificate chain and private key, both PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Pages; loopback only.
    pub pages: SocketAddr,
    /// Whether pages take orders: whoever can open them may then pause, redrive, discard and replay, make packs, erase and
    /// restrict.
    pub pages_act: bool,
    /// The access log; none is kept where there is none.
    pub access_log: Option<AccessLogOptions>,
    /// Where traces and figures are sent, if anywhere.
    pub telemetry: Option<TelemetryOptions>,
}

impl Where {
    /// Doors at two addresses and nothing else.
    #[must_use]
    pub fn plain(listen: SocketAddr, pages: SocketAddr) -> Self {
        Self { listen, tls: None, pages, pages_act: false, access_log: None, telemetry: None }
    }

    /// Whether the doors could be opened now: for whoever would make a store first and then be refused.
    ///
    /// # Errors
    /// [`DoorsError`], as [`Doors::open`] would say.
    pub fn check(&self) -> Result<(), DoorsError> {
        let tls = self.tls()?;
        drop(Server::bind(self.listen, ServerLimits::default(), tls).map_err(DoorsError::Http)?);
        drop(self.pages_listener()?);
        Ok(())
    }

    fn tls(&self) -> Result<Option<Arc<Tls>>, DoorsError> {
        let files = self.tls.clone().map(|(chain, key)| TlsFiles { chain, key });
        let tls = files.map(Tls::open).transpose().map_err(DoorsError::Http)?;
        Ok(tls.map(|tls| Arc::new(tls.telling(tell_certificate))))
    }

    fn pages_listener(&self) -> Result<TcpListener, DoorsError> {
        if !self.pages.ip().is_loopback() {
            return Err(DoorsError::Web(WebError::NotLoopback(self.pages.to_string())));
        }
        let no_pages = |error| DoorsError::Pages(self.pages, error);
        let listener = TcpListener::bind(self.pages).map_err(no_pages)?;
        listener.set_nonblocking(true).map_err(no_pages)?;
        Ok(listener)
    }
}

/// Why the doors cannot be opened or stay open.
#[derive(Debug)]
pub enum DoorsError {
    /// The runtime cannot be had.
    Runtime(std::io::Error),
    /// No randomness for the pages' forms.
    Entropy(NoEntropy),
    /// The door for events.
    Http(Fault),
    /// The pages.
    Web(WebError),
    /// The mappings of clients' field names cannot be read.
    Mappings(KeyError),
    /// The usage plans cannot be read.
    Plans(PlanError),
    /// Telemetry cannot begin.
    Telemetry(TelemetryError),
    /// The desk cannot be opened: nobody could withdraw a key, or have a reveal recorded, while the node runs.
    Desk(std::io::Error),
    /// A shipped schema cannot be compiled: the program itself is wrong.
    Schema(String),
    /// The pages' listener.
    Pages(SocketAddr, std::io::Error),
}

impl DoorsError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Runtime(_) => "E0854",
            Self::Entropy(error) => error.code(),
            Self::Http(fault) => fault.kind.code(),
            Self::Web(error) => error.code(),
            Self::Pages(..) => "E0855",
            Self::Mappings(error) => error.code(),
            Self::Plans(error) => error.code(),
            Self::Telemetry(error) => error.code(),
            Self::Desk(_) => "E0861",
            Self::Schema(_) => "E0856",
        }
    }
}

impl fmt::Display for DoorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(_) => write!(f, "the doors' threads cannot be started"),
            Self::Entropy(error) => error.fmt(f),
            Self::Http(fault) => fault.fmt(f),
            Self::Web(error) => error.fmt(f),
            Self::Mappings(error) => error.fmt(f),
            Self::Plans(error) => error.fmt(f),
            Self::Telemetry(error) => error.fmt(f),
            Self::Desk(_) => write!(f, "the desk where other commands ask this node cannot be opened"),
            Self::Schema(why) => write!(f, "a shipped schema cannot be compiled: {why}"),
            Self::Pages(address, _) => write!(f, "the pages cannot be served at {address}"),
        }
    }
}

impl std::error::Error for DoorsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Runtime(error) | Self::Pages(_, error) | Self::Desk(error) => Some(error),
            Self::Telemetry(error) => std::error::Error::source(error),
            Self::Entropy(_)
            | Self::Http(_)
            | Self::Web(_)
            | Self::Mappings(_)
            | Self::Plans(_)
            | Self::Schema(_) => None,
        }
    }
}

/// What other processes of this user may ask about the doors.
#[derive(Deserialize)]
#[serde(untagged)]
enum Question {
    /// About API keys.
    Keys(Asked),
    /// About usage plans.
    Plans(plans::Asked),
    /// About subscriptions, dead letters and replays.
    Deliveries(deliveries::Asked),
    /// What upkeep leaves behind.
    Upkeep(crate::store::keeping::Asked),
    /// About bridges.
    Bridges(bridges::told::Asked),
    /// About evidence packs.
    Evidence(evidence::record::Asked),
    /// About persons.
    Subjects(subjects::Asked),
}

/// Open doors. Dropping them closes them at once; [`Doors::wait`] closes them in order.
pub struct Doors {
    runtime: Runtime,
    pages_runtime: Runtime,
    ending: watch::Sender<bool>,
    listen: SocketAddr,
    pages: SocketAddr,
    tls: Option<Arc<Tls>>,
    signals: Signals,
    operating: Operating,
    desk: (Desk, Closing),
    http: JoinHandle<Result<(), Fault>>,
    web: JoinHandle<Result<(), WebError>>,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors")
            .field("listen", &self.listen)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl Doors {
    /// Opens them.
    ///
    /// # Errors
    /// [`DoorsError`].
    pub fn open(running: Arc<Running>, keys: Arc<Keys>, at: &Where) -> Result<Self, DoorsError> {
        let limits = server_limits(waag_stdx::descriptors::raise());
        let runtime = threads("waag-door", door_threads())?;
        // Of their own: a page that takes long holds up no event.
        let pages = threads("waag-pages", 1)?;
        let tls = at.tls()?;
        let server = Server::bind(at.listen, limits, tls.clone()).map_err(DoorsError::Http)?;
        let listen = server.address().map_err(DoorsError::Http)?;
        let no_pages = |error| DoorsError::Pages(at.pages, error);
        let listener = at.pages_listener()?;
        let pages_at = listener.local_addr().map_err(no_pages)?;
        let (ending, ended) = watch::channel(false);
        let desk = Desk::open(running.store()).map_err(DoorsError::Desk)?;
        let (door, operating) = operating::open(&running, keys, at, tls.as_ref())?;
        door.set_schemas(shipped_validators()?);
        let http = runtime.spawn(server.serve(door, ended.clone()));
        let listener = {
            let _inside = pages.enter();
            tokio::net::TcpListener::from_std(listener).map_err(no_pages)?
        };
        let mut stop = ended;
        let stopped = async move {
            // An error means that the sender is gone, which is an end too.
            let _gone = stop.wait_for(|ending| *ending).await;
        };
        let house = Arc::new(RunningHouse::new(Arc::clone(&running), url_of(listen, tls.is_some())));
        let shown = Pages::new(house, Arc::clone(&running.store().clock));
        let entropy = SystemEntropy::new();
        let shown = if at.pages_act { shown.commanded(&entropy) } else { shown.asked(&entropy) };
        let shown = shown.map_err(DoorsError::Entropy)?;
        let web = pages.spawn(waag_web::serve(listener, shown, stopped));
        // Taken before anybody is told that the doors are open, so that none of them ends the process half-way.
        let signals = {
            let _inside = runtime.enter();
            Signals::take().map_err(DoorsError::Runtime)?
        };
        Ok(Self {
            runtime,
            pages_runtime: pages,
            ending,
            listen,
            pages: pages_at,
            tls,
            signals,
            operating,
            desk,
            http,
            web,
        })
    }

    /// Where events are taken.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The address of that, as a URL.
    #[must_use]
    pub fn listen_url(&self) -> String {
        url_of(self.listen, self.tls.is_some())
    }

    /// Where the pages are.
    #[must_use]
    pub fn pages(&self) -> SocketAddr {
        self.pages
    }

    /// Serves until the process is told to end (ctrl-c, SIGTERM) or a door fails, then closes them in order: requests under
    /// way are answered, new ones are not taken. SIGHUP has the certificate read again; without TLS it says nothing, except
    /// where the node runs in a terminal: that the terminal is gone, which is an end too.
    ///
    /// # Errors
    /// [`DoorsError`] of the door that failed.
    pub fn wait(self, running: &Running, keys: &Keys) -> Result<(), DoorsError> {
        let Self {
            runtime, pages_runtime, ending, tls, mut signals, operating, desk, mut http, mut web, ..
        } = self;
        let store = running.store();
        let deliveries = Deliveries::default();
        let subjects = Subjects::default();
        let doors = |asked: &str| {
            let asked: Question = serde_json::from_str(asked).map_err(|error| error.to_string())?;
            let told = match asked {
                Question::Keys(asked) => carry_out(store, keys, &asked)
                    .and_then(|told| match &asked {
                        Asked::Withdraw { id, .. } => {
                            operating.forget(id).map(|()| told).map_err(ApiKeyError::Keys)
                        }
                        Asked::Create { .. } | Asked::List { .. } => Ok(told),
                    })
                    .map(|told| serde_json::to_string(&told))
                    .map_err(|error| format!("{}: {error}", error.code())),
                Question::Plans(asked) => plans::carry_out(store, keys, &operating.plans, &asked)
                    .map(|told| serde_json::to_string(&told))
                    .map_err(|error| format!("{}: {error}", error.code())),
                Question::Upkeep(asked) => crate::store::keeping::carry_out(store, &asked)
                    .map(|told| serde_json::to_string(&told))
                    .map_err(|error| format!("{}: {error}", error.code())),
                // What is refused there is an answer, too, which has the code.
                Question::Deliveries(asked) => Ok(Ok(deliveries.answer(running.router(), &asked))),
                Question::Bridges(asked) => Ok(Ok(running.bridges().answer(&asked))),
                Question::Evidence(asked) => {
                    Ok(serde_json::to_string(&evidence::record::answer(store, &asked)))
                }
                Question::Subjects(asked) => Ok(Ok(subjects.answer(store, &asked))),
            };
            told?.map_err(|error| error.to_string())
        };
        std::thread::scope(|scope| {
            let (desk, closing) = desk;
            scope.spawn(move || desk.serve(store, Some(&doors)));
            let ended = runtime.block_on(async {
                let first = tokio::select! {
                    () = signals.told_to_end(tls.as_ref()) => Ok(()),
                    ended = &mut http => outcome(ended, DoorsError::Http),
                    ended = &mut web => outcome(ended, DoorsError::Web),
                };
                ending.send_replace(true);
                if !http.is_finished() {
                    drop(http.await);
                }
                // A page that is kept open for news is not waited for.
                web.abort();
                first
            });
            drop(pages_runtime);
            drop(closing);
            ended
        })
    }
}

fn tell_certificate(fault: &Fault) {
    let code = fault.kind.code();
    tell(&format!("warning: {code}: {fault}; the certificate read before stays in use"));
}

/// Threads that answer requests for events: a request costs them little beside what sealing and projecting it costs.
fn door_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 4).clamp(1, 8))
}

/// The bounds of the door where so many files and connections may be open: what the store, the pages and deliveries need is
/// left to them, since a store that can open no file takes nothing more.
fn server_limits(open_max: Option<u64>) -> ServerLimits {
    let usual = ServerLimits::default();
    let left = open_max.map_or(u64::MAX, |most| most.saturating_sub(OTHERS_OPEN_MAX));
    let left = usize::try_from(left).unwrap_or(usize::MAX).max(CONNECTIONS_LEAST);
    if left < usual.connections_max {
        tell(&format!(
            "note: this process may have {} files open (`ulimit -n`): {left} connections are served at a time, not {}",
            open_max.unwrap_or(0),
            usual.connections_max
        ));
    }
    ServerLimits { connections_max: left.min(usual.connections_max), ..usual }
}

fn threads(name: &str, workers: usize) -> Result<Runtime, DoorsError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.thread_name(name).worker_threads(workers).enable_all().build().map_err(DoorsError::Runtime)
}

fn url_of(listen: SocketAddr, has_tls: bool) -> String {
    format!("{}://{listen}", if has_tls { "https" } else { "http" })
}

/// The validators of the invoice types' data.
fn shipped_validators() -> Result<Schemas, DoorsError> {
    let wrong = |why: String| DoorsError::Schema(why);
    let document: serde_json::Value =
        serde_json::from_slice(INVOICE_SCHEMA).map_err(|error| wrong(error.to_string()))?;
    let compile = |kind: &str| {
        let validator = Validator::compile(&document).map_err(|error| wrong(error.0))?;
        Ok((kind.to_owned(), validator))
    };
    INVOICE_TYPES.into_iter().map(compile).collect()
}

fn outcome<E>(
    ended: Result<Result<(), E>, tokio::task::JoinError>,
    wrap: impl FnOnce(E) -> DoorsError,
) -> Result<(), DoorsError> {
    match ended {
        Ok(ended) => ended.map_err(wrap),
        Err(error) => Err(DoorsError::Runtime(std::io::Error::other(error.to_string()))),
    }
}

/// The signals that a node takes.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// Whether a person started it and sees what it says; asked before the terminal can be gone.
    in_terminal: bool,
}

impl Signals {
    /// Takes them from their defaults; to be called inside the runtime.
    fn take() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            in_terminal: std::io::stdin().is_terminal() || std::io::stderr().is_terminal(),
        })
    }

    /// Done when the process is told to end.
    async fn told_to_end(&mut self, tls: Option<&Arc<Tls>>) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => {
                    let Some(tls) = tls.map(Arc::clone) else {
                        if self.in_terminal {
                            return;
                        }
                        tell("note: SIGHUP is of no effect without TLS");
                        continue;
                    };
                    // Files are read, so not on a thread that serves connections. What cannot be used leaves the
                    // certificate in place that is in use.
                    drop(tokio::task::spawn_blocking(move || drop(tls.reload())).await);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_open_files_leave_room_for_the_store() {
        let connections = |most| server_limits(most).connections_max;
        assert_eq!([None, Some(65_536), Some(1_664)].map(connections), [1_024; 3]);
        assert_eq!([Some(1_024), Some(600), Some(0)].map(connections), [384, 16, 16]);
    }
}
