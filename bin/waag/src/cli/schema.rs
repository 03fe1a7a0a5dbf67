//! `waag schema`: registers schemas, which say whose the fields of a type are, and lists them.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use super::failure::{CliError, Exit, Failure};
use super::input::Input;
use super::output::Output;
use super::setting::Setting;
use super::train::train;
use crate::node::shipped::{INVOICE_TYPES, register};
use crate::store::reader::open_reader;
use crate::store::schemas::SchemaRecord;

const HELP: &str = "\
A schema is a JSON Schema document with the annotations `x-data-subject`, `x-classification` and `x-retention`.
An event of a type without a schema is sealed as a whole under its `subject`, or as nobody's where it has none.

Example:
  waag schema shipped
  waag schema add --type invoice.posting --schema invoice.json --samples synthetic.jsonl
  waag schema list --json";

const SHIPPED_HELP: &str = "\
A node does so when it first opens a store. Without a node, do so before the first invoice event is recorded: one that
comes before its schema is sealed as a whole under its `subject`, and no figure counts it.
A type that has a version already keeps it.

Example:
  waag schema shipped";

const ADD_HELP: &str = "\
Registering is an event of the ledger; what was recorded before keeps the version it was sealed under.
The dictionary compresses later events. It is kept in clear and handed out with disclosed parts, so its samples must be
synthetic: never use recorded events.

Example:
  waag schema add --type invoice.posting --schema invoice.json
  waag schema add --type invoice.posting --schema invoice.json --samples synthetic.jsonl";

const LIST_HELP: &str = "\
Example:
  waag schema list
  waag schema list --json";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register the schemas that come with the program: those of the four invoice types
    #[command(after_help = SHIPPED_HELP)]
    Shipped,
    /// Register the next version of a type's schema
    #[command(after_help = ADD_HELP)]
    Add(Add),
    /// List all registered versions
    #[command(after_help = LIST_HELP)]
    List,
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The event type
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,

    /// The schema document
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,

    /// A trained zstd dictionary
    #[arg(long, value_name = "FILE", conflicts_with = "samples")]
    dictionary: Option<PathBuf>,

    /// Synthetic events, one a line, to train a dictionary from
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
}

#[derive(Serialize)]
struct Json<'a> {
    r#type: &'a str,
    version: u32,
    schema_sha256: String,
    dictionary_sha256: Option<String>,
    position: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<bool>,
}

pub(crate) fn run(setting: &Setting, args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        Command::Shipped => add_shipped(setting, output),
        Command::Add(add) => add_schema(setting, add, output),
        Command::List => {
            let store = open_reader(&setting.place()?, &setting.options()?)?;
            for record in &store.schemas {
                show(record, None, output)?;
            }
            Ok(Exit::Done)
        }
    }
}

fn add_shipped(setting: &Setting, output: &mut Output) -> Result<Exit, Failure> {
    let store = setting.open_writer(&setting.options()?)?;
    let before = store.schemas().records.len();
    register(&store, &setting.actor()?)?;
    let schemas = store.schemas();
    let is_shipped = |record: &&SchemaRecord| INVOICE_TYPES.contains(&record.kind.as_str());
    for record in schemas.newest().into_values().filter(is_shipped) {
        let is_new = !schemas.records.iter().take(before).any(|known| known == record);
        show(record, Some(is_new), output)?;
    }
    Ok(Exit::Done)
}

fn add_schema(setting: &Setting, add: &Add, output: &mut Output) -> Result<Exit, Failure> {
    let actor = setting.actor()?;
    let read = |path: &PathBuf| std::fs::read(path).map_err(CliError::file("read", path));
    let document = read(&add.schema)?;
    let dictionary = match (&add.dictionary, &add.samples) {
        (Some(path), _) => Some(read(path)?),
        (None, Some(samples)) => Some(train(&Input::File(samples.clone()), &document, &actor)?),
        (None, None) => None,
    };
    let store = setting.open_writer(&setting.options()?)?;
    let (record, is_new) = store.register_schema(&actor, &add.kind, &document, dictionary.as_deref())?;
    show(&record, Some(is_new), output)?;
    Ok(Exit::Done)
}

fn show(record: &SchemaRecord, registered: Option<bool>, output: &mut Output) -> Result<(), Failure> {
    let json = Json {
        r#type: &record.kind,
        version: record.version,
        schema_sha256: record.schema.to_string(),
        dictionary_sha256: record.dictionary.map(|hash| hash.to_string()),
        position: record.position.0,
        registered,
    };
    output.answer(&json, || {
        let note = if registered == Some(false) { "  (was registered before)" } else { "" };
        let dictionary = json.dictionary_sha256.as_deref().unwrap_or("none");
        format!(
            "{} version {} at position {}{note}\n  schema      {}\n  dictionary  {dictionary}\n",
            json.r#type, json.version, json.position, json.schema_sha256
        )
    })
}
