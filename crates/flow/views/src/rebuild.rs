//! Building a view beside the one that serves, and exchanging them when it has caught up.
//!
//! Place: an operator's step, or the start of a new version of the program. It can be broken off at any point: the build
//! has its own cursor, and calling again goes on from it.
//! Not here: comparing (`check`), the command line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use waag_domain::project::Projection;

use crate::contract::{Standing, Turn, ViewKey, Views};
use crate::error::ViewsError;
use crate::follow::{Recorded, run};
use crate::progress::Progress;
use crate::projector::{ProjectError, Projector};

/// How a rebuild ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// The build serves; the same version's other builds are gone, other versions are still there.
    Serves(ViewKey),
    /// It was told to stop; calling again goes on.
    Stopped(ViewKey),
}

/// The build to go on with: the newest of this version that does not serve, else one more.
fn key_beside(all: &[Standing], name: &str, version: u32) -> ViewKey {
    let mine = || all.iter().filter(|one| one.key.name == name && one.key.version == version);
    let serving = mine().find(|one| one.serves).map(|one| one.key.build);
    let newest = mine().map(|one| one.key.build).max();
    let build = match (newest, serving) {
        (Some(newest), serving) if serving != Some(newest) => newest,
        (Some(newest), _) => newest.saturating_add(1),
        (None, _) => 0,
    };
    ViewKey { name: name.to_owned(), version, build }
}

/// Projects a view anew beside the one that serves, up to the end of what is recorded, lets it serve, and drops the same
/// version's older builds. Told how far it is through `progress`.
///
/// # Errors
/// [`ProjectError`], and those of `recorded`; the view that served still does.
pub fn rebuild<E: From<ProjectError>>(
    views: &Arc<dyn Views>,
    recorded: &mut Recorded<'_, E>,
    projection: &Arc<dyn Projection>,
    progress: Arc<Progress>,
    stop: &AtomicBool,
) -> Result<Rebuilt, E> {
    let all = views.list().map_err(ProjectError::Views)?;
    let key = key_beside(&all, projection.name(), projection.version());
    let mut following = recorded()?;
    let ledger = following.source.ledger;
    let mut projector =
        Projector::open_build(ledger, Arc::clone(views), Arc::clone(projection), key.clone(), progress)
            .map_err(ProjectError::Views)?;
    // What is recorded meanwhile is caught up with, in ever shorter rounds.
    loop {
        let before = projector.cursor().position;
        run(&mut projector, &following, following.source.guarded(), stop)?;
        if stop.load(Ordering::Acquire) {
            return Ok(Rebuilt::Stopped(key));
        }
        let at = projector.cursor().position;
        following = recorded()?;
        let behind = following.source.guarded().0.saturating_sub(at.0);
        if behind <= following.limits.events_max as u64 || at == before {
            break;
        }
    }
    exchange(views.as_ref(), &key)?;
    projector.ended(None);
    Ok(Rebuilt::Serves(key))
}

/// Lets a build serve, and drops the older ones of its version.
fn exchange(views: &dyn Views, key: &ViewKey) -> Result<(), ProjectError> {
    views.turn(key, Turn::Serve)?;
    for other in views.list()? {
        let is_older =
            other.key.name == key.name && other.key.version == key.version && other.key.build != key.build;
        if is_older {
            views.turn(&other.key, Turn::Drop)?;
        }
    }
    Ok(())
}

/// Drops every version of a name but the one that serves, and returns what was dropped.
///
/// # Errors
/// The store's.
pub fn drop_others(views: &dyn Views, name: &str) -> Result<Vec<ViewKey>, ViewsError> {
    let mut dropped = Vec::new();
    for other in views.list()? {
        if other.key.name == name && !other.serves {
            views.turn(&other.key, Turn::Drop)?;
            dropped.push(other.key);
        }
    }
    Ok(dropped)
}
