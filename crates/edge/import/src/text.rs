//! Bytes become lines of UTF-8: gzip told by its magic bytes, the encoding by a byte order mark, a declaration or the
//! mapping; each piece that a format's reader asks for is bounded (`IMPORT-3`).
//!
//! UTF-8 is passed on as it is, and checked by the format's reader; any other encoding is decoded here, strictly.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::{CoderResult, Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::MultiGzDecoder;

use crate::error::ImportError;

/// How much is read and decoded at once.
const CHUNK_BYTES: usize = 65_536;
/// How far a declaration of the encoding is looked for.
const DECLARATION_BYTES_MAX: usize = 1_024;

/// A reader that counts what passes.
pub(crate) struct Counted<R> {
    pub(crate) inner: R,
    pub(crate) count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// What gzip says of a broken form is told apart from what the file below it says.
struct Unpacked<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        self.0.read(buffer).map_err(|error| {
            if matches!(error.kind(), InvalidInput | InvalidData | UnexpectedEof) {
                return ImportError::Gzip(Arc::new(error)).into_io();
            }
            error
        })
    }
}

/// How an encoding is found where the bytes do not say it.
#[derive(Clone, Copy)]
pub(crate) enum Told {
    /// By the mapping, or UTF-8.
    By(Option<&'static Encoding>),
    /// As `By`, then by an XML declaration.
    XmlOr(Option<&'static Encoding>),
}

/// UTF-8 text of a file.
pub(crate) struct Text<'r> {
    inner: Box<dyn Read + 'r>,
    decoder: Option<Decoder>,
    raw: Vec<u8>,
    raw_at: usize,
    raw_end: usize,
    out: Vec<u8>,
    out_at: usize,
    out_end: usize,
    ended: bool,
    /// Bytes that may still be taken before the piece is too long.
    left: usize,
    line: u64,
}

impl<'r> Text<'r> {
    /// Opens a file's bytes.
    pub(crate) fn open(reader: impl Read + 'r, told: Told) -> Result<Self, ImportError> {
        let mut packed = BufReader::with_capacity(CHUNK_BYTES, reader);
        let gzip = begins_with(&mut packed, &[0x1f, 0x8b])?;
        let inner: Box<dyn Read + 'r> =
            if gzip { Box::new(Unpacked(MultiGzDecoder::new(packed))) } else { Box::new(packed) };
        let mut text = Self {
            inner,
            decoder: None,
            raw: vec![0; CHUNK_BYTES],
            raw_at: 0,
            raw_end: 0,
            out: Vec::new(),
            out_at: 0,
            out_end: 0,
            ended: false,
            left: usize::MAX,
            line: 1,
        };
        text.begin(told)?;
        Ok(text)
    }

    /// Lets the next piece take so many bytes.
    pub(crate) fn allow(&mut self, bytes: usize) {
        self.left = bytes;
    }

    /// The line that is being read, counted from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    fn begin(&mut self, told: Told) -> Result<(), ImportError> {
        while self.raw_end < DECLARATION_BYTES_MAX && !self.ended {
            self.fill_raw().map_err(|error| ImportError::from_io(&Arc::new(error)))?;
        }
        let start = self.raw.get(..self.raw_end.min(DECLARATION_BYTES_MAX)).unwrap_or_default();
        let (found, mark_bytes) = match Encoding::for_bom(start) {
            Some((encoding, bytes)) => (encoding, bytes),
            None => (without_mark(start, told)?, 0),
        };
        self.raw_at = mark_bytes;
        if found != UTF_8 {
            self.decoder = Some(found.new_decoder_without_bom_handling());
            self.out = vec![0; CHUNK_BYTES];
        }
        Ok(())
    }

    /// Reads behind what is there already.
    fn fill_raw(&mut self) -> io::Result<()> {
        let room = self.raw.get_mut(self.raw_end..).unwrap_or_default();
        match self.inner.read(room) {
            Ok(0) => self.ended = true,
            Ok(read) => self.raw_end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn refill_raw(&mut self) -> io::Result<()> {
        (self.raw_at, self.raw_end) = (0, 0);
        while self.raw_end == 0 && !self.ended {
            self.fill_raw()?;
        }
        Ok(())
    }

    fn decode(&mut self) -> io::Result<()> {
        (self.out_at, self.out_end) = (0, 0);
        while self.out_end == 0 {
            if self.raw_at == self.raw_end && !self.ended {
                self.refill_raw()?;
            }
            // A decoder must not be asked again after its end, so it goes with it.
            let Some(decoder) = self.decoder.as_mut() else { return Ok(()) };
            let input = self.raw.get(self.raw_at..self.raw_end).unwrap_or_default();
            let (result, read, written) =
                decoder.decode_to_utf8_without_replacement(input, &mut self.out, self.ended);
            self.raw_at += read;
            self.out_end = written;
            match result {
                DecoderResult::InputEmpty if self.ended => {
                    self.decoder = None;
                    return Ok(());
                }
                DecoderResult::InputEmpty | DecoderResult::OutputFull => {}
                DecoderResult::Malformed(_, _) => {
                    let why = format!("bytes that are not {}", decoder.encoding().name());
                    return Err(ImportError::Encoding { line: self.line, why }.into_io());
                }
            }
        }
        Ok(())
    }
}

impl BufRead for Text<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(ImportError::TooLong { line: self.line }.into_io());
        }
        if !self.out.is_empty() {
            if self.out_at == self.out_end {
                self.decode()?;
            }
            return Ok(self.out.get(self.out_at..self.out_end).unwrap_or_default());
        }
        if self.raw_at == self.raw_end && !self.ended {
            self.refill_raw()?;
        }
        Ok(self.raw.get(self.raw_at..self.raw_end).unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        let (buffer, at, end) = if self.out.is_empty() {
            (&self.raw, &mut self.raw_at, self.raw_end)
        } else {
            (&self.out, &mut self.out_at, self.out_end)
        };
        let next = at.saturating_add(bytes).min(end);
        let taken = buffer.get(*at..next).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', taken).count() as u64;
        *at = next;
        self.left = self.left.saturating_sub(bytes);
    }
}

impl Read for Text<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let bytes = available.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..bytes), available.get(..bytes)) {
            to.copy_from_slice(from);
        }
        self.consume(bytes);
        Ok(bytes)
    }
}

fn begins_with(reader: &mut impl BufRead, magic: &[u8]) -> Result<bool, ImportError> {
    loop {
        match reader.fill_buf() {
            Ok(bytes) => return Ok(bytes.starts_with(magic)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ImportError::from_io(&Arc::new(error))),
        }
    }
}

/// The encoding of a text that begins without a byte order mark (XML 1.0, appendix F.1).
fn without_mark(start: &[u8], told: Told) -> Result<&'static Encoding, ImportError> {
    let (mapped, is_xml) = match told {
        Told::By(mapped) => (mapped, false),
        Told::XmlOr(mapped) => (mapped, true),
    };
    if let Some(encoding) = mapped {
        return Ok(encoding);
    }
    if !is_xml {
        return Ok(UTF_8);
    }
    match start {
        [b'<', 0, ..] => return Ok(UTF_16LE),
        [0, b'<', ..] => return Ok(UTF_16BE),
        _ => {}
    }
    let Some(label) = declared(start) else { return Ok(UTF_8) };
    let unknown = || ImportError::Encoding {
        line: 1,
        why: format!("the encoding `{}` is not known", label.escape_debug()),
    };
    let encoding = Encoding::for_label(label.as_bytes()).ok_or_else(unknown)?;
    // What could be read byte by byte up to here is not UTF-16, whatever it says.
    Ok(if encoding.is_ascii_compatible() { encoding } else { UTF_8 })
}

/// The label after `encoding=` in an XML declaration.
fn declared(start: &[u8]) -> Option<String> {
    let end = start.windows(2).position(|two| two == b"?>")?;
    let declaration = std::str::from_utf8(start.get(..end)?).ok()?;
    let rest = declaration.strip_prefix("<?xml")?.split_once("encoding")?.1.trim_start();
    let rest = rest.strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest.get(1..)?.split_once(quote).map(|(label, _)| label.to_owned())
}

/// Reads text in a known encoding whose wrong bytes become U+FFFD; true where there were any.
pub(crate) fn lossy(bytes: &[u8]) -> (String, bool) {
    let mut decoder = UTF_8.new_decoder_without_bom_handling();
    let room = decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len());
    let mut text = String::with_capacity(room);
    let (result, _, replaced) = decoder.decode_to_string(bytes, &mut text, true);
    (text, replaced || matches!(result, CoderResult::OutputFull))
}
