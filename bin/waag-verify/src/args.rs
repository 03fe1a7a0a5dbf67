//! The command line: what may be given, and the help that explains it.
//!
//! Not here: reading what is named (`input`).

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

/// One line a paragraph: the terminal's width decides where it breaks.
const AFTER_HELP: &str = "\
Example:
  waag-verify --entry 42.entry --proof 42.tlog-proof --key @ledger.vkey
  waag-verify --entry 42.entry --proof 42.tlog-proof --key @ledger.vkey --part 1 --secret @part.hex
  waag-verify pack audit.zip --key @ledger.vkey

Exit codes:
  0  verified
  1  not verified: the code and the reason say what is wrong
  2  wrong usage
  3  the environment failed: a file cannot be read, or the report cannot be written

What is checked: the entry's form; the checkpoint's signature by a given key whose name is the ledger's origin, and \
every signature that claims to be by a given key; the path from the entry to the signed root. Signature lines by \
other keys are counted and not checked. A proof with an `extra` line, which nobody signs, is refused.

An opened part is shown as JSON. Numbers keep the digits they were sealed with, binary data stands as `data_base64`. \
A value that stands in another part is shown as {\"withheld_in_part\": 1}; `withheld` lists these places by path, so \
that data which merely looks alike cannot be taken for one. The common part is one event; a person's part gives the \
values by their paths in the event, or the whole event under the path \"\". Whether a person's values fill exactly \
the places that name them is seen only with the common part opened too.";

const USAGE: &str = "waag-verify --entry FILE --proof FILE --key VKEY [--part INDEX --secret HEX] [OPTIONS]
       waag-verify pack FILE --key VKEY [OPTIONS]";

const AFTER_PACK_HELP: &str = "\
Example:
  waag-verify pack audit.zip --key @ledger.vkey
  waag-verify pack audit.zip --key @ledger.vkey --policy witnesses.txt --events=events.jsonl

Exit codes:
  0  verified
  1  not verified: the code and the reason say what is wrong
  2  wrong usage
  3  the environment failed: a file cannot be read or written

The key must come from elsewhere than the pack: keys in a pack are written by whoever made it, and prove nothing. The \
file of a key may also hold a key history that the ledger's operator published; its keys then count only in their times.

What is checked: every byte of the file; the checkpoint's signature by a given key named for the ledger's origin, and the \
policy's quorum of witnesses; the path from every entry to the signed root; every disclosed part. What the operator says \
(what was asked, by whom and why, what was erased, the cover) is shown as such: it is signed, and not proven. That \
nothing was left out is proven only where the positions have no gap.

An event is one JSON object with its position, what is known of its parts, and the event as far as it is disclosed; a \
value that stands in a closed part is shown as {\"withheld_in_part\": 1}, and `withheld` lists these places by path.";

/// Verifies offline that an entry is in a ledger, with nothing but the entry, its proof and a public key.
#[derive(Debug, Parser)]
#[command(name = "waag-verify", version, override_usage = USAGE, after_help = AFTER_HELP)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    /// What to verify, if not an entry
    #[command(subcommand)]
    pub command: Option<Verb>,

    /// The entry's bytes as stored; `-` reads the standard input
    #[arg(long, value_name = "FILE", required_unless_present = "completions")]
    pub entry: Option<PathBuf>,

    /// The entry's proof (C2SP tlog-proof); `-` reads the standard input
    #[arg(long, value_name = "FILE", required_unless_present = "completions")]
    pub proof: Option<PathBuf>,

    /// A public key to trust (C2SP vkey, `name+id+base64`), or `@FILE` that holds one; may be given several times
    #[arg(long = "key", value_name = "VKEY|@FILE", required_unless_present = "completions")]
    pub keys: Vec<String>,

    /// Also open the part with this index: 0 is the common part, 1 to 7 are persons'
    #[arg(long, value_name = "INDEX", requires = "secret", value_parser = clap::value_parser!(u8).range(0..=7))]
    pub part: Option<u8>,

    /// The part's secret: 64 hexadecimal digits, or `@FILE` that holds them and keeps them from the process list
    #[arg(long, value_name = "HEX|@FILE", requires = "part")]
    pub secret: Option<String>,

    /// The dictionary of a part that was compressed (codec 1)
    #[arg(long, value_name = "FILE", requires = "part")]
    pub dictionary: Option<PathBuf>,

    /// The blob that the part refers to, as stored
    #[arg(long, value_name = "FILE", requires = "part", requires = "blob_secret")]
    pub blob: Option<PathBuf>,

    /// The blob's secret, which is another than the part's
    #[arg(long, value_name = "HEX|@FILE", requires = "blob")]
    pub blob_secret: Option<String>,

    /// Print one JSON object, whatever the outcome
    #[arg(long)]
    pub json: bool,

    /// Print shell completions
    #[arg(long, value_name = "SHELL", hide = true, exclusive = true)]
    pub completions: Option<Shell>,
}

/// What else can be verified.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Verify an evidence pack: one file with entries, their proof, and what was disclosed of them
    Pack(PackArgs),
}

/// The options of `pack`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_PACK_HELP)]
pub struct PackArgs {
    /// The pack; `-` reads the standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// A ledger's public key to trust (C2SP vkey), or `@FILE` that holds one or a key history; may be given several times
    #[arg(long = "key", value_name = "VKEY|@FILE", required_unless_present = "policy")]
    pub keys: Vec<String>,

    /// A witness's public key, to check and show its cosignatures; may be given several times
    #[arg(long = "witness", value_name = "VKEY|@FILE")]
    pub witnesses: Vec<String>,

    /// What a checkpoint needs (C2SP tlog-policy): which logs, and the quorum of witnesses
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Show the events too, one JSON object on a line each; `--events=OUT` writes them to a new file
    #[arg(long, value_name = "OUT", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub events: Option<PathBuf>,

    /// Write the pack's members into this new folder
    #[arg(long, value_name = "DIR")]
    pub extract: Option<PathBuf>,

    /// Print one JSON object, whatever the outcome
    #[arg(long)]
    pub json: bool,
}
