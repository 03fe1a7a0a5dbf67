//! The backup key, and the one line in which an operator keeps it.
//!
//! Whom it trusts: who has the key and the repository has every key of the tenant, but for a vault's passphrase.
//! Not here: the file's mode (whoever opens it), keys of objects (`sealed`).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use waag_stdx::entropy::{Entropy, NoEntropy};
use zeroize::Zeroizing;

use crate::error::ArchiveError;

/// Length of a backup key.
pub const KEY_BYTES: usize = 32;
/// Longest key file that is read.
pub const KEY_FILE_BYTES_MAX: u64 = 1_024;
const LABEL: &str = "waag-backup-key";
const CHECK_BYTES: usize = 4;

/// A repository's identity: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepositoryId(pub [u8; 16]);

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The key of one repository. Never shown; wiped when dropped.
#[derive(Clone)]
pub struct BackupKey {
    /// Whose key it is.
    pub repository: RepositoryId,
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupKey {{ repository: {} }}", self.repository)
    }
}

impl BackupKey {
    /// A fresh key of a fresh repository.
    ///
    /// # Errors
    /// [`NoEntropy`].
    pub fn draw(entropy: &dyn Entropy) -> Result<Self, NoEntropy> {
        let mut repository = RepositoryId([0; 16]);
        entropy.fill(&mut repository.0)?;
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(secret.as_mut())?;
        Ok(Self { repository, secret })
    }

    /// A key of known bytes.
    #[must_use]
    pub fn of(repository: RepositoryId, secret: [u8; KEY_BYTES]) -> Self {
        Self { repository, secret: Zeroizing::new(secret) }
    }

    pub(crate) fn secret(&self) -> &[u8; KEY_BYTES] {
        &self.secret
    }

    /// The line of the key's file.
    #[must_use]
    pub fn line(&self) -> Zeroizing<String> {
        let hex = Zeroizing::new(hex::encode(self.secret.as_ref()));
        let covered = Zeroizing::new(format!("{LABEL}:1:{}:{}", self.repository, hex.as_str()));
        Zeroizing::new(format!("{}:{}\n", covered.as_str(), check_of(&covered)))
    }

    /// Reads the line of a key's file.
    ///
    /// # Errors
    /// [`ArchiveError::KeyFile`], which says what is wrong and nothing of what stands there.
    pub fn read(text: &str) -> Result<Self, ArchiveError> {
        let wrong = ArchiveError::KeyFile;
        let line = text.trim_end_matches(['\n', '\r']);
        let (covered, check) = line.rsplit_once(':').ok_or(wrong("is not a backup key"))?;
        let mut fields = covered.split(':');
        if fields.next() != Some(LABEL) {
            return Err(wrong("is not a backup key"));
        }
        if fields.next() != Some("1") {
            return Err(wrong("is of a version that this program does not know"));
        }
        if check != check_of(covered) {
            return Err(wrong("was not copied faithfully: its check does not fit"));
        }
        let mut field = || fields.next().ok_or(wrong("is not a backup key"));
        let mut repository = RepositoryId([0; 16]);
        hex::decode_to_slice(field()?, &mut repository.0).map_err(|_| wrong("is not a backup key"))?;
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(field()?, secret.as_mut()).map_err(|_| wrong("is not a backup key"))?;
        Ok(Self { repository, secret })
    }
}

fn check_of(covered: &str) -> String {
    let sum = digest(&SHA256, covered.as_bytes());
    hex::encode(sum.as_ref().get(..CHECK_BYTES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use waag_stdx::entropy::SystemEntropy;

    use super::*;

    #[test]
    fn a_line_reads_back_and_a_wrong_letter_is_noticed() {
        let key = BackupKey::draw(&SystemEntropy::new()).unwrap();
        let line = key.line();
        let read = BackupKey::read(&line).unwrap();
        assert_eq!((read.repository, read.secret()), (key.repository, key.secret()));
        assert!(!format!("{key:?}").contains(&hex::encode(key.secret())));
        let bare = line.trim_end();
        for at in 0..bare.len() {
            let mut changed = bare.as_bytes().to_vec();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(BackupKey::read(std::str::from_utf8(&changed).unwrap()).is_err(), "letter {at}");
            assert!(BackupKey::read(bare.get(..at).unwrap()).is_err(), "cut to {at}");
        }
    }
}
