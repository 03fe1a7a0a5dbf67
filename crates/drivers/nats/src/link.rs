//! One connection to a NATS server: dialled, secured, let in, and read message by message.
//!
//! A password or token is sent only after TLS where the address asks for it (`tls://`), and nothing that came in clear
//! before TLS is believed but the server's wish for it. One server by its address: the addresses of a cluster that it tells
//! of are not followed, so that nobody is sent to a place that nobody named.
//! Not here: what is published and awaited (`target`, `source`), when to dial again (they too).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use waag_router::spec::is_brokers_own;
use waag_stdx::entropy::Entropy;
use zeroize::Zeroizing;

use crate::error::NatsError;
use crate::protocol::{Parser, Received, Writer, is_subject};

/// Longest time until the server has let us in.
pub(crate) const DIAL: Duration = Duration::from_secs(10);
/// Longest time for one piece to be sent.
const SEND: Duration = Duration::from_secs(10);
/// How long nothing may come before the server is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(20);
/// How long it has to answer that.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes that are read at a time.
const PIECE_BYTES: usize = 65_536;
/// The one subscription of a connection: to its answers.
const ANSWERS: u64 = 1;
/// The port of NATS.
const PORT: u16 = 4_222;

/// How we show who we are. Keys (NKEY, JWT, client certificates) are none of the ways.
#[derive(Clone)]
pub enum Login {
    /// Not at all.
    None,
    /// By a name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// By a token.
    Token(Zeroizing<String>),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password",
            Self::Token(_) => "Token",
        })
    }
}

/// A server, and how it is reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// `nats://host:port` or `tls://host:port`; 4222 where there is no port. No name and password in it. TLS begins after the
    /// server's greeting, not before it (`handshake_first`).
    pub server: String,
    /// Who we are.
    pub login: Login,
    /// The certificates (PEM) that a server is checked against, instead of the system's own.
    pub certificates: Option<PathBuf>,
    /// What we are called in the server's lists of connections.
    pub name: String,
}

/// A server's address, checked.
#[derive(Clone)]
pub(crate) struct Dialler {
    host: String,
    port: u16,
    must_be_secret: bool,
    name: ServerName<'static>,
    /// Where certificates come from is settled at the beginning; a server that needs none is reached without.
    tls: Option<Arc<rustls::ClientConfig>>,
    login: Login,
    own_name: String,
}

fn wrong(why: impl std::fmt::Display) -> NatsError {
    NatsError::Options(why.to_string())
}

fn unreachable(why: impl std::fmt::Display) -> NatsError {
    NatsError::Unreachable(why.to_string())
}

pub(crate) fn broken(error: &io::Error) -> NatsError {
    NatsError::Unanswered(format!("the connection broke ({error})"))
}

impl Dialler {
    pub(crate) fn new(options: &Options) -> Result<Self, NatsError> {
        let (scheme, authority) = options.server.split_once("://").ok_or_else(|| wrong("it is no URL"))?;
        let must_be_secret = match scheme {
            "nats" => false,
            "tls" => true,
            _ => return Err(wrong("it begins with `nats://` or `tls://`")),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"@?#/,".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(is_plain) {
            return Err(wrong("it has a host, maybe a port, and nothing else; a login is given beside it"));
        }
        // A colon within brackets is part of an IPv6 address.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(wrong)?),
            Some(_) | None => (authority, PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(wrong)?;
        let tls = match (&options.certificates, must_be_secret) {
            (None, false) => None,
            (Some(_), _) | (None, true) => Some(tls(options)?),
        };
        let (login, own_name) = (options.login.clone(), options.name.clone());
        Ok(Self { host, port, must_be_secret, name, tls, login, own_name })
    }

    /// Connects within [`DIAL`]; the server has let us in then.
    pub(crate) async fn dial(&self) -> Result<Link, NatsError> {
        let dialled = timeout(DIAL, self.try_dial()).await;
        dialled.unwrap_or_else(|_| Err(unreachable("no answer in time")))
    }

    async fn try_dial(&self) -> Result<Link, NatsError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut link = Link::new(Box::new(stream));
        let info = match link.receive().await.map_err(|error| first_failure(&error))? {
            Received::Info(json) => Info::read(&json)?,
            Received::Error(why) => return Err(complaint(&why)),
            Received::Message(_) | Received::Ping | Received::Pong | Received::Ok => {
                return Err(unreachable("it does not begin as a NATS server does"));
            }
        };
        let is_secret = self.must_be_secret || info.tls_required;
        if is_secret {
            if !info.tls_required && !info.tls_available {
                return Err(unreachable("the server has no TLS, and the address asks for it"));
            }
            // What came in clear behind the greeting may be anybody's.
            if link.parser.kept() > 0 {
                return Err(unreachable("the server sent more in clear than its greeting"));
            }
            link = self.secure(link).await?;
        }
        if !info.headers {
            return Err(unreachable("the server has no message headers (NATS 2.2 or later has)"));
        }
        link.max_payload = info.max_payload;
        link.writer.connect(&self.connect_options(is_secret));
        link.confirm().await.map_err(|error| first_failure(&error))?;
        Ok(link)
    }

    async fn secure(&self, link: Link) -> Result<Link, NatsError> {
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => system_tls()?,
        };
        let stream = TlsConnector::from(config).connect(self.name.clone(), link.stream).await;
        Ok(Link::new(Box::new(stream.map_err(|error| unreachable(format!("TLS: {error}")))?)))
    }

    fn connect_options(&self, is_secret: bool) -> serde_json::Value {
        let mut options = json!({
            "verbose": false, "pedantic": false, "tls_required": is_secret, "name": self.own_name,
            "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "protocol": 1,
            "headers": true, "no_responders": true,
        });
        let mut add = |name: &str, value: &str| {
            if let Some(members) = options.as_object_mut() {
                members.insert(name.to_owned(), value.into());
            }
        };
        match &self.login {
            Login::None => {}
            Login::Password { user, password } => {
                add("user", user);
                add("pass", password);
            }
            Login::Token(token) => add("auth_token", token),
        }
        options
    }
}

/// A failure before the server let us in is one of reaching it, unless it said why.
fn first_failure(error: &NatsError) -> NatsError {
    match error {
        NatsError::Unanswered(why) => NatsError::Unreachable(why.clone()),
        NatsError::Options(_)
        | NatsError::Unreachable(_)
        | NatsError::Refused(_)
        | NatsError::NoStream(_)
        | NatsError::JetStream(_)
        | NatsError::TooLarge(_) => error.clone(),
    }
}

/// What a server's `-ERR` means.
pub(crate) fn complaint(why: &str) -> NatsError {
    let lower = why.to_ascii_lowercase();
    let is_refusal = ["authorization", "authentication", "permissions", "account"];
    if is_refusal.iter().any(|word| lower.contains(word)) {
        return NatsError::Refused(format!("`{why}`"));
    }
    NatsError::Unanswered(format!("the server says `{why}`"))
}

fn tls(options: &Options) -> Result<Arc<rustls::ClientConfig>, NatsError> {
    let Some(file) = &options.certificates else { return system_tls() };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(wrong)? {
        roots.add(certificate.map_err(wrong)?).map_err(wrong)?;
    }
    config(roots)
}

fn system_tls() -> Result<Arc<rustls::ClientConfig>, NatsError> {
    let mut roots = rustls::RootCertStore::empty();
    // One certificate of the system that cannot be read takes nothing from the others.
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    config(roots)
}

fn config(roots: rustls::RootCertStore) -> Result<Arc<rustls::ClientConfig>, NatsError> {
    if roots.is_empty() {
        return Err(wrong("there are no certificates to check the server against"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What we need of `INFO`.
#[derive(Clone, Debug, Deserialize)]
struct Info {
    #[serde(default)]
    headers: bool,
    max_payload: usize,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    tls_available: bool,
}

impl Info {
    fn read(json: &[u8]) -> Result<Self, NatsError> {
        serde_json::from_slice(json).map_err(|_| unreachable("its `INFO` cannot be read"))
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection.
pub(crate) struct Link {
    stream: Box<dyn Stream>,
    parser: Parser,
    piece: Box<[u8]>,
    /// What is sent at the next [`Link::flush`].
    pub(crate) writer: Writer,
    /// The largest message that the server takes, in bytes.
    pub(crate) max_payload: usize,
    /// When something came last, or the server was asked.
    heard: Instant,
    is_asked: bool,
}

impl Link {
    fn new(stream: Box<dyn Stream>) -> Self {
        let piece = vec![0; PIECE_BYTES].into_boxed_slice();
        let (parser, writer, heard) = (Parser::new(), Writer::new(), Instant::now());
        Self { stream, parser, piece, writer, max_payload: 0, heard, is_asked: false }
    }

    /// Sends what was written; not to be given up half-way, for the rest of a message would be lost.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        let bytes = self.writer.take();
        if bytes.is_empty() {
            return Ok(());
        }
        let sent = timeout(SEND, async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        });
        sent.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The next message. May be given up and called again: nothing is lost (reading is the only thing that is awaited).
    pub(crate) async fn receive(&mut self) -> Result<Received, NatsError> {
        loop {
            let next = self.parser.next();
            if let Some(received) = next.map_err(|error| NatsError::Unanswered(error.to_string()))? {
                return Ok(received);
            }
            let read = self.stream.read(&mut self.piece).await.map_err(|error| broken(&error))?;
            if read == 0 {
                return Err(broken(&io::ErrorKind::UnexpectedEof.into()));
            }
            (self.is_asked, self.heard) = (false, Instant::now());
            self.parser.feed(self.piece.get(..read).unwrap_or_default());
        }
    }

    /// Listens on the subjects right below `inbox`; the server has allowed it then.
    pub(crate) async fn listen(&mut self, inbox: &str) -> Result<(), NatsError> {
        let unsendable = |_| wrong("the subject for answers cannot be sent");
        self.writer.subscribe(&format!("{inbox}.*"), ANSWERS).map_err(unsendable)?;
        let confirmed = timeout(DIAL, self.confirm()).await;
        confirmed.unwrap_or_else(|_| Err(NatsError::Unanswered("the server is silent".to_owned())))
    }

    /// Sends what was written, and waits until the server has gone through all of it.
    async fn confirm(&mut self) -> Result<(), NatsError> {
        self.writer.ping();
        loop {
            self.flush().await.map_err(|error| broken(&error))?;
            match self.receive().await? {
                Received::Pong => return Ok(()),
                Received::Ping => self.writer.pong(),
                Received::Info(json) => self.max_payload = Info::read(&json)?.max_payload,
                Received::Error(why) => return Err(complaint(&why)),
                Received::Ok | Received::Message(_) => {}
            }
        }
    }

    /// The next message that is of interest; nothing where only [`Link::flush`] is to be called: `PING` was answered, or a
    /// silent server is to be asked whether it is there. May be given up and called again, as [`Link::receive`] may.
    pub(crate) async fn attend(&mut self) -> Result<Option<Received>, NatsError> {
        loop {
            let patience = if self.is_asked { ANSWER } else { SILENCE };
            let until = self.heard.checked_add(patience).unwrap_or(self.heard);
            match timeout_at(until, self.receive()).await {
                Ok(received) => match received? {
                    Received::Ping => {
                        self.writer.pong();
                        return Ok(None);
                    }
                    Received::Pong | Received::Ok => {}
                    Received::Info(json) => self.max_payload = Info::read(&json)?.max_payload,
                    received @ (Received::Message(_) | Received::Error(_)) => return Ok(Some(received)),
                },
                Err(_) if self.is_asked => {
                    return Err(NatsError::Unanswered("the server is silent".to_owned()));
                }
                Err(_) => {
                    (self.is_asked, self.heard) = (true, Instant::now());
                    self.writer.ping();
                    return Ok(None);
                }
            }
        }
    }
}

/// A place for answers that nobody else listens on or can guess.
pub(crate) fn inbox(entropy: &dyn Entropy) -> Result<String, NatsError> {
    let mut random = [0; 16];
    entropy.fill(&mut random).map_err(wrong)?;
    Ok(random.iter().fold("_INBOX.".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

/// Checks a subject to publish to.
pub(crate) fn plain_subject(subject: &str) -> Result<(), NatsError> {
    let has_wildcard = subject.split('.').any(|token| token == "*" || token == ">");
    if is_brokers_own(subject) {
        return Err(wrong(format!("`{}` is a subject of the broker's own", subject.escape_default())));
    }
    if is_subject(subject.as_bytes()) && !has_wildcard {
        return Ok(());
    }
    Err(wrong(format!("`{}` is no subject that can be published to", subject.escape_default())))
}
