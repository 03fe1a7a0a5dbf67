//! What the pages show, as plain values: the answers a page is drawn from.
//!
//! Place: between the read model and the templates. Money stays in minor units, times in nanoseconds; how they read is
//! settled in one place (`format`). Not here: how these are read (`figures`), how they look (`templates/`).

use std::collections::BTreeMap;

use waag_invoices::event::Stage;
use waag_invoices::lists::After;
use waag_invoices::moves::Move;
use waag_model::time::{UtcDay, UtcNanos};

use crate::format::query_value;
use crate::ports::Shown;

/// An amount of one currency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    /// Whole minor units.
    pub minor: i128,
    /// ISO 4217 code.
    pub currency: String,
    /// How many digits of the minor units stand behind the point.
    pub exponent: u8,
}

/// A stage's tile on the overview.
#[derive(Clone, Debug)]
pub struct StageTile {
    /// Which stage.
    pub stage: Stage,
    /// Invoices in it.
    pub open: u64,
    /// Their value by currency, the largest count of invoices first.
    pub value: Vec<Amount>,
    /// Invoices in it past their deadline.
    pub stuck: u64,
    /// The value of those.
    pub stuck_value: Vec<Amount>,
    /// Invoices that came in within the range shown.
    pub entered: u64,
    /// Failures and holds within the range shown.
    pub failed: u64,
    /// Events per step over the range shown, oldest first.
    pub trend: Vec<u64>,
    /// Times of visits that ended on the days shown; `None` where none did.
    pub latency: Option<Latency>,
}

/// Times of visits to a stage that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Visits.
    pub ended: u64,
    /// The median, in nanoseconds.
    pub p50_ns: i64,
    /// Nanoseconds.
    pub p95_ns: i64,
    /// Nanoseconds.
    pub p99_ns: i64,
}

/// Invoices that went from one place to another within the range shown.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Where from and where to.
    pub step: Move,
    /// How often.
    pub count: u64,
    /// Their value by currency, the largest count of invoices first.
    pub value: Vec<Amount>,
    /// Whether it is the way that invoices are meant to go.
    pub is_usual: bool,
}

/// Counts over time, a line for each stage or region.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Start of the first step.
    pub start: UtcNanos,
    /// Length of a step, in seconds.
    pub step_s: i64,
    /// Lines by name, each as long as the others.
    pub lines: Vec<Line>,
}

/// One line of a series.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Its name on screens.
    pub name: String,
    /// Events per step.
    pub values: Vec<u64>,
}

/// An invoice in a list.
#[derive(Clone, Debug)]
pub struct Row {
    /// The invoice's id; empty for an event that names none.
    pub invoice: String,
    /// The event that put it in the list, where one did.
    pub position: Option<u64>,
    /// That event's type, in the list of odd ones.
    pub kind: Option<String>,
    /// Where it is; `None` where it is done or unknown.
    pub stage: Option<Stage>,
    /// What became of it, where nothing more is expected.
    pub closed: Option<(Grade, &'static str)>,
    /// Why it is in the list, in a few words.
    pub why: String,
    /// The event that may tell more of why, and where in it.
    pub asks: Option<Asks>,
    /// What that event told.
    pub told: Vec<Telling>,
    /// The invoice that it is like, with which what `why` says ends.
    pub like: Option<String>,
    /// How serious that is.
    pub grade: Grade,
    /// When it came into the stage.
    pub since: Option<UtcNanos>,
    /// When it should have left it.
    pub deadline: Option<UtcNanos>,
    /// Its value.
    pub value: Option<Amount>,
    /// Who sent the bill.
    pub vendor: Option<String>,
    /// Where it is processed.
    pub region: Option<String>,
    /// When it is to be paid.
    pub due: Option<UtcDay>,
}

impl Row {
    /// What tells this row from others of its list while a page renews itself: the element's id.
    pub(crate) fn mark(&self) -> String {
        let of = self.position.map_or_else(|| query_value(&self.invoice), |position| position.to_string());
        format!("row-{of}")
    }
}

/// Which values of an event tell why an invoice is in a list.
#[derive(Clone, Debug)]
pub struct Asks {
    /// The event's place in the ledger.
    pub position: u64,
    /// Members of its data.
    pub members: Vec<&'static str>,
}

/// A value that an event told, as it may be shown.
#[derive(Clone, Debug)]
pub struct Telling {
    /// The member's name.
    pub name: &'static str,
    /// What may be shown of it.
    pub shown: Shown,
}

/// How serious something is; each grade has a colour, a shape and a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Should be looked at.
    Warning,
    /// Needs somebody.
    Bad,
}

impl Grade {
    /// Its word, which is also its style's name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }

    /// Its shape, so that it can be told without colour.
    #[must_use]
    pub fn shape(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Note => "◆",
            Self::Warning => "▲",
            Self::Bad => "■",
        }
    }
}

/// A figure for executives.
#[derive(Clone, Debug)]
pub struct KeyFigure {
    /// The field's name for it.
    pub name: String,
    /// What it counts, in one sentence.
    pub definition: String,
    /// The value; `None` where it cannot be computed.
    pub value: Option<FigureValue>,
    /// What a reader must know, such as why there is no value.
    pub note: Option<String>,
    /// Invoices it was made of.
    pub of: u64,
    /// The same of the period before, and the invoices that was made of; `None` for what is told of now only, and where
    /// nothing is known of that period.
    pub before: Option<(FigureValue, u64)>,
}

/// A key figure's value with its unit.
#[derive(Clone, Debug)]
pub enum FigureValue {
    /// Parts of a million.
    Ratio(u64),
    /// Nanoseconds.
    Duration(i64),
    /// A number of things.
    Count(u64),
    /// Money by currency.
    Money(Vec<Amount>),
    /// Nanoseconds by currency.
    DurationIn(Vec<(String, i64)>),
}

/// Everything on the overview.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// All invoices there ever were.
    pub invoices: u64,
    /// One tile a stage.
    pub tiles: Vec<StageTile>,
    /// The flow between stages.
    pub flow: Vec<Flow>,
    /// Events by stage over the range.
    pub series: Series,
    /// The day by which nearly all events had happened, where the range has none and there are others.
    pub ended: Option<UtcDay>,
    /// Invoices past their deadline.
    pub stuck_total: u64,
    /// The first of them.
    pub stuck: Vec<Row>,
    /// Key figures.
    pub figures: Vec<KeyFigure>,
}

/// A stage's throughput and latency.
#[derive(Clone, Debug)]
pub struct StageSpeed {
    /// Which stage.
    pub stage: Stage,
    /// Entries within the range.
    pub entered: u64,
    /// Failures and holds within the range.
    pub failed: u64,
    /// Times of visits that ended on the days shown; `None` where none did.
    pub latency: Option<Latency>,
}

/// A region beside the others.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its name; empty for invoices without one.
    pub name: String,
    /// Open invoices, by stage.
    pub open: BTreeMap<Stage, u64>,
    /// Of them, past their deadline, by stage.
    pub stuck: BTreeMap<Stage, u64>,
    /// Entries within the range, by stage.
    pub entered: BTreeMap<Stage, u64>,
    /// Events per step over the range shown, oldest first.
    pub trend: Vec<u64>,
    /// Times of visits that ended on the days shown, by stage.
    pub latency: BTreeMap<Stage, Latency>,
    /// Value of the open ones, by currency.
    pub value: Vec<Amount>,
}

/// A named filter with how many it finds.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Its word in the address.
    pub word: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it finds, in a sentence.
    pub meaning: &'static str,
    /// How many there are; `None` where that is not kept.
    pub count: Option<u64>,
}

/// Everything on the operations page.
#[derive(Clone, Debug, Default)]
pub struct Operations {
    /// The named filters.
    pub filters: Vec<Filter>,
    /// The rows of the filter asked.
    pub rows: Vec<Row>,
    /// How many rows the list has in all, with the choices that narrow it; `None` where that is not kept.
    pub total: Option<u64>,
    /// Where the next page starts.
    pub next: Option<String>,
    /// Throughput and latency.
    pub speeds: Vec<StageSpeed>,
    /// Events by stage over the range.
    pub series: Series,
    /// The day by which nearly all events had happened, where the range has none and there are others.
    pub ended: Option<UtcDay>,
    /// Events by region over the range.
    pub by_region: Series,
    /// Regions side by side.
    pub regions: Vec<Region>,
    /// Currencies that occur, for the choice.
    pub currencies: Vec<String>,
}

/// One stage in an invoice's life.
#[derive(Clone, Debug)]
pub struct Passage {
    /// Which stage.
    pub stage: Stage,
    /// Entered.
    pub entered: Option<UtcNanos>,
    /// Left.
    pub left: Option<UtcNanos>,
    /// Should be left by.
    pub deadline: Option<UtcNanos>,
    /// Whether the invoice is open and in it.
    pub is_here: bool,
    /// Whether the invoice is closed, or in a later stage.
    pub is_passed: bool,
}

/// An invoice as the read model has it.
#[derive(Clone, Debug)]
pub struct Invoice {
    /// Its id.
    pub id: String,
    /// The last status word.
    pub status: String,
    /// How serious its state is.
    pub grade: Grade,
    /// What is wrong or odd with it, each in a few words.
    pub marks: Vec<(Grade, String)>,
    /// Its value.
    pub value: Option<Amount>,
    /// Facts in order: name and text.
    pub facts: Vec<(String, String)>,
    /// Its way through the stages, one a stage.
    pub passages: Vec<Passage>,
    /// Where its newest events stand in the ledger, oldest first.
    pub positions: Vec<u64>,
    /// What is told of the events at some of them, in words: out of order, late, repeated.
    pub told_of: BTreeMap<u64, Vec<String>>,
    /// Events in all, of which there may be more than positions.
    pub events: u64,
    /// How many of them come before those positions.
    pub earlier: u64,
}

/// What an id leads to.
#[derive(Clone, Debug)]
pub enum Found {
    /// The invoice of that very id.
    Invoice(Box<Invoice>),
    /// Those whose ids begin with it; none where nothing does.
    Beginning(Vec<Row>),
}

/// A piece of a list as the read model has it.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// Its lines, in order.
    pub lines: Vec<waag_invoices::named::Line>,
    /// Behind which line the list goes on, where it does.
    pub next: Option<After>,
}

/// What is outstanding in one currency at one due date.
#[derive(Clone, Debug)]
pub struct DueRow {
    /// When it is due; `None` where no due date was told.
    pub due: Option<UtcDay>,
    /// Invoices.
    pub count: u64,
    /// Their value.
    pub value: Amount,
}

/// Everything on the cash page.
#[derive(Clone, Debug, Default)]
pub struct Cash {
    /// All currencies with totals, that of the most invoices first.
    pub currencies: Vec<CashTotal>,
    /// The one whose due dates are shown; `None` where nothing is outstanding.
    pub chosen: Option<CashTotal>,
    /// Its due dates on this page, in order; those without open invoices are left out.
    pub rows: Vec<DueRow>,
    /// The first day of this page.
    pub starts: UtcDay,
    /// All that is due before them; `None` where nothing is.
    pub before: Option<DueRow>,
    /// Where the page before this one begins.
    pub earlier: UtcDay,
    /// All that is due behind them; `None` where nothing is.
    pub behind: Option<DueRow>,
    /// Where the page behind this one begins: the day after the last one.
    pub later: UtcDay,
    /// All without a due date; `None` where there is nothing.
    pub undated: Option<DueRow>,
    /// Open invoices that no sum has: they have told no amount that can be read, or no currency.
    pub unpriced: u64,
}

/// A currency's totals.
#[derive(Clone, Debug)]
pub struct CashTotal {
    /// Invoices outstanding.
    pub count: u64,
    /// All that is outstanding.
    pub outstanding: Amount,
    /// Of it, past its due date.
    pub overdue: Amount,
    /// Invoices past their due date.
    pub overdue_count: u64,
    /// Of it, due from today for seven days.
    pub week: Amount,
    /// Invoices due from today for seven days.
    pub week_count: u64,
}
