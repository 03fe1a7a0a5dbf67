//! The least of an HTTP/1.1 client: one request at a time on a connection that is kept open, and a line of events.
//!
//! Raw, so that it takes as little of the machine as a client can. It knows what the measured servers send: a length with
//! every answer, and chunks for the line of events.

use std::net::SocketAddr;

use anyhow::{anyhow, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection that is kept open.
pub(crate) struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Line {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(1 << 18) })
    }

    /// Asks for a path; gives the answer. Anything but 200 is an error.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<String> {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await
    }

    /// Posts a batch of CloudEvents; gives the answer.
    pub(crate) async fn post_batch(&mut self, key: &str, body: &[u8]) -> anyhow::Result<String> {
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/cloudevents-batch+json\r\n\
             x-api-key: {key}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.ask(&[head.as_bytes(), body].concat()).await
    }

    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<String> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        let mut end = None;
        loop {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server closed the connection");
            if end.is_none()
                && let Some(head) = self.answer.windows(4).position(|four| four == b"\r\n\r\n")
            {
                let text = String::from_utf8_lossy(self.answer.get(..head).unwrap_or_default());
                ensure!(text.starts_with("HTTP/1.1 200"), "answered {text}");
                let text = text.to_ascii_lowercase();
                let length = text.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.lines().next());
                let length = length.and_then(|digits| digits.trim().parse::<usize>().ok());
                end = Some(head + 4 + length.ok_or_else(|| anyhow!("no length"))?);
            }
            if end.is_some_and(|end| self.answer.len() >= end) {
                return Ok(String::from_utf8_lossy(&self.answer).into_owned());
            }
        }
    }
}

/// A line of server-sent events that tells progress.
pub(crate) struct Live {
    stream: TcpStream,
    told: String,
}

impl Live {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        Ok(Self { stream, told: String::new() })
    }

    /// Waits for the next event; gives how many events of the ledger it says are on the pages.
    pub(crate) async fn next(&mut self) -> anyhow::Result<u64> {
        loop {
            let after = |text: &str| text.split_once("\"projected\":").map(|(_, rest)| rest.to_owned());
            if let Some(rest) = after(&self.told)
                && let Some((digits, rest)) = rest.split_once(',')
            {
                let projected = digits.parse()?;
                self.told = rest.to_owned();
                return Ok(projected);
            }
            let mut bytes = [0; 4_096];
            let count = self.stream.read(&mut bytes).await?;
            ensure!(count > 0, "the line of events was closed");
            self.told.push_str(&String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()));
        }
    }
}
