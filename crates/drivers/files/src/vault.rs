//! The key vault in a local file: a random key that wraps the tenant key, in clear or under a passphrase.
//!
//! Place: the embedded driver of `waag_keys::vault::KeyVault`, asked at start and at rotations.
//! Whom it trusts: who can read the file (and knows its passphrase, if there is one) can open every key of the tenant.
//! Not here: what is wrapped (`evidence/keys`), vaults that hold their key elsewhere (`drivers/kms`).
//!
//! `vault.key`, version 1, integers big-endian: `waagvkey` (8 bytes) ‖ version (2) ‖ protection (1: 0 none, 1 Argon2id,
//! RFC 9106) ‖ memory in KiB, passes, lanes (4 each) ‖ salt (16) ‖ keys ‖ SHA-256 of all before it (32). Keys are 1 to 8
//! of id (16) ‖ secret (32), the current one first; under a passphrase they are sealed with AES-256-GCM as
//! `waag_keys::wrap` writes it, and everything before them is authenticated too.
//!
//! A crash leaves the old file or the new one: a new one is written beside it, synced, and renamed over it. What the
//! file system or the device keeps of the old one's blocks is beyond this driver.
//!
//! Invariants:
//! - `VAULTFILE-1`: a file of which any byte was changed, cut or added is refused.
//! - `VAULTFILE-2`: a key stays in the file until [`FileVault::drop_old`], so that what it wrapped can be rewrapped.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::digest::{SHA256, digest};
use waag_keys::secret::{SECRET_BYTES, Secret};
use waag_keys::vault::{KeyVault, VaultError, check_limits};
use waag_keys::wrap;
use waag_stdx::entropy::Entropy;
use waag_stdx::files::{Files, Open};
use zeroize::{Zeroize, Zeroizing};

/// The file's name below the root that the vault was given.
pub const VAULT_FILE: &str = "vault.key";
/// Where a new file is written before it takes the name.
const NEW_FILE: &str = "vault.key.new";
/// Held while the file is written.
const LOCK_FILE: &str = "vault.lock";

const MAGIC: &[u8; 8] = b"waagvkey";
const VERSION: u16 = 1;
const SALT_BYTES: usize = 16;
const ID_BYTES: usize = 16;
const SUM_BYTES: usize = 32;
/// Magic, version, protection, three parameters, salt.
const HEADER_BYTES: usize = 8 + 2 + 1 + 3 * 4 + SALT_BYTES;
/// Most keys in the file: the current one and those not yet rewrapped.
pub const VAULT_KEYS_MAX: usize = 8;
/// Longest file that is read.
const FILE_BYTES_MAX: usize =
    HEADER_BYTES + VAULT_KEYS_MAX * (ID_BYTES + SECRET_BYTES) + wrap::WRAP_BYTES + SUM_BYTES;
/// Longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1_024;

/// Argon2id's memory for a new passphrase, in KiB.
pub const ARGON2_MEMORY_KIB: u32 = 65_536;
/// Argon2id's passes for a new passphrase.
pub const ARGON2_PASSES: u32 = 3;
/// Argon2id's lanes for a new passphrase.
pub const ARGON2_LANES: u32 = 1;
/// Most memory that a file may ask for, in KiB: a hostile file must not take the machine down.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 1_048_576;
/// Most passes that a file may ask for.
pub const ARGON2_PASSES_MAX: u32 = 16;
/// Most lanes that a file may ask for.
pub const ARGON2_LANES_MAX: u32 = 16;

/// What a wrapped secret begins with.
const WRAPPED_VERSION: u8 = 1;

/// How the keys in the file are protected.
#[derive(Clone)]
enum Protection {
    None,
    Argon2id { cost: Cost, salt: [u8; SALT_BYTES], key: Secret },
}

#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

struct VaultKey {
    id: [u8; ID_BYTES],
    secret: Secret,
}

struct Contents {
    protection: Protection,
    /// Never empty; the current key first.
    keys: Vec<VaultKey>,
}

/// A key vault in a local file.
pub struct FileVault {
    files: Arc<dyn Files>,
    entropy: Arc<dyn Entropy>,
    contents: Mutex<Contents>,
}

impl fmt::Debug for FileVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Refuses a key file that others than its owner may read or write. For the binary to call before it opens a vault on
/// a real disk: [`Files`] knows no modes.
///
/// # Errors
/// [`VaultError::TooOpen`] with the mode; [`VaultError::Missing`]; the operating system's.
pub fn check_mode(path: &Path) -> Result<(), VaultError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode =
        std::fs::metadata(path).map_err(failed("read the vault file's mode"))?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(VaultError::TooOpen(format!("{mode:04o}"))) }
}

impl FileVault {
    /// Makes a vault with a fresh key, durable on return, under a passphrase where one is given.
    ///
    /// # Errors
    /// [`VaultError::Exists`]; [`VaultError::Passphrase`] for an empty or too long one; the operating system's.
    pub fn create(
        files: Arc<dyn Files>,
        entropy: Arc<dyn Entropy>,
        passphrase: Option<&[u8]>,
    ) -> Result<Self, VaultError> {
        let _lock = lock(files.as_ref())?;
        match files.open(VAULT_FILE, Open::Read) {
            Ok(_) => return Err(VaultError::Exists),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look for the vault's file")(error)),
        }
        let protection = Protection::new(entropy.as_ref(), passphrase)?;
        let contents = Contents { protection, keys: vec![VaultKey::draw(entropy.as_ref())?] };
        contents.write(files.as_ref(), entropy.as_ref())?;
        Ok(Self { files, entropy, contents: Mutex::new(contents) })
    }

    /// Opens a vault. With a passphrase this takes as long as Argon2id does, about a tenth of a second by default.
    ///
    /// # Errors
    /// [`VaultError::Missing`], [`VaultError::Damaged`], [`VaultError::Foreign`]; [`VaultError::Passphrase`] where it is
    /// needed or wrong, or given to a vault that has none.
    pub fn open(
        files: Arc<dyn Files>,
        entropy: Arc<dyn Entropy>,
        passphrase: Option<&[u8]>,
    ) -> Result<Self, VaultError> {
        let contents = Contents::read(files.as_ref(), passphrase)?;
        Ok(Self { files, entropy, contents: Mutex::new(contents) })
    }

    /// Makes a new current key; the old ones still unwrap. Durable on return. Then rewrap, then [`FileVault::drop_old`].
    ///
    /// # Errors
    /// [`VaultError::KeysFull`] at [`VAULT_KEYS_MAX`] keys; the operating system's, the file then being the old or the new.
    pub fn rotate(&self) -> Result<(), VaultError> {
        self.rewrite(|contents| {
            if contents.keys.len() >= VAULT_KEYS_MAX {
                return Err(VaultError::KeysFull);
            }
            contents.keys.insert(0, VaultKey::draw(self.entropy.as_ref())?);
            Ok(())
        })
    }

    /// Drops every key but the current one; returns how many. What they wrapped and nobody rewrapped is lost.
    ///
    /// # Errors
    /// The operating system's, the file then being the old or the new.
    pub fn drop_old(&self) -> Result<usize, VaultError> {
        let before = self.contents().keys.len();
        self.rewrite(|contents| {
            contents.keys.truncate(1);
            Ok(())
        })?;
        Ok(before.saturating_sub(1))
    }

    /// Sets, changes or removes the passphrase. The keys stay; rotate them too where the old file may have been copied.
    ///
    /// # Errors
    /// As [`FileVault::create`].
    pub fn set_passphrase(&self, passphrase: Option<&[u8]>) -> Result<(), VaultError> {
        let protection = Protection::new(self.entropy.as_ref(), passphrase)?;
        self.rewrite(|contents| {
            contents.protection = protection;
            Ok(())
        })
    }

    /// Whether the file is sealed under a passphrase.
    #[must_use]
    pub fn has_passphrase(&self) -> bool {
        match self.contents().protection {
            Protection::None => false,
            Protection::Argon2id { .. } => true,
        }
    }

    /// Changes a copy, writes it, and takes it once it is durable.
    fn rewrite(
        &self,
        change: impl FnOnce(&mut Contents) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let _lock = lock(self.files.as_ref())?;
        let mut contents = self.contents();
        let keys =
            contents.keys.iter().map(|key| VaultKey { id: key.id, secret: key.secret.clone() }).collect();
        let mut next = Contents { protection: contents.protection.clone(), keys };
        change(&mut next)?;
        next.write(self.files.as_ref(), self.entropy.as_ref())?;
        *contents = next;
        Ok(())
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyVault for FileVault {
    fn name(&self) -> String {
        let how = if self.has_passphrase() { "passphrase" } else { "no passphrase" };
        format!("file {VAULT_FILE} ({how})")
    }

    fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, VaultError> {
        check_limits(context, secret)?;
        let contents = self.contents();
        let key = contents.keys.first().ok_or(VaultError::Damaged("it has no key"))?;
        let sealed = wrap::seal(key.secret.bytes(), self.entropy.as_ref(), &bound(&key.id, context), secret)
            .map_err(|_| VaultError::Entropy)?;
        Ok([&[WRAPPED_VERSION][..], &key.id, &sealed].concat())
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let rest = wrapped.strip_prefix(&[WRAPPED_VERSION]).ok_or(VaultError::Refused)?;
        let (id, sealed) = rest.split_first_chunk::<ID_BYTES>().ok_or(VaultError::Refused)?;
        let contents = self.contents();
        let Some(key) = contents.keys.iter().find(|key| key.id == *id) else {
            return Err(VaultError::KeyGone(id.iter().map(|byte| format!("{byte:02x}")).collect()));
        };
        wrap::open(key.secret.bytes(), &bound(id, context), sealed).ok_or(VaultError::Refused)
    }
}

/// What is authenticated with a wrapped secret. Its parts but the last have a fixed length.
fn bound(id: &[u8; ID_BYTES], context: &[u8]) -> Vec<u8> {
    [&b"waag file vault v1"[..], id, context].concat()
}

impl VaultKey {
    fn draw(entropy: &dyn Entropy) -> Result<Self, VaultError> {
        let mut id = [0; ID_BYTES];
        entropy.fill(&mut id).map_err(|_| VaultError::Entropy)?;
        Ok(Self { id, secret: Secret::draw(entropy).map_err(|_| VaultError::Entropy)? })
    }
}

impl Protection {
    fn new(entropy: &dyn Entropy, passphrase: Option<&[u8]>) -> Result<Self, VaultError> {
        let Some(passphrase) = passphrase else { return Ok(Self::None) };
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt).map_err(|_| VaultError::Entropy)?;
        let cost = Cost { memory_kib: ARGON2_MEMORY_KIB, passes: ARGON2_PASSES, lanes: ARGON2_LANES };
        Ok(Self::Argon2id { cost, salt, key: cost.derive(passphrase, &salt)? })
    }

    fn header(&self) -> Vec<u8> {
        let (code, cost, salt) = match self {
            Self::None => (0, Cost { memory_kib: 0, passes: 0, lanes: 0 }, &[0; SALT_BYTES]),
            Self::Argon2id { cost, salt, .. } => (1, *cost, salt),
        };
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_be_bytes());
        header.push(code);
        for number in [cost.memory_kib, cost.passes, cost.lanes] {
            header.extend_from_slice(&number.to_be_bytes());
        }
        header.extend_from_slice(salt);
        header
    }
}

impl Cost {
    fn derive(self, passphrase: &[u8], salt: &[u8; SALT_BYTES]) -> Result<Secret, VaultError> {
        if passphrase.is_empty() || passphrase.len() > PASSPHRASE_BYTES_MAX {
            return Err(VaultError::Passphrase("must have 1 to 1,024 bytes"));
        }
        let is_sane = self.memory_kib <= ARGON2_MEMORY_KIB_MAX
            && (1..=ARGON2_PASSES_MAX).contains(&self.passes)
            && (1..=ARGON2_LANES_MAX).contains(&self.lanes);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(SECRET_BYTES));
        let Some(params) = params.ok().filter(|_| is_sane) else {
            return Err(VaultError::Foreign("its passphrase parameters are outside the limits"));
        };
        let failed = |error: String| VaultError::Environment("derive the passphrase's key", error);
        let mut memory = Memory(Vec::new());
        memory.0.try_reserve_exact(params.block_count()).map_err(|error| failed(error.to_string()))?;
        memory.0.resize(params.block_count(), Block::new());
        let mut key = Zeroizing::new([0; SECRET_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(passphrase, salt, key.as_mut_slice(), &mut memory.0)
            .map_err(|error| failed(error.to_string()))?;
        Ok(Secret::new(key))
    }
}

/// Argon2id's memory, wiped when dropped: the library leaves it as it is, and the key follows from it without the
/// passphrase.
struct Memory(Vec<Block>);

impl Drop for Memory {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl Contents {
    fn write(&self, files: &dyn Files, entropy: &dyn Entropy) -> Result<(), VaultError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(VAULT_KEYS_MAX * (ID_BYTES + SECRET_BYTES)));
        for key in &self.keys {
            plain.extend_from_slice(&key.id);
            plain.extend_from_slice(key.secret.bytes());
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
        bytes.extend_from_slice(&self.protection.header());
        match &self.protection {
            Protection::None => bytes.extend_from_slice(&plain),
            Protection::Argon2id { key, .. } => {
                let sealed =
                    wrap::seal(key.bytes(), entropy, &bytes, &plain).map_err(|_| VaultError::Entropy)?;
                bytes.extend_from_slice(&sealed);
            }
        }
        let sum = digest(&SHA256, &bytes);
        bytes.extend_from_slice(sum.as_ref());
        match files.remove(NEW_FILE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove what a crash left of a vault's file")(error));
            }
            Ok(()) | Err(_) => {}
        }
        let file = files.open(NEW_FILE, Open::Create).map_err(failed("make the vault's file"))?;
        file.write_at(&bytes, 0).map_err(failed("write the vault's file"))?;
        file.sync().map_err(failed("sync the vault's file"))?;
        files.rename(NEW_FILE, VAULT_FILE).map_err(failed("put the vault's file in its place"))
    }

    fn read(files: &dyn Files, passphrase: Option<&[u8]>) -> Result<Self, VaultError> {
        let file = files.open(VAULT_FILE, Open::Read).map_err(failed("open the vault's file"))?;
        let mut buffer = Zeroizing::new([0; FILE_BYTES_MAX + 1]);
        let len = file.read_at(buffer.as_mut_slice(), 0).map_err(failed("read the vault's file"))?;
        let bytes = buffer.get(..len).unwrap_or_default();
        let cut = || VaultError::Damaged("it is too short or too long");
        if len > FILE_BYTES_MAX {
            return Err(cut());
        }
        let (rest, sum) = bytes.split_last_chunk::<SUM_BYTES>().ok_or_else(cut)?;
        if digest(&SHA256, rest).as_ref() != sum {
            return Err(VaultError::Damaged("its checksum does not match"));
        }
        let (header, keys) = rest.split_at_checked(HEADER_BYTES).ok_or_else(cut)?;
        let (code, cost, salt) = parse_header(header)?;
        let (protection, plain) = match (code, passphrase) {
            (0, None) => (Protection::None, Zeroizing::new(keys.to_vec())),
            (1, Some(passphrase)) => {
                let key = cost.derive(passphrase, &salt)?;
                let plain =
                    wrap::open(key.bytes(), header, keys).ok_or(VaultError::Passphrase("is wrong"))?;
                (Protection::Argon2id { cost, salt, key }, plain)
            }
            (0, Some(_)) => return Err(VaultError::Passphrase("was given, and the vault has none")),
            (1, None) => return Err(VaultError::Passphrase("was not given")),
            _ => return Err(VaultError::Foreign("it is protected in an unknown way")),
        };
        let (found, left) = plain.as_chunks::<{ ID_BYTES + SECRET_BYTES }>();
        if found.is_empty() || found.len() > VAULT_KEYS_MAX || !left.is_empty() {
            return Err(VaultError::Damaged("its keys have no whole number"));
        }
        let key = |bytes: &[u8; ID_BYTES + SECRET_BYTES]| {
            let (id, secret) = bytes.split_first_chunk::<ID_BYTES>()?;
            Some(VaultKey { id: *id, secret: Secret::of_slice(secret)? })
        };
        let keys = found.iter().map(key).collect::<Option<Vec<_>>>().ok_or_else(cut)?;
        Ok(Self { protection, keys })
    }
}

/// Protection's code, cost and salt.
fn parse_header(header: &[u8]) -> Result<(u8, Cost, [u8; SALT_BYTES]), VaultError> {
    let rest = header.strip_prefix(MAGIC).ok_or(VaultError::Foreign("it is no vault's file"))?;
    let rest =
        rest.strip_prefix(&VERSION.to_be_bytes()).ok_or(VaultError::Foreign("its version is not known"))?;
    let read = || {
        let (code, rest) = rest.split_first()?;
        let (numbers, salt) = rest.split_first_chunk::<12>()?;
        let mut numbers = numbers.as_chunks::<4>().0.iter().map(|bytes| u32::from_be_bytes(*bytes));
        let cost = Cost { memory_kib: numbers.next()?, passes: numbers.next()?, lanes: numbers.next()? };
        Some((*code, cost, salt.try_into().ok()?))
    };
    read().ok_or(VaultError::Damaged("it is too short or too long"))
}

fn lock(files: &dyn Files) -> Result<Box<dyn waag_stdx::files::Lock>, VaultError> {
    files.lock(LOCK_FILE).map_err(failed("lock the vault"))
}

fn failed(attempt: &'static str) -> impl Fn(io::Error) -> VaultError {
    move |error| {
        if error.kind() == io::ErrorKind::NotFound {
            VaultError::Missing
        } else {
            VaultError::Environment(attempt, error.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
