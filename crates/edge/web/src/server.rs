//! The pages' listener: how many connections it holds, how long a request's head may take, and an end that cuts no
//! answer off (`WEB-6`).
//!
//! The bounds are those of the events' door, without TLS: only loopback is listened on (`WEB-2`). Without them,
//! connections that say nothing would take the descriptors that the ledger needs.
//! Not here: what a request is answered (`router`).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower_service::Service;

/// Most connections at a time; further ones wait in the system's queue. A browser opens some six.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// Longest time until a request's head is whole, from the connection's last answer on, in milliseconds.
const HEAD_MS_MAX: u64 = 30_000;
/// Largest request head, in bytes: an address has 65,534 at most, and its header fields come with it.
const HEAD_BYTES_MAX: usize = 98_304;
/// Most header fields of a request.
const HEADERS_MAX: usize = 100;
/// Longest wait for connections to end when the listener ends, in milliseconds.
const DRAIN_MS_MAX: u64 = 10_000;
/// How long accepting rests after a failure, in milliseconds: out of descriptors, accepting again at once would spin.
const ACCEPT_REST_MS: u64 = 10;

/// The bounds that tests make small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    connections_max: usize,
    head_ms_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { connections_max: CONNECTIONS_MAX, head_ms_max: HEAD_MS_MAX }
    }
}

/// Accepts and answers until `ending` is true or its sender is gone, then lets connections finish their requests.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    mut ending: watch::Receiver<bool>,
    bounds: Bounds,
) {
    let room = Arc::new(Semaphore::new(bounds.connections_max));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = ended(&mut ending) => break,
        };
        let Some((stream, place)) = accepted else { continue };
        let (router, ending) = (router.clone(), ending.clone());
        tokio::spawn(async move {
            connection(stream, router, ending, Duration::from_millis(bounds.head_ms_max)).await;
            drop(place);
        });
    }
    drop(listener);
    // Every connection gives its place back when it ends.
    let all = u32::try_from(bounds.connections_max).unwrap_or(u32::MAX);
    let drained = room.acquire_many(all);
    let _late = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), drained).await;
}

async fn ended(ending: &mut watch::Receiver<bool>) {
    let _told_or_gone = ending.wait_for(|ending| *ending).await;
}

/// The next connection; none where one was lost before it was taken, or the process has no room for its descriptor.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(_) => {
            tokio::time::sleep(Duration::from_millis(ACCEPT_REST_MS)).await;
            None
        }
    }
}

/// Answers a connection's requests. Only heads are timed: a live line is an answer, and stays open.
async fn connection(
    stream: TcpStream,
    router: Router,
    mut ending: watch::Receiver<bool>,
    head_within: Duration,
) {
    // A pushed event is small, and waiting for more to send would only delay it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request: Request<Incoming>| router.clone().call(request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = std::pin::pin!(served);
    tokio::select! {
        // What a connection ends with is the client's affair: a broken request was answered by 400.
        _ended = served.as_mut() => {}
        () = ended(&mut ending) => {
            served.as_mut().graceful_shutdown();
            let _ended = served.as_mut().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SOON: Duration = Duration::from_millis(400);
    const LATE: Duration = Duration::from_secs(20);

    /// A listener with one page, and what ends it.
    async fn served(bounds: Bounds) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ending) = watch::channel(false);
        let router = Router::new().route("/", get(|| async { "a page" })).route(
            "/slow",
            get(|| async {
                tokio::time::sleep(2 * SOON).await;
                "late"
            }),
        );
        (address, end, tokio::spawn(run(listener, router, ending, bounds)))
    }

    /// What comes until the other side closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        tokio::time::timeout(LATE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    async fn asked(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_or_half_a_head_is_closed_and_a_slow_answer_is_not() {
        let bounds = Bounds { connections_max: 8, head_ms_max: 400 };
        let (address, _end, _run) = served(bounds).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nHost: local").await.unwrap();
        let mut slow = asked(address, "/slow").await;
        assert!(!rest(&mut idle).await.contains("a page"));
        assert!(!rest(&mut half).await.contains("a page"));
        assert!(rest(&mut slow).await.ends_with("late"), "an answer may take longer than a head");
        // One that was answered is closed as well when it asks nothing more.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(rest(&mut stream).await.ends_with("a page"));
    }

    #[tokio::test]
    async fn a_head_is_taken_up_to_its_limits_and_no_further() {
        let (address, _end, _run) = served(Bounds::default()).await;
        let long = format!("/?{}", "x".repeat(65_000));
        assert!(rest(&mut asked(address, &long).await).await.ends_with("a page"));
        let field = |bytes: usize| format!("/ HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(bytes));
        // The limit is looked at between reads, the last of which may go beyond it.
        for (path, is_taken) in [(field(HEAD_BYTES_MAX - 1_024), true), (field(2 * HEAD_BYTES_MAX), false)] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path}\r\nConnection: close\r\n\r\n");
            // Refused while it is still being written, the line may break before its answer is read.
            let mut answer = Vec::new();
            if stream.write_all(request.as_bytes()).await.is_ok() {
                let _broken = stream.read_to_end(&mut answer).await;
            }
            assert_eq!(String::from_utf8_lossy(&answer).ends_with("a page"), is_taken);
        }
        for (fields, is_taken) in [(HEADERS_MAX - 2, true), (HEADERS_MAX - 1, false)] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let more = "X: x\r\n".repeat(fields);
            let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(rest(&mut stream).await.ends_with("a page"), is_taken, "{fields}");
        }
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_until_one_ends() {
        let bounds = Bounds { connections_max: 2, head_ms_max: 60_000 };
        let (address, _end, _run) = served(bounds).await;
        let first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let mut third = asked(address, "/").await;
        let mut byte = [0];
        let early = tokio::time::timeout(SOON, third.read(&mut byte)).await;
        assert!(early.is_err(), "two connections are held, and this one is a third");
        drop(first);
        assert!(rest(&mut third).await.ends_with("a page"));
    }

    #[tokio::test]
    async fn the_end_waits_for_an_answer_and_not_for_an_idle_connection() {
        let (address, end, run) = served(Bounds::default()).await;
        let _idle = TcpStream::connect(address).await.unwrap();
        let mut slow = asked(address, "/slow").await;
        tokio::time::sleep(SOON).await;
        end.send_replace(true);
        assert!(rest(&mut slow).await.ends_with("late"));
        tokio::time::timeout(Duration::from_secs(5), run).await.unwrap().unwrap();
    }
}
