//! Which vendor classes are told apart when times are learned: the first ones that had times, up to a limit.
//!
//! A class is whatever a producer tells, so their count is bounded as that of segments is: classes beyond the limit
//! share one. Places are given in the order of positions, so that a rebuild gives the same (`PROJECT-1`).
//! Not here: what is learned of them (`learn`); an invoice keeps the class it told, and service levels go by that.

use std::collections::HashSet;

use waag_domain::project::{Cell, Reads, Row, Rows, RowsError};

use crate::config::{CLASS_OTHER, Config};
use crate::mix::Mix;
use crate::names::{Name, Names};
use crate::project::whole;
use crate::tables::CLASS;

/// The classes that are told apart.
#[derive(Debug)]
pub(crate) struct Classes {
    known: HashSet<Name, Mix>,
    fresh: Vec<Row>,
    other: Name,
    limit: usize,
}

impl Classes {
    pub(crate) fn load(rows: &dyn Reads, config: &Config, names: &mut Names) -> Result<Self, RowsError> {
        let found = whole(rows, &CLASS)?;
        let known = found.iter().filter_map(|row| row.first().and_then(Cell::text));
        Ok(Self {
            known: known.map(|class| names.of(class)).collect(),
            fresh: Vec::new(),
            other: names.of(CLASS_OTHER),
            limit: usize::try_from(config.classes_max).unwrap_or(usize::MAX),
        })
    }

    /// The class that stands for one: itself where it is told apart or empty, else that of all others.
    pub(crate) fn of(&self, class: Name) -> Name {
        if class.is_none() || self.known.contains(&class) { class } else { self.other }
    }

    /// The same for a class that has a time to be learned from, which is told apart from here on while there is room.
    pub(crate) fn learning(&mut self, class: Name, names: &Names) -> Name {
        let has_room = self.known.len() < self.limit;
        if has_room && !class.is_none() && self.known.insert(class) {
            self.fresh.push(vec![names.text(class).into()]);
        }
        self.of(class)
    }

    pub(crate) fn write(mut self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        self.fresh.sort_unstable();
        if self.fresh.is_empty() { Ok(()) } else { rows.put(&CLASS, self.fresh) }
    }
}
