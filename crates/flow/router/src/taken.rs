//! What the router keeps in the state, as an export takes it: subscriptions without their secrets, and dead letters.
//!
//! Place: read beside a running router, from a state that was opened to read. Nothing here is changed, and a router that
//! runs may be a batch further than what is read.
//! Not here: the live figures of a subscription (`shown`), the form of the files (`bin/waag`).

use serde::Serialize;
use waag_keys::state::{SCAN_RECORDS_MAX, State, Table};

use crate::error::RouterError;
use crate::records::{DeadLetter, number_of};
use crate::registry::load;
use crate::shown::Standing;
use crate::spec::Spec;

/// A subscription as it is taken; its secrets stay behind.
#[derive(Clone, Debug, Serialize)]
pub struct TakenSubscription {
    /// Its number.
    pub number: u32,
    /// What it is.
    pub spec: Spec,
    /// Whether it delivers.
    pub standing: Standing,
    /// When it was made, in nanoseconds since 1970, UTC.
    pub created_ns: i64,
    /// Who made it.
    pub created_by: String,
}

/// A dead letter as it is taken; the beginning of the target's answer stays behind, since it is a stranger's words.
#[derive(Clone, Debug, Serialize)]
pub struct TakenLetter {
    /// The subscription's number.
    pub subscription: u32,
    /// The event's position.
    pub position: u64,
    /// Whether its key waits for it.
    pub parked: bool,
    /// The event's type.
    pub r#type: String,
    /// Attempts, redrives included.
    pub attempts: u32,
    /// When it was tried first, in nanoseconds since 1970, UTC.
    pub first_ns: i64,
    /// When it was given up.
    pub last_ns: i64,
    /// The class of the last failure.
    pub class: String,
    /// Its code.
    pub code: String,
    /// Its reason.
    pub reason: String,
    /// The last HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// All subscriptions that are not being removed, in the order of their numbers.
///
/// # Errors
/// [`RouterError::Record`]; the state's.
pub fn subscriptions(state: &dyn State) -> Result<Vec<TakenSubscription>, RouterError> {
    let kept = load(state)?.subscriptions.into_iter().filter(|kept| !kept.removed);
    let taken = kept.map(|kept| TakenSubscription {
        number: kept.number,
        spec: kept.spec,
        standing: kept.standing,
        created_ns: kept.created_ns,
        created_by: kept.created_by,
    });
    Ok(taken.collect())
}

/// Shows every dead letter, lane by lane in the order of positions; an error of the visitor's ends it.
///
/// # Errors
/// [`RouterError::Record`]; the state's; the visitor's.
pub fn letters<E: From<RouterError>>(
    state: &dyn State,
    visit: &mut dyn FnMut(TakenLetter) -> Result<(), E>,
) -> Result<(), E> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let found = state.scan(Table::Delivery, after.as_deref(), SCAN_RECORDS_MAX);
        let records = found.map_err(RouterError::State)?;
        let Some(last) = records.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for record in &records {
            // Subscription (4 bytes), job (4 bytes), kind, position (8 bytes).
            let (Some(subscription), Some(kind)) = (record.key.first_chunk::<4>(), record.key.get(8)) else {
                return Err(RouterError::Record("a delivery").into());
            };
            if !matches!(kind, b'd' | b'p') {
                continue;
            }
            let position = number_of(&record.key).ok_or(RouterError::Record("a dead letter"))?;
            let letter = DeadLetter::read(&record.value)?;
            visit(TakenLetter {
                subscription: u32::from_be_bytes(*subscription),
                position,
                parked: *kind == b'p',
                r#type: letter.why.kind,
                attempts: letter.attempts,
                first_ns: letter.first.0,
                last_ns: letter.last.0,
                class: letter.why.class,
                code: letter.why.code,
                reason: letter.why.reason,
                status: letter.why.status,
            })?;
        }
    }
}

#[cfg(test)]
mod tests {
    use waag_keys::memory::MemoryState;
    use waag_keys::state::{Change, Expect};
    use waag_model::time::UtcNanos;

    use super::*;
    use crate::records::{Kind, LaneId, Queued, Why, numbered_key, queued_key};

    #[test]
    fn dead_letters_are_taken_without_answers_and_waiting_events_are_not() {
        let state = MemoryState::new();
        let lane = LaneId { subscription: 7, job: 0 };
        let why = Why { kind: "a".into(), response: "Anna".into(), status: Some(500), ..Why::default() };
        let (first, last) = (UtcNanos(1), UtcNanos(2));
        let dead = DeadLetter { key: [8; 16], attempts: 20, first, last, job: 0, why }.write();
        let rows = [
            (numbered_key(lane, Kind::Dead, 300), dead.clone()),
            (numbered_key(lane, Kind::Parked, 4), dead),
            (queued_key(lane, &[9; 16], 5), Queued::default().write()),
        ];
        let changes = rows.each_ref().map(|(key, value)| Change {
            table: Table::Delivery,
            key,
            expect: Expect::Absent,
            value: Some(value),
        });
        state.commit(&changes).unwrap();
        let mut taken = Vec::new();
        letters::<RouterError>(&state, &mut |letter| {
            taken.push(letter);
            Ok(())
        })
        .unwrap();
        let places: Vec<_> = taken.iter().map(|one| (one.subscription, one.position, one.parked)).collect();
        assert_eq!(places, [(7, 300, false), (7, 4, true)]);
        assert!(!serde_json::to_string(&taken).unwrap().contains("Anna"));
        assert!(subscriptions(&state).unwrap().is_empty());
    }
}
