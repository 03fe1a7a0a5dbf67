//! The tables of the invoice view. What each is for, and what each column means, is in `docs/reference/invoices.md`.
//!
//! The hot table is `invoice`: one row, one index, everything that is not searched for packed into `state`. All other
//! tables are aggregates, or lists of what is rare. A sum of money is two columns, units of 10^18 and the rest, so that
//! it is exact whatever is added.
//! Not here: what writes the rows (`batch`, `learn`), what reads them (`queries`, `lists`, `figures`).

use waag_domain::project::{Column, Index, Kind, Table};

const fn integer(name: &'static str) -> Column {
    Column { name, kind: Kind::Integer, nullable: false }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, nullable: false }
}

const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes, nullable: false }
}

const fn maybe(column: Column) -> Column {
    Column { nullable: true, ..column }
}

const fn table(name: &'static str, columns: &'static [Column], key: usize) -> Table {
    Table { name, columns, key, indexes: &[] }
}

/// Open invoices by class and deadline: closed ones have no class.
pub const BY_DEADLINE: Index = Index { name: "by_deadline", columns: &[1, 2], present: Some(1) };

/// Every invoice, as it stands.
pub static INVOICE: Table = Table {
    name: "invoice",
    columns: &[text("id"), maybe(integer("class")), integer("deadline_hour"), bytes("state")],
    key: 1,
    indexes: &[BY_DEADLINE],
};

/// Histories beyond what an invoice's row holds.
pub static HISTORY: Table = table("history", &[text("invoice"), integer("chunk"), bytes("items")], 2);

/// The number of each stage × region × currency; an empty text where it was not told.
pub static SEGMENT: Table =
    table("segment", &[integer("segment"), integer("stage"), text("region"), text("currency")], 1);

/// Open invoices of a class, those among them that have a value, and the sum of it.
pub static OPEN: Table = table(
    "open",
    &[integer("class"), integer("invoices"), integer("priced"), integer("value_e18"), integer("value")],
    1,
);

/// Open invoices by deadline, packed by class: by hour, day and 32 days, so that those past any hour are a small scan,
/// and the next ones after any hour are found without looking at those in between; level 3 holds those without a
/// deadline.
pub static DUE: Table = table("due", &[integer("level"), integer("bucket"), bytes("classes")], 2);

/// Events of a minute, packed by segment.
pub static MINUTE: Table = table("figures_minute", &[integer("minute"), bytes("segments")], 1);

/// Events of the hours of a day, of all vendors (an empty text) and of each; packed by segment and hour.
pub static HOUR: Table = table("figures_hour", &[integer("day"), text("vendor"), bytes("hours")], 2);

/// Events of days, eight in a row, of all vendors (an empty text) and of each; packed by segment and day.
pub static DAY: Table = table("figures_day", &[integer("octet"), text("vendor"), bytes("days")], 2);

/// Buckets of time in one row of [`HOUR`].
pub(crate) const HOURS_IN_ROW: i64 = 24;
/// The same of [`DAY`].
pub(crate) const DAYS_IN_ROW: i64 = 8;

/// Times in a stage that ended on a day of commit time.
pub static LATENCY: Table = table(
    "latency",
    &[integer("day"), integer("stage"), text("region"), text("vendor_class"), bytes("sketch")],
    4,
);

/// Times in a stage of all vendor classes together, by the hour and the day of event time in which they ended.
pub static LATENCY_REGION: Table = table(
    "latency_region",
    &[integer("level"), integer("bucket"), integer("stage"), text("region"), bytes("sketch")],
    4,
);

/// Events, entries and failures of all currencies and vendors, packed by stage and region: by minute, hour and day.
pub static PULSE: Table = table("pulse", &[integer("level"), integer("bucket"), bytes("places")], 2);

/// Invoices that went from one stage to another and their value, packed by the two: by hour and day.
pub static FLOW: Table =
    table("flow", &[integer("level"), integer("bucket"), text("currency"), bytes("moves")], 3);

/// Vendor classes whose times are learned apart.
pub static CLASS: Table = table("vendor_class", &[text("vendor_class")], 1);

/// What was learned of a cohort at the last day boundary.
pub static COHORT: Table = table(
    "cohort",
    &[
        integer("stage"),
        text("vendor_class"),
        integer("samples"),
        integer("p50_ms"),
        integer("p95_ms"),
        integer("learned_day"),
    ],
    2,
);

/// Open invoices with an amount by due date: by day, week and 128 weeks; level 3 holds those without one.
pub static CASH: Table = table(
    "cash",
    &[
        integer("level"),
        integer("bucket"),
        text("currency"),
        integer("invoices"),
        integer("value_e18"),
        integer("value"),
    ],
    3,
);

/// Vendors by currency.
pub static VENDOR: Table = table(
    "vendor",
    &[
        text("vendor"),
        text("currency"),
        integer("invoices"),
        integer("open"),
        integer("open_value_e18"),
        integer("open_value"),
        integer("total_value_e18"),
        integer("total_value"),
    ],
    2,
);

/// Odd events.
pub static ODD: Table =
    table("odd", &[integer("position"), integer("reasons"), maybe(text("invoice")), text("type")], 1);

/// Invoices that returned to a stage, those with most returns first.
pub static LOOPS: Table = table("loops", &[integer("rank"), text("invoice")], 2);

/// Invoices that say the same as an earlier one.
pub static DUPLICATE: Table =
    table("duplicate", &[integer("position"), text("invoice"), text("earlier"), text("alike")], 1);

/// What invoices say, by date, for finding duplicates.
pub static PRINT: Table = table("print", &[integer("day"), integer("print"), text("invoice")], 2);

/// What the key figures are made of, by day of event time and currency.
pub static KEY_FIGURES: Table = table(
    "key_figures_day",
    &[
        integer("day"),
        text("currency"),
        integer("received"),
        integer("paid"),
        integer("due_known"),
        integer("on_time"),
        integer("touch_known"),
        integer("touchless"),
        integer("excepted"),
        integer("reworked"),
        integer("duplicates"),
        integer("approved_timed"),
        integer("paid_timed"),
        integer("approval_s_e18"),
        integer("approval_s"),
        integer("payment_s_e18"),
        integer("payment_s"),
        integer("received_value_e18"),
        integer("received_value"),
    ],
    2,
);

/// Counters by name.
pub static COUNTER: Table = table("counter", &[text("name"), integer("value")], 1);

/// The day of commit time that the view has come to.
pub static MARKER: Table = table("marker", &[text("name"), integer("value")], 1);

/// The day of a reference's print, and the deadline hour of an invoice without a deadline.
pub const DAY_NONE: i64 = 99_999_999;

/// All tables.
pub static TABLES: [Table; 23] = [
    INVOICE,
    HISTORY,
    SEGMENT,
    OPEN,
    DUE,
    MINUTE,
    HOUR,
    DAY,
    LATENCY,
    LATENCY_REGION,
    PULSE,
    FLOW,
    CLASS,
    COHORT,
    CASH,
    VENDOR,
    ODD,
    LOOPS,
    DUPLICATE,
    PRINT,
    KEY_FIGURES,
    COUNTER,
    MARKER,
];
