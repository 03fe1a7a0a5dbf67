//! The domain of plain facts: what has happened elsewhere is recorded as it is told.
//!
//! Not here: any rule. Facts need no state, so none of them is ever refused for what happened before.

use waag_model::event::{Accepted, Event};

use crate::{Domain, Refusal};

/// Accepts every event as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passthrough;

impl Domain for Passthrough {
    type State = ();

    fn stream<'a>(&self, _command: &'a Accepted<'_>) -> Option<&'a str> {
        None
    }

    fn decide<'a>(&self, (): &(), command: Accepted<'a>) -> Result<Vec<Accepted<'a>>, Refusal> {
        Ok(vec![command])
    }

    fn evolve(&self, (): (), _event: &Event<'_>) {}
}

#[cfg(test)]
mod tests {
    use waag_model::event::Data;
    use waag_model::ids::Actor;
    use waag_model::time::UtcNanos;
    use waag_model::value::Object;

    use super::*;

    #[test]
    fn given_nothing_when_a_fact_is_told_then_it_is_recorded_unchanged() {
        let fact = Accepted {
            event: Event {
                id: "1".into(),
                source: "/erp".into(),
                kind: "invoice.ingestion".into(),
                subject: None,
                attributes: Object::default(),
                data: Data::None,
            },
            actor: Actor::new("erp").unwrap(),
            accepted: UtcNanos(5),
        };
        assert_eq!(Passthrough.stream(&fact), None);
        assert_eq!(Passthrough.decide(&(), fact.clone()), Ok(vec![fact]));
    }
}
