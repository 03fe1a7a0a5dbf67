//! Reading what the command line names: each input once, whole, and never more than it can rightly have.
//!
//! Not here: what the bytes say (`verify`).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use waag_entry::codec::{DICTIONARY_BYTES_MAX, PLAINTEXT_BYTES_MAX};
use waag_entry::form::ENTRY_BYTES_MAX;
use waag_entry::part::PartSecret;
use waag_ledger::history::KeyHistory;
use waag_ledger::note::{VERIFIER_KEY_BYTES_MAX, VerifierKey};
use waag_ledger::pack::{KEYS_BYTES_MAX, PACK_BYTES_MAX, read_key_history};
use waag_ledger::policy::{POLICY_BYTES_MAX, Policy};
use waag_ledger::tlog_proof::TLOG_PROOF_BYTES_MAX;
use zeroize::Zeroizing;

use crate::args::{Args, PackArgs};
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

/// A pack and whom to trust about it, as given.
pub struct GivenPack {
    /// The pack's bytes.
    pub file: Vec<u8>,
    /// The ledger's keys.
    pub keys: Vec<VerifierKey>,
    /// The ledger's keys with their times.
    pub history: Option<KeyHistory>,
    /// Witnesses' keys.
    pub witnesses: Vec<VerifierKey>,
    /// The policy.
    pub policy: Option<Policy>,
}

/// Reads everything that the arguments of `pack` name.
///
/// # Errors
/// [`VerifyError`], for the environment, for usage, and for inputs that are too long or no keys or policy.
pub fn read_pack(args: &PackArgs, stdin: &mut dyn Read) -> Result<GivenPack, VerifyError> {
    let is_stdin = |path: &PathBuf| path.as_path() == Path::new("-");
    let files = usize::from(is_stdin(&args.file)) + usize::from(args.policy.as_ref().is_some_and(is_stdin));
    let texts = args.keys.iter().chain(&args.witnesses).filter(|text| text.as_str() == "@-").count();
    if files + texts > 1 {
        return Err(VerifyError::StdinTwice);
    }
    let mut inputs = Inputs { stdin };
    let (mut keys, mut history) = (Vec::new(), None);
    for given in &args.keys {
        match inputs.key_or_history(given)? {
            Known::Key(key) => keys.push(*key),
            Known::History(read) if history.is_none() => history = Some(*read),
            Known::History(_) => {
                let reason = "`--key` takes one key history, and two were given".to_owned();
                return Err(VerifyError::Usage { reason });
            }
        }
    }
    let witnesses = args.witnesses.iter().map(|key| inputs.key(key)).collect::<Result<_, _>>()?;
    let policy = match &args.policy {
        Some(path) => {
            let text = inputs.bytes("policy", path, POLICY_BYTES_MAX)?;
            Some(Policy::parse(&text).map_err(VerifyError::Policy)?)
        }
        None => None,
    };
    let file = inputs.bytes("pack", &args.file, PACK_BYTES_MAX)?;
    Ok(GivenPack { file, keys, history, witnesses, policy })
}

/// What a key's file may hold.
enum Known {
    Key(Box<VerifierKey>),
    History(Box<KeyHistory>),
}

/// How many of the inputs are the standard input.
fn stdin_uses(args: &Args) -> usize {
    let files = [&args.entry, &args.proof, &args.dictionary, &args.blob];
    let texts = args.keys.iter().chain(&args.secret).chain(&args.blob_secret);
    files.into_iter().flatten().filter(|path| path.as_path() == Path::new("-")).count()
        + texts.filter(|text| text.as_str() == "@-").count()
}

/// What is said of a key that cannot be used: where several stand in one value, how several are given. A comma may be part of
/// a key's name or of a file's, so that nothing is taken apart at it.
fn several(given: &str, error: VerifyError) -> VerifyError {
    if !given.contains(',') {
        return error;
    }
    let reason =
        "one value is one key; several are given by repeating the option: `--key A --key B`".to_owned();
    VerifyError::Usage { reason }
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
        self.one_key(given).map_err(|error| several(given, error))
    }

    fn one_key(&mut self, given: &str) -> Result<VerifierKey, VerifyError> {
        let text = self.text("key", given, VERIFIER_KEY_BYTES_MAX)?;
        // A file that was damaged on its way is no fault of the command line.
        let unusable = if given.starts_with('@') { VerifyError::KeyFile } else { VerifyError::Key };
        String::from_utf8_lossy(&text).parse().map_err(unusable)
    }

    fn key_or_history(&mut self, given: &str) -> Result<Known, VerifyError> {
        self.one_key_or_history(given).map_err(|error| several(given, error))
    }

    fn one_key_or_history(&mut self, given: &str) -> Result<Known, VerifyError> {
        let text = self.text("key", given, KEYS_BYTES_MAX)?;
        if given.starts_with('@') && text.starts_with(b"{") {
            let (_, history) = read_key_history(&text).map_err(VerifyError::HistoryFile)?;
            return Ok(Known::History(Box::new(history)));
        }
        let unusable = if given.starts_with('@') { VerifyError::KeyFile } else { VerifyError::Key };
        String::from_utf8_lossy(&text).parse().map(|key| Known::Key(Box::new(key))).map_err(unusable)
    }

    fn secret(&mut self, option: &'static str, given: &str) -> Result<PartSecret, VerifyError> {
        let text = self.text("secret", given, SECRET_BYTES_MAX)?;
        let mut secret = PartSecret::default();
        hex::decode_to_slice(text.as_slice(), secret.as_mut_slice())
            .map_err(|_| VerifyError::Secret { option })?;
        Ok(secret)
    }
}
