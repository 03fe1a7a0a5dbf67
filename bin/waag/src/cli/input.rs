//! The inputs of `append`: files and standard input, read line by line into chunks, in their order.
//!
//! Memory is bounded by the chunks that are under way: a chunk is only begun with a permit, which comes back when its
//! lines are answered. Not here: what a line says (`pipeline`).

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use waag_cloudevents::{Lines, Refusal};

use super::failure::{CliError, Failure};

/// Lines of one chunk together have at most about this many bytes; a longer line is a chunk of its own.
const CHUNK_BYTES_MAX: usize = 1_024 * 1_024;
/// With `--strict`, the most bytes of an input that can be read only once, since they are held in memory.
pub(crate) const STRICT_BYTES_MAX: usize = 64 * 1_024 * 1_024;
const BUFFER_BYTES: usize = 256 * 1_024;

/// One input.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// An input that was read into memory, with its name.
    Memory(String, Arc<[u8]>),
}

/// How many bytes a reader holds.
type Held = Arc<AtomicUsize>;

/// A line as it was read.
#[derive(Debug)]
pub(crate) struct RawLine {
    /// Counted from 1 in its input.
    pub(crate) number: u64,
    /// Its bytes, or why it cannot be taken.
    pub(crate) bytes: Result<Vec<u8>, Refusal>,
}

/// Some lines of one input.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Counted from 0 over all inputs.
    pub(crate) number: u64,
    /// Which input.
    pub(crate) input: usize,
    /// The lines.
    pub(crate) lines: Vec<RawLine>,
    /// Bytes of the lines.
    pub(crate) bytes: u64,
}

/// What the reading thread sends.
pub(crate) enum Read1 {
    /// Lines.
    Chunk(Chunk),
    /// An input ended with an error: this is the last message, with the number the next chunk would have had.
    Failed(u64, CliError),
}

impl Input {
    /// The inputs that arguments name: `-` or nothing is standard input.
    pub(crate) fn of_arguments(files: &[PathBuf]) -> Vec<Self> {
        if files.is_empty() { vec![Self::Stdin] } else { files.iter().map(|path| Self::of(path)).collect() }
    }

    /// The input that an argument names: `-` is standard input.
    pub(crate) fn of(path: &Path) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    /// The name shown to people.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "-".to_owned(),
            Self::Memory(name, _) => name.clone(),
        }
    }

    /// Its length, where that can be known.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::File(path) => {
                std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|found| found.len())
            }
            Self::Stdin => None,
            Self::Memory(_, bytes) => Some(bytes.len() as u64),
        }
    }

    /// Opens it; the second is how many bytes are read and not yet taken, where more may be long in coming.
    pub(crate) fn open(&self) -> Result<(Box<dyn BufRead + Send>, Option<Held>), CliError> {
        Ok(match self {
            Self::File(path) => {
                let file = File::open(path).map_err(CliError::file("read", path))?;
                (Box::new(BufReader::with_capacity(BUFFER_BYTES, file)), None)
            }
            Self::Stdin => {
                let left = Arc::new(AtomicUsize::new(0));
                let inner = BufReader::with_capacity(BUFFER_BYTES, std::io::stdin());
                (Box::new(Watched { inner, left: Arc::clone(&left) }), Some(left))
            }
            Self::Memory(_, bytes) => (Box::new(Cursor::new(Arc::clone(bytes))), None),
        })
    }

    /// Its bytes, as many as the limit allows and one more, by which what is too long is known.
    pub(crate) fn up_to(&self, bytes_max: usize) -> Result<Vec<u8>, CliError> {
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        let read = self.open()?.0.take(limit).read_to_end(&mut bytes);
        read.map_err(|source| CliError::Input { name: self.name(), source })?;
        Ok(bytes)
    }

    /// The same input in a form that can be read twice: what is no plain file is read into memory.
    pub(crate) fn twice(self) -> Result<Self, Failure> {
        if matches!(self, Self::Memory(..)) || (matches!(self, Self::File(_)) && self.len().is_some()) {
            return Ok(self);
        }
        let bytes = self.up_to(STRICT_BYTES_MAX)?;
        if bytes.len() > STRICT_BYTES_MAX {
            return Err(CliError::StrictTooLong(STRICT_BYTES_MAX).into());
        }
        Ok(Self::Memory(self.name(), bytes.into()))
    }
}

/// A reader that tells how much it holds.
struct Watched {
    inner: BufReader<std::io::Stdin>,
    left: Arc<AtomicUsize>,
}

impl Read for Watched {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(out);
        self.left.store(self.inner.buffer().len(), Ordering::Relaxed);
        read
    }
}

impl BufRead for Watched {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.left.store(self.inner.buffer().len(), Ordering::Relaxed);
    }
}

/// Whether standard input has bytes, or its end, to give at once: who feeds events slowly gets receipts at once.
fn stdin_has_more() -> bool {
    let stdin = std::io::stdin();
    let mut asked = [PollFd::new(&stdin, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_or(true, |ready| ready > 0)
}

/// Reads all inputs to their ends, a permit per chunk; ends early where nobody listens any more.
pub(crate) fn read_inputs(
    inputs: &[Input],
    lines_max: usize,
    permits: &Receiver<()>,
    chunks: &SyncSender<Read1>,
) {
    let mut number = 0;
    for (at, input) in inputs.iter().enumerate() {
        match read_input(input, at, lines_max, &mut number, permits, chunks) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                drop(chunks.send(Read1::Failed(number, error)));
                return;
            }
        }
    }
}

/// False where nobody listens any more.
fn read_input(
    input: &Input,
    at: usize,
    lines_max: usize,
    number: &mut u64,
    permits: &Receiver<()>,
    chunks: &SyncSender<Read1>,
) -> Result<bool, CliError> {
    let (mut reader, waiting) = input.open()?;
    let is_drained =
        || waiting.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0 && !stdin_has_more());
    let mut lines = Lines::new(&mut *reader);
    loop {
        if permits.recv().is_err() {
            return Ok(false);
        }
        let mut chunk = Chunk { number: *number, input: at, lines: Vec::new(), bytes: 0 };
        let mut failed = None;
        let mut ended = false;
        while chunk.lines.len() < lines_max && chunk.bytes < CHUNK_BYTES_MAX as u64 {
            match lines.next_line() {
                Ok(Some(line)) => {
                    let bytes = line.bytes.map(<[u8]>::to_vec);
                    chunk.bytes += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64 + 1);
                    chunk.lines.push(RawLine { number: line.number, bytes });
                    if is_drained() {
                        break;
                    }
                }
                Ok(None) => {
                    ended = true;
                    break;
                }
                Err(source) => {
                    failed = Some(CliError::Input { name: input.name(), source });
                    break;
                }
            }
        }
        // A chunk without lines goes too: it gives its permit back.
        *number += 1;
        if chunks.send(Read1::Chunk(chunk)).is_err() {
            return Ok(false);
        }
        match failed {
            Some(error) => return Err(error),
            None if ended => return Ok(true),
            None => {}
        }
    }
}
