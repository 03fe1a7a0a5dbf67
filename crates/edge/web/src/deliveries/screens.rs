//! What each template of these pages is given.

use askama::Template;
use waag_model::time::UtcNanos;
use waag_router::shown::{
    Detail, Filter, JobKind, JobShown, JobState, LetterPage, LetterShown, Overview, RATE_DEFAULT, RATE_MAX,
};

use super::asked::{self, CLASSES};
use super::words;
use super::workbench::{Trial, Tried};
use crate::evidence::path::Way;
use crate::format;
use crate::ports::{Recorded, Shown};
use crate::screens;
use crate::shell::{Shell, Theme};

/// All subscriptions.
#[derive(Template)]
#[template(path = "subscriptions.html")]
pub(crate) struct SubscriptionsScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    /// The most urgent first.
    pub(crate) list: Vec<Overview>,
}

impl SubscriptionsScreen {
    /// All subscriptions together.
    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for one in &self.list {
            sums.failed = sums.failed.saturating_add(one.failed);
            sums.under_way = sums.under_way.saturating_add(one.under_way);
            sums.waiting_keys = sums.waiting_keys.saturating_add(one.waiting_keys);
            sums.parked_keys = sums.parked_keys.saturating_add(one.parked_keys);
            sums.dead_letters = sums.dead_letters.saturating_add(one.dead_letters);
        }
        sums
    }

    fn in_state(&self, word: &str) -> u64 {
        let such = self.list.iter().filter(|one| words::standing(&one.standing).1 == word);
        u64::try_from(such.count()).unwrap_or(u64::MAX)
    }

    fn lag_max(&self) -> u64 {
        self.list.iter().map(|one| one.lag_events).max().unwrap_or(0)
    }
}

/// Figures over all subscriptions.
#[derive(Default)]
struct Sums {
    failed: u64,
    under_way: u64,
    waiting_keys: u64,
    parked_keys: u64,
    dead_letters: u64,
}

/// One subscription.
#[derive(Template)]
#[template(path = "subscription.html")]
pub(crate) struct SubscriptionScreen {
    pub(crate) shell: Shell,
    pub(crate) detail: Detail,
}

impl SubscriptionScreen {
    fn json(&self) -> String {
        format::json_in_lines(&self.detail.overview.spec.to_json())
    }

    fn pattern(&self) -> Option<String> {
        let pattern = self.detail.overview.spec.pattern.as_ref();
        pattern.map(|pattern| format::json_in_lines(pattern.get()))
    }

    fn is_active(&self) -> bool {
        words::why(&self.detail.overview.standing).is_none()
    }
}

/// Dead letters of one subscription.
#[derive(Template)]
#[template(path = "dead_letters.html")]
pub(crate) struct LettersScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    /// Subscriptions with their numbers of dead letters, those with the most first.
    pub(crate) subscriptions: Vec<(String, u64)>,
    pub(crate) subscription: String,
    pub(crate) filter: Filter,
    pub(crate) after: Option<u64>,
    /// How many the filter takes.
    pub(crate) count: u64,
    pub(crate) page: LetterPage,
    /// The subscription's jobs over dead letters: those under way, and the newest that ended.
    pub(crate) jobs: Vec<JobShown>,
}

impl LettersScreen {
    fn narrowed(&self) -> bool {
        self.filter != Filter::default()
    }

    fn text<'a>(&self, value: &'a Option<String>) -> &'a str {
        value.as_deref().unwrap_or("")
    }

    /// For a date field: to the second.
    fn since(&self) -> String {
        let at = self.filter.since_ns.map(|nanos| format::seconds(&UtcNanos(nanos)));
        at.map_or_else(String::new, |text| text.trim_end_matches('Z').to_owned())
    }

    /// Parts of the filter that have no field of their own on the page.
    fn kept(&self) -> Vec<(&'static str, String)> {
        let mut fields = asked::filter_fields(&self.filter);
        fields.retain(|(name, _)| ["from", "to", "key", "until"].contains(name));
        fields
    }

    /// The letter that stands alone, of which all is told.
    fn alone(&self) -> Option<&LetterShown> {
        if self.page.letters.len() == 1 { self.page.letters.first() } else { None }
    }

    fn all(&self) -> String {
        asked::all_letters(&self.subscription)
    }

    fn page_behind(&self, after: Option<&u64>) -> String {
        asked::letters(&self.subscription, &self.filter, after.copied())
    }

    fn confirm(&self, what: &str) -> String {
        asked::confirm(what, &self.subscription, &self.filter)
    }

    fn confirm_one(&self, what: &str, letter: &LetterShown) -> String {
        asked::confirm(what, &self.subscription, &Filter::one(letter.position))
    }
}

/// Asks once more before dead letters are redriven or discarded.
#[derive(Template)]
#[template(path = "confirm_letters.html")]
pub(crate) struct ConfirmLettersScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) discards: bool,
    pub(crate) subscription: String,
    pub(crate) filter: Filter,
    pub(crate) count: u64,
    /// The first of them.
    pub(crate) first: Vec<LetterShown>,
}

impl ConfirmLettersScreen {
    fn verb(&self) -> &'static str {
        if self.discards { "Discard" } else { "Redrive" }
    }

    fn word(&self) -> &'static str {
        if self.discards { "discard" } else { "redrive" }
    }

    fn hidden(&self) -> Vec<(&'static str, String)> {
        asked::filter_fields(&self.filter)
    }

    fn back(&self) -> String {
        asked::all_letters(&self.subscription)
    }

    fn letters_word(&self) -> &'static str {
        if self.count == 1 { "dead letter" } else { "dead letters" }
    }
}

/// Replays and all other jobs.
#[derive(Template)]
#[template(path = "replay.html")]
pub(crate) struct ReplayScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) subscriptions: Vec<String>,
    /// The one that the form begins with.
    pub(crate) subscription: String,
    pub(crate) jobs: Vec<JobShown>,
}

/// Asks once more before a replay.
#[derive(Template)]
#[template(path = "confirm_replay.html")]
pub(crate) struct ConfirmReplayScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) subscription: String,
    pub(crate) place: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Positions in the span, where it is told by positions.
    pub(crate) positions: Option<u64>,
    pub(crate) pattern: Option<String>,
    pub(crate) rate: u32,
    /// The form's fields as they came.
    pub(crate) hidden: Vec<(&'static str, String)>,
}

/// The pattern workbench.
#[derive(Template)]
#[template(path = "patterns.html")]
pub(crate) struct PatternsScreen {
    pub(crate) shell: Shell,
    pub(crate) tab: &'static str,
    pub(crate) subscriptions: Vec<String>,
    pub(crate) pattern: String,
    pub(crate) own: String,
    pub(crate) most: usize,
    pub(crate) trial: Trial,
    pub(crate) events: Vec<Tried>,
}

impl PatternsScreen {
    /// Whether an event's JSON stands open: the first, and the reader's own.
    fn is_open(&self, at: &usize, event: &Tried) -> bool {
        *at == 0 || event.position.is_none()
    }
}

/// One event by its position.
#[derive(Template)]
#[template(path = "event.html")]
pub(crate) struct EventScreen {
    pub(crate) shell: Shell,
    pub(crate) event: Recorded,
    /// Its way to the root, as far as one can be drawn.
    pub(crate) way: Option<Way>,
}

impl EventScreen {
    fn previous(&self) -> Option<u64> {
        self.event.position.0.checked_sub(1)
    }

    fn next(&self) -> Option<u64> {
        self.event.position.0.checked_add(1).filter(|next| *next < self.shell.health.entries)
    }
}
