//! The projector: applies batches of facts to views, each with its cursor, and tells how far it is.
//!
//! Place: `project`. It is a step function: no threads, no time of its own; `follow` runs it beside a reader, the
//! simulator steps it.
//! Not here: opening entries (`source`), threads (`follow`).
//!
//! Invariants:
//! - `PROJ-1`: a view gets every event from its cursor on exactly once and in order, whatever stops in between.
//! - `PROJ-2`: views that stand at different cursors each get what they lack; none gets an event twice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use waag_domain::project::{Gathered, Gathering, Projection, Rows};
use waag_model::ids::{LedgerId, Position};

use crate::contract::{Cursor, Definition, ViewKey, Views};
use crate::error::ViewsError;
use crate::progress::{Activity, Progress};
use crate::source::{Batch, BatchLimits, FactSource, SourceFault};

/// Why a projector stopped.
#[derive(Debug)]
pub enum ProjectError {
    /// Facts could not be read.
    Source(SourceFault),
    /// The views refused or failed.
    Views(ViewsError),
}

impl ProjectError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source(fault) => fault.code(),
            Self::Views(error) => error.code(),
        }
    }
}

impl ProjectError {
    /// Whether projecting may go on by itself later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Source(fault) => fault.may_pass(),
            Self::Views(error) => error.may_pass(),
        }
    }
}

impl fmt::Display for ProjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(fault) => fault.fmt(f),
            Self::Views(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProjectError {}

impl From<SourceFault> for ProjectError {
    fn from(fault: SourceFault) -> Self {
        Self::Source(fault)
    }
}

impl From<ViewsError> for ProjectError {
    fn from(error: ViewsError) -> Self {
        Self::Views(error)
    }
}

/// The build of a projection's version that a node keeps up to date: the one that serves, else the newest.
///
/// # Errors
/// The store's.
pub fn current_key(views: &dyn Views, projection: &dyn Projection) -> Result<ViewKey, ViewsError> {
    let (name, version) = (projection.name(), projection.version());
    let all = views.list()?;
    let mine = || all.iter().filter(|one| one.key.name == name && one.key.version == version);
    let found = mine().find(|one| one.serves).or_else(|| mine().max_by_key(|one| one.key.build));
    Ok(found.map_or(ViewKey { name: name.to_owned(), version, build: 0 }, |one| one.key.clone()))
}

/// One view that is kept up to date.
struct Tracked {
    projection: Arc<dyn Projection>,
    key: ViewKey,
    cursor: Cursor,
}

/// A batch as each view gathered it, to be written.
pub struct Ready {
    end: Cursor,
    events: usize,
    /// For each view, in the projector's order: where its facts begin, and the facts.
    gathered: Vec<(Position, Box<dyn Gathered>)>,
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("end", &self.end).field("events", &self.events).finish_non_exhaustive()
    }
}

impl Ready {
    /// How many events it has, gathered or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }
}

/// Gathers batches for a projector's views, from where they stood when it was made; for another thread than the
/// projector's.
pub struct Gatherer(Vec<(Arc<dyn Projection>, Position)>);

impl fmt::Debug for Gatherer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatherer").finish_non_exhaustive()
    }
}

impl Gatherer {
    /// Gathers a batch for each view, without what the view has already.
    ///
    /// # Errors
    /// [`SourceFault`] where a part is no event's.
    pub fn gather(&self, batch: &Batch) -> Result<Ready, SourceFault> {
        let begin = |(projection, from): &(Arc<dyn Projection>, Position)| {
            ((*from).max(batch.first()), projection.gather())
        };
        let mut views: Vec<(Position, Box<dyn Gathering>)> = self.0.iter().map(begin).collect();
        batch.each(&mut |fact| {
            for (from, gathering) in &mut views {
                if fact.position >= *from {
                    gathering.take(fact);
                }
            }
        })?;
        let gathered = views.into_iter().map(|(from, gathering)| (from, gathering.finish())).collect();
        Ok(Ready { end: batch.end(), events: batch.len(), gathered })
    }
}

/// Writes batches into the view at this place of the projector's order and moves its cursor to their end, in one
/// transaction.
fn commit(
    views: &dyn Views,
    (place, tracked): (usize, &mut Tracked),
    batches: &[Ready],
    end: Cursor,
) -> Result<(), ProjectError> {
    let mut lacking = Vec::with_capacity(batches.len());
    let mut next = tracked.cursor.position;
    for batch in batches.iter().filter(|batch| batch.end.position > tracked.cursor.position) {
        let found = batch.gathered.get(place).filter(|(from, _)| *from == next);
        let Some((_, gathered)) = found else {
            // Gathered for a view that stood elsewhere (`PROJ-1`).
            let (view, actual) = (tracked.key.clone(), tracked.cursor);
            return Err(ViewsError::CursorMoved { view, expected: batch.end, actual }.into());
        };
        lacking.push(gathered);
        next = batch.end.position;
    }
    let change = &mut |rows: &mut dyn Rows| lacking.iter().try_for_each(|gathered| gathered.write(rows));
    views.commit(&tracked.key, tracked.cursor, end, change)?;
    tracked.cursor = end;
    Ok(())
}

/// Keeps views of one ledger up to date.
pub struct Projector {
    ledger: LedgerId,
    views: Arc<dyn Views>,
    tracked: Vec<Tracked>,
    progress: Arc<Progress>,
}

impl fmt::Debug for Projector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projector").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Projector {
    /// A projector for the current builds of these projections; makes those that are not there.
    ///
    /// # Errors
    /// As [`Views::open`].
    pub fn open(
        ledger: LedgerId,
        views: Arc<dyn Views>,
        projections: Vec<Arc<dyn Projection>>,
        progress: Arc<Progress>,
    ) -> Result<Self, ViewsError> {
        let mut projector = Self { ledger, views, tracked: Vec::new(), progress };
        for projection in projections {
            let key = current_key(projector.views.as_ref(), projection.as_ref())?;
            projector.track(projection, key)?;
        }
        projector.tell();
        Ok(projector)
    }

    /// A projector for one build of one projection; makes it where it is not there.
    ///
    /// # Errors
    /// As [`Views::open`].
    pub fn open_build(
        ledger: LedgerId,
        views: Arc<dyn Views>,
        projection: Arc<dyn Projection>,
        key: ViewKey,
        progress: Arc<Progress>,
    ) -> Result<Self, ViewsError> {
        let mut projector = Self { ledger, views, tracked: Vec::new(), progress };
        projector.track(projection, key)?;
        projector.tell();
        Ok(projector)
    }

    fn track(&mut self, projection: Arc<dyn Projection>, key: ViewKey) -> Result<(), ViewsError> {
        let tracked = self.standing(projection, key)?;
        self.tracked.push(tracked);
        Ok(())
    }

    /// A view where its cursor stands now.
    fn standing(&self, projection: Arc<dyn Projection>, key: ViewKey) -> Result<Tracked, ViewsError> {
        let definition = Definition { key: key.clone(), ledger: self.ledger, tables: projection.tables() };
        let cursor = self.views.open(&definition)?.cursor;
        Ok(Tracked { projection, key, cursor })
    }

    /// Where the view stands that is furthest behind; the start where there is no view.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let cursors = self.tracked.iter().map(|tracked| tracked.cursor);
        cursors.min_by_key(|cursor| cursor.position).unwrap_or(Cursor::START)
    }

    /// Where it tells how far it is.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Who gathers batches from where the views stand now.
    #[must_use]
    pub fn gatherer(&self) -> Gatherer {
        let view = |tracked: &Tracked| (Arc::clone(&tracked.projection), tracked.cursor.position);
        Gatherer(self.tracked.iter().map(view).collect())
    }

    /// Opens and applies one batch, up to `to`; how many events that were.
    ///
    /// # Errors
    /// [`ProjectError`]; what was committed stays, and the next step goes on from there.
    pub fn step(
        &mut self,
        source: &FactSource,
        to: Position,
        limits: &BatchLimits,
    ) -> Result<usize, ProjectError> {
        let mut batch = Batch::after(self.cursor());
        source.fill(&mut batch, to, limits, &mut || true)?;
        let guarded = source.guarded();
        let ready = self.gatherer().gather(&batch)?;
        self.apply(&ready, guarded)?;
        Ok(batch.len())
    }

    /// Applies a batch to every view that lacks some of it.
    ///
    /// # Errors
    /// [`ProjectError`]; views before the one that failed keep what they got.
    pub fn apply(&mut self, batch: &Ready, guarded: Position) -> Result<(), ProjectError> {
        self.apply_all(std::slice::from_ref(batch), guarded)
    }

    /// Applies batches that follow each other, in one transaction for each view: what several of them touch is then
    /// written once. Where that fails they are applied one by one, so that what comes before a fault is kept.
    ///
    /// # Errors
    /// As [`Projector::apply`].
    pub fn apply_all(&mut self, batches: &[Ready], guarded: Position) -> Result<(), ProjectError> {
        let Some(end) = batches.last().map(|batch| batch.end) else { return Ok(()) };
        let applied = self.tracked.iter_mut().enumerate().try_for_each(|(place, tracked)| {
            if tracked.cursor.position >= end.position {
                return Ok(());
            }
            commit(self.views.as_ref(), (place, tracked), batches, end)
        });
        if applied.is_err() && batches.len() > 1 {
            return batches.iter().try_for_each(|batch| self.apply(batch, guarded));
        }
        applied?;
        let events = batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        let (count, cursor) = (batches.len() as u64, self.cursor());
        self.progress.update(|reached| {
            reached.cursor = cursor;
            reached.guarded = guarded;
            // What it had stopped at is behind it.
            reached.activity = Activity::Following;
            reached.events = reached.events.saturating_add(events);
            reached.batches = reached.batches.saturating_add(if events > 0 { count } else { 0 });
        });
        Ok(())
    }

    /// Tells how long the last batch took, from the end of the one before to its own.
    pub fn rated(&self, events: usize, taken: Duration) {
        let micros = u64::try_from(taken.as_micros()).unwrap_or(u64::MAX);
        let Some(rate) = (events as u64).saturating_mul(1_000_000).checked_div(micros) else { return };
        self.progress.update(|reached| {
            let before = if reached.per_second == 0 { rate } else { reached.per_second };
            reached.per_second = before.saturating_mul(9).saturating_add(rate) / 10;
        });
    }

    /// Reads the cursors again, after another projector moved them or a build was exchanged for another.
    ///
    /// # Errors
    /// As [`Projector::open`]; [`ViewsError::Unknown`] where a version has no build any more, so that one that was given up
    /// is not built again unasked. After an error it stands as before, and may be reopened again.
    pub fn reopen(&mut self) -> Result<(), ViewsError> {
        let mut again = Vec::with_capacity(self.tracked.len());
        for tracked in &self.tracked {
            let key = current_key(self.views.as_ref(), tracked.projection.as_ref())?;
            if !self.views.list()?.iter().any(|standing| standing.key == key) {
                return Err(ViewsError::Unknown(key.to_string()));
            }
            again.push(self.standing(Arc::clone(&tracked.projection), key)?);
        }
        self.tracked = again;
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        let cursor = self.cursor();
        self.progress.update(|reached| reached.cursor = cursor);
    }

    /// Tells that it follows again, where there is nothing new whose projection would show it.
    pub fn goes_on(&self) {
        self.progress.update(|reached| reached.activity = Activity::Following);
    }

    /// Tells that it ended, and why it cannot go on where that is the reason.
    pub fn ended(&self, why: Option<&ProjectError>) {
        let activity = match why {
            None => Activity::Stopped,
            Some(error) => Activity::Halted { code: error.code(), reason: error.to_string() },
        };
        self.progress.update(|reached| reached.activity = activity);
    }
}
