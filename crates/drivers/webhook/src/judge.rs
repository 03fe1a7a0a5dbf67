//! What an answer means: its status decides, alone.
//!
//! `HOOK-3`: a redirect is a failure that names the host it leads to. The specification has every failure but 410 tried
//! again; here 400, 413, 415 and 422 are not, since they speak of this very request, which would be the same again.
//! Source: Standard Webhooks 1.0.0, "Delivery success and failure"; RFC 9110 §10.2.3 (`Retry-After`), §15.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;
use hyper::header::{LOCATION, RETRY_AFTER};
use hyper::http::response::Parts;
use waag_model::time::UtcNanos;
use waag_router::target::{Class, Failure, Outcome};

use crate::RETRY_AFTER_S_MAX;
use crate::error::{NOT_TAKEN, REDIRECTED, plain};

/// Longest host of a redirect that is told, in characters.
const HOST_CHARS_MAX: usize = 100;

/// The outcome of an answer, of whose body the beginning has been read.
pub(crate) fn judge(head: &Parts, body: &[u8], now: UtcNanos) -> Outcome {
    let status = head.status.as_u16();
    let retry_after = retry_after(&head.headers, now);
    let class = match status {
        200..=299 => return Outcome::Delivered(Some(status)),
        410 => Class::Gone,
        429 => Class::Throttled,
        503 if retry_after.is_some() => Class::Throttled,
        400 | 413 | 415 | 422 => Class::Terminal,
        _ => Class::Transient,
    };
    let (code, reason) = if (300..=399).contains(&status) {
        let to = redirected_to(&head.headers);
        (REDIRECTED, format!("the answer is {status}, a redirect{to}, and redirects are not followed"))
    } else {
        (NOT_TAKEN, format!("the answer is {status}"))
    };
    let response = plain(&String::from_utf8_lossy(body));
    Outcome::Failed(Failure { class, code, reason, status: Some(status), retry_after, response })
}

/// How long to leave the receiver alone: seconds, or a date; at most a day.
fn retry_after(headers: &HeaderMap, now: UtcNanos) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let max = Duration::from_secs(RETRY_AFTER_S_MAX);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are a long time too.
        return Some(text.parse().map_or(max, |seconds| Duration::from_secs(seconds).min(max)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(u64::try_from(now.0).ok()?))?;
    Some(date.duration_since(now).unwrap_or_default().min(max))
}

/// ` to HOST`, in characters of host names alone; nothing where it stays where it is.
fn redirected_to(headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).map(|location| String::from_utf8_lossy(location.as_bytes()));
    let rest = location.as_deref().and_then(|location| location.split_once("//")).map(|(_, rest)| rest);
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#', '\\']).next());
    let host = authority.map(|authority| authority.rsplit('@').next().unwrap_or(authority));
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-._:[]".contains(*c);
    let host: String = host.unwrap_or_default().chars().filter(is_plain).take(HOST_CHARS_MAX).collect();
    if host.is_empty() { String::new() } else { format!(" to `{host}`") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::Response;
    use proptest::prelude::*;
    use waag_model::time::UtcNanos;
    use waag_router::target::{Class, Failure, Outcome, SNIPPET_CHARS_MAX};

    use super::judge;

    /// Sat, 21 Nov 2026 12:00:00 GMT.
    const NOW: UtcNanos = UtcNanos(1_795_262_400_000_000_000);

    fn judged(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Outcome {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let (head, ()) = response.body(()).unwrap().into_parts();
        judge(&head, body, NOW)
    }

    fn failed(status: u16, headers: &[(&str, &str)]) -> Failure {
        match judged(status, headers, b"") {
            Outcome::Failed(failure) => failure,
            Outcome::Delivered(_) => panic!("{status} is no success"),
        }
    }

    #[test]
    fn every_status_has_its_class() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => {
                    assert_eq!(judged(status, &[], b"no"), Outcome::Delivered(Some(status)));
                    continue;
                }
                410 => Class::Gone,
                429 => Class::Throttled,
                400 | 413 | 415 | 422 => Class::Terminal,
                _ => Class::Transient,
            };
            let failure = failed(status, &[]);
            let code = if (300..=399).contains(&status) { "E1168" } else { "E1169" };
            assert_eq!(
                (failure.class, failure.code, failure.status),
                (expected, code, Some(status)),
                "{status}"
            );
        }
        assert_eq!(failed(503, &[("retry-after", "1")]).class, Class::Throttled);
        assert_eq!(failed(503, &[("retry-after", "soon")]).class, Class::Transient);
        assert_eq!(failed(502, &[("retry-after", "1")]).class, Class::Transient);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let day = Some(Duration::from_secs(86_400));
        let cases = [
            ("0", Some(Duration::ZERO)),
            (" 120 ", Some(Duration::from_secs(120))),
            ("86400", day),
            ("86401", day),
            ("99999999999999999999999999", day),
            ("Sat, 21 Nov 2026 12:01:30 GMT", Some(Duration::from_secs(90))),
            ("Saturday, 21-Nov-26 12:01:30 GMT", Some(Duration::from_secs(90))),
            ("Sat, 21 Nov 2026 11:59:00 GMT", Some(Duration::ZERO)),
            ("Thu, 01 Jan 2099 00:00:00 GMT", day),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("tomorrow", None),
        ];
        for (text, expected) in cases {
            assert_eq!(failed(429, &[("retry-after", text)]).retry_after, expected, "{text}");
        }
    }

    #[test]
    fn a_redirect_names_its_host_and_nothing_else() {
        let cases = [
            ("https://b.example:8443/secret?token=x", " to `b.example:8443`"),
            ("//b.example", " to `b.example`"),
            ("http://user:pass@169.254.169.254/latest", " to `169.254.169.254`"),
            ("http://[::1]:80/", " to `[::1]:80`"),
            ("/elsewhere", ""),
            ("https://b`<script>.example/", " to `bscript.example`"),
            ("", ""),
        ];
        for (location, to) in cases {
            let failure = failed(307, &[("location", location)]);
            assert_eq!(
                failure.reason,
                format!("the answer is 307, a redirect{to}, and redirects are not followed")
            );
        }
        assert!(failed(302, &[]).reason.starts_with("the answer is 302, a redirect, and"));
        assert!(failed(302, &[("location", &format!("https://{}/", "a".repeat(5_000)))]).reason.len() < 200);
    }

    #[test]
    fn what_is_shown_of_a_body_is_short_and_plain() {
        let shown = |body: &[u8]| match judged(500, &[], body) {
            Outcome::Failed(failure) => failure.response,
            Outcome::Delivered(_) => panic!("500 is no success"),
        };
        assert_eq!(shown(b"line one\r\nline\ttwo\n"), "line one  line two");
        assert_eq!(shown("a\u{202e}b\u{200b}c\u{1b}[31md\u{feff}".as_bytes()), "abc[31md");
        assert_eq!(shown("ü".repeat(SNIPPET_CHARS_MAX).as_bytes()).chars().count(), SNIPPET_CHARS_MAX);
        assert_eq!(shown("ü".repeat(SNIPPET_CHARS_MAX + 1).as_bytes()).chars().count(), SNIPPET_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn any_body_and_header_is_told_within_bounds(body: Vec<u8>, value in "[ -~]{0,300}") {
            let headers = [("retry-after", value.as_str()), ("location", value.as_str())];
            if let Outcome::Failed(failure) = judged(307, &headers, &body) {
                prop_assert!(failure.response.chars().count() <= SNIPPET_CHARS_MAX);
                prop_assert!(!failure.response.chars().any(char::is_control));
                prop_assert!(failure.reason.len() < 200);
                prop_assert!(failure.retry_after.is_none_or(|after| after.as_secs() <= 86_400));
            }
        }
    }
}
