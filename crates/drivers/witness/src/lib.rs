//! Asking witnesses: one HTTPS POST to `<submission prefix>/add-checkpoint`, and what was answered.
//!
//! Place: a driver beside `publish`. A request's and an answer's meaning is the ledger's (`waag_ledger::witness`); when to
//! ask, and what follows from an answer, is the node's.
//! Who a witness is, stands in the operator's policy file, so any address may be connected to. What it answers is the word
//! of a stranger:
//!
//! - `ASK-1`: an answer takes bounded memory and time: a head of [`HEAD_BYTES_MAX`], a body of
//!   [`WITNESS_ANSWER_BYTES_MAX`], everything within [`Options::timeout`].
//! - `ASK-2`: `https` only, unless it is allowed otherwise, checked against the operating system's certificates.
//! - `ASK-3`: a redirect is an answer like any other and never followed.
//!
//! A connection is kept for the next request; where that one fails on it, it is sent once more on a fresh one: a checkpoint
//! that is offered twice is cosigned twice, or answered with the size that is known.
//! Source: C2SP tlog-witness; RFC 9110, RFC 9112.

mod endpoint;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use waag_ledger::witness::WITNESS_ANSWER_BYTES_MAX;

use endpoint::Endpoint;

/// Longest status line and headers of an answer, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1_024;
/// Most headers of an answer.
pub const HEADERS_MAX: usize = 100;
/// Longest URL of a witness, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("waag/", env!("CARGO_PKG_VERSION")));
const NOTE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Which certificates witnesses are checked against.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// Those of the operating system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set.
    #[default]
    System,
    /// These alone.
    Only(Vec<CertificateDer<'static>>),
}

/// How witnesses are asked.
#[derive(Clone)]
pub struct Options {
    /// Whether `http` is allowed beside `https`.
    pub allow_http: bool,
    /// How long one question may take, from looking the name up to the answer's end.
    pub timeout: Duration,
    tls: Arc<rustls::ClientConfig>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("allow_http", &self.allow_http).finish_non_exhaustive()
    }
}

impl Options {
    /// `https` only; reads the certificates.
    ///
    /// # Errors
    /// [`WitnessError::Setting`] where there are none.
    pub fn new(roots: Roots, timeout: Duration) -> Result<Self, WitnessError> {
        Ok(Self { allow_http: false, timeout, tls: Arc::new(tls(roots)?) })
    }
}

/// Why a witness was not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessError {
    /// Its URL, or the certificates, cannot be used; why.
    Setting(String),
    /// It did not answer, not in time, or with nothing that is HTTP; why.
    Down(String),
}

impl WitnessError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Setting(_) => "E0866",
            Self::Down(_) => "E0869",
        }
    }
}

impl fmt::Display for WitnessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(why) => write!(f, "the witness cannot be asked: {why}"),
            Self::Down(why) => write!(f, "the witness does not answer: {why}"),
        }
    }
}

impl std::error::Error for WitnessError {}

fn down(why: impl fmt::Display) -> WitnessError {
    WitnessError::Down(why.to_string())
}

/// An answer as it came; nothing of it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type, where it is text.
    pub media: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// One witness. Used on a tokio runtime; one question at a time.
pub struct Witness {
    endpoint: Endpoint,
    authority: HeaderValue,
    options: Options,
    kept: Option<SendRequest<Full<Bytes>>>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Witness {
    /// A witness by its submission prefix. Nothing is connected or looked up.
    ///
    /// # Errors
    /// [`WitnessError::Setting`].
    pub fn new(prefix: &str, options: &Options) -> Result<Self, WitnessError> {
        let endpoint = Endpoint::parse(prefix).map_err(|why| WitnessError::Setting(why.to_owned()))?;
        if !endpoint.is_tls && !options.allow_http {
            return Err(WitnessError::Setting("its URL begins with `http://`".to_owned()));
        }
        let authority = HeaderValue::try_from(endpoint.authority.as_str());
        let authority = authority.map_err(|error| WitnessError::Setting(error.to_string()))?;
        Ok(Self { endpoint, authority, options: options.clone(), kept: None })
    }

    /// Offers a checkpoint with its proof; whatever is answered within the bounds.
    ///
    /// # Errors
    /// [`WitnessError::Down`].
    pub async fn add_checkpoint(&mut self, body: String) -> Result<Answer, WitnessError> {
        let limit = self.options.timeout;
        let asked = tokio::time::timeout(limit, self.exchange(Bytes::from(body))).await;
        asked.unwrap_or_else(|_| Err(down(format_args!("not within {} ms", limit.as_millis()))))
    }

    async fn exchange(&mut self, body: Bytes) -> Result<Answer, WitnessError> {
        if let Some(kept) = self.kept.take()
            && let Ok(answer) = self.send(kept, body.clone()).await
        {
            return Ok(answer);
        }
        let fresh = self.connect().await?;
        self.send(fresh, body).await
    }

    async fn send(
        &mut self,
        mut sender: SendRequest<Full<Bytes>>,
        body: Bytes,
    ) -> Result<Answer, WitnessError> {
        sender.ready().await.map_err(down)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.path.clone())
            .header(HOST, self.authority.clone())
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, NOTE)
            .body(Full::new(body))
            .map_err(down)?;
        let (head, mut body) = sender.send_request(request).await.map_err(down)?.into_parts();
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(down)?.into_data() else { continue };
            if read.len().saturating_add(piece.len()) > WITNESS_ANSWER_BYTES_MAX {
                return Err(down(format_args!("its answer is above {WITNESS_ANSWER_BYTES_MAX} bytes")));
            }
            read.extend_from_slice(&piece);
        }
        self.kept = Some(sender);
        let media = head.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
        Ok(Answer { status: head.status.as_u16(), media: media.map(str::to_owned), body: read })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, WitnessError> {
        let Endpoint { host, port, is_tls, .. } = &self.endpoint;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(down)?;
        // Requests are written whole.
        drop(stream.set_nodelay(true));
        if !is_tls {
            return shake_hands(stream).await;
        }
        let name = ServerName::try_from(host.clone()).map_err(down)?;
        let connector = TlsConnector::from(Arc::clone(&self.options.tls));
        shake_hands(connector.connect(name, stream).await.map_err(down)?).await
    }
}

async fn shake_hands<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, WitnessError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_header_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(down)?;
    // What becomes of the connection is told to who has sent a request on it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn tls(roots: Roots) -> Result<rustls::ClientConfig, WitnessError> {
    let wrong = |error: &dyn fmt::Display| WitnessError::Setting(error.to_string());
    let mut store = rustls::RootCertStore::empty();
    match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            let (usable, _) = store.add_parsable_certificates(found.certs);
            if usable == 0 {
                let none = io::Error::other("the system has no certificates");
                return Err(found.errors.first().map_or_else(|| wrong(&none), |error| wrong(error)));
            }
        }
        Roots::Only(own) => {
            for certificate in own {
                store.add(certificate).map_err(|error| wrong(&error))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
