//! The auditor's offline verifier: an entry, its proof and a public key, or an evidence pack; no network, no server, no
//! database.
//!
//! Place in the way of an event: none. It stands outside and trusts nobody but the keys it is given: not the ledger's
//! operator, not the files, not the program that wrote them. It reads its named files once, within limits, and writes two
//! streams and the files it is told to.
//!
//! Not here: the rules themselves, which are those of `evidence/ledger` (proofs) and `evidence/entry` (parts).
//!
//! Invariants:
//! - `VERIFY-1`: exit code 0 with a report means that every given byte that anybody signed was checked; nothing empty,
//!   cut, too long or unknown is verified.
//! - `VERIFY-2`: what is shown of an entry is shown after it was proven, never before.
//! - `VERIFY-3`: no text of a file reaches the terminal with control characters in it.
//!
//! The modules: [`args`] is the command line, [`input`] reads files, [`verify`] decides on entries and the ledger's own
//! crate on packs ([`pack`]), [`report`], [`pack_report`] and [`json`] print.

pub mod args;
pub mod error;
pub mod input;
pub mod json;
pub mod pack;
pub mod pack_report;
pub mod report;
pub mod verify;

use std::ffi::OsString;
use std::io::{Read, Write};

use clap::{CommandFactory, Parser};

use crate::args::{Args, Verb};
use crate::error::VerifyError;

/// Verified.
pub const EXIT_VERIFIED: u8 = 0;
/// Not verified: the files are wrong, or do not belong together.
pub const EXIT_NOT_VERIFIED: u8 = 1;
/// Wrong usage: the command line is at fault.
pub const EXIT_USAGE: u8 = 2;
/// The environment failed: a file could not be read, or the report not written.
pub const EXIT_ENVIRONMENT: u8 = 3;

/// Runs the program on an argument list that begins with its own name; returns the exit code.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let (answer, as_json) = match Args::try_parse_from(&arguments) {
        Ok(args) => {
            let as_json = match &args.command {
                Some(Verb::Pack(args)) => args.json,
                None => args.json,
            };
            (answer(args, stdin), as_json)
        }
        Err(asked) if !asked.use_stderr() => (Ok(asked.to_string()), false),
        Err(wrong) => {
            let as_json = arguments.iter().any(|argument| argument == "--json");
            (Err(VerifyError::Usage { reason: wrong.to_string() }), as_json)
        }
    };
    match answer {
        // A report that nobody got is not a verification.
        Ok(text) => match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => EXIT_VERIFIED,
            Err(error) => tell(&VerifyError::Output { kind: error.kind() }, stderr),
        },
        Err(error) if as_json => {
            let written = stdout.write_all(report::refusal_json(&error).as_bytes());
            match written.and_then(|()| stdout.flush()) {
                Ok(()) => error.exit(),
                Err(_) => tell(&error, stderr),
            }
        }
        Err(error) => tell(&error, stderr),
    }
}

/// What goes to the standard output.
fn answer(args: Args, stdin: &mut dyn Read) -> Result<String, VerifyError> {
    if let Some(shell) = args.completions {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "waag-verify", &mut script);
        return Ok(String::from_utf8_lossy(&script).into_owned());
    }
    if let Some(Verb::Pack(args)) = &args.command {
        return pack::answer(args, stdin);
    }
    let as_json = args.json;
    let given = input::read(args, stdin)?;
    let verified = verify::verify(&given)?;
    if as_json { report::verified_json(&verified) } else { report::verified_text(&verified) }
}

/// Writes an error for a person; where even that fails, the exit code still says it.
fn tell(error: &VerifyError, stderr: &mut dyn Write) -> u8 {
    let _ = stderr.write_all(report::refusal_text(error).as_bytes());
    error.exit()
}
