//! What the operations page says of its list: which rows these are, of which list, and what its file holds.
//!
//! Not here: which rows there are (`load`), the file itself (`download`).

use super::OperationsScreen;
use crate::download::ROWS_MAX;
use crate::format;

impl OperationsScreen {
    /// How many rows come before those behind this page; none where nobody told how many came before it.
    pub(crate) fn seen(&self) -> Option<u64> {
        let before = match (&self.asked.after, self.asked.seen) {
            (None, _) => 0,
            (Some(_), 0) => return None,
            (Some(_), seen) => seen,
        };
        Some(before.saturating_add(self.shown()))
    }

    fn shown(&self) -> u64 {
        u64::try_from(self.view.rows.len()).unwrap_or(u64::MAX)
    }

    /// Which rows of the list these are: `1–50 of 321`.
    pub(crate) fn place(&self) -> String {
        let shown = self.shown();
        let match_word = if self.asked.narrowed() { " that match" } else { "" };
        // Between two pages a list may have become shorter than the address remembers.
        let total = match self.view.total {
            Some(total) => Some(total.max(self.seen().unwrap_or(shown))),
            None if self.view.next.is_none() => self.seen(),
            None => None,
        };
        let of = total.map_or(String::new(), |total| format!(" of {}", format::count(total)));
        match self.seen() {
            Some(last) => {
                let first = last.saturating_sub(shown).saturating_add(1);
                format!("{}–{}{of}{match_word}", format::count(first), format::count(last))
            }
            None => format!("{}{of}{match_word}", format::count(shown)),
        }
    }

    /// What the link to the list's file says: from where it begins, and how much of the list it has.
    pub(crate) fn file(&self) -> String {
        let begin =
            if self.asked.after.is_some() { "Download as CSV from here on" } else { "Download as CSV" };
        let most = u64::try_from(ROWS_MAX).unwrap_or(u64::MAX);
        let rows = format::count(most);
        let shown = self.shown();
        let is_last = self.view.next.is_none();
        match (self.view.total, self.seen()) {
            _ if is_last => begin.to_owned(),
            (Some(total), _) if total <= most => begin.to_owned(),
            (Some(total), Some(seen)) => {
                let left = total.saturating_sub(seen.saturating_sub(shown));
                let part = format!(", first {rows} of {}", format::count(left));
                if left > most { format!("{begin}{part}") } else { begin.to_owned() }
            }
            (Some(_), None) | (None, _) => format!("{begin}, {rows} rows at most"),
        }
    }

    /// What the list is, for paper: its name, what it holds, and what narrows it.
    pub(crate) fn named(&self) -> String {
        let filter = self.view.filters.iter().find(|filter| filter.word == self.filter());
        let name = filter.map_or(String::new(), |filter| format!("{}: {}", filter.name, filter.meaning));
        let narrowing = self.asked.narrowing();
        let only = if narrowing.is_empty() { narrowing } else { format!(" Only {narrowing}.") };
        format!("{name}{only}")
    }

    /// A list's count beside its name: none where choices narrow it, since it is that of all.
    pub(crate) fn count(&self, filter: &crate::model::Filter) -> Option<u64> {
        filter.count.filter(|_| !self.asked.narrowed())
    }

    /// The region that was asked for, where no invoice is of it: the choice shows it nevertheless.
    pub(crate) fn other_region(&self) -> Option<&str> {
        let asked = self.asked.region.as_deref()?;
        (!self.view.regions.iter().any(|region| region.name == asked)).then_some(asked)
    }

    /// The same of the currency.
    pub(crate) fn other_currency(&self) -> Option<&str> {
        let asked = self.asked.currency.as_deref()?;
        (!self.view.currencies.iter().any(|code| code == asked)).then_some(asked)
    }

    /// The filter that is on: the one asked, or the first.
    pub(crate) fn filter(&self) -> &str {
        if self.asked.filter.is_empty() {
            self.view.filters.first().map_or("", |filter| filter.word)
        } else {
            &self.asked.filter
        }
    }

    /// The lists with a tab: all open invoices are a list that other pages lead to, and have one only while they are shown.
    pub(crate) fn tabs(&self) -> impl Iterator<Item = &crate::model::Filter> {
        self.view.filters.iter().filter(|filter| filter.word != "open" || self.filter() == "open")
    }

    pub(crate) fn filter_meaning(&self) -> &'static str {
        self.view
            .filters
            .iter()
            .find(|filter| filter.word == self.filter())
            .map_or("", |filter| filter.meaning)
    }

    /// The slowest p99, which the latency bars are measured by.
    pub(crate) fn slowest(&self) -> i64 {
        self.view.speeds.iter().filter_map(|speed| speed.latency).map(|one| one.p99_ns).max().unwrap_or(0)
    }
}
