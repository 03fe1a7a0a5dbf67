//! Views in memory: the model of the contract, for tests, for the simulator, and as the scratch of a check.
//!
//! A commit works on a copy of the view's rows, so it is for small ones. Clones are handles to the same store.
//! Not here: rows by themselves (`domain/memory`), stores that outlive the process (the drivers).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use waag_domain::memory::MemoryRows;
use waag_domain::project::{Reads, Row, RowsError, Scan, Table};

use crate::contract::{
    Change, Cursor, Definition, Snapshot, Standing, Turn, ViewKey, Views, Which, check_definition,
    check_move, layout,
};
use crate::error::ViewsError;

#[derive(Clone, Debug)]
struct Held {
    standing: Standing,
    layout: String,
    rows: Arc<MemoryRows>,
}

/// A store of views in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryViews {
    held: Arc<Mutex<BTreeMap<ViewKey, Held>>>,
    /// Held over a whole change; readers do not wait for it.
    writing: Arc<Mutex<()>>,
}

impl MemoryViews {
    /// A store without views.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<ViewKey, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryViews {
    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Views for MemoryViews {
    fn open(&self, definition: &Definition) -> Result<Standing, ViewsError> {
        let mut all = self.held();
        if let Some(held) = all.get(&definition.key) {
            check_definition(definition, held.standing.ledger, &held.layout)?;
            return Ok(held.standing.clone());
        }
        let serves = !all.values().any(|held| held.standing.key.name == definition.key.name);
        let standing = Standing {
            key: definition.key.clone(),
            ledger: definition.ledger,
            cursor: Cursor::START,
            serves,
        };
        let rows = Arc::new(MemoryRows::new());
        let layout = layout(definition.tables);
        all.insert(definition.key.clone(), Held { standing: standing.clone(), layout, rows });
        Ok(standing)
    }

    fn commit(
        &self,
        view: &ViewKey,
        expected: Cursor,
        next: Cursor,
        change: &mut Change<'_>,
    ) -> Result<(), ViewsError> {
        let _writing = self.writing();
        let unknown = || ViewsError::Unknown(view.to_string());
        let held = self.held().get(view).cloned().ok_or_else(unknown)?;
        check_move(view, held.standing.cursor, expected, next)?;
        let mut rows = MemoryRows::clone(&held.rows);
        change(&mut rows)?;
        let mut all = self.held();
        let held = all.get_mut(view).ok_or_else(unknown)?;
        held.rows = Arc::new(rows);
        held.standing.cursor = next;
        Ok(())
    }

    fn snapshot(&self, name: &str, which: Which) -> Result<Box<dyn Snapshot>, ViewsError> {
        let all = self.held();
        let is_wanted = |held: &&Held| {
            let key = &held.standing.key;
            key.name == name
                && match which {
                    Which::Serving => held.standing.serves,
                    Which::Build { version, build } => (key.version, key.build) == (version, build),
                }
        };
        let held = all.values().find(is_wanted).ok_or_else(|| ViewsError::Unknown(name.to_owned()))?;
        Ok(Box::new(Moment(held.clone())))
    }

    fn list(&self) -> Result<Vec<Standing>, ViewsError> {
        Ok(self.held().values().map(|held| held.standing.clone()).collect())
    }

    fn turn(&self, view: &ViewKey, turn: Turn) -> Result<(), ViewsError> {
        let _writing = self.writing();
        let mut all = self.held();
        match turn {
            Turn::Serve => {
                if !all.contains_key(view) {
                    return Err(ViewsError::Unknown(view.to_string()));
                }
                for held in all.values_mut().filter(|held| held.standing.key.name == view.name) {
                    held.standing.serves = held.standing.key == *view;
                }
            }
            Turn::Drop => {
                if all.get(view).is_some_and(|held| held.standing.serves) {
                    return Err(ViewsError::Serving(view.clone()));
                }
                all.remove(view);
            }
        }
        Ok(())
    }
}

/// One moment of one view.
struct Moment(Held);

impl Snapshot for Moment {
    fn standing(&self) -> &Standing {
        &self.0.standing
    }
}

impl Reads for Moment {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        self.0.rows.get(table, keys)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        self.0.rows.scan(table, scan)
    }
}
