//! A `waag serve` of its own, started beside the benchmark from the same folder of programs.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

/// A running node.
pub(crate) struct Served {
    child: Child,
    address: SocketAddr,
    key: String,
}

/// How far a node is.
#[derive(Clone, Copy)]
pub(crate) struct Reached {
    pub(crate) entries: u64,
    pub(crate) projected: u64,
}

impl Reached {
    pub(crate) fn lag(self) -> u64 {
        self.entries.saturating_sub(self.projected)
    }
}

/// The program `waag`, built the same way as this one.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("waag");
    ensure!(path.is_file(), "`{}` is missing: cargo build --release -p waag", path.display());
    Ok(path)
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

impl Served {
    /// Starts a node with a new store below a folder, and makes a key for it.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("data");
        let mut child = Command::new(program()?)
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--pages", "127.0.0.1:0", "--data"])
            .arg(&data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("an output")?).read_line(&mut line)?;
        let open: Value =
            serde_json::from_str(&line).context("what the node says when its doors are open")?;
        let address = |name: &str| anyhow::Ok(text(&open, name).context("an address")?.parse()?);
        let made =
            Command::new(program()?).args(["key", "create", "--json", "--data"]).arg(&data).output()?;
        ensure!(made.status.success(), "no key: {}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout)?;
        let key = text(&made, "key").context("a key")?.to_owned();
        Ok(Self { address: address("listen")?, key, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Asks `GET /v1/ledger`.
    pub(crate) fn ledger(&self) -> anyhow::Result<Reached> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(
            stream,
            "GET /v1/ledger HTTP/1.1\r\nhost: {}\r\nx-api-key: {}\r\nconnection: close\r\n\r\n",
            self.address, self.key
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer")?;
        let told: Value = serde_json::from_str(body)?;
        let number = |name: &str| told.get(name).and_then(Value::as_u64).context("a number");
        Ok(Reached { entries: number("entries")?, projected: number("projected")? })
    }

    /// Ends the node in order.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        let told = Command::new("kill").arg(self.child.id().to_string()).status()?;
        ensure!(told.success() && self.child.wait()?.success(), "the node failed");
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Only where something failed before its end; one that has ended cannot be killed, which is no matter.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
