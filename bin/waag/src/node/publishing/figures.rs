//! Publication's figures: what lags, and how witnesses stand. Their names are an operator's words, and no labels.

use std::sync::Arc;

use waag_stdx::figures::{Family, Figures, gauge, seconds};

use crate::node::Running;

/// The figures of a node's publication.
#[derive(Debug)]
pub struct PublicationFigures(pub Arc<Running>);

impl Figures for PublicationFigures {
    fn families(&self) -> Vec<Family> {
        let status = self.0.publishing().status();
        let count = |is: &dyn Fn(&crate::node::publishing::status::WitnessStatus) -> bool| {
            status.witnesses.iter().filter(|witness| is(witness)).count() as u64
        };
        let behind = status.witnesses.iter().map(|witness| status.size.saturating_sub(witness.size)).max();
        let mut families = vec![
            gauge("waag_published_entries", "Entries under the published checkpoint.", status.size),
            gauge("waag_publish_lag", "Entries that are guarded and not published.", status.lag_entries),
            seconds(
                "waag_publish_lag_seconds",
                "Age of the oldest entry that is guarded and not published, at most.",
                status.lag.as_secs_f64(),
            ),
            gauge(
                "waag_publish_stopped",
                "1 where nothing is published any more, until the node is started again; its log says why.",
                status.stopped.is_some().into(),
            ),
        ];
        if let Some(quorum) = &status.quorum {
            families.extend([
                gauge("waag_witnesses", "Witnesses of the policy.", status.witnesses.len() as u64),
                gauge(
                    "waag_witnesses_failing",
                    "Witnesses whose last answer was no cosignature.",
                    count(&|witness| witness.failures > 0),
                ),
                gauge(
                    "waag_witnesses_alarm",
                    "Witnesses that have seen another history of this log.",
                    count(&|witness| witness.alarm.is_some()),
                ),
                gauge(
                    "waag_witnesses_lag",
                    "Entries of the published checkpoint that the witness farthest behind has not cosigned.",
                    behind.unwrap_or(0),
                ),
                gauge(
                    "waag_published_quorum",
                    "1 where the published checkpoint has the cosignatures that the policy asks for.",
                    quorum.met.into(),
                ),
            ]);
        }
        families
    }
}
