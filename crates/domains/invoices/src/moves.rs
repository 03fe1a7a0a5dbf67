//! The steps of invoices from stage to stage: where from, where to, and the number that stores hold for the two.
//!
//! A step is counted when an invoice enters a stage, and when it is paid or rejected; one event can be both. A step
//! back, or to the same stage again, is a return: a loop is made of them.
//! Not here: which event moves an invoice (`state`), how steps are counted (`batch`), reading them (`speed`).

use crate::event::{STAGES, Stage};

/// Where an invoice can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Not known before: its first event.
    Outside,
    /// In a stage.
    In(Stage),
    /// Paid: closed.
    Paid,
    /// Rejected, cancelled or withdrawn: closed.
    Rejected,
}

/// All places: stages, then the others, in the order of their numbers.
pub const PLACES: [Place; 7] = [
    Place::In(STAGES[0]),
    Place::In(STAGES[1]),
    Place::In(STAGES[2]),
    Place::In(STAGES[3]),
    Place::Outside,
    Place::Paid,
    Place::Rejected,
];
/// What the first place's number is multiplied by.
const BASE: i64 = 8;

impl Place {
    fn number(self) -> i64 {
        match self {
            Self::In(stage) => i64::from(stage.number()),
            Self::Outside => 4,
            Self::Paid => 5,
            Self::Rejected => 6,
        }
    }

    fn of_number(number: i64) -> Option<Self> {
        PLACES.into_iter().find(|place| place.number() == number)
    }
}

/// A step from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move {
    /// Where from.
    pub from: Place,
    /// Where to.
    pub to: Place,
}

impl Move {
    pub(crate) fn code(self) -> i64 {
        self.from.number() * BASE + self.to.number()
    }

    pub(crate) fn of_code(code: i64) -> Option<Self> {
        let (from, to) = (code.div_euclid(BASE), code.rem_euclid(BASE));
        Some(Self { from: Place::of_number(from)?, to: Place::of_number(to)? })
    }

    /// Whether it goes back, or to the same stage again.
    #[must_use]
    pub fn is_return(self) -> bool {
        match (self.from, self.to) {
            (Place::In(from), Place::In(to)) => to <= from,
            (Place::Paid | Place::Rejected, Place::In(_)) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_code_of_its_own() {
        let mut codes = Vec::new();
        for from in PLACES {
            for to in PLACES {
                let step = Move { from, to };
                assert_eq!(Move::of_code(step.code()), Some(step));
                codes.push(step.code());
            }
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), PLACES.len() * PLACES.len());
        assert_eq!([Move::of_code(-1), Move::of_code(7), Move::of_code(64)], [None; 3]);
    }

    #[test]
    fn steps_back_and_again_are_returns() {
        let is_return = |from, to| Move { from, to }.is_return();
        let (first, last) = (Place::In(Stage::Ingestion), Place::In(Stage::Posting));
        assert!(is_return(last, first) && is_return(first, first) && is_return(Place::Paid, last));
        assert!(!is_return(first, last) && !is_return(Place::Outside, last) && !is_return(last, Place::Paid));
    }
}
