//! A load on a node over HTTP: raw requests on one thread, each connection with one request under way.
//!
//! Requests are made by a thread of their own, ahead of the run as far as memory is given for it, so that a short run has
//! all of them before it starts and a long one makes them while it goes.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waag_fixtures::workload::Workload;

use crate::measure::cpu_of_this_thread;
use crate::node::Served;

/// Events made before a run starts, at most.
const AHEAD_EVENTS_MAX: usize = 1_000_000;

/// One request's answer.
pub(crate) struct Answered {
    /// From the run's start.
    pub(crate) at: Duration,
    /// From the request's first byte to the answer's last.
    pub(crate) took: Duration,
}

/// What a run was.
pub(crate) struct Sent {
    pub(crate) took: Duration,
    pub(crate) answers: Vec<Answered>,
    pub(crate) client_cpu: Duration,
}

type Requests = Arc<Mutex<Receiver<Vec<u8>>>>;

/// Sends a workload's next events to a node and waits for each answer; any but 200 is an error.
pub(crate) fn drive(
    served: &Served,
    mut workload: Workload,
    events: usize,
    (batch, producers): (usize, usize),
) -> anyhow::Result<Sent> {
    let (sender, requests) = sync_channel(AHEAD_EVENTS_MAX / batch);
    let head = head(served);
    let ahead = (AHEAD_EVENTS_MAX / batch).min(events.div_ceil(batch));
    let (ready, is_ready) = sync_channel(1);
    let making =
        std::thread::spawn(move || make(&mut workload, events, batch, &head, &sender, (ahead, &ready)));
    is_ready.recv().context("the requests")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let requests: Requests = Arc::new(Mutex::new(requests));
    let address = served.address();
    let (start, cpu) = (Instant::now(), cpu_of_this_thread());
    let answers = runtime.block_on(async {
        let tasks: Vec<_> =
            (0..producers).map(|_| tokio::spawn(producer(address, Arc::clone(&requests), start))).collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.extend(task.await??);
        }
        anyhow::Ok(answers)
    })?;
    let (took, client_cpu) = (start.elapsed(), cpu_of_this_thread().saturating_sub(cpu));
    drop(making.join());
    Ok(Sent { took, answers, client_cpu })
}

fn head(served: &Served) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: {}\r\ncontent-type: application/cloudevents-batch+json\r\nx-api-key: {}\r\ncontent-length: ",
        served.address(),
        served.key(),
    )
}

fn make(
    workload: &mut Workload,
    events: usize,
    batch: usize,
    head: &str,
    requests: &SyncSender<Vec<u8>>,
    (ahead, ready): (usize, &SyncSender<()>),
) {
    let mut body = Vec::new();
    for (number, first) in (0..events).step_by(batch).enumerate() {
        body.clear();
        for event in first..(first + batch).min(events) {
            body.push(if event == first { b'[' } else { b',' });
            workload.write_event(&mut body);
        }
        body.push(b']');
        let mut request = Vec::with_capacity(head.len() + 16 + body.len());
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(format!("{}\r\n\r\n", body.len()).as_bytes());
        request.extend_from_slice(&body);
        // A run that failed has no use for the rest.
        if requests.send(request).is_err() {
            return;
        }
        if number + 1 == ahead {
            let _nobody_waits = ready.send(());
        }
    }
}

fn next(requests: &Requests) -> Option<Vec<u8>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

async fn producer(address: SocketAddr, requests: Requests, begin: Instant) -> anyhow::Result<Vec<Answered>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answers = Vec::new();
    let mut answer = Vec::with_capacity(65_536);
    while let Some(request) = next(&requests) {
        let start = Instant::now();
        stream.write_all(&request).await?;
        read_answer(&mut stream, &mut answer).await?;
        answers.push(Answered { at: begin.elapsed(), took: start.elapsed() });
    }
    Ok(answers)
}

/// Reads one answer to its end; anything but 200 is an error.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    answer.clear();
    let mut end = None;
    loop {
        ensure!(stream.read_buf(answer).await? > 0, "the server closed the connection");
        if end.is_none()
            && let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(answer.get(..head).unwrap_or_default()).to_ascii_lowercase();
            ensure!(text.starts_with("http/1.1 200"), "answered {text}");
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize =
                length.and_then(|digits| digits.parse().ok()).ok_or_else(|| anyhow!("no length"))?;
            end = Some(head + 4 + length);
        }
        if end.is_some_and(|end| answer.len() >= end) {
            return Ok(());
        }
    }
}
