//! The pages themselves: what each template is given, and the small choices of words that templates make.

use askama::Template;
use waag_model::time::UtcDay;

use crate::address::{self, Asked, Range, Step};
use crate::error::WebError;
use crate::format::{self, Html};
use crate::model::{Cash, CashTotal, Invoice, Operations, Overview, Passage, Stage};
use crate::ports::{Recorded, Shown, Writer};
use crate::shell::{Shell, Theme};
use crate::{chart, flow_chart, screens};

/// Bars of a chart at most; later due dates stand in the table.
const BARS_MAX: usize = 26;
/// A wide bar's length, in parts of a hundred.
const BAR_FULL: i128 = 100;

/// The overview.
#[derive(Template)]
#[template(path = "overview.html")]
pub(crate) struct OverviewScreen {
    pub(crate) shell: Shell,
    pub(crate) asked: Asked,
    pub(crate) view: Overview,
}

/// Operations.
#[derive(Template)]
#[template(path = "operations.html")]
pub(crate) struct OperationsScreen {
    pub(crate) shell: Shell,
    pub(crate) asked: Asked,
    pub(crate) view: Operations,
}

impl OperationsScreen {
    /// The filter that is on: the one asked, or the first.
    pub(crate) fn filter(&self) -> &str {
        if self.asked.filter.is_empty() {
            self.view.filters.first().map_or("", |filter| filter.word)
        } else {
            &self.asked.filter
        }
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
        self.view.speeds.iter().filter_map(|speed| speed.p99_ns).max().unwrap_or(0)
    }
}

/// One invoice.
#[derive(Template)]
#[template(path = "invoice.html")]
pub(crate) struct InvoiceScreen {
    pub(crate) shell: Shell,
    pub(crate) invoice: Invoice,
    /// Newest last.
    pub(crate) history: Vec<Recorded>,
}

impl InvoiceScreen {
    /// Events that are not listed, where the list has a limit.
    pub(crate) fn hidden(&self) -> u64 {
        self.invoice.events.saturating_sub(self.history.len() as u64)
    }
}

/// Cash.
#[derive(Template)]
#[template(path = "cash.html")]
pub(crate) struct CashScreen {
    pub(crate) shell: Shell,
    pub(crate) asked: Asked,
    pub(crate) view: Cash,
}

impl CashScreen {
    /// The totals of the currency that is shown.
    pub(crate) fn total(&self) -> Option<&CashTotal> {
        let code = self.asked.currency.as_deref();
        let all = &self.view.currencies;
        code.and_then(|code| all.iter().find(|total| total.outstanding.currency == code))
            .or_else(|| all.first())
    }

    /// How a due date or week stands against today.
    pub(crate) fn due_state(&self, due: &Option<UtcDay>) -> (crate::model::Grade, &'static str) {
        use crate::model::Grade;
        let today = self.shell.now.day().0;
        let length = if self.asked.by == Step::Week { 7 } else { 1 };
        match due {
            None => (Grade::Warning, "not told"),
            Some(day) if day.0.saturating_add(length) <= today => (Grade::Bad, "overdue"),
            Some(day) if day.0 <= today => (Grade::Warning, if length == 7 { "this week" } else { "today" }),
            Some(_) => (Grade::Note, "to come"),
        }
    }

    /// The bars of the chart.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let most = self.view.rows.iter().map(|row| row.value.minor).max().unwrap_or(0).max(1);
        let bar = |row: &crate::model::DueRow| Bar {
            label: row.due.map_or_else(|| "no date".to_owned(), |day| short_day(&day)),
            height: u8::try_from((row.value.minor.max(0) * BAR_FULL / most).max(1)).unwrap_or(1),
            overdue: self.due_state(&row.due).0 == crate::model::Grade::Bad,
            title: format::money_text(&row.value),
        };
        self.view.rows.iter().take(BARS_MAX).map(bar).collect()
    }
}

/// A bar of the cash chart.
pub(crate) struct Bar {
    pub(crate) label: String,
    /// In parts of a hundred.
    pub(crate) height: u8,
    pub(crate) overdue: bool,
    pub(crate) title: String,
}

impl Bar {
    /// As an SVG of its own, since a style attribute would be inline style.
    pub(crate) fn svg(&self) -> Html {
        let kind = if self.overdue { "bar-overdue" } else { "bar-due" };
        Html(format!(
            "<svg class=\"bar\" viewBox=\"0 0 10 100\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"{kind}\" x=\"1\" width=\"8\" y=\"{}\" height=\"{}\" rx=\"1\"/></svg>",
            100 - self.height,
            self.height
        ))
    }
}

/// Keys and words.
#[derive(Template)]
#[template(path = "help.html")]
pub(crate) struct HelpScreen {
    pub(crate) shell: Shell,
}

/// An error.
#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorScreen {
    pub(crate) shell: Shell,
    pub(crate) error: WebError,
}

/// `20 Nov`.
fn short_day(day: &UtcDay) -> String {
    let (_, month, of_month) = day.civil();
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = names.get(usize::from(month).saturating_sub(1)).copied().unwrap_or("");
    format!("{of_month} {name}")
}

/// How a stage stands in an invoice's life.
pub(crate) fn passage_word(passage: &Passage) -> &'static str {
    match (passage.entered, passage.left) {
        (_, Some(_)) => "done",
        (Some(_), None) => "open",
        (None, None) => "ahead",
    }
}

/// Time spent in a stage that has been left, or so far.
pub(crate) fn passage_time(passage: &Passage, shell: &Shell) -> Option<String> {
    let entered = passage.entered?;
    let until = passage.left.unwrap_or(shell.now);
    Some(format::duration(until.0.saturating_sub(entered.0).max(0)))
}

/// A latency bar as SVG: median dark, p95 lighter, p99 a line.
pub(crate) fn latency_bar(speed: &crate::model::StageSpeed, slowest: i64) -> Html {
    let place = |nanos: Option<i64>| {
        let nanos = i128::from(nanos.unwrap_or(0).max(0));
        nanos * 100 / i128::from(slowest).max(1)
    };
    Html(format!(
        "<svg class=\"latency\" viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"latency-track\" width=\"100\" height=\"12\"/><rect class=\"latency-99\" width=\"{}\" height=\"12\"/>\
         <rect class=\"latency-95\" width=\"{}\" height=\"12\"/><rect class=\"latency-50\" width=\"{}\" height=\"12\"/></svg>",
        place(speed.p99_ns),
        place(speed.p95_ns),
        place(speed.p50_ns.map(|(_, most)| most))
    ))
}

/// The last part of an event's type, in words.
pub(crate) fn kind_word(kind: &str) -> &str {
    kind.rsplit_once('.').map_or(kind, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_short_in_charts() {
        assert_eq!(short_day(&UtcDay(0)), "1 Jan");
        assert_eq!(short_day(&UtcDay(20_778)), "21 Nov");
    }

    #[test]
    fn latency_bars_stay_within_their_track() {
        let speed = crate::model::StageSpeed {
            stage: Stage::Posting,
            entered: 1,
            ended: 1,
            p50_ns: Some((20, 50)),
            p95_ns: Some(100),
            p99_ns: None,
        };
        let svg = latency_bar(&speed, 100).0;
        assert!(
            svg.contains("latency-50\" width=\"50\"") && svg.contains("latency-95\" width=\"100\""),
            "{svg}"
        );
        assert!(latency_bar(&speed, 0).0.contains("width=\"0\""), "no measure, no bar");
    }
}
