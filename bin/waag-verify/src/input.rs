//! Reading what the command line names: each input once, whole, and never more than it can rightly have.
//!
//! Not here: what the bytes say (`verify`).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use waag_entry::codec::{DICTIONARY_BYTES_MAX, PLAINTEXT_BYTES_MAX};
use waag_entry::form::ENTRY_BYTES_MAX;
use waag_entry::part::PartSecret;
use waag_ledger::note::{VERIFIER_KEY_BYTES_MAX, VerifierKey};
use waag_ledger::tlog_proof::TLOG_PROOF_BYTES_MAX;
use zeroize::Zeroizing;

use crate::args::Args;
use crate::error::VerifyError;
use crate::verify::{Given, GivenBlob, GivenPart};

/// Largest blob, in bytes: the largest plaintext and the frame of a sealed part around it.
pub const BLOB_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 256;
/// Longest secret in a file, in bytes: 64 digits and the end of the line.
pub const SECRET_BYTES_MAX: usize = 66;

struct Inputs<'a> {
    stdin: &'a mut dyn Read,
}

/// Reads everything that the arguments name.
///
/// # Errors
/// [`VerifyError`], for the environment, for usage, and for inputs that are too long.
pub fn read(args: Args, stdin: &mut dyn Read) -> Result<Given, VerifyError> {
    // Before anything is read: what the first of two would take is wrong for either.
    if stdin_uses(&args) > 1 {
        return Err(VerifyError::StdinTwice);
    }
    let mut inputs = Inputs { stdin };
    let missing = |option: &str| VerifyError::Usage { reason: format!("`{option}` is missing") };
    let entry = args.entry.ok_or_else(|| missing("--entry"))?;
    let proof = args.proof.ok_or_else(|| missing("--proof"))?;
    let keys = args.keys.iter().map(|key| inputs.key(key)).collect::<Result<_, _>>()?;
    let part = match (args.part, args.secret) {
        (Some(index), Some(secret)) => {
            let secret = inputs.secret("--secret", &secret)?;
            let dictionary = match args.dictionary {
                Some(path) => Some(inputs.bytes("dictionary", &path, DICTIONARY_BYTES_MAX)?),
                None => None,
            };
            let blob = match (args.blob, args.blob_secret) {
                (Some(path), Some(secret)) => Some(GivenBlob {
                    bytes: inputs.bytes("blob", &path, BLOB_BYTES_MAX)?,
                    secret: inputs.secret("--blob-secret", &secret)?,
                }),
                (None, None) => None,
                (Some(_), None) => return Err(missing("--blob-secret")),
                (None, Some(_)) => return Err(missing("--blob")),
            };
            Some(GivenPart { index: usize::from(index), secret, dictionary, blob })
        }
        (None, None) => None,
        (Some(_), None) => return Err(missing("--secret")),
        (None, Some(_)) => return Err(missing("--part")),
    };
    let entry = inputs.bytes("entry", &entry, ENTRY_BYTES_MAX)?;
    let proof = inputs.bytes("proof", &proof, TLOG_PROOF_BYTES_MAX)?;
    Ok(Given { entry, proof, keys, part })
}

/// How many of the inputs are the standard input.
fn stdin_uses(args: &Args) -> usize {
    let files = [&args.entry, &args.proof, &args.dictionary, &args.blob];
    let texts = args.keys.iter().chain(&args.secret).chain(&args.blob_secret);
    files.into_iter().flatten().filter(|path| path.as_path() == Path::new("-")).count()
        + texts.filter(|text| text.as_str() == "@-").count()
}

impl Inputs<'_> {
    fn bytes(&mut self, what: &'static str, path: &Path, bytes_max: usize) -> Result<Vec<u8>, VerifyError> {
        let mut bytes = Vec::new();
        // One byte more than allowed tells a full input from one that is too long.
        let limit = bytes_max as u64 + 1;
        let read = if path == Path::new("-") {
            (&mut *self.stdin).take(limit).read_to_end(&mut bytes)
        } else {
            File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
        };
        match read {
            Ok(len) if len > bytes_max => Err(VerifyError::TooLong { what, bytes_max }),
            Ok(_) => Ok(bytes),
            Err(error) => Err(VerifyError::Unreadable { what, path: path.to_owned(), kind: error.kind() }),
        }
    }

    /// A text given as itself or as `@FILE`, without the end of the file's last line.
    fn text(
        &mut self,
        what: &'static str,
        given: &str,
        bytes_max: usize,
    ) -> Result<Zeroizing<Vec<u8>>, VerifyError> {
        let Some(path) = given.strip_prefix('@') else {
            return Ok(Zeroizing::new(given.as_bytes().to_vec()));
        };
        let mut bytes = Zeroizing::new(self.bytes(what, &PathBuf::from(path), bytes_max)?);
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        Ok(bytes)
    }

    fn key(&mut self, given: &str) -> Result<VerifierKey, VerifyError> {
        let text = self.text("key", given, VERIFIER_KEY_BYTES_MAX)?;
        // A file that was damaged on its way is no fault of the command line.
        let unusable = if given.starts_with('@') { VerifyError::KeyFile } else { VerifyError::Key };
        String::from_utf8_lossy(&text).parse().map_err(unusable)
    }

    fn secret(&mut self, option: &'static str, given: &str) -> Result<PartSecret, VerifyError> {
        let text = self.text("secret", given, SECRET_BYTES_MAX)?;
        let mut secret = PartSecret::default();
        hex::decode_to_slice(text.as_slice(), secret.as_mut_slice())
            .map_err(|_| VerifyError::Secret { option })?;
        Ok(secret)
    }
}
