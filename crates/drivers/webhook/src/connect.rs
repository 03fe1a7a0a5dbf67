//! From a name to a connection: looked up once, every address checked, and connected to the very ones that were checked.
//!
//! `HOOK-1`: between check and connection nothing is looked up, so a name that changes its address in between (DNS
//! rebinding) changes nothing; one address that is refused refuses the whole name.
//! `HOOK-6`: one lookup of a name is under way at a time, and who waits shares its answer: the system's lookup cannot be
//! cancelled, and a name server that does not answer must not take every thread.
//! Source: RFC 6125 for the name that a certificate is checked against, which rustls does.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use waag_router::target::Failure;

use crate::address::Policy;
use crate::endpoint::{Endpoint, Host};
use crate::kept::{Connection, Place};
use crate::pool::Shared;
use crate::{ADDRESSES_TRIED_MAX, HEAD_BYTES_MAX, HEADERS_MAX, error};

/// How long the addresses of a name are used again, in milliseconds; long enough for a burst of deliveries.
const LOOKED_UP_MS_MAX: u64 = 1_000;

/// The answer to a lookup.
pub type Looked = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks names up.
pub trait Resolver: Send + Sync {
    /// All addresses of a name, which has no dot at its end. May take as long as it likes: who waits gives up by itself.
    fn look_up(&self, name: &str) -> Looked;
}

/// The operating system's way of looking names up.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn look_up(&self, name: &str) -> Looked {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// What a name was found to be, and when by the monotonic clock.
#[derive(Default)]
pub(crate) struct LookedUp(Option<(Duration, Arc<[IpAddr]>)>);

/// Makes a connection within the time that one may take.
pub(crate) async fn connect(
    shared: &Arc<Shared>,
    place: &Arc<Place>,
    endpoint: &Endpoint,
    policy: &Policy,
) -> Result<Connection, Failure> {
    let limit = shared.connect_timeout;
    let made = tokio::time::timeout(limit, make(shared, place, endpoint, policy)).await;
    made.unwrap_or_else(|_| Err(error::unreached_in(&endpoint.host.to_string(), limit)))
}

async fn make(
    shared: &Arc<Shared>,
    place: &Arc<Place>,
    endpoint: &Endpoint,
    policy: &Policy,
) -> Result<Connection, Failure> {
    let addresses = addresses(shared, place, &endpoint.host).await?;
    let name = endpoint.host.to_string();
    for address in addresses.iter() {
        if let Some(kind) = policy.refuses(*address) {
            return Err(error::refused(&name, *address, kind));
        }
    }
    let (address, stream) = open(&addresses, endpoint.port, shared.connect_timeout)
        .await
        .map_err(|error| error::unreached(&name, &error))?;
    // Requests are written whole.
    drop(stream.set_nodelay(true));
    if !endpoint.is_tls {
        return shake_hands(shared, stream, address).await;
    }
    let server = match &endpoint.host {
        Host::Name(name) => ServerName::try_from(name.to_string()).map_err(io::Error::other),
        Host::Address(address) => Ok(ServerName::from(*address)),
    };
    let connector = TlsConnector::from(Arc::clone(&shared.tls));
    let session = match server {
        Ok(server) => connector.connect(server, stream).await,
        Err(wrong) => Err(wrong),
    };
    shake_hands(shared, session.map_err(|error| error::untrusted(&name, &error))?, address).await
}

/// The addresses of a host, none of them checked.
async fn addresses(shared: &Arc<Shared>, place: &Arc<Place>, host: &Host) -> Result<Arc<[IpAddr]>, Failure> {
    let name = match host {
        Host::Address(address) => return Ok(Arc::from([*address])),
        Host::Name(name) => name.clone(),
    };
    let mut looked_up = Arc::clone(&place.looked_up).lock_owned().await;
    let now = shared.clock.monotonic();
    if let Some((at, addresses)) = &looked_up.0
        && now.saturating_sub(*at) < Duration::from_millis(LOOKED_UP_MS_MAX)
    {
        return Ok(Arc::clone(addresses));
    }
    let lookup = shared.resolver.look_up(&name);
    let clock = Arc::clone(&shared.clock);
    // In a task of its own, which holds the lock: the lookup goes on when who waited for it has given up.
    let looking = shared.runtime.spawn(async move {
        let found: Arc<[IpAddr]> = lookup.await?.into();
        if found.is_empty() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        looked_up.0 = Some((clock.monotonic(), Arc::clone(&found)));
        Ok(found)
    });
    let found = looking.await.unwrap_or_else(|ended| Err(io::Error::other(ended)));
    found.map_err(|error| error::unknown(&name, &error.to_string()))
}

/// Connects to one of the addresses, each with an equal part of the time.
async fn open(addresses: &[IpAddr], port: u16, limit: Duration) -> io::Result<(IpAddr, TcpStream)> {
    let tried = addresses.len().min(ADDRESSES_TRIED_MAX);
    let part = limit / u32::try_from(tried.max(1)).unwrap_or(1);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses.iter().take(tried) {
        match tokio::time::timeout(part, TcpStream::connect(SocketAddr::new(*address, port))).await {
            Ok(Ok(stream)) => return Ok((*address, stream)),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(last)
}

async fn shake_hands<S>(shared: &Shared, stream: S, address: IpAddr) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_header_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| error::broken(&error))?;
    // What becomes of the connection is told to who has sent a request on it.
    let task = shared.runtime.spawn(async move { drop(connection.await) });
    Ok(Connection::new(sender, task.abort_handle(), address, shared.clock.monotonic()))
}
