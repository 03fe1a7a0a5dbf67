//! What programs ask of the invoices' read model: lists, one invoice, totals, key figures, series, times, vendors, cash.
//!
//! The JSON is that of the domain's own answers, which `waag report … --json` prints too; each answer says beside it how
//! far the read model was and for which time it was computed. Who may ask: a reader and an administrator. A producer may
//! not, since all of it tells of others' events. Nothing of a person is in a read model (`PROJECT-3`), so nothing is masked.
//! Not here: what figures mean and what they are read from (`domains/invoices`), whose rows they are (`ports`).
//!
//! - `REPORT-1`: answers are read from one snapshot each, at most [`READS_MAX`] at a time, each within
//!   [`DoorLimits::read_ms_max`]; what is one too many, or takes longer, is told with 503.
//! - `REPORT-2`: an answer is bounded: a page of a list or of an invoice's events, a span of buckets, a number of lines.
//!
//! [`DoorLimits::read_ms_max`]: crate::door::DoorLimits::read_ms_max

pub(crate) mod asked;
mod cursor;
mod told;

use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, StatusCode};
use waag_domain::project::{Reads, Row, RowsError, Scan, Table};
use waag_invoices::queries::Queries;
use waag_stdx::clock::Clock;

use self::asked::Asked;
use crate::access::Learned;
use crate::door::{Does, Door};
use crate::fault::{Fault, Kind, Unread};
use crate::keys::Role;
use crate::ports::{InvoiceRows, InvoiceView};
use crate::problem::Answer;
use crate::routes::Report;

/// Most answers that are read at a time: each holds a blocking thread and a snapshot, as a page does; further ones wait.
pub(crate) const READS_MAX: usize = 8;
/// How long a request waits for its turn, in milliseconds.
const TURN_WAIT_MS: u64 = 2_000;
/// Stands for a code where the time to read is over, until a fault is made of it.
const TIME_IS_OVER: &str = "time";

impl Door {
    pub(crate) async fn report<B>(
        &self,
        report: Report,
        request: &Request<B>,
        learned: &mut Learned,
    ) -> Result<Answer, Fault> {
        let pass = self.pass(request.headers(), Role::Reader, Does::Read, learned)?;
        if pass.key.role == Role::Producer {
            return Err(Fault::of(Kind::Forbidden));
        }
        let asked = Asked::of(report, request.uri().path(), request.uri().query().unwrap_or_default())?;
        let view = self.node().invoices(&pass.key.tenant).ok_or_else(|| Fault::of(Kind::NoTenant))?;
        let turn = Arc::clone(&self.report_turns).acquire_owned();
        let turn = tokio::time::timeout(Duration::from_millis(TURN_WAIT_MS), turn).await;
        let turn = turn
            .map_err(|_| Fault::of(Kind::Unread(Unread::TooMany)))?
            .map_err(|_| Fault::of(Kind::Stopped))?;
        let (clock, within) =
            (Arc::clone(&self.parts.clock), Duration::from_millis(self.parts.limits.read_ms_max));
        // The rows are a disk: not on the thread that serves connections. A read keeps its turn until it ends, which
        // it does by itself soon after its time, whether or not its client is still there.
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            body(&asked, &*view, &*clock, within)
        });
        let read =
            tokio::time::timeout(within, read).await.map_err(|_| Fault::of(Kind::Unread(Unread::Time)))?;
        Ok(Answer::json(StatusCode::OK, read.map_err(|_| Fault::of(Kind::Stopped))??))
    }
}

fn body(
    asked: &Asked,
    view: &dyn InvoiceView,
    clock: &dyn Clock,
    within: Duration,
) -> Result<Vec<u8>, Fault> {
    let until = clock.monotonic().saturating_add(within);
    let InvoiceRows { rows, projected } = view.rows()?;
    let rows = Within { rows: &*rows, clock, until };
    told::answer(asked, &Queries::new(&rows), projected, clock.now())
}

/// Rows that are read until a time and no longer, however many reads an answer is made of.
struct Within<'r> {
    rows: &'r dyn Reads,
    clock: &'r dyn Clock,
    until: Duration,
}

impl Within<'_> {
    fn check(&self) -> Result<(), RowsError> {
        let is_over = self.clock.monotonic() > self.until;
        let over =
            || RowsError { code: TIME_IS_OVER, reason: "the time to read an answer is over".to_owned() };
        if is_over { Err(over()) } else { Ok(()) }
    }
}

impl Reads for Within<'_> {
    fn get(&self, table: &'static Table, keys: &[Row]) -> Result<Vec<Option<Row>>, RowsError> {
        self.check()?;
        self.rows.get(table, keys)
    }

    fn scan(&self, table: &'static Table, scan: &Scan<'_>) -> Result<Vec<Row>, RowsError> {
        self.check()?;
        self.rows.scan(table, scan)
    }
}

impl From<RowsError> for Fault {
    fn from(error: RowsError) -> Self {
        // The words may be the system's; the code tells what is to be done.
        let is_over = error.code == TIME_IS_OVER;
        Self::of(Kind::Unread(if is_over { Unread::Time } else { Unread::Unreadable(error.code) }))
    }
}

#[cfg(test)]
mod tests;
