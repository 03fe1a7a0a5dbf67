//! Verifying an evidence pack: what the files that are named give is held against the rules of packs, and what is
//! proven is printed or written out; nothing of a pack that is not verified.
//!
//! Not here: the rules (`waag_ledger::pack`), reading files (`input`), the report's words (`pack_report`).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use waag_ledger::pack::{Trust, Verdict, verify};

use crate::args::PackArgs;
use crate::error::VerifyError;
use crate::input::{GivenPack, read_pack};
use crate::pack_report::{event_line, verified_json, verified_text};

/// Decides on a pack as given.
///
/// # Errors
/// [`VerifyError::Pack`], the first thing that is wrong.
pub fn decide(given: &GivenPack) -> Result<Verdict<'_>, VerifyError> {
    let trust = Trust {
        keys: &given.keys,
        history: given.history.as_ref(),
        witnesses: &given.witnesses,
        policy: given.policy.as_ref(),
        // Who runs this has the times before his eyes; a clock would make today's answer another than tomorrow's.
        at: None,
    };
    verify(&given.file, &trust).map_err(VerifyError::Pack)
}

/// What goes to the standard output.
///
/// # Errors
/// [`VerifyError`].
pub(crate) fn answer(args: &PackArgs, stdin: &mut dyn Read) -> Result<String, VerifyError> {
    let given = read_pack(args, stdin)?;
    let verdict = decide(&given)?;
    if let Some(folder) = &args.extract {
        extract(&verdict, folder)?;
    }
    let beside = args.events.as_deref().filter(|out| *out != Path::new("-"));
    if let Some(path) = beside {
        write_events(&verdict, path)?;
    }
    let shown = args.events.is_some() && beside.is_none();
    if args.json { verified_json(&verdict, shown) } else { verified_text(&verdict, shown) }
}

fn unwritable(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> VerifyError + use<> {
    let path = path.to_owned();
    move |error| VerifyError::Unwritable { what, path: path.clone(), kind: error.kind() }
}

/// A file that was not there before, for its owner alone: what is disclosed may be personal.
fn new_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn new_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn extract(verdict: &Verdict<'_>, folder: &Path) -> Result<(), VerifyError> {
    let failed = |path: &Path| unwritable("pack's members", path);
    new_folder(folder).map_err(failed(folder))?;
    // A verified pack has no names but those of its form: two folders, and no step upwards.
    for below in ["blobs", "dictionaries"] {
        let has =
            verdict.members().any(|(name, _)| name.split('/').next() == Some(below) && name.contains('/'));
        if has {
            let path = folder.join(below);
            new_folder(&path).map_err(failed(&path))?;
        }
    }
    for (name, bytes) in verdict.members() {
        let path: PathBuf = folder.join(name);
        new_file(&path).and_then(|mut file| file.write_all(bytes)).map_err(failed(&path))?;
    }
    Ok(())
}

fn write_events(verdict: &Verdict<'_>, path: &Path) -> Result<(), VerifyError> {
    let failed = unwritable("events", path);
    let mut out = BufWriter::new(new_file(path).map_err(&failed)?);
    for event in verdict.events() {
        let line = event_line(&event.map_err(VerifyError::Pack)?)?;
        out.write_all(line.as_bytes()).map_err(&failed)?;
    }
    out.flush().map_err(&failed)
}
