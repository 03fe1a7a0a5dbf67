//! The lists by their names, each narrowed to a stage, a region and a currency, page by page: what pages and programs
//! ask for.
//!
//! Place in the way of an event: `show`. Lists of open invoices are narrowed by their order itself (`lists`); of the
//! others as many lines are looked at as a page may have several times over, so that a page may be short, or empty, and
//! still say where the next one begins.
//! Not here: what is in a list (`lists`), how pages name and explain them (`edge/web`).

use serde::Serialize;
use waag_domain::project::RowsError;

use crate::life::InvoiceState;
use crate::lists::{After, DuplicateLine, Filter, Narrow, OddLine, PAGE_LINES_MAX, Page};
use crate::queries::Queries;
use crate::standing::Standing;

/// Most pages of [`PAGE_LINES_MAX`] lines that are looked at for one page of a list that is narrowed line by line.
const LOOKS_MAX: usize = 10;

/// A list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// All open invoices, by deadline.
    Open,
    /// Open ones past their deadline.
    Stuck,
    /// Open ones whose payment is approved.
    ApprovedNotPaid,
    /// Open ones that the vendor's invoice has come for.
    ReceivedNotCleared,
    /// Invoices that returned to a stage.
    Loops,
    /// Possible duplicates, the newest first.
    Duplicates,
    /// Odd events, the newest first.
    Odd,
}

/// All lists.
pub const LISTS: [List; 7] = [
    List::Open,
    List::Stuck,
    List::ApprovedNotPaid,
    List::ReceivedNotCleared,
    List::Loops,
    List::Duplicates,
    List::Odd,
];

impl List {
    /// Its name, as pages' addresses have it, too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Stuck => "stuck",
            Self::ApprovedNotPaid => "approved_not_paid",
            Self::ReceivedNotCleared => "received_not_cleared",
            Self::Loops => "loops",
            Self::Duplicates => "duplicates",
            Self::Odd => "odd",
        }
    }

    /// The list of a name; `None` for any other word.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        LISTS.into_iter().find(|list| list.name() == name)
    }

    /// Which open invoices it lists; `None` where it has others, too.
    #[must_use]
    pub fn of_open(self) -> Option<Filter> {
        match self {
            Self::Open => Some(Filter::Open),
            Self::Stuck => Some(Filter::Stuck),
            Self::ApprovedNotPaid => Some(Filter::ApprovedNotPaid),
            Self::ReceivedNotCleared => Some(Filter::ReceivedNotCleared),
            Self::Loops | Self::Duplicates | Self::Odd => None,
        }
    }
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// An invoice.
    Invoice(Box<InvoiceState>),
    /// A possible duplicate.
    Duplicate(Box<DuplicateLine>),
    /// An odd event.
    Odd(Box<OddLine>),
}

impl Line {
    /// The id of the invoice that it is about; empty for an event that names none.
    #[must_use]
    pub fn invoice(&self) -> &str {
        match self {
            Self::Invoice(state) => &state.id,
            Self::Duplicate(line) => &line.invoice,
            Self::Odd(line) => line.invoice.as_deref().unwrap_or_default(),
        }
    }

    /// How that invoice stands, where it is known.
    #[must_use]
    pub fn state(&self) -> Option<&InvoiceState> {
        match self {
            Self::Invoice(state) => Some(state),
            Self::Duplicate(line) => line.state.as_ref(),
            Self::Odd(line) => line.state.as_ref(),
        }
    }

    /// Where a list goes on behind it, of those that are narrowed line by line.
    fn place(&self) -> After {
        let of = |order: i64, id: &str| After { order, class: 0, id: id.to_owned() };
        match self {
            Self::Invoice(state) => of(-i64::from(state.loops), &state.id),
            Self::Duplicate(line) => of(line.position, ""),
            Self::Odd(line) => of(line.position, ""),
        }
    }
}

impl Narrow {
    /// Whether it leaves everything in.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.stage.is_none() && self.region.is_none() && self.currency.is_none()
    }

    /// Whether it takes a line in; one without a known invoice has neither stage nor region nor currency, and a closed
    /// invoice is in no stage.
    fn takes(&self, line: &Line) -> bool {
        self.is_none()
            || line.state().is_some_and(|state| {
                self.stage.is_none_or(|stage| stage == state.stage && !state.condition.is_closed())
                    && self.region.as_ref().is_none_or(|region| *region == state.region)
                    && self
                        .currency
                        .as_ref()
                        .is_none_or(|currency| currency == state.currency.as_deref().unwrap_or(""))
            })
    }
}

fn lines<T>(page: Page<T>, line: impl Fn(T) -> Line) -> Page<Line> {
    Page { lines: page.lines.into_iter().map(line).collect(), next: page.next }
}

impl Queries<'_> {
    /// A page of a list by its name; at most [`PAGE_LINES_MAX`] lines, and where it is narrowed perhaps fewer than there
    /// are: it has ended where it names no next one.
    ///
    /// # Errors
    /// [`RowsError`].
    pub fn named(
        &self,
        list: List,
        standing: &Standing,
        narrow: &Narrow,
        after: Option<&After>,
        most: usize,
    ) -> Result<Page<Line>, RowsError> {
        let Some(filter) = list.of_open() else {
            return self.line_by_line(list, standing, narrow, after, most.clamp(1, PAGE_LINES_MAX));
        };
        let page = self.list(standing, filter, narrow, after, most)?;
        Ok(lines(page, |state| Line::Invoice(Box::new(state))))
    }

    fn line_by_line(
        &self,
        list: List,
        standing: &Standing,
        narrow: &Narrow,
        after: Option<&After>,
        most: usize,
    ) -> Result<Page<Line>, RowsError> {
        let look = if narrow.is_none() { most } else { PAGE_LINES_MAX };
        let mut found = Page { lines: Vec::new(), next: after.cloned() };
        for _ in 0..LOOKS_MAX {
            let Page { lines, next } = self.next_lines(list, standing, found.next.as_ref(), look)?;
            let mut lines = lines.into_iter().peekable();
            found.next = next;
            while let Some(line) = lines.next() {
                let place = line.place();
                if narrow.takes(&line) {
                    found.lines.push(line);
                }
                if found.lines.len() == most {
                    found.next = if lines.peek().is_some() { Some(place) } else { found.next };
                    return Ok(found);
                }
            }
            if found.next.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn next_lines(
        &self,
        list: List,
        standing: &Standing,
        after: Option<&After>,
        most: usize,
    ) -> Result<Page<Line>, RowsError> {
        let now = standing.now();
        Ok(match list {
            List::Duplicates => {
                lines(self.duplicates(now, after, most)?, |line| Line::Duplicate(Box::new(line)))
            }
            List::Odd => lines(self.odd(now, after, most)?, |line| Line::Odd(Box::new(line))),
            List::Open | List::Stuck | List::ApprovedNotPaid | List::ReceivedNotCleared | List::Loops => {
                lines(self.loops(now, after, most)?, |state| Line::Invoice(Box::new(state)))
            }
        })
    }
}
