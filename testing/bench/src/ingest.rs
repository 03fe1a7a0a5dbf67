//! `bench ingest`: what the HTTP door takes over loopback, the client on the same machine.
//!
//! The server is a process of its own, so that its CPU time is its own. The client speaks raw HTTP/1.1 on one thread: it
//! writes prepared requests and reads each answer to its end, and so takes as little of the machine as a client can.
//! A mode is `BATCHxPRODUCERS`: events in a request, and connections that each have one request under way.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waag_fixtures::workload::{Shape, Workload};
use waag_http::door::{Door, DoorParts};
use waag_http::intake::{Intake, IntakeLimits, Means};
use waag_http::keys::{Keys, NewKey, Role};
use waag_http::mapping::Mappings;
use waag_http::ports::{Ledger, LedgerStatus, MemoryDesk, Node};
use waag_http::server::{Server, ServerLimits};
use waag_model::ids::{Actor, TenantName};
use waag_stdx::clock::{Clock, SystemClock};
use waag_stdx::entropy::SystemEntropy;

use crate::events::{Events, dictionary};
use crate::measure::{median, percentile};
use crate::rig::{Folders, Rig, create, registry};

/// Clock ticks of `/proc/PID/stat` a second, on every Linux there is.
const TICKS_PER_S: f64 = 100.0;

struct BenchLedger {
    intake: Intake,
    rig: Rig,
}

impl Ledger for BenchLedger {
    fn intake(&self) -> &Intake {
        &self.intake
    }

    fn status(&self) -> LedgerStatus {
        let status = self.rig.writer.status();
        let projected = status.checkpoint.checkpoint().size;
        let halted = status.halted.map(|halt| halt.code);
        LedgerStatus { checkpoint: status.checkpoint, projected, halted }
    }
}

struct BenchNode(Arc<BenchLedger>);

impl Node for BenchNode {
    fn ledger(&self, _tenant: &TenantName) -> Option<Arc<dyn Ledger>> {
        Some(Arc::clone(&self.0) as Arc<dyn Ledger>)
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Serves a new store at an address and prints it with a key; ends when its input does.
pub(crate) fn serve(folder: &Path, address: &str) -> anyhow::Result<()> {
    let folders = Folders::below(folder);
    create(&folders)?;
    let rig = Rig::open(&folders, registry(&dictionary(&Shape::default())?)?)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let means = Means {
        sealer: Arc::clone(&rig.sealer),
        writer: Arc::clone(&rig.writer),
        keyring: Arc::clone(&rig.keyring),
        clock: Arc::clone(&clock),
        tenant: "default".to_owned(),
    };
    let limits = IntakeLimits::default();
    let limits = IntakeLimits {
        sealing_threads: setting("WAAG_SEALERS", limits.sealing_threads),
        small_under_way_max: setting("WAAG_UNDER_WAY", limits.small_under_way_max),
        ..limits
    };
    let ledger = Arc::new(BenchLedger { intake: Intake::start(means, limits)?, rig });
    let keys = Keys::load(Arc::new(MemoryDesk::default()))?;
    let mappings = Mappings::load(Arc::new(MemoryDesk::default()))?;
    let new = NewKey {
        tenant: TenantName::new("default")?,
        actor: Actor::new("bench")?,
        role: Role::Producer,
        plan: "unlimited".to_owned(),
        expires: None,
    };
    let (key, _) = keys.create(new, clock.now(), &SystemEntropy::new())?;
    let door = Arc::new(Door::new(DoorParts::plain(
        Arc::new(BenchNode(ledger)),
        Arc::new(keys),
        Arc::new(mappings),
        clock,
    )));
    let server = Server::bind(address.parse()?, ServerLimits::default(), None)?;
    println!("{} {key}", server.address()?);
    let workers = setting("WAAG_RUNTIME", 1);
    let runtime = if workers == 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?
    };
    let (end, ending) = tokio::sync::watch::channel(false);
    std::thread::spawn(move || {
        drop(std::io::stdin().lines().next());
        let _ended = end.send(true);
    });
    runtime.block_on(server.serve(door, ending))?;
    Ok(())
}

struct Served {
    child: Child,
    address: SocketAddr,
    key: String,
}

impl Served {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([std::ffi::OsStr::new("ingest-serve"), folder.as_os_str(), "127.0.0.1:0".as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("an output")?).read_line(&mut line)?;
        let (address, key) = line.trim().split_once(' ').context("the server said nothing")?;
        Ok(Self { address: address.parse()?, key: key.to_owned(), child })
    }

    /// CPU seconds so far.
    fn cpu_s(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        Ok((ticks(11) + ticks(12)) / TICKS_PER_S)
    }

    fn peak_mib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("");
        Ok(line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024)
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        ensure!(self.child.wait()?.success(), "the server failed");
        Ok(())
    }
}

pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let (mut modes, mut events, mut runs) = ("1x64,500x4".to_owned(), 400_000_usize, 3_usize);
    let mut folder = std::env::current_dir()?.join("target/bench-ingest");
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().with_context(|| format!("`{argument}` needs a value"))?;
        match *argument {
            "--modes" => modes = (*value).to_owned(),
            "--events" => events = value.parse()?,
            "--runs" => runs = value.parse()?,
            "--folder" => folder = value.into(),
            other => anyhow::bail!("unknown argument `{other}`"),
        }
    }
    for mode in modes.split(',') {
        let (batch, producers) = mode.split_once('x').context("a mode is BATCHxPRODUCERS")?;
        let (batch, producers): (usize, usize) = (batch.parse()?, producers.parse()?);
        let mut rates = Vec::new();
        for number in 0..runs {
            drop(std::fs::remove_dir_all(&folder));
            std::fs::create_dir_all(&folder)?;
            let seed = 77 + number as u64;
            rates.push(one_run(mode, &folder, (batch, producers), events, seed)?);
        }
        println!("{mode}: median {:.0} events/s of {runs}", median(&rates));
    }
    drop(std::fs::remove_dir_all(&folder));
    Ok(())
}

fn one_run(
    mode: &str,
    folder: &Path,
    (batch, producers): (usize, usize),
    events: usize,
    seed: u64,
) -> anyhow::Result<f64> {
    let served = Served::start(folder)?;
    let taken = Events::take(&mut Workload::new(seed, Shape::default()), events);
    let requests: Arc<Vec<Vec<u8>>> =
        Arc::new(taken.batches(batch).iter().map(|lines| request(&served, lines)).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cpu = served.cpu_s()?;
    let start = Instant::now();
    let address = served.address;
    let times = runtime.block_on(async {
        let tasks: Vec<_> = (0..producers)
            .map(|_| tokio::spawn(producer(address, Arc::clone(&requests), Arc::clone(&next))))
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        anyhow::Ok(times)
    })?;
    let took = start.elapsed().as_secs_f64();
    let cpu = served.cpu_s()? - cpu;
    let mut times: Vec<f64> = times.iter().map(|time: &Duration| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    let rate = events as f64 / took;
    println!(
        "{mode}: {rate:.0} events/s, p50 {:.2} ms, p99 {:.2} ms, server CPU {:.1} us an event, peak {} MiB",
        percentile(&times, 0.5),
        percentile(&times, 0.99),
        cpu * 1e6 / events as f64,
        served.peak_mib()?,
    );
    served.end()?;
    Ok(rate)
}

fn request(served: &Served, lines: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![b'['];
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(line);
    }
    body.push(b']');
    let mut request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: {}\r\ncontent-type: application/cloudevents-batch+json\r\nx-api-key: {}\r\ncontent-length: {}\r\n\r\n",
        served.address,
        served.key,
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    request
}

async fn producer(
    address: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut times = Vec::new();
    let mut answer = Vec::with_capacity(65_536);
    while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
        let start = Instant::now();
        stream.write_all(request).await?;
        read_answer(&mut stream, &mut answer).await?;
        times.push(start.elapsed());
    }
    Ok(times)
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
