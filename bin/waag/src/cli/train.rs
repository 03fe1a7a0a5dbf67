//! A dictionary for codec 1 from synthetic samples.
//!
//! What is compressed later is the plaintext of parts, so the samples are taken apart by the schema exactly as sealing
//! does it, and the dictionary is trained on the parts. **Never from tenants' data**: a dictionary is kept in clear and
//! handed out with disclosures.

use waag_cloudevents::{Lines, read_event, read_value};
use waag_entry::plain::{write_common, write_fields};
use waag_entry::split::split;
use waag_model::ids::Actor;
use waag_model::schema::Schema;

use super::failure::{CliError, Failure};
use super::input::Input;

/// Fewest samples that zstd can learn from.
const SAMPLES_MIN: usize = 16;
/// Most samples that are held in memory.
const SAMPLES_MAX: usize = 100_000;
/// Length of a trained dictionary.
pub(crate) const DICTIONARY_BYTES: usize = 32 * 1_024;

/// Trains a dictionary on the events of an input, as this schema takes them apart.
pub(crate) fn train(samples: &Input, document: &[u8], actor: &Actor) -> Result<Vec<u8>, Failure> {
    let wrong = |line: u64, why: String| CliError::Samples(format!("line {line}: {why}"));
    let schema = read_value(document).ok().and_then(|value| Schema::compile(1, &value).ok());
    let (mut reader, _) = samples.open()?;
    let mut lines = Lines::new(&mut *reader);
    let mut plains: Vec<Vec<u8>> = Vec::new();
    let failed = |source| CliError::Input { name: samples.name(), source };
    while let Some(line) = lines.next_line().map_err(failed)? {
        let number = line.number;
        let bytes = line.bytes.map_err(|refusal| wrong(number, refusal.to_string()))?;
        let event = read_event(bytes).map_err(|refusal| wrong(number, refusal.to_string()))?;
        let parts = split(event, actor, schema.as_ref()).map_err(|error| wrong(number, error.to_string()))?;
        let mut plain = Vec::new();
        write_common(&mut plain, &parts.common);
        plains.push(plain);
        for person in &parts.persons {
            let mut plain = Vec::new();
            write_fields(&mut plain, &person.fields);
            plains.push(plain);
        }
        if plains.len() >= SAMPLES_MAX {
            break;
        }
    }
    if plains.len() < SAMPLES_MIN {
        let why = format!("{} parts of events, at least {SAMPLES_MIN} are needed", plains.len());
        return Err(CliError::Samples(why).into());
    }
    zstd::dict::from_samples(&plains, DICTIONARY_BYTES)
        .map_err(|error| CliError::Samples(error.to_string()).into())
}
