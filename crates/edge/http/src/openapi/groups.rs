//! Which operations belong together, and whose keys may ask each.
//!
//! The door has the last word on roles: a test asks every operation with a key of every role and compares.
//! Not here: what a role is (`keys`).

use serde_json::{Value, json};

use crate::keys::Role;

/// A group: its name, what it is about, and its operations by who may ask them.
type Group = (&'static str, &'static str, &'static [(&'static [Role], &'static [&'static str])]);

const ANYBODY: &[Role] = &[];
const PRODUCERS: &[Role] = &[Role::Producer, Role::Admin];
const READERS: &[Role] = &[Role::Reader, Role::Admin];
const READERS_AND_PRODUCERS: &[Role] = &[Role::Reader, Role::Producer, Role::Admin];
const SUBSCRIBERS: &[Role] = &[Role::Subscriber, Role::Admin];
const ADMINISTRATORS: &[Role] = &[Role::Admin];

/// All groups, in the order in which they are told.
const GROUPS: [Group; 9] = [
    (
        "events",
        "Record anything that happened as a CloudEvent, and read what was recorded. Producers read their own events only.",
        &[(PRODUCERS, &["recordEvents"]), (READERS_AND_PRODUCERS, &["readEvent"])],
    ),
    (
        "invoices",
        "Record what happened to invoices without making CloudEvents of it: the path says the stage. Read how they stand, in lists and one by one.",
        &[(PRODUCERS, &["recordInvoices"]), (READERS, &["listInvoices", "readInvoice"])],
    ),
    (
        "figures",
        "Figures over all invoices, as the pages and `waag report` tell them.",
        &[(READERS, &["readFigures", "readTotals", "readSeries", "readTimes", "readVendors", "readCash"])],
    ),
    (
        "mappings",
        "Send invoices under the names of fields that a system has already. A mapping belongs to a key and a stage.",
        &[(PRODUCERS, &["readMapping", "saveMapping", "removeMapping", "tryMapping"])],
    ),
    (
        "ledger",
        "How far the ledger is, and the newest signed checkpoint.",
        &[(READERS_AND_PRODUCERS, &["readLedger"])],
    ),
    (
        "deliveries",
        "Subscriptions and what becomes of each delivery: pulled, pushed, given up, tried again.",
        &[
            (
                READERS,
                &[
                    "listSubscriptions",
                    "readSubscription",
                    "listDeadLetters",
                    "countDeadLetters",
                    "listJobs",
                    "readJob",
                ],
            ),
            (SUBSCRIBERS, &["pullEvents", "answerLeases"]),
            (READERS_AND_PRODUCERS, &["testPattern"]),
            (
                ADMINISTRATORS,
                &[
                    "createSubscription",
                    "changeSubscription",
                    "removeSubscription",
                    "pauseSubscription",
                    "resumeSubscription",
                    "rotateSecret",
                    "redrive",
                    "discard",
                    "replay",
                    "cancelJob",
                ],
            ),
        ],
    ),
    (
        "log",
        "The published log as C2SP tlog-tiles: what outsiders check the ledger by. A node may be told to let anybody read it.",
        &[(
            READERS_AND_PRODUCERS,
            &["readCheckpoint", "readTile", "readPartialTile", "readEntries", "readPartialEntries"],
        )],
    ),
    (
        "witness",
        "Cosign other logs' checkpoints (C2SP tlog-witness), where this node is a witness.",
        &[(ANYBODY, &["addCheckpoint", "readCosigned"])],
    ),
    (
        "node",
        "Whether the node lives and takes events, its figures, and this document.",
        &[(ANYBODY, &["health", "ready", "metrics", "openapi", "docs"])],
    ),
];

/// An operation's group and the roles that may ask it, none where no key is needed.
pub(super) fn of(operation: &str) -> Option<(&'static str, &'static [Role])> {
    GROUPS.iter().find_map(|(group, _, operations)| {
        let (roles, _) = operations.iter().find(|(_, ids)| ids.contains(&operation))?;
        Some((*group, *roles))
    })
}

/// The groups as the document tells them.
pub(super) fn told() -> Value {
    GROUPS.iter().map(|(name, about, _)| json!({"name": name, "description": about})).collect()
}
