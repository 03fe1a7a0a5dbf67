//! Lists as CSV: what a cell may be, and which columns a list has.
//!
//! RFC 4180: CRLF behind each record, a cell in quotes where it has a comma, a quote or an end of line. What an event
//! told is data of strangers, and a spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or an end of line
//! for a formula: such a cell gets an apostrophe before it (OWASP, CSV Injection). Numbers and times of our own making
//! need none.
//! Not here: reading the lists and sending them (`download`).

use waag_invoices::life::InvoiceState;
use waag_invoices::named::Line;
use waag_invoices::state::Condition;
use waag_model::time::UtcNanos;

use crate::format;
use crate::model::{Amount, Telling};
use crate::ports::Shown;

/// Columns that every list has, behind those of its own.
const COLUMNS: [&str; 18] = [
    "invoice",
    "stage",
    "state",
    "stuck",
    "since",
    "deadline",
    "amount",
    "currency",
    "due_date",
    "vendor",
    "vendor_class",
    "region",
    "received",
    "approved",
    "closed",
    "returns",
    "exception",
    "reason",
];

/// Columns that a list has before those.
fn own_columns(filter: &str) -> &'static [&'static str] {
    match filter {
        "odd" => &["position", "type", "odd"],
        "duplicates" => &["position", "earlier", "alike"],
        _ => &[],
    }
}

/// A record being written.
struct Record<'o> {
    out: &'o mut String,
    is_first: bool,
}

impl<'o> Record<'o> {
    fn begin(out: &'o mut String) -> Self {
        Self { out, is_first: true }
    }

    /// A cell of our own making: digits, dates, names of ours.
    fn plain(&mut self, cell: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(',');
        }
        if cell.contains(['"', ',', '\r', '\n']) {
            self.out.push('"');
            self.out.push_str(&cell.replace('"', "\"\""));
            self.out.push('"');
        } else {
            self.out.push_str(cell);
        }
    }

    /// A cell that somebody else told.
    fn told(&mut self, cell: &str) {
        let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
        if is_formula { self.plain(&format!("'{cell}")) } else { self.plain(cell) }
    }

    fn end(self) {
        self.out.push_str("\r\n");
    }
}

/// The header.
pub(crate) fn header(filter: &str, out: &mut String) {
    let mut record = Record::begin(out);
    own_columns(filter).iter().chain(&COLUMNS).for_each(|name| record.plain(name));
    record.end();
}

/// One line, with what its event told of why.
pub(crate) fn line(line: &Line, reasons: &[Telling], out: &mut String) {
    let mut record = Record::begin(out);
    match line {
        Line::Invoice(_) => {}
        Line::Odd(line) => {
            record.plain(&line.position.to_string());
            record.told(&line.kind);
            record.plain(&line.reasons.join(" "));
        }
        Line::Duplicate(line) => {
            record.plain(&line.position.to_string());
            record.told(&line.earlier);
            record.plain(&line.alike);
        }
    }
    record.told(line.invoice());
    match line.state() {
        Some(state) => of_state(state, &mut record),
        None => COLUMNS.iter().skip(2).for_each(|_| record.plain("")),
    }
    record.told(&reason(reasons));
    record.end();
}

fn of_state(state: &InvoiceState, record: &mut Record<'_>) {
    let time = |at: Option<i64>| at.map_or(String::new(), |at| format::seconds(&UtcNanos(at)));
    let flag = |is: bool| if is { "true" } else { "false" };
    record.plain(state.stage.name());
    record.plain(code(state.condition));
    record.plain(flag(state.stuck));
    record.plain(&time(state.since));
    record.plain(&time(state.deadline));
    let exponent = state.exponent.unwrap_or(0);
    let currency = state.currency.clone().unwrap_or_default();
    let amount = state.amount_minor.map(|minor| Amount { minor: minor.into(), currency, exponent });
    // Without a currency nobody knows where the point is.
    let amount = amount.filter(|amount| !amount.currency.is_empty());
    record.plain(&amount.as_ref().map_or(String::new(), format::decimal_text));
    record.plain(state.currency.as_deref().unwrap_or(""));
    record.plain(state.due_date.as_deref().unwrap_or(""));
    [&state.vendor, &state.vendor_class, &state.region].into_iter().for_each(|text| record.told(text));
    // An approval that a posting only implies has no time of its own.
    let approved = state.approved.filter(|_| state.approval_told);
    [state.received, approved, state.closed].into_iter().for_each(|at| record.plain(&time(at)));
    record.plain(&state.loops.to_string());
    record.plain(flag(state.exception));
}

/// A condition's name, as the reports of the command line have it.
fn code(condition: Condition) -> &'static str {
    match condition {
        Condition::InProgress => "in_progress",
        Condition::Waiting => "waiting",
        Condition::Failed => "failed",
        Condition::Blocked => "blocked",
        Condition::Paid => "paid",
        Condition::Rejected => "rejected",
    }
}

/// What an event told, in one cell; of a person's nothing but that it is one.
fn reason(reasons: &[Telling]) -> String {
    let text = |telling: &Telling| match &telling.shown {
        Shown::Plain(text) => text.clone(),
        Shown::Masked(_) => "(masked)".to_owned(),
        Shown::Erased => "(erased)".to_owned(),
    };
    reasons.iter().map(text).collect::<Vec<_>>().join("; ")
}

/// The last record of a list that goes on: one cell that says so, and as many empty ones as the others have.
pub(crate) fn more(filter: &str, rows: usize, out: &mut String) {
    let mut record = Record::begin(out);
    let rows = format::count(u64::try_from(rows).unwrap_or(u64::MAX));
    record.plain(&format!("(there is more: this file ends after {rows} rows; narrow the list)"));
    own_columns(filter).iter().chain(&COLUMNS).skip(1).for_each(|_| record.plain(""));
    record.end();
}

#[cfg(test)]
mod tests {
    use waag_invoices::lists::{DuplicateLine, OddLine};

    use super::*;

    fn cell(text: &str) -> String {
        let mut out = String::new();
        Record::begin(&mut out).told(text);
        out
    }

    #[test]
    fn no_cell_is_a_formula_and_every_cell_is_one_cell() {
        for (text, written) in [
            ("INV-7", "INV-7"),
            ("", ""),
            ("=1+1", "'=1+1"),
            ("+31", "'+31"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1", "'＝1"),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("Acme, \"BV\"\nx", "\"Acme, \"\"BV\"\"\nx\""),
            ("Smith\",=1", "\"Smith\"\",=1\""),
            ("a=1", "a=1"),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
    }

    /// The cells of a record without quotes.
    fn count(record: &str) -> usize {
        assert!(record.ends_with("\r\n") && !record.contains('"'), "{record}");
        record.matches(',').count() + 1
    }

    #[test]
    fn every_record_has_as_many_cells_as_the_header() {
        for filter in ["odd", "duplicates"] {
            let listed = match filter {
                "odd" => Line::Odd(Box::new(OddLine {
                    position: 7,
                    reasons: vec!["a", "b"],
                    invoice: None,
                    kind: "invoice.x".to_owned(),
                    state: None,
                })),
                _ => Line::Duplicate(Box::new(DuplicateLine {
                    position: 7,
                    invoice: "B".to_owned(),
                    earlier: "A".to_owned(),
                    alike: "date".to_owned(),
                    state: None,
                })),
            };
            let (mut head, mut one, mut last) = (String::new(), String::new(), String::new());
            header(filter, &mut head);
            line(&listed, &[], &mut one);
            more(filter, 10, &mut last);
            assert_eq!((count(&one), count(&last)), (count(&head), count(&head)), "{filter}");
        }
    }

    #[test]
    fn of_a_person_a_cell_tells_nothing() {
        let telling = |shown| Telling { name: "reason", shown };
        let told = [
            telling(Shown::Plain("price".to_owned())),
            telling(Shown::Masked("1234".to_owned())),
            telling(Shown::Erased),
        ];
        assert_eq!(reason(&told), "price; (masked); (erased)");
    }
}
