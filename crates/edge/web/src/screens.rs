//! The pages themselves: what each template is given, and the small choices of words that templates make.

mod operations;

use std::collections::BTreeMap;

use askama::Template;
use waag_invoices::event::STAGES;
use waag_invoices::moves::Place;
use waag_model::time::{UtcDay, UtcNanos};

use crate::address::{self, Asked, Step};
use crate::error::WebError;
use crate::fields::{self, Reading};
use crate::format::{self, Html};
use crate::model::{Cash, DueRow, Grade, Invoice, Latency, Operations, Overview, Passage, Row};
use crate::period::Range;
use crate::ports::{Field, Recorded, Shown, Writer};
use crate::shell::{Shell, Theme};
use crate::{chart, flow_chart, screens};

/// Steps of the flow that a narrow screen lists; all of them stand in the table.
const FLOW_LINES_MAX: usize = 8;
/// Values drawn of one event on a page of many; the event's own page has all of them.
const FIELDS_OF_EVENT_MAX: usize = 64;
/// Values drawn on a page of many events: those of the newest.
const FIELDS_OF_PAGE_MAX: usize = 4_096;
/// Longest value drawn there, in bytes.
const VALUE_BYTES_MAX: usize = 1_024;
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

impl OverviewScreen {
    /// Steps between stages, the most frequent first.
    pub(crate) fn steps(&self) -> Vec<&crate::model::Flow> {
        let mut steps: Vec<_> = self.view.flow.iter().collect();
        steps.sort_by_key(|flow| std::cmp::Reverse(flow.count));
        steps
    }

    /// The first of them, each with a bar.
    pub(crate) fn leading(&self) -> Vec<(&crate::model::Flow, Html)> {
        let steps = self.steps();
        let most = steps.first().map_or(0, |flow| flow.count);
        steps.into_iter().take(FLOW_LINES_MAX).map(|flow| (flow, share_bar(flow, most))).collect()
    }

    /// How often invoices returned to a stage.
    pub(crate) fn returns(&self) -> u64 {
        let back = self.view.flow.iter().filter(|flow| flow.step.is_return());
        back.fold(0, |all, flow| all.saturating_add(flow.count))
    }
}

/// What a step is, in a word, where it is not the usual way.
pub(crate) fn step_word(flow: &crate::model::Flow) -> Option<(Grade, &'static str)> {
    if flow.step.is_return() {
        Some((Grade::Warning, "return"))
    } else if flow.step.to == Place::Rejected {
        Some((Grade::Note, "rejected"))
    } else if flow.is_usual {
        None
    } else {
        Some((Grade::Note, "stage left out"))
    }
}

fn share_bar(flow: &crate::model::Flow, most: u64) -> Html {
    let kind = if flow.step.is_return() { "share-back" } else { "share-on" };
    let width = (u128::from(flow.count) * 100 / u128::from(most.max(1))).max(1);
    Html(format!(
        "<svg class=\"share\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"share-track\" width=\"100\" height=\"4\"/><rect class=\"{kind}\" width=\"{width}\" height=\"4\"/></svg>"
    ))
}

/// Operations.
#[derive(Template)]
#[template(path = "operations.html")]
pub(crate) struct OperationsScreen {
    pub(crate) shell: Shell,
    pub(crate) asked: Asked,
    pub(crate) view: Operations,
    /// Rows whose events were not read for want of time.
    pub(crate) unread: u64,
}

/// One invoice.
#[derive(Template)]
#[template(path = "invoice.html")]
pub(crate) struct InvoiceScreen {
    pub(crate) shell: Shell,
    pub(crate) asked: Asked,
    pub(crate) invoice: Invoice,
    /// Newest last.
    pub(crate) history: Vec<Recorded>,
}

impl InvoiceScreen {
    pub(crate) fn events(&self) -> Vec<Told<'_>> {
        told(&self.history, &self.invoice.told_of)
    }

    /// Which of its events these are: `5 events`, or `4,801–5,000 of 5,000 events`.
    pub(crate) fn place(&self) -> String {
        let all = format::counted(self.invoice.events, "event", "events");
        let shown = u64::try_from(self.invoice.positions.len()).unwrap_or(u64::MAX);
        let earlier = self.invoice.earlier;
        if shown == self.invoice.events || shown == 0 {
            return all;
        }
        let (first, last) = (earlier.saturating_add(1), earlier.saturating_add(shown));
        format!("{}–{} of {all}", format::count(first), format::count(last))
    }

    /// The page of the events before these, where there are any.
    pub(crate) fn earlier(&self) -> Option<String> {
        let first = self.invoice.positions.first().copied().filter(|_| self.invoice.earlier > 0)?;
        Some(self.asked.with_before("/invoice", Some(first)))
    }
}

/// Invoices whose ids begin with what was looked for.
#[derive(Template)]
#[template(path = "found.html")]
pub(crate) struct FoundScreen {
    pub(crate) shell: Shell,
    pub(crate) id: String,
    pub(crate) rows: Vec<Row>,
}

/// Events with what is drawn of their values, newest last; where not all fit, the newest come first (`WEB-6`).
fn told<'a>(history: &'a [Recorded], told_of: &'a BTreeMap<u64, Vec<String>>) -> Vec<Told<'a>> {
    let mut room = FIELDS_OF_PAGE_MAX;
    let newest_first = history.iter().rev().map(|event| {
        let count = event.fields.len().min(FIELDS_OF_EVENT_MAX).min(room);
        room = room.saturating_sub(count);
        let (fields, rest) = event.fields.split_at_checked(count).unwrap_or((&event.fields, &[]));
        let more = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        let marks = told_of.get(&event.position.0).map_or(&[][..], Vec::as_slice);
        let reading = Reading::of(event);
        Told { event, fields, more, marks, reading, bytes_max: VALUE_BYTES_MAX }
    });
    let mut events: Vec<Told<'_>> = newest_first.collect();
    events.reverse();
    events
}

/// An event with what is drawn of it.
pub(crate) struct Told<'a> {
    pub(crate) event: &'a Recorded,
    pub(crate) fields: &'a [Field],
    /// Values that are not drawn.
    pub(crate) more: u64,
    /// What is told of it, in words.
    pub(crate) marks: &'a [String],
    /// How its fields are read.
    reading: Reading<'a>,
    /// Longest value drawn, in bytes.
    bytes_max: usize,
}

impl<'a> Told<'a> {
    /// All of an event.
    pub(crate) fn whole(event: &'a Recorded) -> Self {
        let reading = Reading::of(event);
        Self { event, fields: &event.fields, more: 0, marks: &[], reading, bytes_max: usize::MAX }
    }

    /// What the event did.
    pub(crate) fn heading(&self) -> String {
        fields::heading(self.event)
    }

    /// The fields that have a place of their own, in the order that people read them in.
    pub(crate) fn listed(&self) -> Vec<&'a Field> {
        let is_listed = |field: &&Field| !self.reading.is_told_elsewhere(field);
        let mut listed: Vec<&Field> = self.fields.iter().filter(is_listed).collect();
        listed.sort_by_key(|field| self.reading.place(field));
        listed
    }

    /// A field's words with its own name in the title, or its name.
    pub(crate) fn name(&self, field: &Field) -> Html {
        match self.reading.name(field) {
            Some(words) => Html(format!(
                "<span title=\"{}\">{}</span>",
                format::escaped(&field.path),
                format::escaped(words)
            )),
            None => self.head(&field.path),
        }
    }

    /// What a field tells, as it reads.
    pub(crate) fn text(&self, field: &Field, told: &str) -> Html {
        let is_short = told.len() <= self.bytes_max;
        self.reading.value(field).filter(|_| is_short).unwrap_or_else(|| self.value(told))
    }

    /// A name or a value, or its beginning and how much follows.
    pub(crate) fn head(&self, text: &str) -> Html {
        let cut = text.floor_char_boundary(self.bytes_max);
        let (head, rest) = text.split_at_checked(cut).unwrap_or((text, ""));
        if rest.is_empty() {
            return Html(format::escaped(head));
        }
        let more = format::count(u64::try_from(rest.len()).unwrap_or(u64::MAX));
        Html(format!("{}… <span class=\"more\">and {more} more bytes</span>", format::escaped(head)))
    }

    /// A value; a number with a power of ten reads in digits, and as it was told in the title.
    pub(crate) fn value(&self, text: &str) -> Html {
        match format::decimal(text) {
            Some(digits) => Html(format!("<span title=\"{text}\">{digits}</span>")),
            None => self.head(text),
        }
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
    /// How a due date or week stands against today.
    pub(crate) fn due_state(&self, due: &Option<UtcDay>) -> (Grade, &'static str) {
        let today = self.shell.now.day();
        let by_week = self.asked.by == Step::Week;
        match due {
            None => (Grade::Warning, "not told"),
            // A week that holds today is cut there, so what begins before today has ended before it.
            Some(day) if day.0 < today.0 => (Grade::Bad, "overdue"),
            Some(day) if *day == today => (Grade::Warning, if by_week { "this week" } else { "today" }),
            Some(_) => (Grade::Note, "to come"),
        }
    }

    /// What of a week a row is, where it is not all of it.
    pub(crate) fn part(&self, due: &UtcDay) -> &'static str {
        let today = self.shell.now.day();
        let days_since = i64::from(today.0) - i64::from(due.0);
        if self.asked.by != Step::Week || !(0..7).contains(&days_since) {
            ""
        } else if days_since == 0 {
            "from today"
        } else {
            "until yesterday"
        }
    }

    /// The bars of the chart: one for every day or week of the page, empty ones too.
    pub(crate) fn bars(&self) -> Vec<Bar> {
        let view = &self.view;
        let length = if self.asked.by == Step::Week { 7u8 } else { 1 };
        let days = (view.starts.0..view.later.0).step_by(usize::from(length)).map(UtcDay);
        let within = |day: UtcDay, row: &DueRow| {
            row.due.is_some_and(|due| (0..i32::from(length)).contains(&due.0.saturating_sub(day.0)))
        };
        // A bar has no room below its foot: of what is owed to us the words beside it tell, and the table.
        let minor = |row: &DueRow| row.value.minor.max(0);
        let sum = |day: UtcDay| view.rows.iter().filter(|row| within(day, row)).map(minor).sum::<i128>();
        let most = days.clone().map(sum).max().unwrap_or(0).max(1);
        let bar = |day: UtcDay| {
            let mut bar = Bar { label: short_day(&day), overdue: 0, to_come: 0, title: String::new() };
            for row in view.rows.iter().filter(|row| within(day, row)) {
                let least = i128::from(minor(row) > 0);
                let height =
                    u8::try_from((minor(row).saturating_mul(BAR_FULL) / most).max(least)).unwrap_or(0);
                let is_overdue = self.due_state(&row.due).0 == Grade::Bad;
                let (part, word) =
                    if is_overdue { (&mut bar.overdue, "overdue") } else { (&mut bar.to_come, "to come") };
                *part = height;
                let joint = if bar.title.is_empty() { "" } else { ", " };
                bar.title.push_str(&format!("{joint}{} {word}", format::money_text(&row.value)));
            }
            if bar.title.is_empty() {
                bar.title.push_str("nothing");
            }
            bar
        };
        days.map(bar).collect()
    }

    /// The currency that was asked for, where nothing is outstanding in it and another one is shown.
    pub(crate) fn missing(&self) -> Option<&str> {
        let asked = self.asked.currency.as_deref()?;
        let is_shown = self.view.chosen.as_ref().is_none_or(|chosen| chosen.outstanding.currency == asked);
        (!is_shown).then_some(asked)
    }

    /// A list of the currency that is shown. Sums by due date have no list of their own: the rows have one order, by
    /// deadline, and the deadline of an invoice is the end of its due date from the approval on only.
    fn list(&self, filter: &str, after: Option<&str>) -> String {
        let currency = self.view.chosen.as_ref().map(|chosen| chosen.outstanding.currency.clone());
        let asked = Asked { filter: filter.to_owned(), currency, ..Asked::default() };
        asked.with_after("/operations", after, 0)
    }

    pub(crate) fn open_list(&self) -> String {
        self.list("open", None)
    }

    pub(crate) fn stuck_list(&self) -> String {
        self.list("stuck", None)
    }

    pub(crate) fn to_pay(&self) -> String {
        self.list("approved_not_paid", None)
    }

    /// Approved invoices whose deadline is the end of this day or a later one.
    pub(crate) fn to_pay_from(&self, due: impl format::Given<UtcDay>) -> String {
        let hour = (i64::from(due.given().0).saturating_add(1)).saturating_mul(24);
        self.list("approved_not_paid", Some(&format!("{hour}~{}~", i64::MIN)))
    }

    /// Whether all that is due before this page is overdue.
    pub(crate) fn starts_late(&self) -> bool {
        self.view.starts.0 <= self.shell.now.day().0
    }
}

/// A bar of the cash chart, its two parts in parts of a hundred; that of this week may have both.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) overdue: u8,
    pub(crate) to_come: u8,
    pub(crate) title: String,
}

impl Bar {
    /// As an SVG of its own, since a style attribute would be inline style.
    pub(crate) fn svg(&self) -> Html {
        let part = |kind: &str, below: u8, height: u8| {
            let top = 100u8.saturating_sub(below).saturating_sub(height);
            format!("<rect class=\"{kind}\" x=\"1\" width=\"8\" y=\"{top}\" height=\"{height}\" rx=\"1\"/>")
        };
        Html(format!(
            "<svg class=\"bar\" viewBox=\"0 0 10 100\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{}{}</svg>",
            part("bar-overdue", 0, self.overdue),
            part("bar-due", self.overdue, self.to_come)
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
    match (passage.entered, passage.left, passage.is_here) {
        (_, _, true) => "open",
        (None, None, false) if passage.is_passed => "left-out",
        (None, None, false) => "ahead",
        (Some(_), _, false) | (None, Some(_), false) => "done",
    }
}

/// Time spent in a stage, or so far in the one that the invoice is in; or what was not told of it.
pub(crate) fn passage_time(passage: &Passage, now: &UtcNanos) -> String {
    let until = |entered: UtcNanos, until: UtcNanos| format::duration(format::passed(entered, until).max(0));
    match (passage.entered, passage.left, passage.is_here) {
        // In no figure either.
        (Some(entered), Some(left), _) if left.0 < entered.0 => "times not in order".to_owned(),
        (Some(entered), Some(left), _) => until(entered, left),
        (Some(entered), None, true) => format!("{} so far", until(entered, *now)),
        (Some(_), None, false) => "leaving not told".to_owned(),
        (None, Some(_), _) | (None, None, true) => "entry not told".to_owned(),
        (None, None, false) if passage.is_passed => "left out, or not told".to_owned(),
        (None, None, false) => "not yet".to_owned(),
    }
}

/// A latency bar as SVG: median dark, p95 lighter, p99 lightest.
pub(crate) fn latency_bar(latency: &Option<Latency>, slowest: i64) -> Html {
    let place = |nanos: fn(&Latency) -> i64| {
        let nanos = latency.as_ref().map_or(0, nanos);
        i128::from(nanos.max(0)) * 100 / i128::from(slowest).max(1)
    };
    Html(format!(
        "<svg class=\"latency\" viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"latency-track\" width=\"100\" height=\"12\"/><rect class=\"latency-99\" width=\"{}\" height=\"12\"/>\
         <rect class=\"latency-95\" width=\"{}\" height=\"12\"/><rect class=\"latency-50\" width=\"{}\" height=\"12\"/></svg>",
        place(|one| one.p99_ns),
        place(|one| one.p95_ns),
        place(|one| one.p50_ns)
    ))
}

/// The sum over the stages.
pub(crate) fn total(by_stage: &std::collections::BTreeMap<waag_invoices::event::Stage, u64>) -> u64 {
    by_stage.values().fold(0, |all, number| all.saturating_add(*number))
}

#[cfg(test)]
mod tests {
    use waag_invoices::event::Stage;

    use super::*;

    #[test]
    fn a_day_is_short_in_charts() {
        assert_eq!(short_day(&UtcDay(0)), "1 Jan");
        assert_eq!(short_day(&UtcDay(20_778)), "21 Nov");
    }

    fn recorded(fields: usize) -> Recorded {
        let field = Field { path: String::new(), shown: Shown::Erased };
        Recorded {
            position: waag_model::ids::Position(1),
            leaf: waag_ledger::hash::leaf_hash(b""),
            kind: String::new(),
            id: None,
            source: None,
            happened: None,
            accepted: UtcNanos(0),
            committed: UtcNanos(0),
            actor: None,
            fields: vec![field; fields],
        }
    }

    #[test]
    fn a_page_of_events_draws_so_many_values_of_each_and_in_all_those_of_the_newest() {
        let drawn = |history: &[Recorded]| -> Vec<(usize, u64)> {
            told(history, &BTreeMap::new()).iter().map(|event| (event.fields.len(), event.more)).collect()
        };
        assert_eq!(drawn(&[recorded(64), recorded(65)]), [(64, 0), (64, 1)]);
        let full = FIELDS_OF_PAGE_MAX / FIELDS_OF_EVENT_MAX;
        assert!(drawn(&vec![recorded(64); full]).iter().all(|event| *event == (64, 0)));
        let beyond = drawn(&vec![recorded(64); full + 1]);
        assert_eq!((beyond[0], beyond[1], beyond[full]), ((0, 64), (64, 0), (64, 0)), "the oldest gives way");
    }

    #[test]
    fn a_long_value_is_cut_between_characters_and_says_how_much_follows() {
        let event = recorded(0);
        let told = |bytes_max| Told { bytes_max, ..Told::whole(&event) };
        assert_eq!(told(3).head("<éé").0, "&lt;é… <span class=\"more\">and 2 more bytes</span>");
        assert_eq!(told(5).head("<éé").0, "&lt;éé");
        assert_eq!(Told::whole(&event).value("-1234e-3").0, "<span title=\"-1234e-3\">-1.234</span>");
        assert_eq!(Told::whole(&event).value("<1e-3").0, "&lt;1e-3");
    }

    #[test]
    fn only_the_stage_that_an_open_invoice_is_in_goes_on() {
        const DAY: i64 = 86_400_000_000_000;
        let passed = |entered: Option<i64>, left: Option<i64>, is_here, is_passed| {
            let at = |day: i64| UtcNanos(day * DAY);
            let (entered, left) = (entered.map(at), left.map(at));
            let (stage, deadline) = (Stage::Authorization, None);
            let passage = Passage { stage, entered, left, deadline, is_here, is_passed };
            (passage_word(&passage), passage_time(&passage, &at(9)))
        };
        let said = |entered, left, is_here| passed(entered, left, is_here, false);
        assert_eq!(said(Some(1), Some(3), false), ("done", "2 d".to_owned()));
        assert_eq!(said(Some(7), None, true), ("open", "2 d so far".to_owned()));
        assert_eq!(said(Some(7), None, false), ("done", "leaving not told".to_owned()));
        assert_eq!(said(None, Some(3), false), ("done", "entry not told".to_owned()));
        assert_eq!(said(None, None, true), ("open", "entry not told".to_owned()));
        assert_eq!(said(None, None, false), ("ahead", "not yet".to_owned()));
        assert_eq!(passed(None, None, false, true), ("left-out", "left out, or not told".to_owned()));
        assert_eq!(said(Some(7), Some(3), false), ("done", "times not in order".to_owned()));
    }

    #[test]
    fn latency_bars_stay_within_their_track() {
        let latency = Some(Latency { ended: 1, p50_ns: 50, p95_ns: 100, p99_ns: 100 });
        let svg = latency_bar(&latency, 100).0;
        assert!(
            svg.contains("latency-50\" width=\"50\"") && svg.contains("latency-95\" width=\"100\""),
            "{svg}"
        );
        assert!(latency_bar(&None, 100).0.contains("latency-99\" width=\"0\""), "no measure, no bar");
    }
}
