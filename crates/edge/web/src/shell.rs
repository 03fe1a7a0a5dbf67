//! The frame around every page: navigation, look-up, how fresh the page is, light and dark.

use waag_model::time::UtcNanos;

use crate::format;
use crate::live;
use crate::ports::{Health, Writer};

/// Light, dark, or as the system has it; kept in a cookie so that the first paint is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the system has it.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.word() == word)
    }
}

/// What the frame shows.
#[derive(Clone, Debug)]
pub(crate) struct Shell {
    /// The page's name, as title and heading.
    pub(crate) title: String,
    /// The navigation's entry: `overview`, `operations`, `cash`, `deliveries`, `evidence`, `help`, or none.
    pub(crate) place: &'static str,
    pub(crate) theme: Theme,
    /// This page's own address, to come back to.
    pub(crate) here: String,
    pub(crate) now: UtcNanos,
    pub(crate) health: Health,
    /// Whether the page fetches itself again on progress.
    pub(crate) live: bool,
    /// What forms of this page have in their field `token`; none where nothing can be ordered here.
    pub(crate) token: Option<String>,
    /// The same for forms that only ask; none where no form is taken.
    pub(crate) asks: Option<String>,
}

impl Shell {
    /// Where a theme's choice leads.
    pub(crate) fn theme_address(&self, theme: &Theme) -> String {
        format!("/theme?to={}&back={}", theme.word(), format::query_value(&self.here))
    }

    /// What beside new events makes an open page fetch itself again.
    pub(crate) fn of(&self) -> &'static str {
        match self.place {
            "deliveries" => "?of=deliveries",
            "evidence" => "?of=evidence",
            _ => "",
        }
    }

    /// What this page was drawn of, as a live line tells it; none where the page shows more than that.
    pub(crate) fn drawn_of(&self) -> String {
        let health = &self.health;
        if self.of().is_empty() {
            live::id(&health.progress, &live::halted(health.halts()))
        } else {
            String::new()
        }
    }

    /// The newest event's age, in words; `None` in an empty ledger.
    pub(crate) fn freshness(&self) -> Option<format::Html> {
        self.health.progress.newest.map(|at| format::ago(at, self.now))
    }

    /// Entries that are recorded and not yet on the pages.
    pub(crate) fn behind(&self) -> u64 {
        self.health.entries.saturating_sub(self.health.progress.projected)
    }

    pub(crate) fn writer_grade(&self) -> crate::model::Grade {
        match self.health.writer {
            Writer::Writing if self.health.shown_halted.is_some() => crate::model::Grade::Bad,
            Writer::Writing => crate::model::Grade::Good,
            Writer::ReadingOnly => crate::model::Grade::Note,
            Writer::NoRoom(_) | Writer::Halted(..) => crate::model::Grade::Bad,
        }
    }

    pub(crate) fn writer_word(&self) -> String {
        match &self.health.writer {
            Writer::Writing => match self.health.shown_halted {
                Some(code) => format!("Recording, not shown ({code})"),
                None => "Recording".to_owned(),
            },
            Writer::ReadingOnly => "Reading only".to_owned(),
            Writer::NoRoom(code) => format!("Paused, disk nearly full ({code})"),
            Writer::Halted(code, _) => format!("Halted ({code})"),
        }
    }

    pub(crate) fn uptime(&self) -> String {
        format::duration(i64::try_from(self.health.uptime.as_nanos()).unwrap_or(i64::MAX))
    }

    /// The newest event's age in milliseconds by the node's clock, which a browser's may differ from.
    pub(crate) fn age_ms(&self) -> i64 {
        let passed = self.health.progress.newest.map_or(0, |at| format::passed(at, self.now));
        passed.max(0) / 1_000_000
    }

    pub(crate) fn newest_text(&self) -> String {
        self.health.progress.newest.map_or_else(String::new, |at| format::seconds(&at))
    }
}
