//! The NATS client protocol as bytes: what a server sends is read strictly and within bounds, what we send cannot be split.
//!
//! Pure: no connection, no clock. [`Parser`] takes bytes in any cuts; [`Writer`] gathers messages to be sent.
//! Not here: the connection (`link`), what messages mean (`jetstream`).
//! Source: docs.nats.io, "Client Protocol"; ADR-4 of nats-architecture-and-design (headers).
//!
//! - `NATS-1`: every input ends in messages, in waiting for more, or in an error that is final; never in a panic.
//! - `NATS-2`: what is kept is at most one message of the greatest size and what was fed last.
//! - `NATS-3`: nothing that is written can begin a second message: subjects and header values with line breaks or blanks
//!   are refused.

use std::fmt;

/// Longest control line except `INFO`, in bytes; the server's own limit (`max_control_line`) is the same by default.
pub const LINE_BYTES_MAX: usize = 4_096;
/// Longest `INFO` line, in bytes: it lists the addresses of a whole cluster.
pub const INFO_BYTES_MAX: usize = 65_536;
/// Longest message with its headers, in bytes; the server's own limit (`max_payload`) cannot be set higher.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// Bytes for which room is kept between messages.
const ROOM_BYTES: usize = 1_048_576;
/// What every block of headers begins with.
const HEADERS_BEGIN: &[u8] = b"NATS/1.0";

/// One message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// `INFO`: the server tells of itself, in JSON.
    Info(Box<[u8]>),
    /// `MSG` or `HMSG`.
    Message(Message),
    /// `PING`: the server wants `PONG`.
    Ping,
    /// `PONG`.
    Pong,
    /// `+OK`.
    Ok,
    /// `-ERR`: what the server complains of, without its quotes.
    Error(Box<str>),
}

/// A message that somebody published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its subject.
    pub subject: Box<[u8]>,
    /// The subscription that it comes by.
    pub subscription: u64,
    /// Where an answer is awaited.
    pub reply: Option<Box<[u8]>>,
    /// Its headers.
    pub headers: Headers,
    /// What it carries.
    pub payload: Box<[u8]>,
}

/// The headers of a message. Names keep their case; a name may stand more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// The status that the server itself has put in, such as 503.
    pub status: Option<u16>,
    /// What stands behind the status.
    pub description: Box<str>,
    /// Names and values, as text as far as they are.
    pub fields: Vec<(String, String)>,
}

impl Headers {
    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Reads a block of headers. Publishers may write what they like, so a line that is no field is passed over; only a
    /// block that is none at all gives nothing.
    #[must_use]
    pub fn read(block: &[u8]) -> Self {
        let mut lines =
            block.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let Some(first) = lines.next().and_then(|line| line.strip_prefix(HEADERS_BEGIN)) else {
            return Self::default();
        };
        let first = String::from_utf8_lossy(first);
        let first = first.trim();
        let (code, description) = first.split_once(' ').unwrap_or((first, ""));
        let status = if code.len() == 3 { code.parse().ok() } else { None };
        let fields = lines.filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            let name = String::from_utf8_lossy(name).trim().to_owned();
            let value = String::from_utf8_lossy(value.get(1..)?).trim().to_owned();
            (!name.is_empty()).then_some((name, value))
        });
        Self { status, description: description.trim().into(), fields: fields.collect() }
    }
}

/// Why bytes are not the protocol; the connection is of no use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A line is longer than it may be.
    Line,
    /// A line is none that a server sends.
    Unknown,
    /// A number or a name is missing in a line, or stands where it cannot.
    Malformed,
    /// A message is longer than [`MESSAGE_BYTES_MAX`]: this many bytes.
    TooLong(u64),
    /// A message does not end where its line said.
    End,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line => write!(f, "a line is too long"),
            Self::Unknown => write!(f, "a line is none of the NATS protocol"),
            Self::Malformed => write!(f, "a line lacks a part, or has one too many"),
            Self::TooLong(bytes) => write!(f, "a message has `{bytes}` bytes"),
            Self::End => write!(f, "a message does not end where it should"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// A `MSG` or `HMSG` line whose payload is awaited.
#[derive(Debug)]
struct Head {
    subject: Box<[u8]>,
    subscription: u64,
    reply: Option<Box<[u8]>>,
    headers_bytes: usize,
    bytes: usize,
}

/// Reads what a server sends.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were read already.
    read: usize,
    /// Bytes behind `read` in which no line break is.
    searched: usize,
    head: Option<Head>,
    failed: Option<ProtocolError>,
}

impl Parser {
    /// A parser at the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes further bytes. Everything that is complete should be taken out before more is fed (`NATS-2`).
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
            // One large message is no reason to hold its room for as long as the connection lasts.
            self.buffer.shrink_to(self.buffer.len().max(ROOM_BYTES));
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes are kept that belong to no message yet.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.buffer.len().saturating_sub(self.read)
    }

    /// The next message that is complete.
    ///
    /// # Errors
    /// [`ProtocolError`], and the same from then on.
    #[expect(clippy::should_implement_trait, reason = "more may come after nothing: it is no iterator")]
    pub fn next(&mut self) -> Result<Option<Received>, ProtocolError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let next = self.advance();
        if let Err(error) = next {
            self.failed = Some(error);
            self.buffer = Vec::new();
            self.read = 0;
        }
        next
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.read..).unwrap_or_default()
    }

    fn advance(&mut self) -> Result<Option<Received>, ProtocolError> {
        if self.head.is_none() {
            let Some(line) = self.line()? else { return Ok(None) };
            match control(&line)? {
                Control::Whole(received) => return Ok(Some(received)),
                Control::Head(head) => self.head = Some(head),
            }
        }
        let Some(head) = self.head.take() else { return Ok(None) };
        if self.rest().len() < head.bytes.saturating_add(2) {
            self.head = Some(head);
            return Ok(None);
        }
        let (body, rest) = self.rest().split_at_checked(head.bytes).ok_or(ProtocolError::End)?;
        let (headers, payload) = body.split_at_checked(head.headers_bytes).ok_or(ProtocolError::Malformed)?;
        if !rest.starts_with(b"\r\n") {
            return Err(ProtocolError::End);
        }
        let message = Message {
            subject: head.subject,
            subscription: head.subscription,
            reply: head.reply,
            headers: Headers::read(headers),
            payload: payload.into(),
        };
        self.read = self.read.saturating_add(head.bytes).saturating_add(2);
        Ok(Some(Received::Message(message)))
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Result<Option<Box<[u8]>>, ProtocolError> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let limit = if is_info(rest) { INFO_BYTES_MAX } else { LINE_BYTES_MAX };
        let unseen = rest.get(self.searched..).unwrap_or_default();
        let end = memchr::memchr(b'\n', unseen).map(|at| at.saturating_add(self.searched));
        if end.unwrap_or(rest.len()) > limit {
            return Err(ProtocolError::Line);
        }
        let Some(end) = end else {
            self.searched = rest.len();
            return Ok(None);
        };
        let line = rest.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(ProtocolError::Unknown)?;
        let line: Box<[u8]> = line.into();
        self.searched = 0;
        self.read = self.read.saturating_add(end).saturating_add(1);
        Ok(Some(line))
    }
}

fn is_info(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"INFO"))
}

enum Control {
    Whole(Received),
    Head(Head),
}

/// What a line says. Names of operations have no case; parts stand apart by blanks and tabs.
fn control(line: &[u8]) -> Result<Control, ProtocolError> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (word, rest) = match line.iter().position(is_blank) {
        Some(at) => line.split_at_checked(at).ok_or(ProtocolError::Malformed)?,
        None => (line, &[] as &[u8]),
    };
    let rest = rest.trim_ascii();
    match word.to_ascii_uppercase().as_slice() {
        b"MSG" | b"HMSG" => {
            let has_headers = word.len() == 4;
            let parts: Vec<&[u8]> = rest.split(is_blank).filter(|part| !part.is_empty()).take(6).collect();
            let (names, numbers) = parts
                .split_at_checked(parts.len().saturating_sub(if has_headers { 2 } else { 1 }))
                .ok_or(ProtocolError::Malformed)?;
            let (subject, subscription, reply) = match names {
                [subject, subscription] => (*subject, *subscription, None),
                [subject, subscription, reply] => (*subject, *subscription, Some(*reply)),
                _ => return Err(ProtocolError::Malformed),
            };
            let (headers_bytes, bytes) = match numbers {
                [bytes] => (0, number(bytes)?),
                [headers_bytes, bytes] => (number(headers_bytes)?, number(bytes)?),
                _ => return Err(ProtocolError::Malformed),
            };
            let longest = u64::try_from(MESSAGE_BYTES_MAX).unwrap_or(u64::MAX);
            if bytes > longest {
                return Err(ProtocolError::TooLong(bytes));
            }
            if headers_bytes > bytes {
                return Err(ProtocolError::Malformed);
            }
            let size = |number: u64| usize::try_from(number).map_err(|_| ProtocolError::TooLong(number));
            Ok(Control::Head(Head {
                subject: subject.into(),
                subscription: number(subscription)?,
                reply: reply.map(Into::into),
                headers_bytes: size(headers_bytes)?,
                bytes: size(bytes)?,
            }))
        }
        b"INFO" => Ok(Control::Whole(Received::Info(rest.into()))),
        b"PING" if rest.is_empty() => Ok(Control::Whole(Received::Ping)),
        b"PONG" if rest.is_empty() => Ok(Control::Whole(Received::Pong)),
        b"+OK" if rest.is_empty() => Ok(Control::Whole(Received::Ok)),
        b"-ERR" => {
            let text = String::from_utf8_lossy(rest);
            let text = text.trim_matches('\'').replace(char::is_control, " ");
            Ok(Control::Whole(Received::Error(text.into())))
        }
        _ => Err(ProtocolError::Unknown),
    }
}

/// A number of at most 18 digits, so that it cannot overflow.
fn number(digits: &[u8]) -> Result<u64, ProtocolError> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ProtocolError::Malformed);
    }
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(ProtocolError::Malformed)
}

/// Whether bytes may be a subject to publish to or to listen on: tokens apart by dots, no blank, no control character.
#[must_use]
pub fn is_subject(subject: &[u8]) -> bool {
    let is_token =
        |token: &[u8]| !token.is_empty() && !token.iter().any(|byte| *byte <= b' ' || *byte == 0x7f);
    subject.len() <= 1_024 && subject.split(|byte| *byte == b'.').all(is_token)
}

/// A header or a subject cannot be sent (`NATS-3`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsendable;

/// Gathers messages to be sent.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Nothing to be sent yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to be sent, and nothing is kept.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn line(&mut self, parts: &[&[u8]]) {
        self.bytes.extend_from_slice(&parts.join(&b' '));
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// `CONNECT` with its options; JSON has no line break of its own.
    pub fn connect(&mut self, options: &serde_json::Value) {
        self.line(&[b"CONNECT", options.to_string().as_bytes()]);
    }

    /// `PING`.
    pub fn ping(&mut self) {
        self.line(&[b"PING"]);
    }

    /// `PONG`.
    pub fn pong(&mut self) {
        self.line(&[b"PONG"]);
    }

    /// `SUB`: listens on a subject.
    ///
    /// # Errors
    /// [`Unsendable`].
    pub fn subscribe(&mut self, subject: &str, subscription: u64) -> Result<(), Unsendable> {
        if !is_subject(subject.as_bytes()) {
            return Err(Unsendable);
        }
        self.line(&[b"SUB", subject.as_bytes(), subscription.to_string().as_bytes()]);
        Ok(())
    }

    /// `UNSUB`: listens no longer.
    pub fn unsubscribe(&mut self, subscription: u64) {
        self.line(&[b"UNSUB", subscription.to_string().as_bytes()]);
    }

    /// `PUB`, or `HPUB` where there are headers: publishes a message. Gives its size as the server counts it.
    ///
    /// # Errors
    /// [`Unsendable`], and nothing is written.
    pub fn publish(
        &mut self,
        subject: &[u8],
        reply: Option<&str>,
        headers: &[(&str, &str)],
        payload: &[u8],
    ) -> Result<usize, Unsendable> {
        if !is_subject(subject) || reply.is_some_and(|reply| !is_subject(reply.as_bytes())) {
            return Err(Unsendable);
        }
        let block = block(headers)?;
        let total = block.len().saturating_add(payload.len());
        let (of_block, of_all) = (block.len().to_string(), total.to_string());
        let word: &[u8] = if block.is_empty() { b"PUB" } else { b"HPUB" };
        let mut parts = vec![word, subject];
        parts.extend(reply.map(str::as_bytes));
        if !block.is_empty() {
            parts.push(of_block.as_bytes());
        }
        parts.push(of_all.as_bytes());
        self.line(&parts);
        self.bytes.extend_from_slice(&block);
        self.bytes.extend_from_slice(payload);
        self.bytes.extend_from_slice(b"\r\n");
        Ok(total)
    }
}

/// The size of a message as the server counts it: its headers and its payload.
///
/// # Errors
/// [`Unsendable`].
pub fn size(headers: &[(&str, &str)], payload: &[u8]) -> Result<usize, Unsendable> {
    Ok(block(headers)?.len().saturating_add(payload.len()))
}

fn block(headers: &[(&str, &str)]) -> Result<Vec<u8>, Unsendable> {
    if headers.is_empty() {
        return Ok(Vec::new());
    }
    let mut block = [HEADERS_BEGIN, b"\r\n"].concat();
    for (name, value) in headers {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !is_name || value.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(Unsendable);
        }
        for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            block.extend_from_slice(part);
        }
    }
    block.extend_from_slice(b"\r\n");
    Ok(block)
}
