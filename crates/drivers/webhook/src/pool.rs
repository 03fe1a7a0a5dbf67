//! The pool that all webhooks of a node share, and the targets made by it.
//!
//! `deliver` hands the attempt to the runtime and returns; how many are under way is bounded by the subscriptions'
//! concurrency, and not here, so that a slow receiver takes nothing from another (`TARGET-2`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::runtime::Handle;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::CertificateDer;
use waag_router::target::{Delivery, Outcome, Reply, Target};
use waag_stdx::clock::Clock;

use crate::address::Policy;
use crate::connect::{Resolver, SystemResolver};
use crate::endpoint::{Endpoint, Host};
use crate::error::{self, WebhookError};
use crate::kept::Place;
use crate::secret::Secret;
use crate::{CONNECT_MS_MAX, SECRETS_MAX, exchange};

/// Which certificates receivers are checked against.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// Those of the operating system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR` where they are set.
    #[default]
    System,
    /// Those of the operating system, and these: a private authority's.
    SystemAnd(Vec<CertificateDer<'static>>),
    /// These alone.
    Only(Vec<CertificateDer<'static>>),
}

/// What a pool needs.
#[derive(Clone)]
pub struct Options {
    /// Runs the attempts; with time and network enabled.
    pub runtime: Handle,
    /// Tells the time of requests, and the age of connections.
    pub clock: Arc<dyn Clock>,
    /// Which certificates receivers are checked against.
    pub roots: Roots,
    /// Looks names up.
    pub resolver: Arc<dyn Resolver>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
}

impl Options {
    /// The operating system's certificates and lookups, [`CONNECT_MS_MAX`].
    #[must_use]
    pub fn new(runtime: Handle, clock: Arc<dyn Clock>) -> Self {
        let connect_timeout = Duration::from_millis(CONNECT_MS_MAX);
        Self { runtime, clock, roots: Roots::System, resolver: Arc::new(SystemResolver), connect_timeout }
    }
}

/// What every attempt uses.
pub(crate) struct Shared {
    pub(crate) runtime: Handle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) connect_timeout: Duration,
}

type Origin = (bool, String);

/// Makes webhooks, which share runtime, TLS settings and connections.
pub struct WebhookPool {
    shared: Arc<Shared>,
    places: Mutex<HashMap<Origin, Weak<Place>>>,
}

impl fmt::Debug for WebhookPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookPool").finish_non_exhaustive()
    }
}

impl WebhookPool {
    /// A pool without connections. Reads the operating system's certificates, unless told otherwise.
    ///
    /// # Errors
    /// [`WebhookError::Roots`].
    pub fn new(options: Options) -> Result<Self, WebhookError> {
        let Options { runtime, clock, roots, resolver, connect_timeout } = options;
        let tls = Arc::new(tls(roots)?);
        let shared = Arc::new(Shared { runtime, clock, tls, resolver, connect_timeout });
        Ok(Self { shared, places: Mutex::default() })
    }

    /// A target: a URL, 1 to [`SECRETS_MAX`] secrets with the newest first, and what it may connect to.
    /// Nothing is connected or looked up.
    ///
    /// # Errors
    /// [`WebhookError::Url`], [`WebhookError::Plain`], [`WebhookError::Refused`], [`WebhookError::Secrets`].
    pub fn webhook(&self, url: &str, secrets: Vec<Secret>, policy: Policy) -> Result<Webhook, WebhookError> {
        let endpoint = Endpoint::parse(url)?;
        if !endpoint.is_tls && !policy.allow_http {
            return Err(WebhookError::Plain);
        }
        if !(1..=SECRETS_MAX).contains(&secrets.len()) {
            return Err(WebhookError::Secrets(secrets.len()));
        }
        // A name is judged by what it leads to at each connection; an address is what it is from the beginning.
        if let Host::Address(address) = endpoint.host
            && let Some(kind) = policy.refuses(address)
        {
            return Err(WebhookError::Refused(address, kind));
        }
        let authority = HeaderValue::try_from(endpoint.authority());
        let authority = authority.map_err(|_| WebhookError::Url("its host is no name and no address"))?;
        let place = self.place(&endpoint);
        let shared = Arc::clone(&self.shared);
        Ok(Webhook(Arc::new(Inner { shared, place, endpoint, authority, secrets, policy })))
    }

    /// How many connections are kept for the next requests.
    #[must_use]
    pub fn kept(&self) -> usize {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.values().filter_map(Weak::upgrade).map(|place| place.count()).sum()
    }

    fn place(&self, endpoint: &Endpoint) -> Arc<Place> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        // Places whose targets are all gone; there are about as many places as targets, and targets are made rarely.
        places.retain(|_, place| place.strong_count() > 0);
        let origin = (endpoint.is_tls, format!("{}:{}", endpoint.host, endpoint.port));
        let known = places.get(&origin).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let place = Arc::new(Place::default());
            places.insert(origin, Arc::downgrade(&place));
            place
        })
    }
}

/// The target of one subscription.
#[derive(Clone)]
pub struct Webhook(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) place: Arc<Place>,
    pub(crate) endpoint: Endpoint,
    pub(crate) authority: HeaderValue,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) policy: Policy,
}

impl fmt::Debug for Webhook {
    /// The host; a URL's path may hold what only the receiver should know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.0.endpoint.host).finish_non_exhaustive()
    }
}

impl Target for Webhook {
    fn deliver(&self, delivery: Delivery, reply: Reply) {
        let inner = Arc::clone(&self.0);
        self.0.shared.runtime.spawn(async move {
            let (limit, clock) = (delivery.timeout, Arc::clone(&inner.shared.clock));
            let begun = clock.monotonic();
            let answer = tokio::time::timeout(limit, exchange::send(&inner, delivery)).await;
            let left = limit.saturating_sub(clock.monotonic().saturating_sub(begun));
            let outcome = match answer {
                Ok(Ok(answer)) => exchange::finish(&inner, answer, left).await,
                Ok(Err(failure)) => Outcome::Failed(failure),
                Err(_) => Outcome::Failed(error::late(limit)),
            };
            // Who has the outcome may drop the target, and then finds nothing of it left.
            drop(inner);
            reply.give(outcome);
        });
    }
}

fn tls(roots: Roots) -> Result<rustls::ClientConfig, WebhookError> {
    let wrong = |error: &dyn fmt::Display| WebhookError::Roots(error.to_string());
    let (with_system, own) = match roots {
        Roots::System => (true, Vec::new()),
        Roots::SystemAnd(own) => (true, own),
        Roots::Only(own) => (false, own),
    };
    let mut store = rustls::RootCertStore::empty();
    for certificate in own {
        store.add(certificate).map_err(|error| wrong(&error))?;
    }
    if with_system {
        let found = rustls_native_certs::load_native_certs();
        // Old certificates that rustls does not read are in many systems' stores; the others count.
        let (usable, _) = store.add_parsable_certificates(found.certs);
        if usable == 0 {
            let why =
                found.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
            return Err(WebhookError::Roots(why));
        }
    }
    if store.is_empty() {
        return Err(wrong(&"none are given"));
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
