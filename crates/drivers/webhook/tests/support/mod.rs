//! Receivers of any manners on real sockets, and deliveries to them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use waag_model::ids::{LedgerId, Position};
use waag_model::time::UtcNanos;
use waag_router::source::Event;
use waag_router::target::{Delivery, Failure, Outcome, Reply, Settle, Target};
use waag_stdx::clock::SystemClock;
use waag_stdx::entropy::SystemEntropy;
use waag_webhook::address::Policy;
use waag_webhook::secret::Secret;
use waag_webhook::{Looked, Options, Resolver, Roots, Webhook, WebhookPool};

pub const JSON: &str =
    r#"{"specversion":"1.0","type":"invoice.paid","source":"/erp","id":"1","data":{"amount_minor":12550}}"#;
/// Longer than any step that is meant to succeed, on a machine with other things to do.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Certificates that no receiver has.
pub fn pool(runtime: &Runtime) -> WebhookPool {
    WebhookPool::new(options(runtime)).unwrap()
}

pub fn options(runtime: &Runtime) -> Options {
    let roots = Roots::Only(vec![certificate("hook")]);
    Options { roots, ..Options::new(runtime.handle().clone(), Arc::new(SystemClock::new())) }
}

pub fn certificate(name: &str) -> tokio_rustls::rustls::pki_types::CertificateDer<'static> {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    let file = format!("{}/tests/certificates/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    tokio_rustls::rustls::pki_types::CertificateDer::from_pem_file(file).unwrap()
}

/// Allows this machine, and nothing else that is special.
pub fn here() -> Policy {
    Policy { allow_http: true, allow_private: false, allowed: vec!["127.0.0.1".parse().unwrap()] }
}

pub fn secret() -> Secret {
    Secret::generate(&SystemEntropy::new()).unwrap()
}

pub fn delivery(timeout: Duration) -> Delivery {
    Delivery {
        subscription: "erp".into(),
        ledger: LedgerId([0xab; 16]),
        event: Arc::new(Event {
            position: Position(41),
            committed: UtcNanos(0),
            kind: "invoice.paid".into(),
            ordering: None,
            depth: 0,
            json: JSON.as_bytes().into(),
        }),
        transformed: None,
        attempt: 1,
        replay: None,
        timeout,
    }
}

struct Told(SyncSender<(u64, Outcome)>);

impl Settle for Told {
    fn settle(&self, serial: u64, outcome: Outcome) {
        self.0.send((serial, outcome)).unwrap();
    }
}

/// The outcomes of deliveries that are under way at the same time.
pub fn deliver_all(webhook: &Webhook, deliveries: Vec<Delivery>) -> Vec<Outcome> {
    let (tell, told) = sync_channel(deliveries.len() + 1);
    let settle: Arc<dyn Settle> = Arc::new(Told(tell));
    let count = deliveries.len();
    for (serial, delivery) in (0..).zip(deliveries) {
        webhook.deliver(delivery, Reply::new(Arc::clone(&settle), serial));
    }
    let mut outcomes: Vec<_> = (0..count).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
    drop(settle);
    assert!(told.recv().is_err(), "each delivery has one outcome");
    outcomes.sort_by_key(|(serial, _)| *serial);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The outcome of one delivery, waited for on the runtime's own thread.
pub async fn deliver_here(webhook: &Webhook) -> Outcome {
    let (tell, told) = sync_channel(1);
    webhook.deliver(delivery(PATIENCE), Reply::new(Arc::new(Told(tell)), 0));
    loop {
        if let Ok((_, outcome)) = told.try_recv() {
            return outcome;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub fn deliver(webhook: &Webhook, delivery: Delivery) -> Outcome {
    deliver_all(webhook, vec![delivery]).remove(0)
}

pub fn failed(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Delivered(status) => panic!("delivered with {status:?}"),
    }
}

/// A listener that gives each connection, with its number, to a thread of its own.
pub struct Receiver {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Receiver {
    pub fn start(manners: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), 0, manners)
    }

    pub fn start_at(
        ip: IpAddr,
        port: u16,
        manners: impl Fn(TcpStream, usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, port)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, manners) = (Arc::clone(&connections), Arc::new(manners));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let manners = Arc::clone(&manners);
                std::thread::spawn(move || manners(stream, number));
            }
        });
        Self { address, connections }
    }

    /// One that answers each request of each connection with this text.
    pub fn answering(text: &'static str) -> Self {
        Self::start(move |mut stream, _| {
            while read_request(&mut stream).is_some() {
                if stream.write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header that is there once.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice");
        value
    }
}

/// Reads a request with a length; none at the end of the connection.
pub fn read_request(stream: &mut impl Read) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let mut request = Request { head: String::from_utf8(head).unwrap(), body: Vec::new() };
    let length = request.header("content-length").unwrap().parse().unwrap();
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

pub const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// Keeps what came.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Request>>>);

impl Log {
    pub fn push(&self, request: Request) {
        self.0.lock().unwrap().push(request);
    }

    pub fn all(&self) -> Vec<Request> {
        self.0.lock().unwrap().clone()
    }
}

/// What a resolver says to its nth question.
type Answer = dyn Fn(usize) -> std::io::Result<Vec<IpAddr>> + Send + Sync;

/// Answers from a script, each time after a delay.
pub struct Script {
    pub asked: Arc<AtomicUsize>,
    pub delay: Duration,
    pub answer: Box<Answer>,
}

impl Script {
    pub fn new(answer: impl Fn(usize) -> std::io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self { asked: Arc::default(), delay: Duration::ZERO, answer: Box::new(answer) }
    }
}

impl Resolver for Script {
    fn look_up(&self, _name: &str) -> Looked {
        let answer = (self.answer)(self.asked.fetch_add(1, Ordering::SeqCst));
        let delay = self.delay;
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            answer
        })
    }
}
