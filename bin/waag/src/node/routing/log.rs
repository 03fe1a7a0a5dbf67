//! Lines of the node's own log about subscriptions that stop and go on.
//!
//! They say what the ledger's events of it say, once these are recorded: a name, a code, a reason, who did it. No address of a
//! target is in any: its path or query may hold a token.

use serde_json::Value;
use waag_model::text::in_line;
use waag_router::notice::{Notice, RECOVERED, STOPPED, SWITCHED};
use waag_router::shown::{Overview, Standing};

/// The line of what is recorded; none where nothing stops or goes on.
pub(super) fn line(notice: &Notice) -> Option<String> {
    let text = |name: &str| in_line(notice.data.get(name).and_then(Value::as_str).unwrap_or_default());
    let (name, reason) = (text("subscription"), text("reason"));
    let by = in_line(notice.by.as_deref().unwrap_or_default());
    match notice.kind.as_str() {
        STOPPED => Some(format!("warning: {}: the subscription `{name}` stopped: {reason}", text("code"))),
        RECOVERED => Some(format!("note: the subscription `{name}` goes on: its target takes events again")),
        SWITCHED if text("to") == "paused" => {
            Some(format!("note: the subscription `{name}` was paused by {by}: {reason}"))
        }
        SWITCHED => Some(format!("note: the subscription `{name}` was resumed by {by}")),
        _ => None,
    }
}

/// The line of a subscription that stands still as a node starts; none where it delivers, or where somebody paused it.
pub(super) fn at_start(overview: &Overview) -> Option<String> {
    let Standing::Stopped { code, reason, .. } = &overview.standing else { return None };
    let (name, reason) = (in_line(&overview.spec.name), in_line(reason));
    Some(format!("warning: {code}: the subscription `{name}` stands still: {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waag_router::notice::CHANGED;

    use super::*;

    fn notice(kind: &str, by: Option<&str>, data: &Value) -> Notice {
        let data = data.as_object().unwrap().clone();
        Notice { kind: kind.to_owned(), id: "n".to_owned(), cause: None, by: by.map(str::to_owned), data }
    }

    #[test]
    fn what_stops_and_goes_on_is_one_line_and_nothing_else_is_told() {
        for (notice, told) in [
            (
                notice(
                    STOPPED,
                    None,
                    &json!({ "subscription": "a", "code": "E1162", "reason": "gone\u{1b}[2J" }),
                ),
                Some("warning: E1162: the subscription `a` stopped: gone [2J"),
            ),
            (
                notice(RECOVERED, None, &json!({ "subscription": "a" })),
                Some("note: the subscription `a` goes on: its target takes events again"),
            ),
            (
                notice(
                    SWITCHED,
                    Some("anna"),
                    &json!({ "subscription": "a", "to": "paused", "reason": "a\nb" }),
                ),
                Some("note: the subscription `a` was paused by anna: a b"),
            ),
            (
                notice(SWITCHED, Some("anna"), &json!({ "subscription": "a", "to": "active", "reason": "" })),
                Some("note: the subscription `a` was resumed by anna"),
            ),
            (notice(CHANGED, Some("anna"), &json!({ "subscription": "a", "spec": {} })), None),
        ] {
            assert_eq!(line(&notice).as_deref(), told);
        }
    }
}
