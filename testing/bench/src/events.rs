//! The events of a run, made before it is measured, and the dictionary they are sealed with.

use anyhow::anyhow;
use waag_cloudevents::{read_event, read_value};
use waag_entry::codec::Dictionary;
use waag_entry::plain::{write_common, write_fields};
use waag_entry::split::split;
use waag_fixtures::prng::SplitMix;
use waag_fixtures::workload::{SCHEMA, Shape, Workload};
use waag_model::ids::Actor;
use waag_model::schema::Schema;

/// Samples that the dictionary is trained from.
pub(crate) const SAMPLES: usize = 10_000;
/// The dictionary's size, in bytes.
const DICTIONARY_BYTES: usize = 16_384;

/// Events in one buffer.
pub(crate) struct Events {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Events {
    /// Takes the next `count` events of a workload.
    pub(crate) fn take(workload: &mut Workload, count: usize) -> Self {
        let mut events = Self { bytes: Vec::with_capacity(count * 640), ends: Vec::with_capacity(count) };
        for _ in 0..count {
            workload.write_event(&mut events.bytes);
            events.ends.push(events.bytes.len());
        }
        events
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn mean_bytes(&self) -> usize {
        self.bytes.len() / self.ends.len().max(1)
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }

    /// Batches of `size` events.
    pub(crate) fn batches(&self, size: usize) -> Vec<Vec<&[u8]>> {
        let lines: Vec<&[u8]> = self.lines().collect();
        lines.chunks(size).map(<[&[u8]]>::to_vec).collect()
    }
}

/// A dictionary from another seed's events than those that are measured.
pub(crate) fn dictionary(shape: &Shape) -> anyhow::Result<Dictionary> {
    let events = Events::take(&mut Workload::new(0xd1c7, shape.clone()), SAMPLES);
    Ok(Dictionary::new(&trained(events.lines(), SCHEMA.as_bytes())?)?)
}

/// The dictionary that is shipped with the invoices' schema, from made-up events alone.
pub(crate) fn shipped_dictionary(schema: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut prng = SplitMix::new(0x1417);
    let samples: Vec<String> = (0..SAMPLES).map(|_| waag_fixtures::samples::sample(&mut prng)).collect();
    trained(samples.iter().map(String::as_bytes), schema)
}

/// A dictionary from the plaintexts of the parts that these events become.
fn trained<'a>(lines: impl Iterator<Item = &'a [u8]>, schema: &[u8]) -> anyhow::Result<Vec<u8>> {
    let document = read_value(schema).map_err(|refusal| anyhow!("{refusal}"))?;
    let schema = Schema::compile(1, &document)?;
    let actor = Actor::new("bench")?;
    let mut samples = Vec::new();
    for line in lines {
        let event = read_event(line).map_err(|refusal| anyhow!("{refusal}"))?;
        let parts = split(event, &actor, Some(&schema))?;
        let mut sample = Vec::new();
        write_common(&mut sample, &parts.common);
        samples.push(sample);
        for person in &parts.persons {
            let mut sample = Vec::new();
            write_fields(&mut sample, &person.fields);
            samples.push(sample);
        }
    }
    Ok(zstd::dict::from_samples(&samples, DICTIONARY_BYTES)?)
}
