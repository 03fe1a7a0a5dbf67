//! The read models of a running node: a thread that follows the ledger and keeps them up to date.
//!
//! Place: between the log and the pages. The views are derived: deleted ones are made again from the ledger, damaged ones
//! are set aside and made again.
//! Not here: what is projected (`domains/invoices`), how (`flow/views`), exchanging versions (`exchange`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use waag_domain::project::Projection;
use waag_invoices::config::Config;
use waag_invoices::project::Invoices;
use waag_model::ids::Position;
use waag_sqlite::views::{SqliteViews, ViewsConfig};
use waag_stdx::threads::give_way;
use waag_views::contract::Views;
use waag_views::error::ViewsError;
use waag_views::follow::{self, Wake};
use waag_views::progress::{Activity, Progress, Reached};
use waag_views::projector::{ProjectError, Projector};
use waag_views::source::FactSource;
use waag_web::ports::Progress as Shown;

use super::exchange::keep;
use super::house::progress_of;
use crate::cli::tell;
use crate::store::place::{Place, VIEWS_FOLDER};
use crate::store::writer::OpenedStore;

/// The file of the read models, in their folder.
pub const VIEWS_FILE: &str = "views.db";
/// What is added to the name of a damaged file; an earlier one of this name gives way.
const ASIDE_SUFFIX: &str = ".damaged";
/// Marks, beside the file, that damage was met while it was in use; the next start sets it aside.
const MARK_SUFFIX: &str = ".is-damaged";
/// The file itself and what SQLite keeps beside it.
const FILE_SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// Why the read models cannot be followed.
#[derive(Debug)]
pub enum FollowingError {
    /// Their folder cannot be made.
    Folder(PathBuf, std::io::Error),
    /// Their damaged file cannot be set aside.
    Aside(PathBuf, std::io::Error),
    /// Their store.
    Views(ViewsError),
    /// A thread cannot be had.
    Thread(std::io::Error),
}

impl FollowingError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(..) => "E0851",
            Self::Views(error) => error.code(),
            Self::Thread(_) => "E0852",
            Self::Aside(..) => "E0858",
        }
    }
}

impl fmt::Display for FollowingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, _) => {
                write!(f, "the folder `{}` of the read models cannot be made", path.display())
            }
            Self::Aside(path, _) => {
                write!(f, "the damaged read models in `{}` cannot be set aside", path.display())
            }
            Self::Views(error) => error.fmt(f),
            Self::Thread(_) => write!(f, "the thread of the read models cannot be started"),
        }
    }
}

impl std::error::Error for FollowingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(_, error) | Self::Aside(_, error) | Self::Thread(error) => Some(error),
            Self::Views(_) => None,
        }
    }
}

/// The views of a store, opened; their folder is made where it is not there. A damaged file is an error: it may be in use by
/// the node, which alone sets it aside ([`Following::start`]).
///
/// # Errors
/// [`FollowingError`].
pub fn open_views(place: &Place) -> Result<Arc<dyn Views>, FollowingError> {
    let folder = place.data.join(VIEWS_FOLDER);
    make(&folder).map_err(|error| FollowingError::Folder(folder.clone(), error))?;
    let views = SqliteViews::open(&folder.join(VIEWS_FILE), ViewsConfig::default());
    Ok(Arc::new(views.map_err(FollowingError::Views)?))
}

fn file_of(place: &Place, suffix: &str) -> PathBuf {
    place.data.join(VIEWS_FOLDER).join(format!("{VIEWS_FILE}{suffix}"))
}

/// Whether an error says that the file itself is broken, in SQLite's words; a full disk or a lock is no damage.
fn is_damage(error: &ViewsError) -> bool {
    match error {
        ViewsError::Foreign(_) => true,
        ViewsError::Failed { reason, .. } => says_damage(reason),
        ViewsError::Rows(error) => says_damage(&error.reason),
        ViewsError::CursorMoved { .. }
        | ViewsError::Unknown(_)
        | ViewsError::Serving(_)
        | ViewsError::Layout(_)
        | ViewsError::OtherLedger { .. } => false,
    }
}

/// Whether projecting would meet the same again, however often: all but a store of views, or a system, that fails for now.
#[must_use]
pub fn is_lasting(error: &ProjectError) -> bool {
    let is_damaged = match error {
        ProjectError::Source(_) => false,
        ProjectError::Views(error) => is_damage(error),
    };
    is_damaged || !error.may_pass()
}

fn tell_stopped(error: &ProjectError) {
    let next = if is_lasting(error) {
        "events are recorded as before, and shown again after what is wrong is mended and the node is started again"
    } else {
        "events are recorded as before, and it is tried again"
    };
    tell(&format!("warning: the read models have stopped: {}: {error}; {next}", error.code()));
}

/// Says that read models that had stopped go on: where they are, and how far behind.
fn tell_going_on(reached: &Reached) {
    let (position, behind) = (reached.cursor.position, reached.lag());
    tell(&format!("note: the read models go on; they are at position {position}, {behind} events behind"));
}

/// Whether they go on with this, having stopped before; `halted` remembers.
fn goes_on(reached: &Reached, halted: &AtomicBool) -> bool {
    match reached.activity {
        Activity::Halted { .. } => {
            halted.store(true, Ordering::Release);
            false
        }
        Activity::Following => halted.swap(false, Ordering::AcqRel),
        // The end of the node, in whatever state they are.
        Activity::Stopped => false,
    }
}

fn says_damage(reason: &str) -> bool {
    ["malformed", "not a database"].iter().any(|words| reason.contains(words))
}

/// Moves the file of the views aside, what belongs to it included: nothing is lost, since views are derived, and what is
/// damaged can be looked at.
fn set_aside(place: &Place) -> Result<PathBuf, FollowingError> {
    let aside = file_of(place, ASIDE_SUFFIX);
    let gone = |moved: std::io::Result<()>| match moved {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(FollowingError::Aside(place.data.join(VIEWS_FOLDER), error))
        }
        Ok(()) | Err(_) => Ok(()),
    };
    for suffix in FILE_SUFFIXES {
        let to = file_of(place, &format!("{ASIDE_SUFFIX}{suffix}"));
        gone(std::fs::remove_file(&to))?;
        gone(std::fs::rename(file_of(place, suffix), &to))?;
    }
    // Last, so that a start that was broken off before does all of it again.
    gone(std::fs::remove_file(file_of(place, MARK_SUFFIX)))?;
    Ok(aside)
}

/// Views, their projector, and where damaged ones were moved to.
type Opened = (Arc<dyn Views>, Projector, Option<PathBuf>);

/// The views and their projector; damaged views are set aside first, and where they are is told. Only for who has the
/// store open to write, so that nobody else sets them aside at the same time.
fn open_or_mend(
    place: &Place,
    open: &dyn Fn(Arc<dyn Views>) -> Result<Projector, ViewsError>,
) -> Result<Opened, FollowingError> {
    let both = || {
        let views = open_views(place)?;
        let projector = open(Arc::clone(&views)).map_err(FollowingError::Views)?;
        Ok((views, projector))
    };
    let first = if file_of(place, MARK_SUFFIX).exists() { None } else { Some(both()) };
    match first {
        Some(Ok((views, projector))) => Ok((views, projector, None)),
        Some(Err(FollowingError::Views(error))) if !is_damage(&error) => Err(FollowingError::Views(error)),
        Some(Err(
            error @ (FollowingError::Folder(..) | FollowingError::Aside(..) | FollowingError::Thread(_)),
        )) => Err(error),
        None | Some(Err(FollowingError::Views(_))) => {
            let aside = set_aside(place)?;
            let (views, projector) = both()?;
            Ok((views, projector, Some(aside)))
        }
    }
}

fn make(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The projections that a node keeps.
#[must_use]
pub fn projections(invoices: &Config) -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(Invoices::new(invoices.clone()))]
}

/// What facts are read from, while a store is open to write.
#[must_use]
pub fn source(store: &OpenedStore) -> FactSource {
    let (writer, sealer) = (Arc::clone(&store.writer), Arc::clone(&store.sealer));
    FactSource {
        ledger: store.ledger.id,
        log: Arc::clone(&store.reader.log),
        guarded: Arc::new(move || Position(writer.status().checkpoint.checkpoint().size)),
        keyring: Arc::clone(&store.keyring),
        objects: Arc::clone(&store.reader.objects),
        dictionaries: Arc::new(move |name: &[u8; 8]| sealer.registry().dictionary(name).cloned()),
    }
}

/// The running thread. Dropping it ends it after the batch at hand.
pub struct Following {
    views: Arc<dyn Views>,
    progress: Arc<Progress>,
    shown: tokio::sync::watch::Receiver<Shown>,
    stop: Arc<AtomicBool>,
    wake: Arc<Wake>,
    aside: Option<PathBuf>,
    invoices_version: u32,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").field("reached", &self.reached()).finish_non_exhaustive()
    }
}

impl Following {
    /// Opens the views of a store and starts to follow its ledger.
    ///
    /// # Errors
    /// [`FollowingError`].
    pub fn start(store: &OpenedStore, invoices: &Config) -> Result<Self, FollowingError> {
        let (sender, shown) = tokio::sync::watch::channel(Shown::default());
        let halted = AtomicBool::new(false);
        let tell = move |reached: &Reached| {
            if goes_on(reached, &halted) {
                tell_going_on(reached);
            }
            sender.send_replace(progress_of(reached));
        };
        let progress = Arc::new(Progress::new(Some(Box::new(tell))));
        let kept = projections(invoices);
        let invoices_version = Invoices::new(invoices.clone()).version();
        let (views, mut projector, aside) = open_or_mend(&store.place, &|views| {
            Projector::open(store.ledger.id, views, kept.clone(), Arc::clone(&progress))
        })?;
        let following = follow::Following::new(source(store), Arc::clone(&store.clock));
        let (stop, wake) = (Arc::new(AtomicBool::new(false)), Arc::clone(&following.wake));
        let (ending, all, mark) = (Arc::clone(&stop), Arc::clone(&views), file_of(&store.place, MARK_SUFFIX));
        let run = move || {
            // Acknowledgements come first: under more load than there is time for, what is shown lags, and catches up.
            give_way();
            let views = (&*all, &kept[..]);
            // How it ends is told in the progress too.
            let ended = keep(&mut projector, &following, views, &ending, &is_lasting, &tell_stopped);
            if let Err(ProjectError::Views(error)) = ended
                && is_damage(&error)
            {
                // Without the mark the next start meets the damage again.
                drop(std::fs::write(&mark, []));
            }
        };
        let thread = std::thread::Builder::new().name("waag-project".to_owned()).spawn(run);
        let thread = Some(thread.map_err(FollowingError::Thread)?);
        Ok(Self { views, progress, shown, stop, wake, aside, invoices_version, thread })
    }

    /// Where damaged views were moved to at the start; they are made again from the ledger.
    #[must_use]
    pub fn aside(&self) -> Option<&Path> {
        self.aside.as_deref()
    }

    /// The views.
    #[must_use]
    pub fn views(&self) -> &Arc<dyn Views> {
        &self.views
    }

    /// The version of the invoices' view that these settings make; another one is not to be read with them.
    #[must_use]
    pub fn invoices_version(&self) -> u32 {
        self.invoices_version
    }

    /// How far it is.
    #[must_use]
    pub fn reached(&self) -> Reached {
        self.progress.reached()
    }

    /// Changes whenever rows became visible.
    #[must_use]
    pub fn shown(&self) -> tokio::sync::watch::Receiver<Shown> {
        self.shown.clone()
    }

    /// The shared place of its progress, to wait for a position.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake.notify();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use waag_entry::error::EntryError;
    use waag_log::contract::ReadError;
    use waag_log::objects::ObjectError;
    use waag_views::contract::Cursor;
    use waag_views::source::SourceFault;

    use super::*;

    #[test]
    fn what_the_system_lacks_for_a_while_is_tried_again_and_damage_is_not() {
        let os = |errno: rustix::io::Errno| std::io::Error::from_raw_os_error(errno.raw_os_error());
        let log = |errno| SourceFault::Log(ReadError::Failed { file: "log/0".to_owned(), source: os(errno) });
        let object =
            |errno| SourceFault::Object(ObjectError::Failed { operation: "read", source: os(errno) });
        for errno in [
            rustix::io::Errno::INTR,
            rustix::io::Errno::MFILE,
            rustix::io::Errno::NFILE,
            rustix::io::Errno::NOMEM,
        ] {
            assert!(!is_lasting(&log(errno).into()), "{errno:?}");
            assert!(!is_lasting(&object(errno).into()), "{errno:?}");
        }
        let form = EntryError::Form { offset: 0, expected: "a header" };
        for fault in [
            log(rustix::io::Errno::IO),
            log(rustix::io::Errno::NOENT),
            object(rustix::io::Errno::ACCESS),
            SourceFault::Entry(Position(1), form),
            SourceFault::BlobMissing(Position(1), waag_ledger::hash::Hash([0; 32])),
        ] {
            assert!(is_lasting(&fault.into()));
        }
        let locked = ViewsError::Failed { attempt: "write", reason: "database is locked".to_owned() };
        assert!(!is_lasting(&locked.into()));
        let damaged = "database disk image is malformed".to_owned();
        assert!(is_lasting(&ViewsError::Failed { attempt: "write", reason: damaged }.into()));
    }

    #[test]
    fn going_on_is_told_once_behind_each_stop_and_never_at_the_start() {
        let halted = AtomicBool::new(false);
        let with = |activity| Reached {
            cursor: Cursor::START,
            guarded: Position(0),
            events: 0,
            batches: 0,
            per_second: 0,
            activity,
        };
        let stop = || with(Activity::Halted { code: "E0690", reason: String::new() });
        let told = [
            with(Activity::Following),
            stop(),
            stop(),
            with(Activity::Following),
            with(Activity::Following),
            with(Activity::Stopped),
            stop(),
            with(Activity::Following),
        ];
        let told = told.map(|reached| goes_on(&reached, &halted));
        assert_eq!(told, [false, false, false, true, false, false, false, true]);
    }
}
