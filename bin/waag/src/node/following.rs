//! The read models of a running node: a thread that follows the ledger and keeps them up to date.
//!
//! Place: between the log and the pages. The views are derived: deleted ones are made again from the ledger.
//! Not here: what is projected (`domains/invoices`), how (`flow/views`).

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
use waag_views::contract::Views;
use waag_views::error::ViewsError;
use waag_views::follow::{self, Wake, follow};
use waag_views::progress::{Progress, Reached};
use waag_views::projector::Projector;
use waag_views::source::FactSource;
use waag_web::ports::Progress as Shown;

use super::house::progress_of;
use crate::store::place::{Place, VIEWS_FOLDER};
use crate::store::writer::OpenedStore;

/// The file of the read models, in their folder.
pub const VIEWS_FILE: &str = "views.db";

/// Why the read models cannot be followed.
#[derive(Debug)]
pub enum FollowingError {
    /// Their folder cannot be made.
    Folder(PathBuf, std::io::Error),
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
        }
    }
}

impl fmt::Display for FollowingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, _) => write!(f, "the folder `{}` of the read models cannot be made", path.display()),
            Self::Views(error) => error.fmt(f),
            Self::Thread(_) => write!(f, "the thread of the read models cannot be started"),
        }
    }
}

impl std::error::Error for FollowingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(_, error) | Self::Thread(error) => Some(error),
            Self::Views(_) => None,
        }
    }
}

/// The views of a store, opened; their folder is made where it is not there.
///
/// # Errors
/// [`FollowingError`].
pub fn open_views(place: &Place) -> Result<Arc<dyn Views>, FollowingError> {
    let folder = place.data.join(VIEWS_FOLDER);
    make(&folder).map_err(|error| FollowingError::Folder(folder.clone(), error))?;
    let views = SqliteViews::open(&folder.join(VIEWS_FILE), ViewsConfig::default());
    Ok(Arc::new(views.map_err(FollowingError::Views)?))
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
        let views = open_views(&store.place)?;
        let (sender, shown) = tokio::sync::watch::channel(Shown::default());
        let tell = move |reached: &Reached| {
            sender.send_replace(progress_of(reached));
        };
        let progress = Arc::new(Progress::new(Some(Box::new(tell))));
        let opened =
            Projector::open(store.ledger.id, Arc::clone(&views), projections(invoices), Arc::clone(&progress));
        let mut projector = opened.map_err(FollowingError::Views)?;
        let following = follow::Following::new(source(store), Arc::clone(&store.clock));
        let (stop, wake) = (Arc::new(AtomicBool::new(false)), Arc::clone(&following.wake));
        let ending = Arc::clone(&stop);
        // How it ends is told in the progress.
        let run = move || drop(follow(&mut projector, &following, &ending));
        let thread = std::thread::Builder::new().name("waag-project".to_owned()).spawn(run);
        let thread = Some(thread.map_err(FollowingError::Thread)?);
        Ok(Self { views, progress, shown, stop, wake, thread })
    }

    /// The views.
    #[must_use]
    pub fn views(&self) -> &Arc<dyn Views> {
        &self.views
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
