//! The witness's side: what may be cosigned (`WITNESS-1`, `WITNESS-2`), and what is answered otherwise.
//!
//! Place: the other half of `witness`. Not here: keeping the state, and limits on how often anybody may ask.

use super::{ADD_CHECKPOINT_BYTES_MAX, PROOF_LINES_MAX, SIZE_CONTENT_TYPE, WitnessError};
use crate::checkpoint::Checkpoint;
use crate::cosignature::Cosigner;
use crate::hash::{HASH_BYTES, Hash};
use crate::note::{Note, NoteSignature, VerifierKey};
use crate::proof::verify_consistency;
use crate::text;
use crate::tree::TREE_SIZE_MAX;
use aws_lc_rs::digest::{SHA256, digest};
use std::fmt::Write as _;

/// The version of the layout of [`WitnessState::encode`].
const STATE_VERSION: u8 = 1;

/// A log that is witnessed, and the keys that are trusted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessedLog {
    /// Its origin.
    pub origin: String,
    /// The keys of which one must have signed; those that only cosign count for nothing.
    pub keys: Vec<VerifierKey>,
}

impl WitnessedLog {
    /// Puts keys under the origins that they are named for; those that only cosign are left out.
    #[must_use]
    pub fn by_origin(keys: Vec<VerifierKey>) -> Vec<WitnessedLog> {
        let mut logs: Vec<WitnessedLog> = Vec::new();
        for key in keys.into_iter().filter(|key| key.algorithm().signs_logs()) {
            match logs.iter_mut().find(|log| log.origin == key.name()) {
                Some(log) => log.keys.push(key),
                None => logs.push(WitnessedLog { origin: key.name().to_owned(), keys: vec![key] }),
            }
        }
        logs
    }
}

/// What a witness keeps of one origin: the last checkpoint that it cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessState {
    /// The tree's size.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// The time stated when it was cosigned, in seconds since 1970.
    pub time: u64,
    /// The checkpoint with the log's signatures and the witness's own, for whoever monitors the log.
    pub note: String,
}

impl WitnessState {
    /// The stored form: a version byte (1), size and time (u64, little endian), root (32 bytes), the note after its
    /// length (u32, little endian).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![STATE_VERSION];
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.root.0);
        // A note has at most 64 KiB.
        out.extend_from_slice(&u32::try_from(self.note.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(self.note.as_bytes());
        out
    }

    /// Reads the stored form; the note must be that of the size and root.
    ///
    /// # Errors
    /// [`WitnessError::State`].
    pub fn decode(bytes: &[u8]) -> Result<WitnessState, WitnessError> {
        WitnessState::read(bytes).ok_or(WitnessError::State)
    }

    fn read(bytes: &[u8]) -> Option<WitnessState> {
        let (version, rest) = bytes.split_first()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (root, rest) = rest.split_first_chunk::<HASH_BYTES>()?;
        let (length, note) = rest.split_first_chunk::<4>()?;
        if *version != STATE_VERSION || usize::try_from(u32::from_le_bytes(*length)) != Ok(note.len()) {
            return None;
        }
        let (size, time, root) = (u64::from_le_bytes(*size), u64::from_le_bytes(*time), Hash(*root));
        let checkpoint = Checkpoint::parse(Note::parse(note).ok()?.text()).ok()?;
        let note = std::str::from_utf8(note).ok()?.to_owned();
        let fits = checkpoint.size == size && checkpoint.root == root;
        fits.then_some(WitnessState { size, root, time, note })
    }
}

/// A request that was read, and not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    old_size: u64,
    proof: Vec<Hash>,
    note: Note,
    checkpoint: Checkpoint,
}

impl AddCheckpoint {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The reply, of status 400.
    pub fn parse(body: &[u8]) -> Result<AddCheckpoint, WitnessReply> {
        if body.len() > ADD_CHECKPOINT_BYTES_MAX {
            return Err(WitnessReply::refusal(400, "the request is too long"));
        }
        AddCheckpoint::read(body).ok_or_else(|| {
            WitnessReply::refusal(
                400,
                "the request is not an old size, a proof, an empty line and a checkpoint",
            )
        })
    }

    fn read(body: &[u8]) -> Option<AddCheckpoint> {
        let body = std::str::from_utf8(body).ok()?;
        // The first empty line ends the proof; the note behind it has another before its signatures.
        let (head, note) = body.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old_size = text::decimal(lines.next()?.strip_prefix("old ")?, TREE_SIZE_MAX)?;
        let proof = lines.map(|line| Hash::from_base64(line).ok()).collect::<Option<Vec<Hash>>>()?;
        let note = Note::parse(note.as_bytes()).ok()?;
        let checkpoint = Checkpoint::parse_claim(note.text()).ok()?;
        let fits = proof.len() <= PROOF_LINES_MAX && old_size <= checkpoint.size;
        fits.then_some(AddCheckpoint { old_size, proof, note, checkpoint })
    }

    /// The origin that the checkpoint claims: where the witness's state of it is kept.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.checkpoint.origin
    }

    /// The size that the checkpoint claims.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }
}

/// What a witness answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessReply {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body: signature lines, a size, or a sentence.
    pub body: String,
}

impl WitnessReply {
    fn refusal(status: u16, sentence: &str) -> WitnessReply {
        WitnessReply { status, content_type: "text/plain; charset=utf-8", body: format!("{sentence}\n") }
    }

    fn conflict(size: u64) -> WitnessReply {
        WitnessReply { status: 409, content_type: SIZE_CONTENT_TYPE, body: format!("{size}\n") }
    }
}

/// What follows from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The answer.
    pub reply: WitnessReply,
    /// What must be durable, in the place of exactly the state that was passed in, before the answer may leave.
    pub keep: Option<WitnessState>,
    /// The log signed this, and it contradicts what was cosigned, or is not shown to go on from it: worth an alarm.
    pub suspicious: bool,
}

/// Judges a request by the logs that are witnessed and by what was cosigned last for its origin.
///
/// `now` is in seconds since 1970; the time stated is never before the last one.
#[must_use]
pub fn judge(
    request: &AddCheckpoint,
    logs: &[WitnessedLog],
    stored: Option<&WitnessState>,
    cosigners: &[Cosigner],
    now: u64,
) -> Judged {
    match cosign(request, logs, stored, cosigners, now) {
        Ok((lines, state)) => {
            let mut body = String::new();
            for line in &lines {
                // Writing to a string cannot fail; each line brings its newline.
                let _ = write!(body, "{line}");
            }
            let reply = WitnessReply { status: 200, content_type: "text/plain; charset=utf-8", body };
            Judged { reply, keep: Some(state), suspicious: false }
        }
        Err((reply, suspicious)) => Judged { reply, keep: None, suspicious },
    }
}

/// The lines and the new state, or the reply and whether the log is to be suspected.
fn cosign(
    request: &AddCheckpoint,
    logs: &[WitnessedLog],
    stored: Option<&WitnessState>,
    cosigners: &[Cosigner],
    now: u64,
) -> Result<(Vec<NoteSignature>, WitnessState), (WitnessReply, bool)> {
    let plain = |status, sentence| (WitnessReply::refusal(status, sentence), false);
    let checkpoint = &request.checkpoint;
    let known: Vec<&WitnessedLog> = logs.iter().filter(|log| log.origin == checkpoint.origin).collect();
    if known.is_empty() {
        return Err(plain(404, "this log is not witnessed here"));
    }
    let keys = known.iter().flat_map(|log| log.keys.iter()).filter(|key| key.algorithm().signs_logs());
    let keys: Vec<VerifierKey> = keys.cloned().collect();
    if request.note.verify_lines(&keys).is_err() {
        return Err(plain(403, "no signature that is trusted for this log, or a false one"));
    }
    check_growth(request, stored)?;
    let failed = || plain(500, "signing failed");
    let time = stored.map_or(now, |stored| stored.time.max(now)).max(1);
    let mut lines = Vec::with_capacity(cosigners.len());
    for cosigner in cosigners {
        lines.push(cosigner.cosign(request.note.text(), time).map_err(|_| failed())?);
    }
    if lines.is_empty() {
        return Err(failed());
    }
    let mut all = log_lines(&request.note, &keys);
    all.extend_from_slice(&lines);
    let note = request.note.with_lines(all).map_err(|_| plain(400, "the checkpoint has no room for more"))?;
    let (size, root, note) = (checkpoint.size, checkpoint.root, note.to_string());
    Ok((lines, WitnessState { size, root, time, note }))
}

/// Whether the checkpoint goes on from the one cosigned last.
fn check_growth(request: &AddCheckpoint, stored: Option<&WitnessState>) -> Result<(), (WitnessReply, bool)> {
    let refused = |sentence| (WitnessReply::refusal(422, sentence), true);
    let checkpoint = &request.checkpoint;
    let last = stored.map_or(0, |stored| stored.size);
    if request.old_size != last {
        // Asking from another size is no offence; a second root for the size that was cosigned is one.
        let forked =
            stored.is_some_and(|stored| stored.size == checkpoint.size && stored.root != checkpoint.root);
        return Err((WitnessReply::conflict(last), forked));
    }
    if !checkpoint.root_fits() {
        return Err(refused("an empty tree has one root, and this is another"));
    }
    let Some(stored) = stored.filter(|stored| stored.size > 0) else {
        // Every tree goes on from the empty one.
        return if request.proof.is_empty() { Ok(()) } else { Err(refused("from size 0 there is no proof")) };
    };
    let proven =
        verify_consistency(stored.size, checkpoint.size, &request.proof, &stored.root, &checkpoint.root);
    proven.map_err(|_| refused("the proof does not lead from the last cosigned checkpoint to this one"))
}

/// The lines by the log's keys, which were verified; each key's first.
fn log_lines(note: &Note, keys: &[VerifierKey]) -> Vec<NoteSignature> {
    let mut lines: Vec<NoteSignature> = Vec::new();
    for line in note.signatures().iter().filter(|line| keys.iter().any(|key| key.made(line))) {
        if !lines.iter().any(|there| there.name == line.name && there.key_id == line.key_id) {
            lines.push(line.clone());
        }
    }
    lines
}

/// The element that names an origin in the address where a witness shows what it cosigned: its SHA-256, in hexadecimal.
#[must_use]
pub fn origin_path(origin: &str) -> String {
    let hash = digest(&SHA256, origin.as_bytes());
    hash.as_ref().iter().fold(String::with_capacity(64), |mut path, byte| {
        let _ = write!(path, "{byte:02x}");
        path
    })
}
