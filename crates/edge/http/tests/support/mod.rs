//! A node on real drivers in a folder of its own, behind a door on a real loopback listener, and a client that speaks
//! raw HTTP/1.1.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "each test program uses a part of this, and a test that cannot go on fails"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;
use waag_domain::passthrough::Passthrough;
use waag_engine::engine::Engine;
use waag_engine::identity::IdentityLimits;
use waag_engine::reader::Reader;
use waag_engine::recover::{self, Store, first_guard};
use waag_engine::registry::Registry;
use waag_engine::runtime::{World, Writer};
use waag_engine::sealer::Sealer;
use waag_files::config::LogConfig;
use waag_files::guard::FileGuard;
use waag_files::hashes::HashFile;
use waag_files::log::FilesLog;
use waag_files::objects::FileObjects;
use waag_files::vault::FileVault;
use waag_http::deliveries::RouterFigures;
use waag_http::door::{Door, DoorLimits, DoorParts};
use waag_http::fault::{Fault, Kind};
use waag_http::intake::{Intake, IntakeLimits, Means};
use waag_http::keys::{Keys, NewKey, Role};
use waag_http::limit::{Limiter, Plan, Rate};
use waag_http::mapping::Mappings;
use waag_http::ports::{InvoiceView, Ledger, LedgerStatus, MemoryDesk, Node, Reveal, Stored};
use waag_http::server::{Server, ServerLimits};
use waag_http::tls::Tls;
use waag_keys::create::create_tenant;
use waag_keys::keyring::{Keyring, Limits, Means as KeyMeans};
use waag_ledger::note::VerifierKey;
use waag_log::guard::Guard;
use waag_log::objects::Objects;
use waag_model::ids::{Actor, TenantName};
use waag_router::router::Router;
use waag_sqlite::state::SqliteState;
use waag_stdx::clock::{Clock, SystemClock};
use waag_stdx::entropy::{Entropy, SystemEntropy};
use waag_stdx::figures::Figures;
use waag_stdx::files::{DiskFiles, Files};

pub(crate) mod invoices;
pub(crate) mod router;

use invoices::TestView;

/// One tenant's ledger on the embedded drivers.
pub(crate) struct TestLedger {
    intake: Intake,
    pub(crate) writer: Arc<Writer>,
    router: Option<Arc<Router>>,
}

impl Ledger for TestLedger {
    fn intake(&self) -> &Intake {
        &self.intake
    }

    fn status(&self) -> LedgerStatus {
        let status = self.writer.status();
        let projected = status.checkpoint.checkpoint().size;
        LedgerStatus { checkpoint: status.checkpoint, projected, halted: status.halted.map(|halt| halt.code) }
    }

    // Reading back is the node's, and tested there.
    fn event(&self, _position: u64, _reveal: Option<&Reveal>) -> Result<Option<Stored>, Fault> {
        Ok(None)
    }

    fn router(&self) -> Option<Arc<Router>> {
        self.router.clone()
    }
}

struct TestNode(Arc<TestLedger>, Arc<dyn InvoiceView>);

impl Node for TestNode {
    fn ledger(&self, tenant: &TenantName) -> Option<Arc<dyn Ledger>> {
        (tenant.as_str() == "default").then(|| Arc::clone(&self.0) as Arc<dyn Ledger>)
    }

    fn ready(&self) -> Result<(), Kind> {
        Ok(())
    }

    fn invoices(&self, tenant: &TenantName) -> Option<Arc<dyn InvoiceView>> {
        (tenant.as_str() == "default").then(|| Arc::clone(&self.1))
    }
}

/// Waits where a day of UTC is about to end, with which quotas begin anew.
pub(crate) fn no_day_ends_soon() {
    let now = waag_stdx::clock::Clock::now(&waag_stdx::clock::SystemClock::new());
    let left = 86_400 - now.0.div_euclid(1_000_000_000).rem_euclid(86_400);
    if left < 20 {
        std::thread::sleep(std::time::Duration::from_secs(left.unsigned_abs() + 1));
    }
}

/// A running door. Dropping it ends it.
pub(crate) struct TestDoor {
    pub(crate) address: SocketAddr,
    pub(crate) keys: Arc<Keys>,
    /// A producer's key.
    pub(crate) key: String,
    pub(crate) ledger: Arc<TestLedger>,
    /// Whose signature checkpoints bear.
    pub(crate) verifier: VerifierKey,
    end: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// What may differ from test to test.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings {
    pub(crate) door: DoorLimits,
    pub(crate) server: ServerLimits,
    pub(crate) intake: IntakeLimits,
    pub(crate) plan: Option<Plan>,
    pub(crate) node_rate: Option<Rate>,
}

/// A door's means beside its settings.
#[derive(Default)]
pub(crate) struct More {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) router: Option<Arc<Router>>,
    /// The invoices' rows; none are there where this is none.
    pub(crate) invoices: Option<Arc<dyn InvoiceView>>,
}

fn ledger(folder: &Path, limits: IntakeLimits) -> (TestLedger, VerifierKey) {
    let files: Arc<dyn Files> = Arc::new(DiskFiles::new(&folder.join("data")));
    let state_files: Arc<dyn Files> = Arc::new(DiskFiles::new(&folder.join("state")));
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let vault = FileVault::create(Arc::clone(&state_files), Arc::clone(&entropy), None).unwrap();
    let state = Arc::new(SqliteState::create(&folder.join("state")).unwrap());
    let means =
        KeyMeans { state, vault: Arc::new(vault), entropy: Arc::clone(&entropy), clock: Arc::clone(&clock) };
    let tenant = TenantName::new("default").unwrap();
    create_tenant(&means, &tenant).unwrap();
    let keyring = Arc::new(Keyring::open(means, &tenant, Limits::default()).unwrap());
    let (keys, _) = keyring.create_ledger("main", "test").unwrap();
    let guard = FileGuard::create(state_files.as_ref()).unwrap();
    let generation = keyring.commit_pending(0).unwrap().generation().0;
    let first = first_guard(&keys, generation).unwrap();
    guard.swap(None, &first).unwrap();
    let config = LogConfig { segment_bytes: 4 * 1_024 * 1_024, ..LogConfig::default() };
    FilesLog::create(Arc::clone(&files), config, keys.id).unwrap();
    let (log, _) = FilesLog::open(Arc::clone(&files), config, keys.id, &first).unwrap();
    let (log, guard) = (Arc::new(log), Arc::new(guard));
    let hashes = Arc::new(HashFile::open(files.as_ref(), "derived/hashes").unwrap());
    let store = Store {
        ledger: &keys,
        keyring: &keyring,
        log: log.as_ref(),
        guard: guard.as_ref(),
        hashes: hashes.as_ref(),
        files: Arc::clone(&files),
        identity: IdentityLimits::default(),
    };
    let start = recover::open(&store, &mut |_, _| {}).unwrap();
    let objects: Arc<dyn Objects> = Arc::new(FileObjects::new(files));
    let reader = Reader {
        ledger: keys.id,
        log: log.clone(),
        keyring: Arc::clone(&keyring),
        objects: Arc::clone(&objects),
        registry: Arc::new(Registry::default()),
    };
    let sealer = Arc::new(Sealer::new(
        Passthrough,
        &keys,
        Arc::clone(&keyring),
        entropy,
        objects,
        Registry::default(),
    ));
    let counted = Arc::clone(&sealer);
    let world = World {
        log,
        guard,
        keyring: Arc::clone(&keyring),
        hashes,
        reader,
        clock: Arc::clone(&clock),
        keys_destroyed: Box::new(move || counted.keys_destroyed()),
        told_halt: Box::new(|_| ()),
    };
    let writer = Arc::new(Writer::start(Engine::new(start), world).unwrap());
    let verifier = writer.status().checkpoint.signers()[0].clone();
    let means = Means { sealer, writer: Arc::clone(&writer), keyring, clock, tenant: "default".to_owned() };
    (TestLedger { intake: Intake::start(means, limits).unwrap(), writer, router: None }, verifier)
}

impl TestDoor {
    pub(crate) fn open(settings: Settings) -> Self {
        Self::open_with(settings, More::default())
    }

    pub(crate) fn open_tls(settings: Settings, tls: Option<Arc<Tls>>) -> Self {
        Self::open_with(settings, More { tls, ..More::default() })
    }

    pub(crate) fn open_with(settings: Settings, More { tls, router, invoices }: More) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut ledger, verifier) = ledger(folder.path(), settings.intake);
        let figures =
            router.iter().map(|router| Arc::new(RouterFigures(Arc::clone(router))) as Arc<dyn Figures>);
        let figures = figures.collect();
        ledger.router = router;
        let ledger = Arc::new(ledger);
        let keys = Arc::new(Keys::load(Arc::new(MemoryDesk::default())).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let key = new_key(&keys, "default", Role::Producer);
        let invoices = invoices.unwrap_or_else(|| Arc::new(TestView::of(&[])));
        let node = Arc::new(TestNode(Arc::clone(&ledger), invoices));
        let mappings = Arc::new(Mappings::load(Arc::new(MemoryDesk::default())).unwrap());
        let plans = settings.plan.map(|plan| ("standard".to_owned(), plan)).into_iter().collect();
        let parts = DoorParts {
            limits: settings.door,
            limiter: Arc::new(Limiter::new(settings.node_rate, plans)),
            figures,
            ..DoorParts::plain(node, Arc::clone(&keys), mappings, clock)
        };
        let door = Arc::new(Door::new(parts));
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), settings.server, tls).unwrap();
        let address = server.address().unwrap();
        let (end, ending) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(server.serve(door, ending)).unwrap();
        });
        Self { address, keys, key, ledger, verifier, end, thread: Some(thread), _folder: folder }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        Client { stream, rest: Vec::new(), key: self.key.clone() }
    }

    /// Ends the door as a node does, and waits until it has.
    pub(crate) fn end(&mut self) {
        let _ended = self.end.send(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for TestDoor {
    fn drop(&mut self) {
        let _ended = self.end.send(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

pub(crate) fn new_key(keys: &Keys, tenant: &str, role: Role) -> String {
    key_of(keys, "erp", tenant, role)
}

pub(crate) fn key_of(keys: &Keys, holder: &str, tenant: &str, role: Role) -> String {
    added(
        keys,
        NewKey {
            tenant: TenantName::new(tenant).unwrap(),
            actor: Actor::new(holder).unwrap(),
            role,
            plan: "standard".to_owned(),
            expires: None,
            subscriptions: Vec::new(),
        },
    )
}

/// A subscriber's key for these subscriptions.
pub(crate) fn key_for(keys: &Keys, subscriptions: &[&str]) -> String {
    added(
        keys,
        NewKey {
            tenant: TenantName::new("default").unwrap(),
            actor: Actor::new("partner").unwrap(),
            role: Role::Subscriber,
            plan: "standard".to_owned(),
            expires: None,
            subscriptions: subscriptions.iter().map(|&name| name.to_owned()).collect(),
        },
    )
}

fn added(keys: &Keys, new: NewKey) -> String {
    let (text, record) = Keys::draw(new, SystemClock::new().now(), &SystemEntropy::new()).unwrap();
    keys.add(record).unwrap();
    text
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    rest: Vec<u8>,
    pub(crate) key: String,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: serde_json::Value,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub(crate) const BATCH: &str = "application/cloudevents-batch+json";
pub(crate) const ONE: &str = "application/cloudevents+json";

impl Client {
    pub(crate) fn post(&mut self, path: &str, media: &str, body: impl AsRef<[u8]>) -> Response {
        let key = self.key.clone();
        self.call("POST", path, &[("content-type", media), ("x-api-key", &key)], body.as_ref())
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        let key = self.key.clone();
        self.call("GET", path, &[("x-api-key", &key)], b"")
    }

    pub(crate) fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.send(method, path, headers, body);
        self.answer(method != "HEAD")
    }

    /// Writes a request whose answer is read later.
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        // Who is refused before the body is read may find the connection closed.
        drop(self.stream.write_all(&bytes));
    }

    pub(crate) fn read(&mut self) -> Response {
        self.answer(true)
    }

    fn answer(&mut self, has_body: bool) -> Response {
        let mut buffer = [0; 65_536];
        loop {
            if let Some(at) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(self.rest[..at].to_vec()).unwrap();
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
                });
                let length = length.filter(|_| has_body);
                let end = at + 4 + length.map_or(0, |length| length.parse().unwrap());
                if self.rest.len() >= end {
                    let body = self.rest[at + 4..end].to_vec();
                    self.rest.drain(..end);
                    let text = String::from_utf8(body).unwrap();
                    let body = serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text));
                    return Response { status, head, body };
                }
            }
            let read = self.stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the server closed the connection: {:?}", String::from_utf8_lossy(&self.rest));
            self.rest.extend_from_slice(&buffer[..read]);
        }
    }
}

/// An event as its producer writes it.
pub(crate) fn event(id: &str, amount: i64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/erp","type":"invoice.ingestion","subject":"INV-{id}","data":{{"amount":{amount}}}}}"#
    )
}
