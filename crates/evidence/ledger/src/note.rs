//! Signed notes: a text under one or more signatures, and the rule by which such a text is believed.
//!
//! Place: under checkpoints. Not here: keys at rest (`evidence/keys`; a seed is passed in), the text's meaning
//! (`checkpoint`), what a cosignature signs (`cosignature`). Lines of other types, such as ECDSA, are read, kept and
//! ignored.
//!
//! Whom it trusts: the verifier keys it is given, and no line of the note. A note is believed when at least one
//! given key signed it and no given key's signature on it is false. Lines of other keys say nothing: they can be
//! added, changed or dropped by anyone, so never derive anything from them.
//!
//! Source: C2SP signed-note (key id, vkey, grammar, at least 16 signatures), RFC 8032 (Ed25519).

use crate::cosignature;
use crate::text;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::fmt;
use std::str::FromStr;

/// The longest note, in bytes: 16 signatures of ML-DSA-44 (3.3 KB of base 64 each) and a text fit.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// The most signature lines on a note. The specification asks verifiers to take at least 16.
pub const SIGNATURES_MAX: usize = 64;

/// The longest key name, in bytes. C2SP tlog-cosignature gives names and origins one length byte.
pub const KEY_NAME_BYTES_MAX: usize = 255;

/// The longest vkey that is looked at, in bytes: one of ML-DSA-44 fits.
pub const VERIFIER_KEY_BYTES_MAX: usize = 4096;

/// The length of an Ed25519 public key, and of the seed that a key of any algorithm is derived from, in bytes.
pub const KEY_BYTES: usize = 32;

/// The length of an ML-DSA-44 public key (FIPS 204, table 2), in bytes.
pub const ML_DSA_44_KEY_BYTES: usize = 1_312;

const SIGNATURE_LINE_START: &str = "\u{2014} ";

/// The four bytes that, beside its name, identify a key on a signature line. Printed as 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a key signs with, and over what. Each has its own type byte, which a key's id covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 over the note's text (`0x01`): a log's own signature.
    Ed25519,
    /// Ed25519 over a time and a checkpoint's text (`0x04`): a witness's cosignature.
    Ed25519Cosignature,
    /// ML-DSA-44 over a time, both names and the tree (`0x06`): a witness's cosignature, or a log's own signature.
    MlDsa44,
}

impl Algorithm {
    /// The signature type identifier of C2SP signed-note.
    #[must_use]
    pub fn signature_type(self) -> u8 {
        match self {
            Algorithm::Ed25519 => 0x01,
            Algorithm::Ed25519Cosignature => 0x04,
            Algorithm::MlDsa44 => 0x06,
        }
    }

    /// The algorithm of a signature type identifier; none where it is not supported.
    #[must_use]
    pub fn from_signature_type(kind: u8) -> Option<Algorithm> {
        let all = [Algorithm::Ed25519, Algorithm::Ed25519Cosignature, Algorithm::MlDsa44];
        all.into_iter().find(|algorithm| algorithm.signature_type() == kind)
    }

    /// The length of its public keys, in bytes.
    #[must_use]
    pub fn public_key_bytes(self) -> usize {
        match self {
            Algorithm::Ed25519 | Algorithm::Ed25519Cosignature => KEY_BYTES,
            Algorithm::MlDsa44 => ML_DSA_44_KEY_BYTES,
        }
    }

    /// Whether a log may sign its checkpoints with it (C2SP tlog-checkpoint).
    #[must_use]
    pub fn signs_logs(self) -> bool {
        match self {
            Algorithm::Ed25519 | Algorithm::MlDsa44 => true,
            Algorithm::Ed25519Cosignature => false,
        }
    }

    /// Whether a witness may sign others' checkpoints with it (C2SP tlog-cosignature).
    #[must_use]
    pub fn cosigns(self) -> bool {
        match self {
            Algorithm::Ed25519Cosignature | Algorithm::MlDsa44 => true,
            Algorithm::Ed25519 => false,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Ed25519 => "Ed25519",
            Algorithm::Ed25519Cosignature => "Ed25519 cosignature",
            Algorithm::MlDsa44 => "ML-DSA-44",
        })
    }
}

/// A public key with the name it signs under; parsed from and printed as a vkey, `name+id+base64(type ‖ key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    algorithm: Algorithm,
    public_key: Vec<u8>,
}

impl VerifierKey {
    /// Names an Ed25519 public key that signs notes.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] when the name is empty, longer than [`KEY_NAME_BYTES_MAX`], or holds white space, a
    /// plus sign or a control character.
    pub fn new(name: &str, public_key: [u8; KEY_BYTES]) -> Result<VerifierKey, NoteError> {
        VerifierKey::with_algorithm(name, Algorithm::Ed25519, &public_key)
    }

    /// Names a public key of any supported algorithm.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] as in [`VerifierKey::new`]; [`NoteError::VerifierKey`] when the key has another length
    /// than its algorithm's.
    pub fn with_algorithm(
        name: &str,
        algorithm: Algorithm,
        public_key: &[u8],
    ) -> Result<VerifierKey, NoteError> {
        if public_key.len() != algorithm.public_key_bytes() {
            return Err(NoteError::VerifierKey);
        }
        let clean = is_name(name) && !name.chars().any(char::is_control);
        if !clean || name.len() > KEY_NAME_BYTES_MAX {
            return Err(NoteError::KeyName);
        }
        let id = key_id(name, &typed_key(algorithm, public_key));
        Ok(VerifierKey { name: name.to_owned(), id, algorithm, public_key: public_key.to_vec() })
    }

    /// The name the key signs under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `SHA-256(name ‖ 0x0A ‖ type ‖ public key)`, first four bytes.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What the key signs with, and over what.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key, encoded as in RFC 8032 or FIPS 204.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Whether the key may sign the checkpoints of this origin: it bears its name, and is a log's by its algorithm.
    #[must_use]
    pub fn speaks_for(&self, origin: &str) -> bool {
        self.name == origin && self.algorithm.signs_logs()
    }

    /// What a signature says; none where it is false.
    fn check(&self, text: &str, signature: &[u8]) -> Option<KnownSignature> {
        let time = match self.algorithm {
            Algorithm::Ed25519 => {
                let key = UnparsedPublicKey::new(&ED25519, &self.public_key);
                key.verify(text.as_bytes(), signature).ok().map(|()| None)
            }
            Algorithm::Ed25519Cosignature | Algorithm::MlDsa44 => cosignature::check(self, text, signature),
        };
        time.map(|time| KnownSignature { key: self.clone(), time })
    }

    pub(crate) fn made(&self, line: &NoteSignature) -> bool {
        self.name == line.name && self.id == line.key_id
    }
}

/// A signature that was verified: whose it is, and when its signer says to have made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownSignature {
    /// The key that signed.
    pub key: VerifierKey,
    /// The time that a cosignature states, in seconds since 1970; none on a signature that states none.
    pub time: Option<u64>,
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{}+{}",
            self.name,
            self.id,
            text::base64_encode(&typed_key(self.algorithm, &self.public_key))
        )
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    /// Reads a vkey. Its id must be the one that follows from name and key.
    fn from_str(vkey: &str) -> Result<VerifierKey, NoteError> {
        if vkey.len() > VERIFIER_KEY_BYTES_MAX {
            return Err(NoteError::VerifierKey);
        }
        // The base 64 may itself hold plus signs; the name and the id cannot.
        let (name, rest) = vkey.split_once('+').ok_or(NoteError::VerifierKey)?;
        let (id, key) = rest.split_once('+').ok_or(NoteError::VerifierKey)?;
        let mut claimed = KeyId([0; 4]);
        text::hex_decode(id, &mut claimed.0).ok_or(NoteError::VerifierKey)?;
        let typed = text::base64_decode(key).ok_or(NoteError::VerifierKey)?;
        let (kind, key) = typed.split_first().ok_or(NoteError::VerifierKey)?;
        let algorithm = Algorithm::from_signature_type(*kind).ok_or(NoteError::KeyType { kind: *kind })?;
        let key = VerifierKey::with_algorithm(name, algorithm, key)?;
        if key.id == claimed { Ok(key) } else { Err(NoteError::KeyIdDiffers { claimed, computed: key.id }) }
    }
}

/// An Ed25519 signing key with the name it signs under. Keys of the other algorithms are [`crate::cosignature`]'s.
///
/// The secret stays inside the cryptographic library, is never printed, and is wiped when this is dropped.
pub struct NoteSigner {
    pair: Ed25519KeyPair,
    key: VerifierKey,
}

impl NoteSigner {
    /// Derives the key pair from its 32-byte seed (RFC 8032 §5.1.5). The seed's randomness is the caller's duty.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] as in [`VerifierKey::new`], [`NoteError::Seed`] when the library refuses the seed.
    pub fn from_seed(name: &str, seed: &[u8; KEY_BYTES]) -> Result<NoteSigner, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Seed)?;
        let public_key =
            <[u8; KEY_BYTES]>::try_from(pair.public_key().as_ref()).map_err(|_| NoteError::Seed)?;
        Ok(NoteSigner { key: VerifierKey::new(name, public_key)?, pair })
    }

    /// The public half, to be handed to verifiers.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, text: &str) -> Result<NoteSignature, NoteError> {
        let signature = self.pair.try_sign(text.as_bytes()).map_err(|_| NoteError::Signing)?;
        Ok(NoteSignature {
            name: self.key.name.clone(),
            key_id: self.key.id,
            signature: signature.as_ref().to_vec(),
        })
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.key)
    }
}

/// One signature line, of any type, as it stands on a note: a claim until it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key that is said to have signed.
    pub name: String,
    /// The id of that key.
    pub key_id: KeyId,
    /// The signature's bytes, at least one; 64 for Ed25519, and a cosignature begins with the 8 bytes of its time.
    pub signature: Vec<u8>,
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.0.to_vec();
        bytes.extend_from_slice(&self.signature);
        writeln!(f, "{SIGNATURE_LINE_START}{} {}", self.name, text::base64_encode(&bytes))
    }
}

/// A well-formed note whose signatures have **not** been checked; it prints as the bytes it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs a text with each signer, in order.
    ///
    /// # Errors
    /// [`NoteError::Text`] when the text does not end in a newline or holds another ASCII control character,
    /// [`NoteError::SignatureCount`] for no signer or too many, [`NoteError::AmbiguousKeys`] when one signs twice,
    /// [`NoteError::TooLong`], [`NoteError::Signing`].
    pub fn sign(text: &str, signers: &[&NoteSigner]) -> Result<Note, NoteError> {
        if !text.ends_with('\n') || has_control(text) {
            return Err(NoteError::Text);
        }
        if signers.is_empty() || signers.len() > SIGNATURES_MAX {
            return Err(NoteError::SignatureCount { got: signers.len() });
        }
        let mut signatures: Vec<NoteSignature> = Vec::with_capacity(signers.len());
        for signer in signers {
            if signatures.iter().any(|line| signer.key.made(line)) {
                return Err(NoteError::AmbiguousKeys);
            }
            signatures.push(signer.sign(text)?);
        }
        let note = Note { text: text.to_owned(), signatures };
        let length = note.to_string().len();
        if length > NOTE_BYTES_MAX { Err(NoteError::TooLong { got: length }) } else { Ok(note) }
    }

    /// Reads a note without believing it.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::Text`], [`NoteError::SignatureLine`], [`NoteError::SignatureCount`].
    pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { got: bytes.len() });
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        if has_control(note) {
            return Err(NoteError::Text);
        }
        // The last empty line parts the text, which may hold empty lines itself, from the signatures.
        let (body, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Text)?;
        Ok(Note { text: format!("{body}\n"), signatures: parse_lines(lines)? })
    }

    /// Reads the signature lines that a witness answers with, without believing them.
    ///
    /// # Errors
    /// As [`Note::parse`].
    pub(crate) fn parse_signatures(bytes: &[u8]) -> Result<Vec<NoteSignature>, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { got: bytes.len() });
        }
        let lines = std::str::from_utf8(bytes).map_err(|_| NoteError::Text)?;
        if has_control(lines) { Err(NoteError::Text) } else { parse_lines(lines) }
    }

    /// The same text with these lines and no others.
    ///
    /// # Errors
    /// [`NoteError::SignatureCount`], [`NoteError::TooLong`].
    pub(crate) fn with_lines(&self, signatures: Vec<NoteSignature>) -> Result<Note, NoteError> {
        if signatures.is_empty() || signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::SignatureCount { got: signatures.len() });
        }
        let note = Note { text: self.text.clone(), signatures };
        let length = note.to_string().len();
        if length > NOTE_BYTES_MAX { Err(NoteError::TooLong { got: length }) } else { Ok(note) }
    }

    /// The text, with its final newline. Not to be believed before [`Note::verify`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order, each a claim.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks every signature that claims to be by one of `keys`, and returns the keys that signed, each once.
    ///
    /// Lines of other keys are ignored. A key that signed twice must have signed rightly twice.
    ///
    /// # Errors
    /// [`NoteError::FalseSignature`] when a given key's signature is false, [`NoteError::NoKnownSignature`] when
    /// none of the given keys signed, [`NoteError::AmbiguousKeys`] when two of them share name and id.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let known = self.verify_lines(keys)?;
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for key in known.iter().filter_map(|line| keys.iter().find(|key| **key == line.key)) {
            if !signers.contains(&key) {
                signers.push(key);
            }
        }
        Ok(signers)
    }

    /// As [`Note::verify`], but gives every line by a given key, in the note's order, with the time it states.
    ///
    /// # Errors
    /// As [`Note::verify`].
    pub fn verify_lines(&self, keys: &[VerifierKey]) -> Result<Vec<KnownSignature>, NoteError> {
        let mut lines: Vec<KnownSignature> = Vec::new();
        for line in &self.signatures {
            let mut known = keys.iter().filter(|key| key.made(line));
            let Some(key) = known.next() else { continue };
            if known.any(|other| other != key) {
                return Err(NoteError::AmbiguousKeys);
            }
            let signature = key.check(&self.text, &line.signature);
            lines.push(
                signature.ok_or_else(|| NoteError::FalseSignature {
                    name: line.name.clone(),
                    key_id: line.key_id,
                })?,
            );
        }
        if lines.is_empty() { Err(NoteError::NoKnownSignature) } else { Ok(lines) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

/// Signature lines, each ended by a newline; at least one.
fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let lines = lines.strip_suffix('\n').ok_or(NoteError::SignatureLine { line: 1 })?;
    let count = lines.split('\n').count();
    if count > SIGNATURES_MAX {
        return Err(NoteError::SignatureCount { got: count });
    }
    let parse = |(at, line)| parse_signature(line).ok_or(NoteError::SignatureLine { line: at + 1 });
    lines.split('\n').enumerate().map(parse).collect()
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, base64) = line.strip_prefix(SIGNATURE_LINE_START)?.split_once(' ')?;
    let bytes = text::base64_decode(base64)?;
    let (key_id, signature) = bytes.split_first_chunk::<4>()?;
    if !is_name(name) || signature.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), key_id: KeyId(*key_id), signature: signature.to_vec() })
}

/// The specification's rule for key names: not empty, no Unicode space, no plus sign.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+')
}

/// A note holds no ASCII control character below U+0020 but the newline.
fn has_control(text: &str) -> bool {
    text.bytes().any(|byte| byte < 0x20 && byte != b'\n')
}

fn typed_key(algorithm: Algorithm, public_key: &[u8]) -> Vec<u8> {
    let mut typed = vec![algorithm.signature_type()];
    typed.extend_from_slice(public_key);
    typed
}

fn key_id(name: &str, typed_key: &[u8]) -> KeyId {
    let mut input = name.as_bytes().to_vec();
    input.push(b'\n');
    input.extend_from_slice(typed_key);
    let mut id = KeyId([0; 4]);
    id.0.iter_mut().zip(digest(&SHA256, &input).as_ref()).for_each(|(to, from)| *to = *from);
    id
}

/// Why a note or a key was refused, or could not be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// E0320: the note is longer than [`NOTE_BYTES_MAX`].
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// E0321: not UTF-8, a control character, no final newline, or no empty line before the signatures.
    Text,
    /// E0322: a signature line has another form than dash, name, base 64 of at least five bytes.
    SignatureLine {
        /// Which of the signature lines, from 1.
        line: usize,
    },
    /// E0323: no signature, or more than [`SIGNATURES_MAX`].
    SignatureCount {
        /// How many there are.
        got: usize,
    },
    /// E0324: none of the given keys signed the note.
    NoKnownSignature,
    /// E0325: a signature that bears a given key's name and id is not that key's.
    FalseSignature {
        /// The key's name.
        name: String,
        /// The key's id.
        key_id: KeyId,
    },
    /// E0326: two different keys share name and id, so that a line cannot be told to be either's.
    AmbiguousKeys,
    /// E0327: a key name is empty, too long, or holds white space, a plus sign or a control character.
    KeyName,
    /// E0328: the text is no vkey (`name+id+base64`).
    VerifierKey,
    /// E0329: the vkey is of a type that is no [`Algorithm`].
    KeyType {
        /// The signature type identifier.
        kind: u8,
    },
    /// E0330: the vkey's id does not follow from its name and key: one of the three was changed.
    KeyIdDiffers {
        /// The id in the text.
        claimed: KeyId,
        /// The id that follows.
        computed: KeyId,
    },
    /// E0331: the cryptographic library refused the seed of a signing key. Ours.
    Seed,
    /// E0332: the cryptographic library failed to sign. Ours.
    Signing,
}

impl NoteError {
    /// The stable code, for `waag explain`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            NoteError::TooLong { .. } => "E0320",
            NoteError::Text => "E0321",
            NoteError::SignatureLine { .. } => "E0322",
            NoteError::SignatureCount { .. } => "E0323",
            NoteError::NoKnownSignature => "E0324",
            NoteError::FalseSignature { .. } => "E0325",
            NoteError::AmbiguousKeys => "E0326",
            NoteError::KeyName => "E0327",
            NoteError::VerifierKey => "E0328",
            NoteError::KeyType { .. } => "E0329",
            NoteError::KeyIdDiffers { .. } => "E0330",
            NoteError::Seed => "E0331",
            NoteError::Signing => "E0332",
        }
    }
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoteError::TooLong { got } => {
                write!(f, "a note of `{got}` bytes is above the limit of `{NOTE_BYTES_MAX}`")
            }
            NoteError::Text => f.write_str("the note is not a text, an empty line and signature lines"),
            NoteError::SignatureLine { line } => {
                write!(f, "signature line `{line}` of the note is malformed")
            }
            NoteError::SignatureCount { got } => {
                write!(f, "a note has 1 to `{SIGNATURES_MAX}` signatures, got `{got}`")
            }
            NoteError::NoKnownSignature => f.write_str("none of the given keys signed the note"),
            NoteError::FalseSignature { name, key_id } => {
                write!(f, "the signature under the name `{name}` and key id `{key_id}` is false")
            }
            NoteError::AmbiguousKeys => f.write_str("two keys share one name and key id"),
            NoteError::KeyName => write!(
                f,
                "a key name has 1 to `{KEY_NAME_BYTES_MAX}` bytes without white space, plus sign or control character"
            ),
            NoteError::VerifierKey => f.write_str("the text is no verifier key of the form `name+id+base64`"),
            NoteError::KeyType { kind } => {
                write!(f, "signature type `0x{kind:02x}` is not supported, only `0x01`, `0x04` and `0x06`")
            }
            NoteError::KeyIdDiffers { claimed, computed } => {
                write!(f, "the verifier key says id `{claimed}`, its name and key give `{computed}`")
            }
            NoteError::Seed => f.write_str("the seed of the signing key was refused"),
            NoteError::Signing => f.write_str("signing failed"),
        }
    }
}

impl std::error::Error for NoteError {}
