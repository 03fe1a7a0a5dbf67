//! The paths about deliveries: subscriptions, pulling, dead letters, jobs, trials of patterns.
//!
//! Not here: their schemas (`delivery_schemas`).

use serde_json::{Map, Value, json};
use waag_router::shown::{LETTERS_MAX, PULL_MAX, PULL_WAIT_MS_MAX};

use super::delivery_schemas::{class, code, key, kind, reason};
use super::{JSON, answered, answers, answers_as, idempotency, problem};
use crate::deliveries::asked::{PAGE_MAX, PULL_DEFAULT};

/// Refusals that an operation knows beside those that each has.
const NO_SUBSCRIPTION: (&str, &str) = ("404", "There is no such subscription.");
const NOT_ITS: (&str, &str) = ("403", "The key's role does not allow it, or it is for other subscriptions.");
const NO_JOB: (&str, &str) = ("404", "There is no such job.");
const STALE: (&str, &str) = ("412", "It is another version than `If-Match` names; nothing was done.");
const TOO_LARGE: (&str, &str) = ("413", "The body is above its limit.");
const MEDIA: (&str, &str) =
    ("415", "The content type is not application/json, or the body has a content encoding.");
const BODY: (&str, &str) = ("422", "The body is not what can be taken; `errors` says where.");

fn refusals(of: &[(&'static str, &str)]) -> Vec<(&'static str, Value)> {
    of.iter().map(|(status, description)| (*status, problem(description))).collect()
}

fn name() -> Value {
    json!({
        "name": "name", "in": "path", "required": true, "example": "billing",
        "schema": {"$ref": "#/components/schemas/SubscriptionName"}
    })
}

fn number() -> Value {
    json!({
        "name": "number", "in": "path", "required": true, "example": 1,
        "schema": {"type": "integer", "minimum": 0, "maximum": u32::MAX}
    })
}

fn query(name: &str, schema: Value, description: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": schema, "description": description})
}

fn body(schema: &str, example: Value) -> Value {
    json!({"required": true, "content": {JSON: {
        "schema": {"$ref": format!("#/components/schemas/{schema}")}, "example": example
    }}})
}

/// An operation whose body is JSON.
fn changing(id: &str, summary: &str, (schema, example): (&str, Value), responses: Value) -> Value {
    json!({
        "operationId": id, "summary": summary, "requestBody": body(schema, example), "responses": responses
    })
}

fn subscription() -> Value {
    json!({
        "name": "billing", "description": "Paid invoices to the billing system",
        "pattern": {"type": [{"prefix": "invoice."}], "data": {"amount": [{"numeric": [">=", 1000]}]}},
        "target": {"kind": "pull"}, "on_failure": "park"
    })
}

fn with_links(mut answer: Value, links: Value) -> Value {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("links".to_owned(), links);
    }
    answer
}

fn with_headers(mut answer: Value, headers: Value) -> Value {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("headers".to_owned(), headers);
    }
    answer
}

fn at_a_location(answer: Value) -> Value {
    with_headers(answer, json!({"Location": {"$ref": "#/components/headers/Location"}}))
}

/// The versions that a subscription may have, for the request to be carried out.
fn if_match() -> Value {
    json!({
        "name": "If-Match", "in": "header", "required": false,
        "schema": {"type": "string", "pattern": r#"^(?:\*|(?:W/)?"[!#-~]*")$"#},
        "description": "The `ETag` of the subscription as it was read, or a list of such: where it is another one by now, nothing is done. It is of the settings and of whether it delivers, not of counts."
    })
}

fn list() -> Value {
    let after = json!({"$ref": "#/components/schemas/SubscriptionName"});
    let max = json!({"type": "integer", "minimum": 1, "maximum": PAGE_MAX});
    let to = |operation: &str| json!({"operationId": operation, "parameters": {"name": "$response.body#/overview/spec/name"}});
    let made = answered("It is there; the secret, where one was made, is told here only.", JSON, "Created");
    let links = json!({
        "read": to("readSubscription"), "pull": to("pullEvents"), "pause": to("pauseSubscription"),
        "deadLetters": to("listDeadLetters"), "remove": to("removeSubscription")
    });
    let made = with_links(at_a_location(made), links);
    let refused = refusals(&[
        ("409", "There is one of this name already, or there are as many as there may be."),
        TOO_LARGE,
        MEDIA,
        BODY,
    ]);
    json!({
        "get": {
            "operationId": "listSubscriptions", "summary": "Subscriptions by name, and how they stand",
            "parameters": [
                query("after", after, "go on behind this name"),
                query("max", max, "most subscriptions of an answer; 100 where it is not named")
            ],
            "responses": answers(answered("A piece of the list.", JSON, "Subscriptions"), &[])
        },
        "post": changing(
            "createSubscription", "Make a subscription",
            ("NewSubscription", json!({"subscription": subscription()})),
            answers_as("201", made, &refused)
        )
    })
}

fn one() -> Value {
    let detail = answered("The subscription, its last attempts, parked keys and jobs.", JSON, "Detail");
    let detail = with_headers(detail, json!({"ETag": {"$ref": "#/components/headers/ETag"}}));
    let reason = json!({
        "name": "reason", "in": "query", "required": true, "schema": reason(1), "example": "no longer needed"
    });
    let name_differs = ("422", "The body is not what can be taken, or its name is not that of the path.");
    let changed = answered(
        "As it stands after the change, with the secret that was made where the target is in another place.",
        JSON,
        "Changed",
    );
    let refused = refusals(&[
        NO_SUBSCRIPTION,
        ("409", "It cannot be changed as things stand."),
        STALE,
        TOO_LARGE,
        MEDIA,
        name_differs,
    ]);
    let removed = answered("It is not there any more, nor are its dead letters.", JSON, "Status");
    json!({
        "parameters": [name()],
        "get": {
            "operationId": "readSubscription", "summary": "A subscription in detail",
            "responses": answers(detail, &refusals(&[NO_SUBSCRIPTION]))
        },
        "put": conditional(changing(
            "changeSubscription", "Change a subscription; where it began stays",
            ("ChangedSubscription", json!({"subscription": subscription()})),
            answers(changed, &refused)
        )),
        "delete": {
            "operationId": "removeSubscription", "summary": "Remove a subscription and its dead letters",
            "parameters": [reason, if_match()],
            "responses": answers(removed, &refusals(&[
                NO_SUBSCRIPTION, ("409", "It cannot be removed as things stand."), STALE, ("422", "The reason is none.")
            ]))
        }
    })
}

fn conditional(mut operation: Value) -> Value {
    if let Some(operation) = operation.as_object_mut() {
        operation.insert("parameters".to_owned(), json!([if_match()]));
    }
    operation
}

fn switches() -> [(&'static str, Value); 3] {
    let stands = || answered("As it stands then.", JSON, "Overview");
    let rotated =
        answered("The new secret, where one was made; the old one signs beside it.", JSON, "Created");
    let of_body =
        refusals(&[NO_SUBSCRIPTION, ("409", "It does not fit to how things stand."), TOO_LARGE, MEDIA, BODY]);
    let conflict = ("409", "It does not fit to how things stand.");
    let pause = changing(
        "pauseSubscription",
        "Pause a subscription",
        ("Reason", json!({"reason": "the target is being moved"})),
        answers(stands(), &of_body),
    );
    let resume = json!({
        "operationId": "resumeSubscription", "summary": "Resume a paused or stopped subscription",
        "responses": answers(stands(), &refusals(&[NO_SUBSCRIPTION, conflict, ("422", "It cannot be resumed.")]))
    });
    let rotate = changing(
        "rotateSecret",
        "Give a webhook's subscription another signing secret",
        ("Secret", json!({})),
        answers(rotated, &of_body),
    );
    [
        ("/v1/subscriptions/{name}/pause", posted(pause)),
        ("/v1/subscriptions/{name}/resume", posted(resume)),
        ("/v1/subscriptions/{name}/rotate-secret", posted(rotate)),
    ]
}

/// A path of a subscription that takes one method.
fn posted(operation: Value) -> Value {
    json!({"parameters": [name()], "post": operation})
}

/// The same of an operation that is carried out once under its `Idempotency-Key`.
fn repeatable(operation: Value) -> Value {
    json!({"parameters": [name(), idempotency()], "post": operation})
}

fn pulls() -> [(&'static str, Value); 2] {
    let max = json!({"type": "integer", "minimum": 1, "maximum": PULL_MAX});
    let wait = json!({"type": "integer", "minimum": 0, "maximum": PULL_WAIT_MS_MAX});
    let not_pulled = ("409", "The subscription delivers by itself.");
    let pulled =
        answered("Leased events, in the order of each key; none where none came in time.", JSON, "Pulled");
    let pull = json!({
        "operationId": "pullEvents", "summary": "Lease events, waiting for the first",
        "description": "Each event is to be answered before its lease runs out; otherwise it comes again.",
        "parameters": [
            query("max", max, &format!("most events; {PULL_DEFAULT} where it is not named")),
            query("wait_ms", wait, "how long to wait for the first event; 0 where it is not named")
        ],
        "responses": answers(pulled, &refusals(&[NOT_ITS, NO_SUBSCRIPTION, not_pulled]))
    });
    let late = ("409", "The only answer came too late, or the subscription delivers by itself.");
    let example = json!({"answers": [
        {"answer": "acknowledge", "lease": "l-1"}, {"answer": "extend", "lease": "l-2"},
        {"answer": "reject", "lease": "l-3", "retry_after_ms": 5_000, "reason": "the account is locked"}
    ]});
    let answer = changing(
        "answerLeases",
        "Acknowledge, extend or reject leased events",
        ("Answers", example),
        answers(
            answered("What became of each answer, in their order.", JSON, "Results"),
            &refusals(&[NOT_ITS, NO_SUBSCRIPTION, late, TOO_LARGE, MEDIA, BODY]),
        ),
    );
    [("/v1/subscriptions/{name}/pull", posted(pull)), ("/v1/subscriptions/{name}/answer", posted(answer))]
}

fn filter() -> Vec<Value> {
    let position = || json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
    let time = || json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX});
    vec![
        query("from", position(), "of events from this position on"),
        query("to", position(), "of events below this position"),
        query("kind", kind(), "of events whose type begins so"),
        query("code", code(), "given up with this code"),
        query("class", class(), "given up with a failure of this class"),
        query("key", key(), "of this key"),
        query("since_ns", time(), "given up at this time or later, in nanoseconds since 1970"),
        query("until_ns", time(), "given up before this time"),
    ]
}

fn letters() -> [(&'static str, Value); 2] {
    let mut paged = filter();
    let max = json!({"type": "integer", "minimum": 1, "maximum": LETTERS_MAX});
    let after = json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
    paged.push(query("after", after, "go on behind this position"));
    paged.push(query(
        "max",
        max,
        &format!("most dead letters of an answer; {PAGE_MAX} where it is not named"),
    ));
    let read = |id: &str, summary: &str, parameters: Vec<Value>, told: Value| {
        json!({"parameters": [name()], "get": {
            "operationId": id, "summary": summary, "parameters": parameters,
            "responses": answers(told, &refusals(&[NO_SUBSCRIPTION]))
        }})
    };
    let page = answered("A piece of the list, in the order of the ledger.", JSON, "DeadLetters");
    let count = answered("How many there are.", JSON, "Count");
    [
        (
            "/v1/subscriptions/{name}/dead-letters",
            read("listDeadLetters", "Events that were given up", paged, page),
        ),
        (
            "/v1/subscriptions/{name}/dead-letters/count",
            read("countDeadLetters", "How many events were given up", filter(), count),
        ),
    ]
}

fn started() -> Value {
    let to = |operation: &str| json!({"operationId": operation, "parameters": {"number": "$response.body#/number"}});
    let job = answered("The job, which goes on after this answer.", JSON, "Job");
    with_links(at_a_location(job), json!({"read": to("readJob"), "cancel": to("cancelJob")}))
}

fn jobs_made() -> [(&'static str, Value); 3] {
    let under_way = ("409", "A job of this kind is under way for the subscription, or the same request is.");
    let refused = refusals(&[NO_SUBSCRIPTION, under_way, TOO_LARGE, MEDIA, BODY]);
    let counted = ("200", answered("How many it would be; nothing was done.", JSON, "Count"));
    let with_count: Vec<_> = refused.iter().cloned().chain([counted]).collect();
    let redrive = changing(
        "redrive",
        "Try dead letters again, each before newer events of its key",
        ("Redrive", json!({"filter": {"class": "terminal"}, "rate": 100, "dry_run": true})),
        answers_as("202", started(), &with_count),
    );
    let discard = changing(
        "discard",
        "Discard dead letters; their keys go on without them",
        ("Discard", json!({"filter": {"from": 7, "to": 8}, "reason": "sent by mistake", "dry_run": true})),
        answers_as("202", started(), &with_count),
    );
    let replay = changing(
        "replay",
        "Deliver a span of the ledger again, marked as a replay",
        ("Replay", json!({"from": 0, "to": 100, "rate": 500, "reason": "the target lost a day"})),
        answers_as("202", started(), &refused),
    );
    [
        ("/v1/subscriptions/{name}/redrive", repeatable(redrive)),
        ("/v1/subscriptions/{name}/discard", repeatable(discard)),
        ("/v1/subscriptions/{name}/replay", repeatable(replay)),
    ]
}

fn jobs() -> [(&'static str, Value); 3] {
    let job = || answered("The job.", JSON, "Job");
    let ended = ("409", "The job has ended.");
    [
        (
            "/v1/delivery-jobs",
            json!({"get": {
                "operationId": "listJobs", "summary": "Redrives, discardings and replays, the newest first",
                "responses": answers(answered("At most 200.", JSON, "Jobs"), &[])
            }}),
        ),
        (
            "/v1/delivery-jobs/{number}",
            json!({"parameters": [number()], "get": {
                "operationId": "readJob", "summary": "A job and how far it is",
                "responses": answers(job(), &refusals(&[NO_JOB]))
            }}),
        ),
        (
            "/v1/delivery-jobs/{number}/cancel",
            json!({"parameters": [number()], "post": {
                "operationId": "cancelJob", "summary": "End a job; what it had not come to stays as it was",
                "responses": answers(job(), &refusals(&[NO_JOB, ended]))
            }}),
        ),
    ]
}

fn trial() -> Value {
    let refused = ("422", "The pattern is refused, or the event is none; `errors` says where and why.");
    let example = json!({"pattern": {"type": [{"prefix": "invoice."}]}, "event": {"type": "invoice.posted"}});
    let told = answered("Whether the event matches the pattern.", JSON, "Matches");
    json!({"post": changing(
        "testPattern", "Try a pattern on an event; nothing is kept", ("Trial", example),
        answers(told, &refusals(&[TOO_LARGE, MEDIA, refused]))
    )})
}

/// All of them.
pub(super) fn paths() -> Map<String, Value> {
    let single =
        [("/v1/subscriptions", list()), ("/v1/subscriptions/{name}", one()), ("/v1/patterns/test", trial())];
    let all = single.into_iter().chain(switches()).chain(pulls()).chain(letters()).chain(jobs_made());
    all.chain(jobs()).map(|(path, item)| (path.to_owned(), item)).collect()
}
