//! Asking the process that writes a store to record what is shown or handed out beside it.
//!
//! Reading needs no lock (`STORE-3`), but a reveal and a disclosure are recorded before anything of them leaves, and only
//! the writer records. So a writer that stays open for long has a [`Desk`], a socket in the state folder, and whoever
//! reads beside it asks there; the answer comes when the event is durable and under the guard.
//!
//! Whom it trusts: whoever may use the state folder (0700) and the socket (0600), who could read every key anyway. It
//! records the types of [`ASKED_TYPES`] and nothing else. The actor is the one the asking program tells, as with every
//! command.
//!
//! A crash leaves the socket's name behind; the next desk takes its place, since it holds the store's lock. An answer
//! that got lost leaves an event of something that was not shown: never the other way round (`STORE-4`).
//!
//! Not here: what is recorded (`own`), which command opens a desk (`cli`).

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use waag_cloudevents::{read_event, write_event};
use waag_model::event::Event;
use waag_model::ids::Actor;
use waag_model::limits::{ACTOR_BYTES_MAX, EVENT_BYTES_MAX};

use super::own::OWN_SOURCE;
use super::place::Place;
use super::subjects::report::REPORTED;
use super::writer::OpenedStore;

/// The type of the event that records a reveal.
pub const REVEALED: &str = "waag.reveal";
/// The type of the event that records a disclosure.
pub const DISCLOSED: &str = "waag.disclosed";
/// What a desk records for others.
pub const ASKED_TYPES: [&str; 3] = [REVEALED, DISCLOSED, REPORTED];
/// The socket's name in the state folder.
pub const SOCKET_FILE: &str = "writer.sock";

/// Longest path that a socket's address is made of directly; the system takes 108 bytes, others fewer.
const ADDRESS_BYTES_MAX: usize = 100;
/// Longest question: a verb, an actor, an event.
const QUESTION_BYTES_MAX: u64 = (EVENT_BYTES_MAX + ACTOR_BYTES_MAX + 64) as u64;
/// Longest answer.
const ANSWER_BYTES_MAX: u64 = 16_384;
/// The wait after an asker that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a desk waits for the rest of a question, in milliseconds.
const QUESTION_MS: u64 = 2_000;
/// How long an asker waits for its answer, in milliseconds; longer than a full writer is asked again.
const ANSWER_MS: u64 = 60_000;

const RECORD: &str = "record ";
const DOOR: &str = "door ";
const DONE: &str = "done ";
const WHO: &str = "who";
const RECORDED: &str = "recorded ";
const REFUSED: &str = "refused ";
const PROCESS: &str = "process ";

/// Why the writer did not say that it recorded what it was asked to.
#[derive(Debug)]
pub enum AskError {
    /// It refused or failed: its code and its sentence.
    Refused(String),
    /// It gave no answer, or none that can be understood; whether it recorded the event is not known.
    NoAnswer(io::Error),
}

impl AskError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::NoAnswer(_) => "E0816",
        }
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "the process that writes this store did not record it: {why}"),
            Self::NoAnswer(_) => {
                write!(f, "the process that writes this store did not say that it recorded it")
            }
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::NoAnswer(error) => Some(error),
        }
    }
}

/// The way to a socket, also where its path is too long for an address.
struct Address {
    path: PathBuf,
    /// Held open as long as the path goes through it.
    _folder: Option<File>,
}

impl Address {
    fn new(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET_FILE);
        if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self { path, _folder: None });
        }
        let folder = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET_FILE}", folder.as_raw_fd()));
        Ok(Self { path, _folder: Some(folder) })
    }
}

/// What a process that has doors answers about them: a question in words, an answer, or the code and reason of a refusal.
pub type Doors<'d> = &'d (dyn Fn(&str) -> Result<String, String> + Sync);

/// Where others ask this process, which writes the store. Dropping it takes the socket away.
pub struct Desk {
    listener: UnixListener,
    address: Address,
    closes: UnixStream,
}

/// Ends [`Desk::serve`] when it is dropped.
#[derive(Debug)]
pub struct Closing(#[expect(dead_code, reason = "its end is what the other side waits for")] UnixStream);

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("socket", &self.address.path).finish_non_exhaustive()
    }
}

impl Desk {
    /// Opens the desk of a store that this process has opened to write, and what ends it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(store: &OpenedStore) -> io::Result<(Self, Closing)> {
        let address = Address::new(&store.place.state)?;
        match std::fs::remove_file(&address.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&address.path)?;
        std::fs::set_permissions(&address.path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        let (closes, closing) = UnixStream::pair()?;
        Ok((Self { listener, address, closes }, Closing(closing)))
    }

    /// Answers one asker after the other until [`Closing`] is dropped; `doors` answers what is asked of open doors.
    pub fn serve(&self, store: &OpenedStore, doors: Option<Doors<'_>>) {
        loop {
            let mut waited =
                [PollFd::new(&self.closes, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
            let is_polled = match poll(&mut waited, None) {
                Ok(_) => true,
                Err(rustix::io::Errno::INTR) => false,
                Err(_) => return,
            };
            let [closes, _] = &waited;
            if is_polled && !closes.revents().is_empty() {
                return;
            }
            match self.listener.accept() {
                // Who went away without an answer shows nothing; there is nobody else to tell.
                Ok((stream, _)) => drop(answer(&stream, store, doors)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Out of descriptors, say: asking again at once would spin.
                Err(_) => std::thread::sleep(ACCEPT_PAUSE),
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // A name that stays is replaced by the next desk.
        drop(std::fs::remove_file(&self.address.path));
    }
}

fn answer(mut stream: &UnixStream, store: &OpenedStore, doors: Option<Doors<'_>>) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(QUESTION_MS)))?;
    stream.set_write_timeout(Some(Duration::from_millis(QUESTION_MS)))?;
    let mut question = Vec::new();
    stream.take(QUESTION_BYTES_MAX + 1).read_to_end(&mut question)?;
    let of_doors = question.strip_prefix(DOOR.as_bytes()).and_then(|asked| std::str::from_utf8(asked).ok());
    let mut answer = if question == WHO.as_bytes() {
        format!("{PROCESS}{}", std::process::id())
    } else if let Some(asked) = of_doors {
        match doors.map(|doors| doors(asked)) {
            Some(Ok(answer)) => format!("{DONE}{answer}"),
            Some(Err(why)) => format!("{REFUSED}{why}"),
            None => format!("{REFUSED}it has no doors; ask again when it has ended"),
        }
    } else {
        match carry_out(&question, store) {
            Ok(position) => format!("{RECORDED}{position}"),
            Err(why) => format!("{REFUSED}{why}"),
        }
    };
    while answer.len() as u64 > ANSWER_BYTES_MAX {
        answer.pop();
    }
    stream.write_all(answer.as_bytes())
}

/// Records what was asked for; the position, or the code and the reason.
fn carry_out(question: &[u8], store: &OpenedStore) -> Result<u64, String> {
    let wrong = || "the question cannot be read".to_owned();
    if question.len() as u64 > QUESTION_BYTES_MAX {
        return Err("the question is too long".to_owned());
    }
    let rest = question.strip_prefix(RECORD.as_bytes()).ok_or_else(wrong)?;
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(wrong)?;
    let (actor, event) = rest.split_at_checked(end).ok_or_else(wrong)?;
    let actor = std::str::from_utf8(actor).map_err(|_| wrong())?;
    let actor = Actor::new(actor).map_err(|error| format!("{}: {error}", error.code()))?;
    let event = read_event(event.get(1..).unwrap_or_default())
        .map_err(|refusal| format!("{}: {refusal}", refusal.code()))?;
    if !ASKED_TYPES.contains(&event.kind.as_ref()) || event.source != OWN_SOURCE || event.subject.is_some() {
        return Err("only reveals, disclosures and reports on persons are recorded for others".to_owned());
    }
    let recorded = store.record(&event, &actor).map_err(|error| format!("{}: {error}", error.code()))?;
    Ok(recorded.0.position.0)
}

/// Asks the process that writes a store to record an event of Waag's own, and waits until it has: the position. `None`
/// where no desk is open, so that nothing was asked.
///
/// # Errors
/// [`AskError`].
pub fn ask_to_record(place: &Place, event: &Event<'_>, actor: &Actor) -> Result<Option<u64>, AskError> {
    let mut question = format!("{RECORD}{actor}\n").into_bytes();
    write_event(event, &mut question);
    let Some(answer) = ask(place, &question).map_err(AskError::NoAnswer)? else { return Ok(None) };
    if let Some(why) = answer.strip_prefix(REFUSED) {
        return Err(AskError::Refused(why.to_owned()));
    }
    let position = answer.strip_prefix(RECORDED).and_then(|position| position.parse().ok());
    position.map(Some).ok_or_else(|| AskError::NoAnswer(io::ErrorKind::UnexpectedEof.into()))
}

/// Asks the process that writes a store about its doors. `None` where no desk is open, so that nothing was asked.
///
/// # Errors
/// [`AskError`].
pub fn ask_doors(place: &Place, question: &str) -> Result<Option<String>, AskError> {
    let question = format!("{DOOR}{question}");
    let Some(answer) = ask(place, question.as_bytes()).map_err(AskError::NoAnswer)? else { return Ok(None) };
    match (answer.strip_prefix(DONE), answer.strip_prefix(REFUSED)) {
        (Some(done), _) => Ok(Some(done.to_owned())),
        (None, Some(why)) => Err(AskError::Refused(why.to_owned())),
        (None, None) => Err(AskError::NoAnswer(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Whether a name in the state folder is a desk's socket, also one that a crash left; a file of this name is none.
pub(crate) fn is_desk(folder: &Path, name: &str) -> bool {
    let kind = std::fs::symlink_metadata(folder.join(name)).map(|known| known.file_type());
    name == SOCKET_FILE && kind.is_ok_and(|kind| kind.is_socket())
}

/// The id of the process that writes a store, where it tells.
#[must_use]
pub fn holder(place: &Place) -> Option<u32> {
    ask(place, WHO.as_bytes()).ok()??.strip_prefix(PROCESS)?.parse().ok()
}

/// `None` where nobody listens.
fn ask(place: &Place, question: &[u8]) -> io::Result<Option<String>> {
    let Ok(address) = Address::new(&place.state) else { return Ok(None) };
    let Ok(mut stream) = UnixStream::connect(&address.path) else { return Ok(None) };
    stream.set_read_timeout(Some(Duration::from_millis(ANSWER_MS)))?;
    stream.set_write_timeout(Some(Duration::from_millis(ANSWER_MS)))?;
    stream.write_all(question)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(Some(answer))
}
