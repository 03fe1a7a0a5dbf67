//! The pages' listener: how many connections it holds, how long it waits for a request's head and body and for a client
//! that does not read, and an end that cuts no answer off (`WEB-6`).
//!
//! Bounds of the same kinds as the events' door has, without TLS: only loopback is listened on (`WEB-2`). Without them,
//! connections that say nothing, or never read, would take the descriptors that the ledger needs and keep readers out.
//! Not here: what a request is answered (`router`), how long a live line lasts (`live`).

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

use crate::stall::{Stalling, Timed};

/// Most connections at a time; further ones wait in the system's queue. A browser opens some six.
pub(crate) const CONNECTIONS_MAX: usize = 256;
/// Longest time until a request's head is whole, from the connection's last answer on, in milliseconds.
const HEAD_MS_MAX: u64 = 30_000;
/// Largest request head, in bytes: an address has 65,534 at most, and its header fields come with it.
const HEAD_BYTES_MAX: usize = 98_304;
/// Longest time of a body, from the first wait for more of it on, in milliseconds; a pack's file, which is the longest,
/// has a minute of its own (`evidence`).
const BODY_MS_MAX: u64 = 65_000;
/// Longest time that a write finds no room because the client does not read, in milliseconds.
const WRITE_STALL_MS_MAX: u64 = 30_000;
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
    body_ms_max: u64,
    write_stall_ms_max: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_MAX,
            head_ms_max: HEAD_MS_MAX,
            body_ms_max: BODY_MS_MAX,
            write_stall_ms_max: WRITE_STALL_MS_MAX,
        }
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
            connection(stream, router, ending, bounds).await;
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

/// Answers a connection's requests. An answer may take its time, as a live line does; only what the client has to do is
/// timed: to say what it asks, and to read what it is told.
async fn connection(stream: TcpStream, router: Router, mut ending: watch::Receiver<bool>, bounds: Bounds) {
    // A pushed event is small, and waiting for more to send would only delay it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = Stalling::new(stream, Duration::from_millis(bounds.write_stall_ms_max));
    let body_within = Duration::from_millis(bounds.body_ms_max);
    let service = service_fn(move |request: Request<Incoming>| {
        router.clone().call(request.map(|body| Timed::new(body, body_within)))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(bounds.head_ms_max))
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
    use std::convert::Infallible;
    use std::net::SocketAddr;

    use axum::body::Body;
    use axum::routing::get;
    use futures_util::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SOON: Duration = Duration::from_millis(400);
    const LATE: Duration = Duration::from_secs(20);
    /// More than a system takes in for a client that does not read.
    const LARGE_BYTES: usize = 16 << 20;

    /// An answer like a live line's, but fast: it has something to tell for as long as anybody listens.
    fn endless() -> impl stream::Stream<Item = Result<String, Infallible>> {
        stream::repeat_with(|| Ok("data: told\n\n".repeat(1_000)))
    }

    /// A listener with one page, and what ends it.
    async fn served(bounds: Bounds) -> (SocketAddr, watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ending) = watch::channel(false);
        let late = || async {
            tokio::time::sleep(2 * SOON).await;
            "late"
        };
        let router = Router::new()
            .route("/", get(|| async { "a page" }).post(|sent: String| async move { sent }))
            .route("/slow", get(late))
            .route("/large", get(|| async { "x".repeat(LARGE_BYTES) }))
            .route("/endless", get(|| async { Body::from_stream(endless()) }));
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
        let bounds = Bounds { connections_max: 8, head_ms_max: 400, ..Bounds::default() };
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
        let bounds = Bounds { connections_max: 2, head_ms_max: 60_000, ..Bounds::default() };
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
    async fn clients_that_do_not_read_keep_nobody_out() {
        let bounds = Bounds { connections_max: 3, write_stall_ms_max: 400, ..Bounds::default() };
        let (address, _end, _run) = served(bounds).await;
        let mut silent = Vec::new();
        for path in ["/large", "/endless", "/large"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.repeat(50).as_bytes()).await.unwrap();
            silent.push(stream);
        }
        // Held open, so that every place must have become free.
        let mut held = Vec::new();
        for _ in 0..3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut told = Vec::new();
            while !told.ends_with(b"a page") {
                let read = tokio::time::timeout(LATE, stream.read_buf(&mut told)).await;
                assert!(read.unwrap().unwrap() > 0);
            }
            held.push(stream);
        }
        // What they were sent breaks off.
        for mut stream in silent {
            let mut told = Vec::new();
            let _broken = tokio::time::timeout(LATE, stream.read_to_end(&mut told)).await.unwrap();
            assert!(told.len() < 50 * LARGE_BYTES, "{} bytes", told.len());
        }
    }

    #[tokio::test]
    async fn a_client_that_reads_with_pauses_gets_all_of_its_answer() {
        // All of it takes longer than the limit, each pause far less.
        let bounds = Bounds { write_stall_ms_max: 2_000, ..Bounds::default() };
        let (address, _end, _run) = served(bounds).await;
        let mut stream = asked(address, "/large").await;
        let (mut piece, mut read) = (vec![0; LARGE_BYTES / 32], 0);
        while read < LARGE_BYTES {
            tokio::time::sleep(SOON / 4).await;
            let count = tokio::time::timeout(LATE, stream.read(&mut piece)).await.unwrap().unwrap();
            assert!(count > 0, "{read} bytes");
            read += count;
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_to_its_end_is_answered_and_its_connection_closed() {
        let bounds = Bounds { connections_max: 2, body_ms_max: 400, ..Bounds::default() };
        let (address, _end, _run) = served(bounds).await;
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
        let mut still = TcpStream::connect(address).await.unwrap();
        still.write_all(format!("{head}half").as_bytes()).await.unwrap();
        let mut drips = TcpStream::connect(address).await.unwrap();
        drips.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..8 {
            tokio::time::sleep(SOON / 4).await;
            // Once it was answered the line may be gone.
            let _gone = drips.write_all(b"x").await;
        }
        let mut told = Vec::new();
        let _broken = tokio::time::timeout(LATE, drips.read_to_end(&mut told)).await.unwrap();
        assert!(String::from_utf8(told).unwrap().starts_with("HTTP/1.1 400 "));
        assert!(rest(&mut still).await.starts_with("HTTP/1.1 400 "));
        let mut whole = TcpStream::connect(address).await.unwrap();
        let head = head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        whole.write_all(format!("{head}all of it").as_bytes()).await.unwrap();
        assert!(rest(&mut whole).await.ends_with("all of it"));
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
