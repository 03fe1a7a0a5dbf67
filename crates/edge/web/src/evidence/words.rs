//! How evidence, persons and backups read on pages: one place for their words and grades.

use waag_invoices::when;
use waag_model::time::{UtcDay, UtcNanos};

use crate::format::{self, Given, Html};
use crate::model::Grade;
use crate::ports::evidence::packs::{Making, MakingState};
use crate::ports::evidence::persons::{DeedKind, HeldClass};
use crate::ports::evidence::standing::{Guard, Key, KeyState, Ledger, Publication, Scrub, WitnessState};
use crate::ports::evidence::upkeep::{Drill, Kept, Repository, Run};

const MILLI_NS: i64 = 1_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// A publication that lags behind by more of its periods than this needs somebody.
const LAG_PERIODS: i64 = 10;
/// Shortest lag that is a warning: signing and a witness take their time.
const LAG_LEAST_NS: i64 = 5 * SECOND_NS;
/// Key material that expires within this time is warned of.
const KEYS_WARNED_NS: i64 = 7 * DAY_NS;
/// How late, in parts of a hundred of its period, something scheduled may be before it is called late.
const LATE_PERCENT: i64 = 10;
/// Longest key that is shown as it is, in characters.
const VKEY_CHARS: usize = 256;
/// What a digest's beginning shows.
const DIGEST_CHARS: usize = 16;

/// A day as people write it in a field.
pub(super) fn day(text: &str) -> Option<UtcDay> {
    (text.len() == 10).then(|| when::day(text).map(UtcDay)).flatten()
}

/// The beginning of a digest, a tag or an id.
pub(crate) fn short(text: &str) -> &str {
    text.get(..DIGEST_CHARS).unwrap_or(text)
}

/// Milliseconds as a duration.
pub(crate) fn millis(millis: impl Given<u64>) -> String {
    format::duration(i64::try_from(millis.given()).unwrap_or(i64::MAX).saturating_mul(MILLI_NS))
}

/// Seconds as a duration.
pub(crate) fn seconds(seconds: impl Given<u64>) -> String {
    format::duration(i64::try_from(seconds.given()).unwrap_or(i64::MAX).saturating_mul(SECOND_NS))
}

/// A percentage of a whole.
pub(crate) fn percent(done: &u64, total: &u64) -> u64 {
    let share = u128::from(*done).saturating_mul(100).checked_div(u128::from(*total)).unwrap_or(0);
    u64::try_from(share.min(100)).unwrap_or(100)
}

/// A key's state in a mark.
pub(crate) fn key(key: &Key) -> (Grade, &'static str) {
    match key.state {
        KeyState::Active => (Grade::Good, "signs"),
        KeyState::Retired => (Grade::Note, "retired"),
        KeyState::Revoked => (Grade::Bad, "revoked"),
    }
}

/// Whether a key takes more room than a line or two: those of lattices have 1,312 bytes.
pub(crate) fn is_long(key: &Key) -> bool {
    key.vkey.len() > VKEY_CHARS
}

/// A witness's state in a mark.
pub(crate) fn witness(state: &WitnessState) -> (Grade, &'static str) {
    match state {
        WitnessState::Good => (Grade::Good, "cosigned"),
        WitnessState::Behind => (Grade::Note, "behind"),
        WitnessState::Down => (Grade::Warning, "no answer"),
        WitnessState::Refused => (Grade::Bad, "refused"),
        WitnessState::Alarm => (Grade::Bad, "saw another history"),
    }
}

/// How publication stands.
pub(crate) fn publication(one: &Publication) -> (Grade, &'static str) {
    let period = i64::try_from(one.every_ms).unwrap_or(i64::MAX).saturating_mul(MILLI_NS);
    let most = period.saturating_mul(LAG_PERIODS).max(LAG_LEAST_NS);
    match one {
        _ if one.refused.is_some() => (Grade::Bad, "stopped"),
        _ if one.lag_ns > most => (Grade::Warning, "lags"),
        _ => (Grade::Good, "in time"),
    }
}

/// How the reading again stands.
pub(crate) fn scrub(scrub: &Scrub) -> (Grade, &'static str) {
    match scrub {
        _ if !scrub.faults.is_empty() => (Grade::Bad, "damage found"),
        _ if !scrub.runs => (Grade::Warning, "not running"),
        _ if scrub.failures > 0 => (Grade::Warning, "reading failed"),
        _ if scrub.rounds == 0 => (Grade::Note, "first round under way"),
        _ => (Grade::Good, "no damage"),
    }
}

/// How the guard stands.
pub(crate) fn guard(guard: &Guard) -> (Grade, &'static str) {
    if guard.faults.is_empty() { (Grade::Good, "whole") } else { (Grade::Warning, "one slot damaged") }
}

/// Whether the quorum of the policy is there; none without a policy.
pub(crate) fn quorum(ledger: &Ledger) -> Option<(Grade, &'static str)> {
    let quorum = ledger.quorum.as_ref()?;
    Some(if quorum.satisfied { (Grade::Good, "satisfied") } else { (Grade::Warning, "not satisfied") })
}

/// How the making of a pack stands.
pub(crate) fn making(making: &Making) -> (Grade, &'static str) {
    match making.state {
        MakingState::Running => (Grade::Note, "under way"),
        MakingState::Made { .. } => (Grade::Good, "made"),
        MakingState::Failed { .. } => (Grade::Bad, "not made"),
    }
}

/// What was done with a person's data.
pub(crate) fn deed(kind: &DeedKind) -> (Grade, &'static str) {
    match kind {
        DeedKind::Erased => (Grade::Good, "erased"),
        DeedKind::ErasureRefused => (Grade::Warning, "kept by law"),
        DeedKind::Restricted => (Grade::Note, "restricted"),
        DeedKind::Unrestricted => (Grade::Note, "restriction ended"),
        DeedKind::Reported => (Grade::Note, "reported"),
    }
}

/// What is ordered, as the button says it.
pub(crate) fn verb(kind: &DeedKind) -> &'static str {
    match kind {
        DeedKind::Erased | DeedKind::ErasureRefused => "Erase",
        DeedKind::Restricted => "Restrict",
        DeedKind::Unrestricted => "End the restriction",
        DeedKind::Reported => "Report",
    }
}

/// What is ordered, in addresses.
pub(crate) fn word(kind: &DeedKind) -> &'static str {
    match kind {
        DeedKind::Erased | DeedKind::ErasureRefused => "erase",
        DeedKind::Restricted => "restrict",
        DeedKind::Unrestricted => "unrestrict",
        DeedKind::Reported => "report",
    }
}

/// What an erasure would do with a class.
pub(crate) fn fate(held: &HeldClass) -> (Grade, &'static str) {
    if held.erasable { (Grade::Good, "can be erased") } else { (Grade::Warning, "stays, restricted") }
}

/// A sentence with what stands between backticks set as code.
pub(crate) fn with_code(text: &str) -> Html {
    let piece = |(at, piece): (usize, &str)| {
        let safe = format::escaped(piece);
        if at % 2 == 1 { format!("<code>{safe}</code>") } else { safe }
    };
    Html(text.split('`').enumerate().map(piece).collect())
}

/// How a repository's newest run stands against its schedule, and why.
pub(crate) fn age(kept: &Kept, run: &Run, now: &UtcNanos) -> (Grade, &'static str) {
    let age = now.0.saturating_sub(run.at.0);
    let late = kept.backup_every_s.is_some_and(|every| age > latest(every));
    if now.0 >= run.keys_expire.0 {
        (Grade::Bad, "keys expired")
    } else if late {
        (Grade::Bad, "late")
    } else if run.keys_expire.0.saturating_sub(now.0) < KEYS_WARNED_NS {
        (Grade::Warning, "keys expire soon")
    } else if kept.backup_every_s.is_none() {
        (Grade::Note, "no schedule")
    } else {
        (Grade::Good, "in time")
    }
}

/// The greatest age at which something scheduled is not late.
fn latest(every_s: u64) -> i64 {
    let every = i64::try_from(every_s).unwrap_or(i64::MAX).saturating_mul(SECOND_NS);
    every.saturating_add(every.saturating_mul(LATE_PERCENT) / 100)
}

/// How the newest drill stands.
pub(crate) fn drilled(kept: &Kept, now: &UtcNanos) -> (Grade, &'static str) {
    let Some(last) = kept.drills.first() else { return (Grade::Warning, "never done") };
    let age = now.0.saturating_sub(last.at.0);
    if !last.ok {
        (Grade::Bad, "failed")
    } else if kept.drill_every_s.is_some_and(|every| age > latest(every)) {
        (Grade::Bad, "late")
    } else {
        (Grade::Good, "succeeded")
    }
}

/// A drill's outcome.
pub(crate) fn drill(drill: &Drill) -> (Grade, &'static str) {
    if drill.ok { (Grade::Good, "restored") } else { (Grade::Bad, "failed") }
}

/// What to do next, the most urgent first.
pub(crate) fn next(kept: &Kept, now: &UtcNanos) -> Vec<(Grade, String)> {
    let mut next = Vec::new();
    for failure in &kept.failures {
        let what = if failure.code.is_empty() {
            format!("The {} was not ended: look why, and make it again.", failure.what)
        } else {
            let (what, code) = (&failure.what, &failure.code);
            format!("The {what} failed with {code}; `waag explain {code}` says what to do.")
        };
        let text = format!("{what} A scheduled one is tried again when it is next due.");
        next.push((Grade::Bad, text));
    }
    match kept.drills.first() {
        Some(last) if !last.ok => next.push((
            Grade::Bad,
            "The last drill failed: until one succeeds, do not rely on this backup. Repeat it by hand with `waag drill` and read what it says."
                .to_owned(),
        )),
        None if !kept.repositories.is_empty() => next.push((
            Grade::Warning,
            "No restore has been tried. `waag drill --backup DIR --key FILE` restores into a scratch place, verifies, measures and removes it again."
                .to_owned(),
        )),
        Some(_) | None => {}
    }
    for repository in &kept.repositories {
        next.extend(repository.newest().and_then(|run| advice(kept, repository, run, now)));
    }
    if kept.repositories.is_empty() {
        next.push((Grade::Warning, "This ledger has no backup. The lines beside make one.".to_owned()));
    } else if kept.backup_every_s.is_none() {
        let text = "No schedule is set on this node: `waag serve --backup-to DIR --backup-key FILE --backup-every 1h` makes backups by itself.";
        next.push((Grade::Note, text.to_owned()));
    }
    next
}

fn advice(kept: &Kept, repository: &Repository, run: &Run, now: &UtcNanos) -> Option<(Grade, String)> {
    let name = short(&repository.id);
    let (grade, word) = age(kept, run, now);
    let text = match word {
        "keys expired" => format!(
            "The key material of repository {name} has expired: what it holds can be proven and not read any more. Make a backup now."
        ),
        "keys expire soon" => format!(
            "The key material of repository {name} expires in {}. Make a backup before, or what it holds cannot be read after a restore.",
            format::duration(run.keys_expire.0.saturating_sub(now.0))
        ),
        "late" => format!(
            "The backup of repository {name} is late. Make one now with `waag backup DIR --key FILE`."
        ),
        _ => return None,
    };
    Some((grade, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcNanos = UtcNanos(1_000 * DAY_NS);

    fn run(age_s: i64, keys_left: i64) -> Run {
        let at = UtcNanos(NOW.0 - age_s * SECOND_NS);
        Run {
            sequence: 1,
            at,
            size: 1,
            bytes: 1,
            took_ms: 1,
            keys_taken: at,
            keys_expire: UtcNanos(NOW.0 + keys_left),
            whole: true,
            position: None,
        }
    }

    #[test]
    fn a_backup_is_late_a_tenth_of_its_period_after_it_was_due() {
        let kept = Kept { backup_every_s: Some(3_600), ..Kept::default() };
        let told = |age_s, keys_left| age(&kept, &run(age_s, keys_left), &NOW);
        assert_eq!(told(3_960, 30 * DAY_NS), (Grade::Good, "in time"));
        assert_eq!(told(3_961, 30 * DAY_NS), (Grade::Bad, "late"));
        assert_eq!(told(0, KEYS_WARNED_NS - 1), (Grade::Warning, "keys expire soon"));
        assert_eq!(told(0, KEYS_WARNED_NS), (Grade::Good, "in time"));
        assert_eq!(told(0, 0), (Grade::Bad, "keys expired"), "worse than being late");
        let none = Kept::default();
        assert_eq!(age(&none, &run(9_999_999, 30 * DAY_NS), &NOW), (Grade::Note, "no schedule"));
    }

    #[test]
    fn what_to_do_next_is_told_with_the_worst_first() {
        let failed = Drill {
            at: NOW,
            ok: false,
            rpo_ms: 0,
            rpo_entries: 0,
            rto_ms: 0,
            size: 0,
            bytes: 0,
            failed: "a chunk is missing".to_owned(),
        };
        assert_eq!(next(&Kept::default(), &NOW).len(), 1, "no backup");
        let repository = |run| Repository { id: "ab".to_owned(), runs: vec![run] };
        let kept =
            Kept { repositories: vec![repository(run(0, DAY_NS))], drills: vec![failed], ..Kept::default() };
        let told = next(&kept, &NOW);
        assert_eq!(
            told.iter().map(|(grade, _)| *grade).collect::<Vec<_>>(),
            [Grade::Bad, Grade::Warning, Grade::Note]
        );
        assert!(told[1].1.contains("expires in 1 d"), "{}", told[1].1);
    }

    #[test]
    fn code_in_a_sentence_is_set_as_code_and_nothing_else_is_html() {
        assert_eq!(with_code("<b> `a<b` c").0, "&lt;b&gt; <code>a&lt;b</code> c");
        assert_eq!(with_code("no code").0, "no code");
    }

    #[test]
    fn a_day_is_a_date_and_nothing_more() {
        assert_eq!((day("1970-01-02"), day("1970-01-02T"), day("1970-02-30")), (Some(UtcDay(1)), None, None));
    }

    #[test]
    fn publication_lags_after_ten_of_its_periods_and_five_seconds_at_least() {
        let one = |every_ms, lag_ns| Publication {
            size: 0,
            at: None,
            note: String::new(),
            lag_ns,
            every_ms,
            is_public: false,
            refused: None,
        };
        assert_eq!(publication(&one(1_000, 10 * SECOND_NS)).0, Grade::Good);
        assert_eq!(publication(&one(1_000, 10 * SECOND_NS + 1)).0, Grade::Warning);
        assert_eq!(publication(&one(1, LAG_LEAST_NS)).0, Grade::Good);
        assert_eq!(
            publication(&Publication { refused: Some(Default::default()), ..one(1, 0) }).0,
            Grade::Bad
        );
    }
}
