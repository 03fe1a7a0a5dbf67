//! Listening, accepting, and the bounds of a connection; ends without cutting an answer off.
//!
//! Not here: what a request is answered (`door`).

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use crate::door::Door;
use crate::fault::{Fault, Kind};
use crate::stall::Stalling;
use crate::tls::Tls;

/// The bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Most connections at a time; further ones wait in the system's queue.
    pub connections_max: usize,
    /// Longest time until a request's head is whole, from the connection's last answer on, in milliseconds.
    pub head_ms_max: u64,
    /// Largest request head, in bytes; also what is read at once.
    pub head_bytes_max: usize,
    /// Most header fields of a request.
    pub headers_max: usize,
    /// Longest time that a write finds no room because the client does not read, in milliseconds.
    pub write_stall_ms_max: u64,
    /// Longest TLS handshake, in milliseconds.
    pub handshake_ms_max: u64,
    /// How often the certificate's files are looked at, in milliseconds.
    pub certificate_check_ms: u64,
    /// Longest wait for connections to end when the server ends, in milliseconds.
    pub drain_ms_max: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            head_ms_max: 30_000,
            head_bytes_max: 65_536,
            headers_max: 100,
            write_stall_ms_max: 30_000,
            handshake_ms_max: 10_000,
            certificate_check_ms: 60_000,
            drain_ms_max: 10_000,
        }
    }
}

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: ServerLimits,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// Binds a listener; one beyond loopback needs TLS.
    ///
    /// # Errors
    /// [`Kind::PlainListener`], [`Kind::Listen`].
    pub fn bind(address: SocketAddr, limits: ServerLimits, tls: Option<Arc<Tls>>) -> Result<Self, Fault> {
        if tls.is_none() && !address.ip().is_loopback() {
            return Err(Fault::of(Kind::PlainListener));
        }
        let failed = |error: std::io::Error| Fault::of(Kind::Listen(error.to_string()));
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, limits, tls })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`Kind::Listen`].
    pub fn address(&self) -> Result<SocketAddr, Fault> {
        self.listener.local_addr().map_err(|error| Fault::of(Kind::Listen(error.to_string())))
    }

    /// Accepts and answers until `ending` is true or its sender is gone, then lets connections finish their requests.
    /// To be run inside a tokio runtime with input, output and time.
    ///
    /// In a box, so that what serves a connection is compiled here: an `async fn` is compiled by whoever awaits it.
    ///
    /// # Errors
    /// [`Kind::Listen`] where the runtime cannot take the listener.
    #[must_use]
    pub fn serve(self, door: Arc<Door>, ending: watch::Receiver<bool>) -> Served {
        Box::pin(self.run(door, ending))
    }

    async fn run(self, door: Arc<Door>, mut ending: watch::Receiver<bool>) -> Result<(), Fault> {
        let failed = |error: std::io::Error| Fault::of(Kind::Listen(error.to_string()));
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(failed)?;
        let mail = tokio::spawn(Arc::clone(&door.mailbox).deliver());
        let reloads = self.tls.as_ref().map(|tls| {
            tokio::spawn(reload(Arc::clone(tls), Duration::from_millis(self.limits.certificate_check_ms)))
        });
        let room = Arc::new(Semaphore::new(self.limits.connections_max));
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &room) => accepted,
                changed = ending.changed() => match changed {
                    Ok(()) if !*ending.borrow() => continue,
                    Ok(()) | Err(_) => break,
                },
            };
            let Some((stream, permit)) = accepted else { continue };
            let (door, ending, limits) = (Arc::clone(&door), ending.clone(), self.limits);
            let tls = self.tls.as_ref().map(|tls| tls.acceptor());
            tokio::spawn(async move {
                door.metrics.connections.fetch_add(1, Ordering::Relaxed);
                open(stream, tls, Arc::clone(&door), ending, limits).await;
                door.metrics.connections.fetch_sub(1, Ordering::Relaxed);
                drop(permit);
            });
        }
        drop(listener);
        door.end_waits();
        // Every connection gives its place back when it ends.
        let all = u32::try_from(self.limits.connections_max).unwrap_or(u32::MAX);
        let drained = room.acquire_many(all);
        let _late = tokio::time::timeout(Duration::from_millis(self.limits.drain_ms_max), drained).await;
        mail.abort();
        if let Some(reloads) = reloads {
            reloads.abort();
        }
        Ok(())
    }
}

/// A server that runs; how it ended.
pub type Served = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

type Accepted = (TcpStream, tokio::sync::OwnedSemaphorePermit);

/// The next connection; none where one was lost before it was taken, or the process has no room for its descriptor.
async fn accept(listener: &tokio::net::TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(_) => {
            // Out of descriptors: accepting again at once would spin.
            tokio::time::sleep(Duration::from_millis(10)).await;
            None
        }
    }
}

/// Looks at the certificate's files at an interval; what cannot be used leaves the one in use in place.
async fn reload(tls: Arc<Tls>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let again = Arc::clone(&tls);
        // Files are read, so not on the thread that serves connections.
        drop(tokio::task::spawn_blocking(move || drop(again.reload())).await);
    }
}

/// Serves a connection, behind its handshake where there is TLS.
async fn open(
    stream: TcpStream,
    tls: Option<tokio_rustls::TlsAcceptor>,
    door: Arc<Door>,
    ending: watch::Receiver<bool>,
    limits: ServerLimits,
) {
    // An answer is written whole, so waiting for more to send only delays it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let client = stream.peer_addr().ok();
    let stream = Stalling::new(stream, Duration::from_millis(limits.write_stall_ms_max));
    let Some(tls) = tls else { return connection(stream, client, door, ending, limits).await };
    let within = Duration::from_millis(limits.handshake_ms_max);
    if let Ok(Ok(stream)) = tokio::time::timeout(within, tls.accept(stream)).await {
        connection(stream, client, door, ending, limits).await;
    }
}

async fn connection(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    client: Option<SocketAddr>,
    door: Arc<Door>,
    mut ending: watch::Receiver<bool>,
    limits: ServerLimits,
) {
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request, client).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.head_ms_max))
        .max_buf_size(limits.head_bytes_max.max(8_192))
        .max_headers(limits.headers_max)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    loop {
        tokio::select! {
            // What a connection ends with is the client's affair: a broken request was answered by 400.
            _ended = served.as_mut() => return,
            changed = ending.changed() => {
                if changed.is_err() || *ending.borrow() {
                    served.as_mut().graceful_shutdown();
                    let _ended = served.as_mut().await;
                    return;
                }
            }
        }
    }
}
