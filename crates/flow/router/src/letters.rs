//! Dead letters as they lie in the state: found by position, filtered, shown.
//!
//! Reading needs nobody's leave: pages and commands look at the state beside the running router.

use waag_keys::state::{SCAN_RECORDS_MAX, State, Table};

use crate::error::RouterError;
use crate::records::{DeadLetter, Kind, LaneId, number_of, numbered_key, prefix};
use crate::shown::{FailureShown, Filter, LETTERS_MAX, LetterPage, LetterShown};

/// A dead letter and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) parks: bool,
    pub(crate) letter: DeadLetter,
}

/// The dead letters of a subscription from a position on, in the order of the ledger, and how far that is: everything below
/// was looked at. Looks at no more than `most` records of each kind.
pub(crate) fn from(
    state: &dyn State,
    subscription: u32,
    position: u64,
    most: usize,
) -> Result<(Vec<Found>, Option<u64>), RouterError> {
    let (mut found, mut end) = (Vec::new(), None::<u64>);
    for (kind, parks) in [(Kind::Parked, true), (Kind::Dead, false)] {
        let (letters, more) = of_kind(state, subscription, kind, parks, position, most)?;
        if more {
            let reached = letters.last().map_or(position, |found| found.position.saturating_add(1));
            end = Some(end.map_or(reached, |end| end.min(reached)));
        }
        found.extend(letters);
    }
    found.sort_by_key(|found| (found.position, !found.parks));
    if let Some(end) = end {
        found.retain(|found| found.position < end);
    }
    Ok((found, end))
}

fn of_kind(
    state: &dyn State,
    subscription: u32,
    kind: Kind,
    parks: bool,
    position: u64,
    most: usize,
) -> Result<(Vec<Found>, bool), RouterError> {
    let lane = LaneId { subscription, job: 0 };
    let prefix = prefix(lane, kind);
    // The record behind which the scan begins: the one before the first wanted, or the bare prefix, which is no record.
    let after = position.checked_sub(1).map_or_else(|| prefix.clone(), |at| numbered_key(lane, kind, at));
    let records = state.scan(Table::Delivery, Some(&after), most.clamp(1, SCAN_RECORDS_MAX))?;
    let is_cut = records.len() >= most.min(SCAN_RECORDS_MAX);
    let all = records.len();
    let mut found = Vec::with_capacity(records.len());
    for record in records {
        if !record.key.starts_with(&prefix) {
            break;
        }
        let position = number_of(&record.key).ok_or(RouterError::Record("a dead letter"))?;
        found.push(Found { position, parks, letter: DeadLetter::read(&record.value)? });
    }
    // A scan may also be cut by its bytes, but never before its first record.
    let more = !found.is_empty() && found.len() == all && (is_cut || !is_end(state, &found, lane, kind)?);
    Ok((found, more))
}

/// Whether nothing of the kind follows.
fn is_end(state: &dyn State, found: &[Found], lane: LaneId, kind: Kind) -> Result<bool, RouterError> {
    let Some(last) = found.last() else { return Ok(true) };
    let next = state.scan(Table::Delivery, Some(&numbered_key(lane, kind, last.position)), 1)?;
    Ok(next.first().is_none_or(|record| !record.key.starts_with(&prefix(lane, kind))))
}

impl Filter {
    pub(crate) fn takes(&self, found: &Found) -> bool {
        let letter = &found.letter;
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        self.from.is_none_or(|from| found.position >= from)
            && self.to.is_none_or(|to| found.position < to)
            && self.kind.as_deref().is_none_or(|kind| letter.why.kind.starts_with(kind))
            && is(&self.code, &letter.why.code)
            && is(&self.class, &letter.why.class)
            && self.since_ns.is_none_or(|since| letter.last.0 >= since)
            && self.until_ns.is_none_or(|until| letter.last.0 < until)
            && (self.key.is_none() || is(&self.key, &hex(&letter.key)))
    }

    /// The first position that it may take.
    pub(crate) fn begin(&self) -> u64 {
        self.from.unwrap_or_default()
    }

    /// Whether it takes nothing from this position on.
    pub(crate) fn is_over(&self, position: u64) -> bool {
        self.to.is_some_and(|to| position >= to)
    }
}

/// In hexadecimal.
pub(crate) fn hex(key: &[u8; 16]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn shown(found: &Found) -> LetterShown {
    let Found { position, parks, letter } = found;
    let why = &letter.why;
    LetterShown {
        position: *position,
        kind: why.kind.clone(),
        key: hex(&letter.key),
        parks: *parks,
        attempts: letter.attempts,
        first_ns: letter.first.0,
        last_ns: letter.last.0,
        failure: FailureShown {
            class: why.class.clone(),
            code: why.code.clone(),
            reason: why.reason.clone(),
            response: why.response.clone(),
        },
        status: why.status,
        job: (letter.job != 0).then_some(letter.job),
    }
}

/// A page of dead letters behind a position.
pub(crate) fn page(
    state: &dyn State,
    subscription: u32,
    filter: &Filter,
    after: Option<u64>,
    most: usize,
) -> Result<LetterPage, RouterError> {
    let most = most.clamp(1, LETTERS_MAX);
    let mut page = LetterPage::default();
    let behind = after.map_or(0, |after| after.saturating_add(1));
    let mut position = behind.max(filter.begin());
    loop {
        let (found, end) = from(state, subscription, position, SCAN_RECORDS_MAX)?;
        for found in found.iter().filter(|found| filter.takes(found)) {
            if page.letters.len() >= most {
                page.next = page.letters.last().map(|letter| letter.position);
                return Ok(page);
            }
            page.letters.push(shown(found));
        }
        match end {
            Some(end) if !filter.is_over(end) => position = end,
            Some(_) | None => return Ok(page),
        }
    }
}

/// How many there are.
pub(crate) fn count(state: &dyn State, subscription: u32, filter: &Filter) -> Result<u64, RouterError> {
    let (mut many, mut position) = (0_u64, filter.begin());
    loop {
        let (found, end) = from(state, subscription, position, SCAN_RECORDS_MAX)?;
        let taken = found.iter().filter(|found| filter.takes(found)).count();
        many = many.saturating_add(taken as u64);
        match end {
            Some(end) if !filter.is_over(end) => position = end,
            Some(_) | None => return Ok(many),
        }
    }
}
