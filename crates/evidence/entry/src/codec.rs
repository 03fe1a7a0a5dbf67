//! Codec 1: zstd with a dictionary per schema version.
//!
//! Dictionaries are made only from synthetic samples, never from tenants' data: whoever holds one learns nothing.
//! Events are small and alike, so the dictionary does nearly all of the work; ciphertext cannot be compressed later.
//!
//! Not here: which dictionary belongs to which schema (the engine's registry).

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use zstd::zstd_safe::{CCtx, CDict, DCtx, DDict, compress_bound, get_frame_content_size};

use crate::error::EntryError;

/// Largest dictionary taken, in bytes.
pub const DICTIONARY_BYTES_MAX: usize = 131_072;
/// Largest plaintext of one part or blob, in bytes: an event's limit and room for its own form.
pub const PLAINTEXT_BYTES_MAX: usize = 4 * waag_model::limits::EVENT_BYTES_MAX;
/// The magic number of a zstd frame (RFC 8878 §3.1.1).
const FRAME_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd's level: the fastest that still uses the dictionary's entropy tables; see docs/benchmarks.md.
const LEVEL: i32 = 1;

/// A dictionary, prepared for both directions once.
#[derive(Clone)]
pub struct Dictionary(Arc<Prepared>);

struct Prepared {
    bytes: Vec<u8>,
    hash: [u8; 32],
    id: Option<std::num::NonZeroU32>,
    compress: CDict<'static>,
    expand: DDict<'static>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Dictionary {
    /// Prepares a trained zstd dictionary.
    ///
    /// # Errors
    /// [`EntryError::Dictionary`] where it is empty, too large, or not in zstd's dictionary format.
    pub fn new(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.is_empty() || bytes.len() > DICTIONARY_BYTES_MAX {
            return Err(EntryError::Dictionary(format!(
                "{} bytes, 1 to {DICTIONARY_BYTES_MAX} allowed",
                bytes.len()
            )));
        }
        let id = zstd::zstd_safe::get_dict_id_from_dict(bytes);
        if id.is_none() {
            return Err(EntryError::Dictionary("not a trained zstd dictionary".to_owned()));
        }
        let wrong = || EntryError::Dictionary("zstd refuses it".to_owned());
        let compress = CDict::try_create(bytes, LEVEL).ok_or_else(wrong)?;
        let expand = DDict::try_create(bytes).ok_or_else(wrong)?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Ok(Self(Arc::new(Prepared { bytes: bytes.to_owned(), hash, id, compress, expand })))
    }

    /// Its whole SHA-256, which a part's commitment covers.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.0.hash
    }

    /// The first 8 bytes of its SHA-256, by which parts name it.
    #[must_use]
    pub fn name(&self) -> [u8; 8] {
        let mut name = [0; 8];
        name.iter_mut().zip(self.0.hash).for_each(|(to, from)| *to = from);
        name
    }

    /// Its bytes, as trained.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

thread_local! {
    // Contexts hold zstd's working memory; making one costs more than compressing an event.
    static COMPRESS: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static EXPAND: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// Appends `plain`, compressed, to `out`.
///
/// # Errors
/// [`EntryError::Compression`].
pub(crate) fn compress(dictionary: &Dictionary, plain: &[u8], out: &mut Vec<u8>) -> Result<(), EntryError> {
    let start = out.len();
    out.resize(start + compress_bound(plain.len()), 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let written = COMPRESS
        .with_borrow_mut(|context| context.compress_using_cdict(target, plain, &dictionary.0.compress))
        .map_err(|code| EntryError::Compression(zstd::zstd_safe::get_error_name(code).to_owned()))?;
    out.truncate(start + written);
    Ok(())
}

/// The plaintext behind `packed`; its length is read first and bounded, so that a bomb costs nothing.
///
/// # Errors
/// [`EntryError::Compression`].
pub(crate) fn expand(dictionary: &Dictionary, packed: &[u8]) -> Result<Vec<u8>, EntryError> {
    // One frame and nothing behind it: other decoders might go on to a second frame, or skip one, and read another text.
    let alone = packed.starts_with(&FRAME_MAGIC)
        && zstd::zstd_safe::find_frame_compressed_size(packed).is_ok_and(|len| len == packed.len())
        && zstd::zstd_safe::get_dict_id_from_frame(packed) == dictionary.0.id;
    if !alone {
        return Err(EntryError::Compression("not exactly one frame of this dictionary".to_owned()));
    }
    let len = get_frame_content_size(packed)
        .ok()
        .flatten()
        .and_then(|len| usize::try_from(len).ok())
        .filter(|len| *len <= PLAINTEXT_BYTES_MAX)
        .ok_or_else(|| EntryError::Compression("no plaintext length, or one beyond the limit".to_owned()))?;
    let mut plain = vec![0; len];
    let written = EXPAND
        .with_borrow_mut(|context| {
            context.decompress_using_ddict(plain.as_mut_slice(), packed, &dictionary.0.expand)
        })
        .map_err(|code| EntryError::Compression(zstd::zstd_safe::get_error_name(code).to_owned()))?;
    if written == len { Ok(plain) } else { Err(EntryError::Compression("fewer bytes than told".to_owned())) }
}
