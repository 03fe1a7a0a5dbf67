//! `bench bare`: a server that answers each request with 202 and does nothing else, for the yardstick against peers.
//!
//! It stands where a node would stand, made of the same libraries: what a client of HTTP reaches with it on a machine is
//! the most that any server made of them can reach there, and what is left to that of another protocol is what a node may
//! spend on an event. With `--keep` each body is written to a file that has its space, and answered when it is synced,
//! many at a time: the most for a server that keeps what it acknowledges, and neither looks at it nor seals it.
//! Not here: who asks (the yardstick's own client).

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// About what a receipt with its proof has.
const ANSWER_BYTES: usize = 1_000;
/// Largest body that is taken.
const BODY_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// The file that bodies are written to, over and over.
const KEPT_BYTES: usize = 256 * 1_024 * 1_024;
/// Bodies that wait for the file; a client has 64 under way at most.
const WAITING_MAX: usize = 1_024;

/// A body, and who waits until it is synced.
type Waiting = (Bytes, oneshot::Sender<()>);

struct Options {
    listen: SocketAddr,
    keep: Option<PathBuf>,
}

fn options(arguments: &[&str]) -> anyhow::Result<Options> {
    let (mut listen, mut keep) = (None, None);
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { anyhow::bail!("each option takes a value") };
        match *name {
            "--listen" => listen = Some(value.parse::<SocketAddr>()?),
            "--keep" => keep = Some(PathBuf::from(value)),
            other => anyhow::bail!("unknown option {other}"),
        }
    }
    let listen = listen.context("--listen tells the address")?;
    anyhow::ensure!(listen.ip().is_loopback(), "it takes anything from anyone: loopback only");
    Ok(Options { listen, keep })
}

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let Options { listen, keep } = options(arguments)?;
    let keep = keep.as_deref().map(keeper).transpose()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(listen, keep))
}

async fn serve(listen: SocketAddr, keep: Option<SyncSender<Waiting>>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    println!("http://{} answers 202 to anything, until it is stopped", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let keep = keep.clone();
        let service = service_fn(move |request| answer(request, keep.clone()));
        // A client that leaves ends its connection's task, which nobody waits for.
        drop(tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service)));
    }
}

async fn answer(
    request: Request<Incoming>,
    keep: Option<SyncSender<Waiting>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let taken = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => kept(body.to_bytes(), keep).await,
        Err(_) => false,
    };
    let mut response = Response::new(Full::new(Bytes::from(vec![b' '; ANSWER_BYTES])));
    *response.status_mut() = if taken { StatusCode::ACCEPTED } else { StatusCode::SERVICE_UNAVAILABLE };
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Whether the body is where it should be.
async fn kept(body: Bytes, keep: Option<SyncSender<Waiting>>) -> bool {
    let Some(keep) = keep else { return true };
    let (sender, synced) = oneshot::channel();
    keep.try_send((body, sender)).is_ok() && synced.await.is_ok()
}

/// Starts the thread that writes bodies to a file in a folder.
fn keeper(folder: &Path) -> anyhow::Result<SyncSender<Waiting>> {
    std::fs::create_dir_all(folder)?;
    let mut file = File::create(folder.join("bare"))?;
    let zeros = vec![0; 1_024 * 1_024];
    for _ in 0..KEPT_BYTES / zeros.len() {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    let (sender, bodies) = sync_channel(WAITING_MAX);
    std::thread::Builder::new().name("bare-keep".to_owned()).spawn(move || {
        if let Err(error) = write(&file, &bodies) {
            eprintln!("error: {error:#}");
        }
    })?;
    Ok(sender)
}

/// Writes what waits, syncs it and tells those who wait, until nobody sends any more.
fn write(file: &File, bodies: &Receiver<Waiting>) -> anyhow::Result<()> {
    let (mut at, mut together, mut asked) = (0, Vec::new(), Vec::new());
    while let Ok(first) = bodies.recv() {
        for (body, sender) in std::iter::once(first).chain(bodies.try_iter()) {
            together.extend_from_slice(&body);
            asked.push(sender);
        }
        if at + together.len() > KEPT_BYTES {
            at = 0;
        }
        file.write_all_at(&together, u64::try_from(at)?)?;
        file.sync_data()?;
        at += together.len();
        together.clear();
        // Who does not wait any more has left.
        for sender in asked.drain(..) {
            sender.send(()).unwrap_or_default();
        }
    }
    Ok(())
}
