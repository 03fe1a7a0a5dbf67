//! The schemas of what is asked and told about deliveries.
//!
//! Limits are those that the router and `deliveries::asked` check. What they check beyond JSON Schema (the language of
//! patterns and transformations, the delays' order, which targets a node opens) ends in 422.

use serde_json::{Map, Value, json};
use waag_router::shown::{RATE_DEFAULT, RATE_MAX};
use waag_router::spec::{
    AGE_S_MAX, ATTEMPTS_MAX, CONCURRENCY_MAX, DELAY_MS_MAX, DESCRIPTION_BYTES_MAX, NAME_BYTES_MAX,
    PRIORITY_MAX, TIMEOUT_MS_MAX,
};

use crate::deliveries::asked::{
    ANSWERS_MAX, CLASSES, KIND_CHARS_MAX, LEASE_CHARS_MAX, REASON_CHARS_MAX, SECRET_CHARS_MAX,
};

fn within(least: u64, most: u64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

/// One that may be null, which is the same as not being there.
fn or_null(mut schema: Value) -> Value {
    let Some(members) = schema.as_object_mut() else { return schema };
    let kind = members.get("type").cloned().unwrap_or_default();
    members.insert("type".to_owned(), json!([kind, "null"]));
    if let Some(Value::Array(values)) = members.get_mut("enum") {
        values.push(Value::Null);
    }
    schema
}

fn text(least: usize, most: usize) -> Value {
    json!({"type": "string", "minLength": least, "maxLength": most})
}

/// A reason, which tells something where one is required.
pub(super) fn reason(least: usize) -> Value {
    let mut reason = text(least, REASON_CHARS_MAX);
    if let Some(reason) = reason.as_object_mut().filter(|_| least > 0) {
        reason.insert("pattern".to_owned(), json!(r"[^\s\u0000-\u001f\u007f-\u009f]"));
    }
    reason
}

fn lease() -> Value {
    text(1, LEASE_CHARS_MAX)
}

pub(super) fn kind() -> Value {
    text(1, KIND_CHARS_MAX)
}

pub(super) fn code() -> Value {
    json!({"type": "string", "pattern": "^E[0-9]{4}$"})
}

pub(super) fn class() -> Value {
    json!({"type": "string", "enum": CLASSES})
}

pub(super) fn key() -> Value {
    json!({"type": "string", "pattern": "^[0-9a-f]{32}$"})
}

fn position() -> Value {
    within(0, u64::MAX)
}

fn time() -> Value {
    json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX})
}

fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn list(name: &str) -> Value {
    json!({"type": "array", "items": of(name)})
}

/// An object that has these members and no other.
fn closed(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

/// An object that has these members.
fn told(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "required": required, "properties": properties})
}

fn target() -> Value {
    let no_controls = r"[^\u0000-\u001f\u007f-\u009f]*$";
    let place = |start: &str| json!({"type": "string", "minLength": 1, "maxLength": 2_048, "pattern": format!("^{start}{no_controls}")});
    let subject = json!({"type": "string", "minLength": 1, "maxLength": 2_048, "pattern": r"^[^$\u0000-\u0020\u007f-\u00a0*>\s][^\u0000-\u0020\u007f-\u00a0*>\s]*$", "not": {"pattern": r"^_INBOX(?:\.|$)"}});
    json!({"oneOf": [
        closed(&["kind", "url"], json!({"kind": {"const": "webhook"}, "url": place("https?://")})),
        closed(&["kind"], json!({"kind": {"const": "pull"}})),
        closed(
            &["kind", "server", "subject"],
            json!({"kind": {"const": "nats"}, "server": place("(?:nats|tls)://"), "subject": subject})
        ),
        closed(&["kind", "handler"], json!({"kind": {"const": "in-process"}, "handler": place("")}))
    ]})
}

fn transform() -> Value {
    let mut schema = closed(
        &[],
        json!({
            "paths": {"type": "object", "additionalProperties": {"type": "string"}},
            "template": or_null(json!({"type": "string"})),
            "path": or_null(json!({"type": "string"})),
            "constant": {"description": "any JSON"}
        }),
    );
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("type".to_owned(), json!(["object", "null"]));
        let what = "`path`, or `constant`, or `template` with the `paths` of its variables";
        schema.insert("description".to_owned(), json!(what));
    }
    schema
}

fn subscription() -> Value {
    let retry = closed(
        &[],
        json!({
            "attempts_max": within(1, ATTEMPTS_MAX.into()), "age_s_max": within(0, AGE_S_MAX),
            "delay_ms_min": within(1, DELAY_MS_MAX), "delay_ms_max": within(1, DELAY_MS_MAX)
        }),
    );
    let start = json!({"oneOf": [
        {"enum": ["now", "beginning"]},
        closed(&["position"], json!({"position": position()})),
        closed(&["time_ns"], json!({"time_ns": time()}))
    ]});
    let order = json!({
        "type": "string", "maxLength": 1_024, "pattern": r"^(?:subject|none|/(?:[^~]|~[01])*)$",
        "description": "`subject`, `none`, or a JSON Pointer into the event"
    });
    let pattern = json!({
        "type": ["object", "null"],
        "description": "an event pattern in the language of Amazon EventBridge; every event but Waag's own where there is none"
    });
    let description = json!({
        "type": "string", "minLength": 0, "maxLength": DESCRIPTION_BYTES_MAX,
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"
    });
    closed(
        &["name", "target"],
        json!({
            "name": of("SubscriptionName"), "description": description, "pattern": pattern,
            "target": target(), "transform": transform(), "key": order,
            "concurrency": within(1, CONCURRENCY_MAX.into()), "timeout_ms": within(100, TIMEOUT_MS_MAX),
            "retry": retry, "on_failure": {"enum": ["park", "skip", "halt"]}, "start": start,
            "priority": within(0, PRIORITY_MAX.into())
        }),
    )
}

fn filter() -> Value {
    closed(
        &[],
        json!({
            "from": or_null(position()), "to": or_null(position()), "kind": or_null(kind()),
            "code": or_null(code()), "class": or_null(class()), "key": or_null(key()),
            "since_ns": or_null(time()), "until_ns": or_null(time())
        }),
    )
}

fn lease_answer() -> Value {
    let plain =
        |answer: &str| closed(&["answer", "lease"], json!({"answer": {"const": answer}, "lease": lease()}));
    let reject = closed(
        &["answer", "lease"],
        json!({
            "answer": {"const": "reject"}, "lease": lease(), "terminal": {"type": "boolean"},
            "retry_after_ms": or_null(within(0, DELAY_MS_MAX)), "reason": reason(0)
        }),
    );
    json!({"oneOf": [plain("acknowledge"), plain("extend"), reject]})
}

fn asked() -> [(&'static str, Value); 13] {
    let secret = || or_null(text(1, SECRET_CHARS_MAX));
    let rate = or_null(within(1, RATE_MAX.into()));
    let dry_run = json!({"type": "boolean", "description": "only count"});
    let replay_rate = json!({
        "type": ["integer", "null"], "minimum": 0, "maximum": RATE_MAX, "default": RATE_DEFAULT
    });
    let replay = closed(
        &[],
        json!({
            "from": or_null(position()), "to": or_null(position()), "since_ns": or_null(time()),
            "until_ns": or_null(time()), "pattern": {"type": ["object", "null"]},
            "rate": replay_rate, "reason": reason(0)
        }),
    );
    let answers = json!({
        "type": "array", "minItems": 1, "maxItems": ANSWERS_MAX, "items": of("LeaseAnswer")
    });
    [
        (
            "SubscriptionName",
            json!({"type": "string", "pattern": format!("^[a-z][a-z0-9-]{{0,{}}}$", NAME_BYTES_MAX - 1)}),
        ),
        ("Subscription", subscription()),
        (
            "NewSubscription",
            closed(&["subscription"], json!({"subscription": of("Subscription"), "secret": secret()})),
        ),
        ("ChangedSubscription", closed(&["subscription"], json!({"subscription": of("Subscription")}))),
        ("Reason", closed(&["reason"], json!({"reason": reason(1)}))),
        ("Secret", closed(&[], json!({"secret": secret()}))),
        ("Filter", filter()),
        ("LeaseAnswer", lease_answer()),
        ("Answers", closed(&["answers"], json!({"answers": answers}))),
        (
            "Redrive",
            closed(
                &["filter"],
                json!({"filter": of("Filter"), "rate": rate, "reason": or_null(reason(1)), "dry_run": dry_run}),
            ),
        ),
        (
            "Discard",
            closed(
                &["filter", "reason"],
                json!({"filter": of("Filter"), "reason": reason(1), "dry_run": dry_run, "rate": {"type": "null"}}),
            ),
        ),
        ("Replay", replay),
        (
            "Trial",
            closed(
                &["pattern", "event"],
                json!({"pattern": {"type": "object"}, "event": {"type": "object"}}),
            ),
        ),
    ]
}

fn overview() -> Value {
    told(
        &[
            "spec",
            "standing",
            "created_ns",
            "created_by",
            "lag_events",
            "unread_events",
            "settled_to",
            "rate",
            "delivered",
            "failed",
            "under_way",
            "waiting_keys",
            "parked_keys",
            "dead_letters",
            "oldest_position",
            "oldest_ns",
            "next_attempt_ns",
            "left_alone_ms",
            "jobs",
        ],
        json!({
            "spec": of("Subscription"), "standing": of("Standing"), "created_ns": time(),
            "created_by": {"type": "string"}, "lag_events": count(), "unread_events": count(), "settled_to": count(),
            "rate": {"type": "number"}, "delivered": count(), "failed": count(), "under_way": count(),
            "waiting_keys": count(), "parked_keys": count(), "dead_letters": count(),
            "oldest_position": or_null(count()), "oldest_ns": or_null(time()), "next_attempt_ns": or_null(time()),
            "left_alone_ms": or_null(count()),
            "jobs": {"type": "array", "items": count()}
        }),
    )
}

fn job() -> Value {
    told(
        &[
            "number",
            "kind",
            "subscription",
            "state",
            "by",
            "reason",
            "filter",
            "from",
            "to",
            "rate",
            "total",
            "done",
            "succeeded",
            "failed",
            "waits",
            "started_ns",
        ],
        json!({
            "number": count(), "kind": {"enum": ["redrive", "discard", "replay"]}, "subscription": of("SubscriptionName"),
            "state": {"enum": ["running", "done", "cancelled"]}, "by": {"type": "string"}, "reason": {"type": "string"},
            "filter": of("Filter"), "from": count(), "to": count(), "pattern": {"type": "object"}, "rate": count(),
            "total": count(), "done": count(), "succeeded": count(), "failed": count(), "waits": count(),
            "started_ns": time(), "ended_ns": time()
        }),
    )
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn words() -> Value {
    json!({"type": "string"})
}

/// An HTTP status, as a target answered it.
fn status() -> Value {
    json!({"type": "integer", "minimum": 100, "maximum": 999})
}

fn of_subscriptions() -> [(&'static str, Value); 9] {
    [
        ("Overview", overview()),
        (
            "Subscriptions",
            told(
                &["subscriptions"],
                json!({"subscriptions": list("Overview"), "next": of("SubscriptionName")}),
            ),
        ),
        (
            "Standing",
            told(
                &["state"],
                json!({"state": {"enum": ["active", "paused", "stopped"]}, "by": words(), "code": code(), "reason": words(), "at_ns": time()}),
            ),
        ),
        ("Changed", json!({"allOf": [of("Overview"), told(&[], json!({"secret": words()}))]})),
        ("Created", told(&["overview"], json!({"overview": of("Overview"), "secret": words()}))),
        (
            "Detail",
            told(
                &["overview", "attempts", "parked", "jobs"],
                json!({"overview": of("Overview"), "attempts": list("Attempt"), "parked": list("ParkedKey"), "jobs": list("Job")}),
            ),
        ),
        (
            "Attempt",
            told(
                &["at_ns", "position", "number", "took_ms"],
                json!({"at_ns": time(), "position": count(), "number": count(), "took_ms": count(), "status": status(),
                    "failure": of("Failure"), "replay": count()}),
            ),
        ),
        (
            "Failure",
            told(
                &["class", "code", "reason"],
                json!({"class": class(), "code": code(), "reason": words(), "response": words()}),
            ),
        ),
        ("ParkedKey", told(&["key", "position"], json!({"key": key(), "position": count()}))),
    ]
}

fn of_events() -> [(&'static str, Value); 10] {
    [
        ("DeadLetters", told(&["letters"], json!({"letters": list("DeadLetter"), "next": count()}))),
        (
            "DeadLetter",
            told(
                &["position", "kind", "key", "parks", "attempts", "first_ns", "last_ns", "failure"],
                json!({"position": count(), "kind": words(), "key": key(), "parks": {"type": "boolean"}, "attempts": count(),
                    "first_ns": time(), "last_ns": time(), "failure": of("Failure"), "status": status(), "job": count()}),
            ),
        ),
        ("Job", job()),
        ("Jobs", told(&["jobs"], json!({"jobs": list("Job")}))),
        ("Pulled", told(&["events"], json!({"events": list("LeasedEvent")}))),
        (
            "LeasedEvent",
            told(
                &["lease", "position", "attempt", "lease_ms", "event"],
                json!({"lease": lease(), "position": count(), "attempt": count(), "replay": count(), "lease_ms": count(),
                    "event": {"description": "the event in the CloudEvents JSON format, or what its transformation made of it"}}),
            ),
        ),
        ("Results", told(&["results"], json!({"results": list("Result")}))),
        (
            "Result",
            told(
                &["lease"],
                json!({"lease": lease(), "done": {"const": true}, "code": code(), "reason": words()}),
            ),
        ),
        ("Count", told(&["count"], json!({"count": count()}))),
        ("Matches", told(&["matches"], json!({"matches": {"type": "boolean"}}))),
    ]
}

/// All of them by name.
pub(super) fn schemas() -> Map<String, Value> {
    let told = of_subscriptions().into_iter().chain(of_events());
    asked().into_iter().chain(told).map(|(name, schema)| (name.to_owned(), schema)).collect()
}
