//! How subscriptions, attempts, dead letters and jobs read on pages: one place for their words and grades.

use waag_model::text::in_line;
use waag_model::time::UtcNanos;
use waag_router::shown::{
    AttemptShown, FailureShown, Filter, JobKind, JobShown, JobState, Overview, Standing,
};
use waag_router::spec::{KeySpec, OnFailure, Spec, Start, TargetSpec};

use crate::format::{self, Given};
use crate::model::Grade;

/// Characters of an answer's beginning that a table shows; all that is kept of it stands in the title.
const SNIPPET_CHARS_MAX: usize = 120;
/// Characters of a key's hash that a table shows.
const KEY_CHARS: usize = 12;
const MILLI_NS: i64 = 1_000_000;

/// Whether it delivers, in a mark.
pub(crate) fn standing(standing: &Standing) -> (Grade, &'static str) {
    match standing {
        Standing::Active => (Grade::Good, "active"),
        Standing::Paused { .. } => (Grade::Warning, "paused"),
        Standing::Stopped { .. } => (Grade::Bad, "stopped"),
    }
}

/// Why it does not deliver: who or which code, and the reason.
pub(crate) fn why(standing: &Standing) -> Option<(String, &str, UtcNanos)> {
    match standing {
        Standing::Active => None,
        Standing::Paused { by, reason, at_ns } => Some((format!("by {by}"), reason, UtcNanos(*at_ns))),
        Standing::Stopped { code, reason, at_ns } => Some((code.clone(), reason, UtcNanos(*at_ns))),
    }
}

/// Stopped ones first, then paused ones, then those with dead letters; by name among each other.
pub(crate) fn urgency(one: &Overview) -> (u8, bool) {
    let standing = match one.standing {
        Standing::Stopped { .. } => 0,
        Standing::Paused { .. } => 1,
        Standing::Active => 2,
    };
    (standing, one.dead_letters == 0)
}

/// Deliveries a second: one digit behind the point below a hundred.
pub(crate) fn rate(rate: &f64) -> String {
    if *rate < 100.0 {
        return format!("{rate:.1}");
    }
    let whole = format!("{rate:.0}");
    whole.parse::<u64>().map_or(whole, format::count)
}

/// A time as the router tells it.
pub(crate) fn at(nanos: impl Given<i64>) -> UtcNanos {
    UtcNanos(nanos.given())
}

/// A number of the router as counts take it.
pub(crate) fn wide(number: impl Given<u32>) -> u64 {
    u64::from(number.given())
}

/// Milliseconds as a duration.
pub(crate) fn millis(millis: impl Given<u64>) -> String {
    format::duration(i64::try_from(millis.given()).unwrap_or(i64::MAX).saturating_mul(MILLI_NS))
}

/// A target's kind, in words.
pub(crate) fn target(target: &TargetSpec) -> &'static str {
    match target {
        TargetSpec::Webhook { .. } => "Webhook",
        TargetSpec::Pull {} => "Pull",
        TargetSpec::Nats { .. } => "NATS",
        TargetSpec::InProcess { .. } => "In process",
    }
}

/// A subscription's settings, in words.
pub(crate) fn settings(spec: &Spec) -> Vec<(&'static str, String)> {
    let retry = &spec.retry;
    let delay = if retry.delay_ms_min == retry.delay_ms_max {
        format!("{} apart", millis(retry.delay_ms_min))
    } else {
        format!("{} to {} apart", millis(retry.delay_ms_min), millis(retry.delay_ms_max))
    };
    let pulled = matches!(spec.target, TargetSpec::Pull {});
    let time = millis(spec.timeout_ms);
    vec![
        (
            "Events",
            match &spec.pattern {
                Some(_) => "Those that match its pattern, below".to_owned(),
                None => "Every one but Waag's own".to_owned(),
            },
        ),
        (
            "Delivered",
            match &spec.transform {
                Some(_) => "What its transformation makes of the event".to_owned(),
                None => "The event as it is".to_owned(),
            },
        ),
        (
            "Order",
            match &spec.key {
                KeySpec::Subject => "Events of the same subject one after another".to_owned(),
                KeySpec::None => "None".to_owned(),
                KeySpec::Pointer(place) => format!("Events with the same {place} one after another"),
            },
        ),
        ("At the same time", format!("{} keys at most", format::count(u64::from(spec.concurrency)))),
        if pulled { ("A lease lasts", time) } else { ("An attempt may take", time) },
        (
            "Tried",
            format!(
                "{} times at most, within {}, {delay}",
                format::count(u64::from(retry.attempts_max)),
                millis(retry.age_s_max.saturating_mul(1_000))
            ),
        ),
        (
            "When given up",
            match spec.on_failure {
                OnFailure::Park => "Its key waits behind the dead letter; others go on",
                OnFailure::Skip => "Its key goes on without it",
                OnFailure::Halt => "The whole subscription stops",
            }
            .to_owned(),
        ),
        (
            "Began with",
            match spec.start {
                Start::Now => "What was recorded from its creation on".to_owned(),
                Start::Beginning => "The ledger's first event".to_owned(),
                Start::Position(position) => format!("Position {}", format::count(position)),
                Start::Time(at) => format!("What was committed from {} on", format::absolute(&at)),
            },
        ),
        ("Priority", format!("{} of 9", spec.priority)),
    ]
}

/// How bad a class of failure is.
pub(crate) fn class(class: &str) -> Grade {
    match class {
        "terminal" | "gone" => Grade::Bad,
        "transient" => Grade::Warning,
        _ => Grade::Note,
    }
}

/// How an attempt ended.
pub(crate) fn outcome(attempt: &AttemptShown) -> (Grade, String) {
    let status = attempt.status.map_or_else(String::new, |status| format!(" {status}"));
    match &attempt.failure {
        None => (Grade::Good, format!("delivered{status}")),
        Some(failure) => (class(&failure.class), format!("{}{status}", failure.class)),
    }
}

/// The beginning of an answer, in one line.
pub(crate) fn snippet(text: &str) -> String {
    let beginning: String = text.chars().take(SNIPPET_CHARS_MAX).collect();
    let mut shown = in_line(&beginning);
    if text.chars().nth(SNIPPET_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// All of a failure in one text, for the title of its cell.
pub(crate) fn whole(failure: &FailureShown) -> String {
    if failure.response.is_empty() {
        return format!("{}: {}", failure.code, failure.reason);
    }
    format!("{}: {} · {}", failure.code, failure.reason, failure.response)
}

/// All of a failure in lines.
pub(crate) fn told(failure: &FailureShown) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    let text = if failure.response.is_empty() {
        format!("{}: {}", failure.code, failure.reason)
    } else {
        format!("{}: {}\n\n{}", failure.code, failure.reason, failure.response)
    };
    text.chars().map(plain).collect()
}

/// The beginning of a key's hash.
pub(crate) fn key(key: &str) -> String {
    let mut shown: String = key.chars().take(KEY_CHARS).collect();
    if key.chars().nth(KEY_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

/// What a job does.
pub(crate) fn job(kind: &JobKind) -> &'static str {
    match kind {
        JobKind::Redrive => "Redrive",
        JobKind::Discard => "Discard",
        JobKind::Replay => "Replay",
    }
}

/// How a job stands.
pub(crate) fn job_state(job: &JobShown) -> (Grade, String) {
    match job.state {
        JobState::Running => (Grade::Note, "under way".to_owned()),
        JobState::Done if job.failed > 0 => {
            (Grade::Warning, format!("done, {} failed", format::count(job.failed)))
        }
        JobState::Done => (Grade::Good, "done".to_owned()),
        JobState::Cancelled => (Grade::Warning, "cancelled".to_owned()),
    }
}

/// What a job takes, in words.
pub(crate) fn job_what(job: &JobShown) -> Vec<String> {
    match job.kind {
        JobKind::Redrive | JobKind::Discard => filter(&job.filter),
        JobKind::Replay => {
            let mut words =
                vec![format!("positions {} to before {}", format::count(job.from), format::count(job.to))];
            if job.pattern.is_some() {
                words.push("of a pattern of its own".to_owned());
            }
            words
        }
    }
}

/// How fast a job goes.
pub(crate) fn job_rate(job: &JobShown) -> String {
    if job.rate == 0 {
        "no limit".to_owned()
    } else {
        format!("{} a second", format::count(u64::from(job.rate)))
    }
}

/// How far a job is, in parts of a hundred.
pub(crate) fn job_percent(job: &JobShown) -> u64 {
    if job.total == 0 {
        return if job.state == JobState::Running { 0 } else { 100 };
    }
    let percent = u128::from(job.done.min(job.total)).saturating_mul(100) / u128::from(job.total.max(1));
    u64::try_from(percent).unwrap_or(100)
}

/// A filter in words, one for each part; `all of them` where it has none.
pub(crate) fn filter(filter: &Filter) -> Vec<String> {
    let mut words = Vec::new();
    match (filter.from, filter.to) {
        (Some(from), Some(to)) if from.checked_add(1) == Some(to) => {
            words.push(format!("position {}", format::count(from)));
        }
        (from, to) => {
            words.extend(from.map(|from| format!("from position {} on", format::count(from))));
            words.extend(to.map(|to| format!("before position {}", format::count(to))));
        }
    }
    let time = |nanos: i64| format::absolute(&UtcNanos(nanos));
    words.extend(filter.kind.as_ref().map(|kind| format!("type begins with {kind}")));
    words.extend(filter.class.as_ref().map(|class| format!("class {class}")));
    words.extend(filter.code.as_ref().map(|code| format!("code {code}")));
    words.extend(filter.key.as_ref().map(|hash| format!("key {}", key(hash))));
    words.extend(filter.since_ns.map(|since| format!("given up since {}", time(since))));
    words.extend(filter.until_ns.map(|until| format!("given up before {}", time(until))));
    if words.is_empty() {
        words.push("all of them".to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_parts_of_a_job_read_well() {
        for (given, said) in [(0.0, "0.0"), (12.34, "12.3"), (99.94, "99.9"), (1_204.4, "1,204")] {
            assert_eq!(rate(&given), said);
        }
        assert_eq!(snippet("a\nb\u{1b}c\u{202e}d"), "a b c d");
        assert_eq!(snippet(&"x".repeat(SNIPPET_CHARS_MAX + 1)).chars().count(), SNIPPET_CHARS_MAX + 1);
        assert_eq!(key("0123456789abcdef"), "0123456789ab…");
    }

    #[test]
    fn a_filter_says_all_that_it_takes() {
        assert_eq!(filter(&Filter::default()), ["all of them"]);
        assert_eq!(filter(&Filter::one(1_200)), ["position 1,200"]);
        let all = Filter {
            from: Some(1),
            to: Some(9),
            kind: Some("a.".to_owned()),
            code: Some("E1".to_owned()),
            class: Some("gone".to_owned()),
            key: Some("ab".to_owned()),
            since_ns: Some(0),
            until_ns: Some(1),
        };
        assert_eq!(filter(&all).len(), 8, "no part is left out");
    }
}
