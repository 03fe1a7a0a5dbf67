//! Subscriptions as people read them.

use waag_model::text::in_line;
use waag_router::shown::{AttemptShown, Detail, Overview, Standing};
use waag_router::spec::{KeySpec, Spec};

use super::super::deliveries::{failure_text, job_line, many, second, table};

/// A subscription in one line.
pub(super) fn line(one: &Overview) -> String {
    format!("{}  {}  {}\n", one.spec.name, standing(&one.standing), target(&one.spec))
}

/// Subscriptions, one a line under a head.
pub(super) fn listed(all: &[Overview]) -> String {
    let heads = ["name", "target", "standing", " lag", " rate/s", " failed", " parked", " dead letters"];
    let row = |one: &Overview| {
        let standing = match &one.standing {
            Standing::Active => "active".to_owned(),
            Standing::Paused { .. } => "paused".to_owned(),
            Standing::Stopped { code, .. } => format!("stopped {code}"),
        };
        let numbers = [one.lag_events, one.failed, one.parked_keys, one.dead_letters].map(|n| n.to_string());
        let [lag, failed, parked, dead_letters] = numbers;
        let rate = format!("{:.1}", one.rate);
        vec![one.spec.name.clone(), target(&one.spec), standing, lag, rate, failed, parked, dead_letters]
    };
    table(&heads, &all.iter().map(row).collect::<Vec<_>>())
}

fn target(spec: &Spec) -> String {
    match spec.target.kind() {
        "pull" => "pull".to_owned(),
        kind => format!("{kind} {}", in_line(&spec.target.place())),
    }
}

fn standing(standing: &Standing) -> String {
    match standing {
        Standing::Active => "active".to_owned(),
        Standing::Paused { by, reason, at_ns } => {
            format!("paused by {} at {}: {}", in_line(by), second(*at_ns), in_line(reason))
        }
        Standing::Stopped { code, reason, at_ns } => {
            format!("stopped at {}: {code}: {}", second(*at_ns), in_line(reason))
        }
    }
}

/// A subscription with everything that is known of it.
pub(super) fn in_full(detail: &Detail) -> String {
    let mut text = summary(&detail.overview);
    if !detail.jobs.is_empty() {
        text.push_str("jobs\n");
    }
    for job in &detail.jobs {
        text.push_str(&format!("  {}", job_line(job)));
    }
    if !detail.parked.is_empty() {
        text.push_str("parked keys\n");
    }
    for parked in &detail.parked {
        text.push_str(&format!(
            "  {}  waits for the dead letter of position {}\n",
            parked.key, parked.position
        ));
    }
    if !detail.attempts.is_empty() {
        text.push_str("last attempts\n");
    }
    for attempt in &detail.attempts {
        text.push_str(&format!("  {}\n", attempt_text(attempt)));
    }
    text
}

fn summary(overview: &Overview) -> String {
    let Overview { spec, created_ns, created_by, lag_events, settled_to, rate, .. } = overview;
    let Overview { delivered, failed, under_way, waiting_keys, parked_keys, dead_letters, .. } = overview;
    let mut lines = vec![("target", target(spec))];
    if !spec.description.is_empty() {
        lines.push(("for", in_line(&spec.description)));
    }
    let pattern = spec.pattern.as_ref().map(|pattern| format!("those that match {}", in_line(pattern.get())));
    lines.push(("events", pattern.unwrap_or_else(|| "every one that is not Waag's own".to_owned())));
    if spec.transform.is_some() {
        lines.push(("transformed", "as its JSON says".to_owned()));
    }
    let order = match &spec.key {
        KeySpec::Subject => "those of one subject, one after the other".to_owned(),
        KeySpec::None => "none".to_owned(),
        KeySpec::Pointer(place) => format!("those with one value at {}, one after the other", in_line(place)),
    };
    lines.push(("order", order));
    let (attempts, age) = (spec.retry.attempts_max, spec.retry.age_s_max);
    let policy = spec.on_failure.name();
    lines
        .push(("on failure", format!("{policy}, after {} or {age} s", many(u64::from(attempts), "attempt"))));
    lines.push(("made", format!("{} by {}", second(*created_ns), in_line(created_by))));
    lines.push((
        "reached",
        format!(
            "all below {settled_to}; {} behind, {} of them not looked at; {rate:.1} deliveries/s",
            many(*lag_events, "event"),
            overview.unread_events,
        ),
    ));
    lines.push((
        "so far",
        format!(
            "{delivered} delivered, {failed} attempts failed since the node's start, {under_way} under way"
        ),
    ));
    lines.push((
        "waiting",
        format!(
            "{waiting_keys} keys for a further attempt, {parked_keys} for one of {dead_letters} dead letters"
        ),
    ));
    if let Some(at) = overview.next_attempt_ns {
        lines.push(("tried again", format!("at {}; at once by `waag subscription resume`", second(at))));
    }
    if let Some(position) = overview.oldest_position {
        let at = overview.oldest_ns.map(|at| format!(", committed at {}", second(at)));
        lines.push(("oldest", format!("position {position}{}", at.unwrap_or_default())));
    }
    if let Some(millis) = overview.left_alone_ms {
        lines.push(("left alone", format!("for {} s, since its target only fails", millis.div_ceil(1_000))));
    }
    let mut text = format!("{}  {}\n", spec.name, standing(&overview.standing));
    for (name, said) in lines {
        text.push_str(&format!("  {name:<11}  {said}\n"));
    }
    text
}

fn attempt_text(attempt: &AttemptShown) -> String {
    let AttemptShown { at_ns, position, number, took_ms, status, failure, replay } = attempt;
    let status = status.map(|status| format!("  status {status}")).unwrap_or_default();
    let replay = replay.map(|job| format!("  replay {job}")).unwrap_or_default();
    let outcome = failure.as_ref().map_or_else(|| "delivered".to_owned(), failure_text);
    format!(
        "{}  {position:>10}  attempt {number}  {took_ms:>6} ms{status}{replay}  {outcome}",
        second(*at_ns)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use waag_router::shown::{FailureShown, ParkedKey};

    fn overview(name: &str) -> Overview {
        let spec = format!(r#"{{"name":"{name}","target":{{"kind":"webhook","url":"https://x.example/"}}}}"#);
        Overview {
            spec: Spec::read(spec.as_bytes()).unwrap(),
            standing: Standing::Active,
            created_ns: 0,
            created_by: "alice".to_owned(),
            lag_events: 1_200,
            unread_events: 1_100,
            settled_to: 40,
            rate: 12.34,
            delivered: 3,
            failed: 2,
            under_way: 0,
            waiting_keys: 1,
            parked_keys: 1,
            dead_letters: 1,
            oldest_position: Some(41),
            oldest_ns: None,
            next_attempt_ns: Some(5_000_000_000),
            left_alone_ms: Some(1_001),
            jobs: Vec::new(),
        }
    }

    #[test]
    fn a_list_says_how_each_stands() {
        let stopped = Standing::Stopped { code: "E1160".to_owned(), reason: "x".to_owned(), at_ns: 0 };
        let all = [overview("erp"), Overview { standing: stopped, ..overview("audit-2") }];
        assert_eq!(
            listed(&all),
            "\
name     target                      standing        lag  rate/s  failed  parked  dead letters
erp      webhook https://x.example/  active         1200    12.3       2       1             1
audit-2  webhook https://x.example/  stopped E1160  1200    12.3       2       1             1
"
        );
    }

    #[test]
    fn one_is_shown_with_its_attempts_and_parked_keys_and_nothing_of_others_moves_the_cursor() {
        let reason = "\u{1b}[31mno".to_owned();
        let standing = Standing::Paused { by: "bob".to_owned(), reason: reason.clone(), at_ns: 0 };
        let failure = FailureShown {
            class: "transient".to_owned(),
            code: "E1160".to_owned(),
            reason,
            response: String::new(),
        };
        let attempt = AttemptShown {
            at_ns: 0,
            position: 41,
            number: 2,
            took_ms: 17,
            status: Some(500),
            failure: Some(failure),
            replay: None,
        };
        let detail = Detail {
            overview: Overview { standing, ..overview("erp") },
            attempts: vec![AttemptShown { failure: None, ..attempt.clone() }, attempt],
            parked: vec![ParkedKey { key: "0a".to_owned(), position: 41 }],
            jobs: Vec::new(),
        };
        let text = in_full(&detail);
        for line in [
            "erp  paused by bob at 1970-01-01T00:00:00Z:  [31mno",
            "  left alone   for 2 s, since its target only fails",
            "  0a  waits for the dead letter of position 41",
            "  1970-01-01T00:00:00Z          41  attempt 2      17 ms  status 500  delivered",
            "  1970-01-01T00:00:00Z          41  attempt 2      17 ms  status 500  transient  E1160   [31mno",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains("jobs"));
    }
}
