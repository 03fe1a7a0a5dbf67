//! Letting another version of a view take the place of the one that serves.
//!
//! Changed settings are another version of a view (`domains/invoices`, `config`). The one before serves until the other has
//! caught up with the ledger to within a batch; then they are exchanged, and the versions before are dropped.
//! A crash at any point leaves one version that serves, and the next start goes on: the build has a cursor of its own, and
//! dropping is done again.
//! What fails for now is tried again, ever more seldom: a lock that another process holds, a full disk, or files that are all in
//! use while the ledger is read, pass, and nobody should have to start a node again for it.
//! Not here: a rebuild that a person asks for (`flow/views`, `rebuild`), the thread (`following`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use waag_domain::project::Projection;
use waag_model::ids::Position;
use waag_views::contract::{Turn, Views};
use waag_views::error::ViewsError;
use waag_views::follow::{Following, follow, run};
use waag_views::projector::{ProjectError, Projector, current_key};

/// The first wait before views that failed are tried again; each next one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether to stop meanwhile.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// Lets these projections' versions serve as soon as they can, then follows the ledger until told to stop; goes on after
/// what passes. `is_lasting` says of which errors that cannot be hoped; `told` hears of each stop.
///
/// # Errors
/// [`ProjectError`] that does not pass, also told in the projector's progress.
pub fn keep(
    projector: &mut Projector,
    following: &Following,
    (views, projections): (&dyn Views, &[Arc<dyn Projection>]),
    stop: &AtomicBool,
    is_lasting: &dyn Fn(&ProjectError) -> bool,
    told: &dyn Fn(&ProjectError),
) -> Result<(), ProjectError> {
    let mut pause = PAUSE_FIRST;
    loop {
        let before = projector.cursor().position;
        let Err(error) = once(projector, following, views, projections, stop) else { return Ok(()) };
        told(&error);
        if is_lasting(&error) || stop.load(Ordering::Acquire) {
            return Err(error);
        }
        pause = if projector.cursor().position > before { PAUSE_FIRST } else { pause };
        loop {
            wait(pause, stop);
            if stop.load(Ordering::Acquire) {
                return Err(error);
            }
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
            match projector.reopen() {
                Ok(()) => break,
                Err(refused) => {
                    let refused = ProjectError::Views(refused);
                    if is_lasting(&refused) {
                        projector.ended(Some(&refused));
                        return Err(refused);
                    }
                }
            }
        }
        if projector.cursor().position >= following.source.guarded() {
            projector.goes_on();
        }
    }
}

fn wait(pause: Duration, stop: &AtomicBool) {
    let mut left = pause;
    while !left.is_zero() && !stop.load(Ordering::Acquire) {
        let step = left.min(STOP_LOOK);
        std::thread::sleep(step);
        left = left.saturating_sub(step);
    }
}

fn once(
    projector: &mut Projector,
    following: &Following,
    views: &dyn Views,
    projections: &[Arc<dyn Projection>],
    stop: &AtomicBool,
) -> Result<(), ProjectError> {
    if let Err(error) = exchange(projector, following, views, projections, stop) {
        projector.ended(Some(&error));
        return Err(error);
    }
    follow(projector, following, stop)
}

fn exchange(
    projector: &mut Projector,
    following: &Following,
    views: &dyn Views,
    projections: &[Arc<dyn Projection>],
    stop: &AtomicBool,
) -> Result<(), ProjectError> {
    if !all_serve(views, projections)? {
        let batch = following.limits.events_max as u64;
        // What is recorded meanwhile is caught up with, in ever shorter rounds.
        loop {
            catch_up(projector, following, following.source.guarded(), stop)?;
            if stop.load(Ordering::Acquire) {
                return Ok(());
            }
            let behind = following.source.guarded().0.saturating_sub(projector.cursor().position.0);
            if behind <= batch {
                break;
            }
        }
        for projection in projections {
            views.turn(&current_key(views, projection.as_ref())?, Turn::Serve)?;
        }
    }
    for projection in projections {
        drop_versions_before(views, projection.as_ref())?;
    }
    Ok(())
}

fn all_serve(views: &dyn Views, projections: &[Arc<dyn Projection>]) -> Result<bool, ViewsError> {
    let all = views.list()?;
    Ok(projections.iter().all(|projection| {
        let mut mine = all.iter().filter(|one| one.key.name == projection.name());
        mine.any(|one| one.key.version == projection.version() && one.serves)
    }))
}

/// Drops the other versions of a view whose own version serves; another build of the same version may be a person's rebuild.
fn drop_versions_before(views: &dyn Views, projection: &dyn Projection) -> Result<(), ViewsError> {
    for other in views.list()? {
        let is_other = other.key.name == projection.name() && other.key.version != projection.version();
        if is_other && !other.serves {
            views.turn(&other.key, Turn::Drop)?;
        }
    }
    Ok(())
}

/// Projects up to a position, also where another process projects the same views or exchanges them.
///
/// # Errors
/// [`ProjectError`].
pub fn catch_up(
    projector: &mut Projector,
    following: &Following,
    to: Position,
    stop: &AtomicBool,
) -> Result<(), ProjectError> {
    loop {
        match run(projector, following, to, stop) {
            // Somebody else got further, so that each turn comes nearer to the end.
            Err(ProjectError::Views(ViewsError::CursorMoved { .. } | ViewsError::Unknown(_))) => {
                projector.reopen()?;
            }
            done => return done,
        }
    }
}
