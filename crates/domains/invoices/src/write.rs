//! The end of a chunk: every row that changed, written once, in the order of its key.
//!
//! Place in the way of an event: the last step of `project`, within the transaction that moves the view's cursor.
//! Not here: what changed (`batch`).

use std::collections::HashMap;

use waag_domain::project::{Cell, Row, Rows, RowsError, Table};
use waag_model::money::Currency;

use crate::batch::{Batch, Figures, Latency, Moves, Share, code};
use crate::cash::due_buckets;
use crate::codec::{self, Pack};
use crate::event::{ODDITIES, Oddity, Stage};
use crate::key_share::{KeyShare, kpi};
use crate::learn::latency_hour_floor;
use crate::names::{Name, Names};
use crate::sketch::Sketch;
use crate::state::{Condition, flag};
use crate::tables::{
    CASH, COUNTER, DAY, DAY_NONE, DAYS_IN_ROW, DUE, DUPLICATE, FLOW, HISTORY, HOUR, HOURS_IN_ROW, INVOICE,
    KEY_FIGURES, LATENCY, LATENCY_REGION, LOOPS, MINUTE, ODD, OPEN, PRINT, PULSE, VENDOR,
};
use crate::tally::{Change, Tally};

/// Hours of the buckets of each level of [`DUE`].
pub(crate) const LEVEL_HOURS: [i64; 3] = [1, 24, 24 * 32];
/// The level of [`DUE`] of invoices without a deadline; its bucket is 0.
pub(crate) const LEVEL_NONE: i64 = 3;
/// The counter of invoices that have a value, open or closed.
pub(crate) const PRICED: &str = "priced";
/// Minutes of the buckets of each level of [`PULSE`] and [`FLOW`], which has no minutes.
pub(crate) const PERIOD_MINUTES: [i64; 3] = [1, 60, 1_440];

impl Batch<'_> {
    pub(crate) fn finish(mut self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        self.duplicates(rows)?;
        self.odd(rows)?;
        self.shares(rows)?;
        self.invoices(rows)?;
        let floors = self.floors();
        write_figures(&self.figures, floors, (&self.names, &self.segments.places()), rows)?;
        write_moves(&self.moves, floors.1, rows)?;
        let hours = latency_hour_floor(self.day, self.config);
        write_latency(self.latency, (self.day, hours), &self.names, rows)?;
        self.key_figures
            .write(&KEY_FIGURES, rows, |(day, currency)| [day.into(), code(currency.as_ref())])?;
        self.counters.write(&COUNTER, rows, |name| [name.into()])?;
        self.classes.write(rows)?;
        self.segments.write(rows)
    }

    /// Compares what invoices say with what others said before, in the order of positions.
    fn duplicates(&mut self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        let mut keys: Vec<(i64, i64)> = self.prints.iter().map(|print| (print.day, print.print)).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(());
        }
        let asked: Vec<Row> = keys.iter().map(|(day, print)| vec![(*day).into(), (*print).into()]).collect();
        let mut owners: HashMap<(i64, i64), Cell> = HashMap::new();
        for (key, row) in keys.iter().zip(rows.get(&PRINT, &asked)?) {
            if let Some(owner) = row.and_then(|row| row.into_iter().nth(2)) {
                owners.insert(*key, owner);
            }
        }
        let (mut fresh, mut found): (Vec<Row>, Vec<Row>) = (Vec::new(), Vec::new());
        for print in std::mem::take(&mut self.prints) {
            let Some(slot) = self.slots.get_mut(print.slot) else { continue };
            let Some(owner) = owners.get(&(print.day, print.print)) else {
                owners.insert((print.day, print.print), slot.id.into());
                fresh.push(vec![print.day.into(), print.print.into(), slot.id.into()]);
                continue;
            };
            if owner.text() == Some(slot.id) || slot.invoice.has(flag::DUPLICATE) {
                continue;
            }
            slot.invoice.flags |= flag::DUPLICATE;
            found.push(vec![position(print.position), slot.id.into(), owner.clone(), print.alike.into()]);
            let mut change = Change { counts: [0; kpi::COUNTS], sums: [0; kpi::SUMS] };
            if let Some(count) = change.counts.get_mut(kpi::DUPLICATES) {
                *count = 1;
            }
            self.key_figures.add((print.found, Some(print.currency)), change);
            self.count("duplicates", true);
        }
        fresh.sort_unstable();
        put(&PRINT, fresh, rows)?;
        put(&DUPLICATE, found, rows)
    }

    /// Counts odd events by reason and lists them up to the limit.
    fn odd(&mut self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        if self.odd.is_empty() {
            return Ok(());
        }
        let keys: Vec<Row> = ODDITIES.iter().map(|reason| vec![odd_counter(*reason)]).collect();
        let mut counts: Vec<i64> = rows
            .get(&COUNTER, &keys)?
            .into_iter()
            .map(|row| row.and_then(|row| row.get(1).and_then(Cell::integer)).unwrap_or(0))
            .collect();
        let limit = i64::try_from(self.config.odd_rows_max).unwrap_or(i64::MAX);
        let (mut tally, mut listed) = (Tally::<Oddity, 1, 0>::new(), Vec::new());
        for odd in &self.odd {
            let mut list = false;
            for (reason, count) in ODDITIES.into_iter().zip(&mut counts) {
                if odd.said.odd & reason.bit() != 0 {
                    list |= *count < limit;
                    *count = count.saturating_add(1);
                    tally.add(reason, Change { counts: [1], sums: [] });
                }
            }
            if list {
                let reasons = Cell::Integer(i64::from(odd.said.odd));
                let invoice = odd.invoice.and_then(|at| self.slots.get(at)).map(|slot| slot.id);
                let kind = self.names.text(odd.kind).into();
                listed.push(vec![position(odd.said.position), reasons, invoice.into(), kind]);
            }
        }
        // The mark of an invoice's events is counted as `odd` already; those of no invoice are added here.
        let without = self.odd.iter().filter(|odd| odd.invoice.is_none()).count();
        self.counters.add("odd", Change { counts: [i64::try_from(without).unwrap_or(0)], sums: [] });
        tally.write(&COUNTER, rows, |reason| [odd_counter(reason)])?;
        put(&ODD, listed, rows)
    }

    /// What the touched invoices add to counters and lists, less what they added before.
    fn shares(&mut self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        let mut sums = Shares::default();
        let (mut gone, mut listed) = (Vec::new(), Vec::new());
        for slot in &self.slots {
            KeyShare::count(&slot.key_before, &KeyShare::of(&slot.invoice), &mut self.key_figures);
            let after = Share::of(&slot.invoice, slot.class());
            if slot.before == Some(after) {
                continue;
            }
            let rank = |share: &Share| {
                let loops = i64::from(share.loops);
                (share.loops > 0 && share.loops >= self.config.loops_min).then_some(-loops)
            };
            let (old, new) = (slot.before.as_ref().and_then(rank), rank(&after));
            if old != new {
                gone.extend(old.map(|rank| vec![rank.into(), slot.id.into()]));
                listed.extend(new.map(|rank| vec![rank.into(), slot.id.into()]));
                if old.is_none() {
                    self.counters.add("loops", Change { counts: [1], sums: [] });
                }
            }
            if let Some(before) = &slot.before {
                sums.add(before, -1);
            } else {
                self.counters.add("invoices", Change { counts: [1], sums: [] });
            }
            sums.add(&after, 1);
            let priced =
                |share: Option<&Share>| i64::from(share.is_some_and(|share| share.value().is_some()));
            let change = priced(Some(&after)) - priced(slot.before.as_ref());
            if change != 0 {
                self.counters.add(PRICED, Change { counts: [change], sums: [] });
            }
            let worth = |share: Option<&Share>, condition| {
                i64::from(share.is_some_and(|share| share.condition == condition))
            };
            for (condition, name) in [(Condition::Paid, "cleared"), (Condition::Rejected, "rejected")] {
                let change = worth(Some(&after), condition) - worth(slot.before.as_ref(), condition);
                if change != 0 {
                    self.counters.add(name, Change { counts: [change], sums: [] });
                }
            }
        }
        if !gone.is_empty() {
            gone.sort_unstable();
            rows.delete(&LOOPS, &gone)?;
        }
        listed.sort_unstable();
        put(&LOOPS, listed, rows)?;
        sums.write(&self.names, rows)
    }

    /// The invoices themselves, and full chunks of their histories.
    fn invoices(&mut self, rows: &mut dyn Rows) -> Result<(), RowsError> {
        let (mut invoices, mut chunks) = (Vec::with_capacity(self.slots.len()), Vec::new());
        let mut pack = Pack::default();
        for slot in &self.slots {
            let state = Cell::Bytes(codec::pack(&slot.invoice, &self.names, &mut pack));
            let deadline = slot.invoice.deadline.unwrap_or(DAY_NONE);
            invoices.push(vec![slot.id.into(), slot.class().into(), deadline.into(), state]);
            for (chunk, items) in &slot.full {
                let items = Cell::Bytes(codec::pack_history(items));
                chunks.push(vec![slot.id.into(), i64::from(*chunk).into(), items]);
            }
        }
        put(&INVOICE, invoices, rows)?;
        put(&HISTORY, chunks, rows)
    }
}

/// Sums over invoices.
struct Shares {
    /// Invoices, and those of them that have a value.
    open: Tally<i64, 2, 1>,
    /// The same by deadline's hour, and class.
    due: Tally<(Option<i64>, i64), 2, 1>,
    cash: Tally<(Option<i32>, Option<Currency>), 1, 1>,
    vendors: Tally<(Name, Option<Currency>), 2, 2>,
}

impl Default for Shares {
    fn default() -> Self {
        Self { open: Tally::new(), due: Tally::new(), cash: Tally::new(), vendors: Tally::new() }
    }
}

impl Shares {
    /// Adds an invoice's share, or takes it away.
    fn add(&mut self, share: &Share, sign: i64) {
        let amount = share.value();
        let value = i128::from(amount.unwrap_or(0)) * i128::from(sign);
        if let Some(class) = share.class {
            let priced = if amount.is_some() { sign } else { 0 };
            let change = Change { counts: [sign, priced], sums: [value] };
            self.open.add(class, change);
            self.due.add((share.deadline, class), change);
            if amount.is_some() {
                self.cash.add((share.due, share.currency), Change { counts: [sign], sums: [value] });
            }
        }
        if !share.vendor.is_none() {
            let open = share.class.is_some();
            let (count, sum) = if open { (sign, value) } else { (0, 0) };
            let change = Change { counts: [sign, count], sums: [sum, value] };
            self.vendors.add((share.vendor, share.currency), change);
        }
    }

    fn write(self, names: &Names, rows: &mut dyn Rows) -> Result<(), RowsError> {
        self.open.write(&OPEN, rows, |class| [class.into()])?;
        let mut due = Tally::<((i64, i64), i64), 2, 1>::new();
        for (&(deadline, class), change) in self.due.iter() {
            match deadline {
                Some(deadline) => {
                    for (level, hours) in (0..).zip(LEVEL_HOURS) {
                        due.add(((level, deadline.div_euclid(hours)), class), *change);
                    }
                }
                None => due.add(((LEVEL_NONE, 0), class), *change),
            }
        }
        due.write_packed(&DUE, rows, |(level, bucket)| [level.into(), bucket.into()])?;
        let mut sums = Tally::<(i64, i64, Option<Currency>), 1, 1>::new();
        for (&(date, currency), change) in self.cash.iter() {
            due_buckets(date).for_each(|(level, bucket)| sums.add((level, bucket, currency), *change));
        }
        let cash = |(level, bucket, currency): (i64, i64, Option<Currency>)| {
            [level.into(), bucket.into(), code(currency.as_ref())]
        };
        sums.write(&CASH, rows, cash)?;
        let vendor = |(vendor, currency): (Name, Option<Currency>)| {
            [names.text(vendor).into(), code(currency.as_ref())]
        };
        self.vendors.write(&VENDOR, rows, vendor)
    }
}

/// Figures by minute, hour and day, made of those by minute and vendor; of all vendors by stage and region too.
fn write_figures(
    figures: &Figures<(i64, Name, i64)>,
    (minute_floor, hour_floor): (i64, i64),
    (names, places): (&Names, &HashMap<i64, i64>),
    rows: &mut dyn Rows,
) -> Result<(), RowsError> {
    let mut all = Figures::<(i64, i64)>::new();
    let mut minutes = Figures::<(i64, i64)>::new();
    let mut hours = Figures::<((i64, Name), i64)>::new();
    let mut days = Figures::<((i64, Name), i64)>::new();
    let mut pulses = Tally::<((i64, i64), i64), 3, 0>::new();
    let mut put = |(vendor, minute, segment): (Name, i64, i64), change: &Change<3, 1>| {
        let (hour, day) = (minute.div_euclid(60), minute.div_euclid(1_440));
        let place = |bucket: i64, in_row: i64| {
            ((bucket.div_euclid(in_row), vendor), segment * in_row + bucket.rem_euclid(in_row))
        };
        if hour >= hour_floor {
            hours.add(place(hour, HOURS_IN_ROW), *change);
        }
        days.add(place(day, DAYS_IN_ROW), *change);
    };
    for (&(minute, vendor, segment), change) in figures.iter() {
        all.add((minute, segment), *change);
        if !vendor.is_none() {
            put((vendor, minute, segment), change);
        }
    }
    let first = [minute_floor, hour_floor, i64::MIN];
    for (&(minute, segment), change) in all.iter() {
        put((Name::default(), minute, segment), change);
        if minute >= minute_floor {
            minutes.add((minute, segment), *change);
        }
        let place = places.get(&segment).copied().unwrap_or(segment);
        for ((level, length), first) in (0..).zip(PERIOD_MINUTES).zip(first) {
            let bucket = minute.div_euclid(length);
            if bucket >= first {
                pulses.add(((level, bucket), place), Change { counts: change.counts, sums: [] });
            }
        }
    }
    let by_vendor = |(row, vendor): (i64, Name)| [row.into(), names.text(vendor).into()];
    minutes.write_packed(&MINUTE, rows, |minute| [minute.into()])?;
    hours.write_packed(&HOUR, rows, by_vendor)?;
    days.write_packed(&DAY, rows, by_vendor)?;
    pulses.write_packed(&PULSE, rows, |(level, bucket)| [level.into(), bucket.into()])
}

/// Steps from stage to stage by hour and by day.
fn write_moves(moves: &Moves, hour_floor: i64, rows: &mut dyn Rows) -> Result<(), RowsError> {
    let mut buckets = Tally::<((i64, i64, Option<Currency>), i64), 1, 1>::new();
    for (&((hour, currency), step), change) in moves.iter() {
        if hour >= hour_floor {
            buckets.add(((1, hour, currency), step), *change);
        }
        buckets.add(((2, hour.div_euclid(24), currency), step), *change);
    }
    buckets.write_packed(&FLOW, rows, |(level, bucket, currency)| {
        [level.into(), bucket.into(), code(currency.as_ref())]
    })
}

/// Stage times, merged into those stored: by vendor class for learning, which goes by commit time, and of all of them
/// for pages, which tell when visits ended.
fn write_latency(
    latency: Latency,
    (day, hour_floor): (i64, i64),
    names: &Names,
    rows: &mut dyn Rows,
) -> Result<(), RowsError> {
    let mut regions: HashMap<(i64, i64, Stage, Name), Sketch> = HashMap::new();
    let mut classes: HashMap<(Stage, Name, Name), Sketch> = HashMap::new();
    for ((hour, stage, region, class), sketch) in latency {
        if hour >= hour_floor {
            regions.entry((1, hour, stage, region)).or_default().merge(&sketch);
        }
        regions.entry((2, hour.div_euclid(24), stage, region)).or_default().merge(&sketch);
        classes.entry((stage, region, class)).or_default().merge(&sketch);
    }
    let of_stage = |stage: Stage| Cell::Integer(i64::from(stage.number()));
    let of_class = |((stage, region, class), sketch): ((Stage, Name, Name), Sketch)| {
        let key = vec![day.into(), of_stage(stage), names.text(region).into(), names.text(class).into()];
        (key, sketch)
    };
    merge_sketches(&LATENCY, classes.into_iter().map(of_class).collect(), rows)?;
    let of_all = |((level, bucket, stage, region), sketch): ((i64, i64, Stage, Name), Sketch)| {
        let key = vec![level.into(), bucket.into(), of_stage(stage), names.text(region).into()];
        (key, sketch)
    };
    merge_sketches(&LATENCY_REGION, regions.into_iter().map(of_all).collect(), rows)
}

fn merge_sketches(
    table: &'static Table,
    mut sketches: Vec<(Row, Sketch)>,
    rows: &mut dyn Rows,
) -> Result<(), RowsError> {
    sketches.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let (keys, mut sketches): (Vec<Row>, Vec<Sketch>) = sketches.into_iter().unzip();
    let found = if keys.is_empty() { Vec::new() } else { rows.get(table, &keys)? };
    let mut merged = Vec::with_capacity(keys.len());
    for ((mut key, sketch), old) in keys.into_iter().zip(&mut sketches).zip(found) {
        let old = old.as_ref().and_then(|row| row.get(table.key)).and_then(Cell::bytes);
        if let Some(old) = old.and_then(Sketch::from_bytes) {
            sketch.merge(&old);
        }
        key.push(Cell::Bytes(sketch.to_bytes()));
        merged.push(key);
    }
    put(table, merged, rows)
}

fn put(table: &'static Table, fresh: Vec<Row>, rows: &mut dyn Rows) -> Result<(), RowsError> {
    if fresh.is_empty() { Ok(()) } else { rows.put(table, fresh) }
}

/// The counter of an odd reason.
pub(crate) fn odd_counter(reason: Oddity) -> Cell {
    Cell::Text(format!("odd.{}", reason.name()).into())
}

/// A position as views hold it; a ledger has fewer than 2^63.
fn position(position: u64) -> Cell {
    Cell::Integer(i64::try_from(position).unwrap_or(i64::MAX))
}
