//! Numbers of segments: stage × region × currency, in the order in which events first needed them.
//!
//! A number makes the hot table's index and the keys of figures small. Numbers are given in the order of positions, so
//! that a rebuild gives the same (`PROJECT-1`), and their count is bounded: regions beyond the limit share one.

use std::collections::HashMap;

use waag_domain::project::{Cell, Reads, Row, Rows, RowsError};
use waag_model::money::Currency;

use crate::config::{Config, REGION_OTHER};
use crate::event::Stage;
use crate::mix::Mix;
use crate::names::{Name, Names};
use crate::project::whole;
use crate::tables::SEGMENT;

/// Segments by what they stand for.
#[derive(Debug)]
pub(crate) struct Segments {
    numbers: HashMap<(Stage, Name, Option<Currency>), i64, Mix>,
    fresh: Vec<Row>,
    limit: usize,
}

impl Segments {
    pub(crate) fn load(rows: &dyn Reads, config: &Config, names: &mut Names) -> Result<Self, RowsError> {
        let mut numbers = HashMap::default();
        for row in whole(rows, &SEGMENT)? {
            let [number, stage, region, currency] = row.as_slice() else { continue };
            let (Some(number), Some(stage)) = (number.integer(), stage.integer().and_then(Stage::of_number))
            else {
                continue;
            };
            let currency = currency.text().and_then(Currency::of);
            numbers.insert((stage, names.of(region.text().unwrap_or("")), currency), number);
        }
        let limit = usize::try_from(config.segments_max).unwrap_or(usize::MAX);
        Ok(Self { numbers, fresh: Vec::new(), limit })
    }

    /// The number of a segment; a new one where it has none.
    pub(crate) fn number(
        &mut self,
        stage: Stage,
        region: Name,
        currency: Option<Currency>,
        names: &mut Names,
    ) -> i64 {
        self.known(stage, region, currency, names).0
    }

    /// The region that a segment counts under: its own, or that of all regions beyond the limit.
    pub(crate) fn region(
        &mut self,
        stage: Stage,
        region: Name,
        currency: Option<Currency>,
        names: &mut Names,
    ) -> Name {
        self.known(stage, region, currency, names).1
    }

    fn known(
        &mut self,
        stage: Stage,
        region: Name,
        currency: Option<Currency>,
        names: &mut Names,
    ) -> (i64, Name) {
        if let Some(number) = self.numbers.get(&(stage, region, currency)) {
            return (*number, region);
        }
        let full = self.numbers.len() >= self.limit;
        let region = if full { names.of(REGION_OTHER) } else { region };
        if let Some(number) = self.numbers.get(&(stage, region, currency)) {
            return (*number, region);
        }
        let number = i64::try_from(self.numbers.len()).unwrap_or(i64::MAX);
        self.numbers.insert((stage, region, currency), number);
        let code = currency.as_ref().map_or("", Currency::code);
        let stage = Cell::Integer(i64::from(stage.number()));
        self.fresh.push(vec![number.into(), stage, names.text(region).into(), code.into()]);
        (number, region)
    }

    /// The first segment of the same stage and region as each, which stands for the two.
    pub(crate) fn places(&self) -> HashMap<i64, i64> {
        let mut first: HashMap<(Stage, Name), i64> = HashMap::new();
        for ((stage, region, _), number) in &self.numbers {
            let least = first.entry((*stage, *region)).or_insert(*number);
            *least = (*least).min(*number);
        }
        let place = |((stage, region, _), number): (&(Stage, Name, Option<Currency>), &i64)| {
            Some((*number, *first.get(&(*stage, *region))?))
        };
        self.numbers.iter().filter_map(place).collect()
    }

    pub(crate) fn write(self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        if self.fresh.is_empty() { Ok(()) } else { rows.put(&SEGMENT, self.fresh) }
    }
}
