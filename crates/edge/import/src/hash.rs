//! An import is known by the SHA-256 of its file, as the bytes lie there: `sha256sum FILE` prints the same.
//!
//! A file and its gzip form are two imports, since nothing says which of them a log's owner will keep.

use std::fmt;
use std::io::{self, Read};

use aws_lc_rs::digest;

/// Bytes of the hash that stand in an event's id; 128 bits, so that no two files of one source ever meet.
const ID_BYTES: usize = 16;
/// How much is read at once.
const CHUNK_BYTES: usize = 65_536;

/// The SHA-256 of a whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash(pub [u8; 32]);

impl FileHash {
    /// Reads a file to its end.
    ///
    /// # Errors
    /// The reader's own.
    pub fn of(reader: &mut dyn Read) -> io::Result<Self> {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => context.update(chunk.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Ok(Self(hash))
    }

    /// What the ids of this file's events begin with: 32 hexadecimal digits.
    #[must_use]
    pub fn id_prefix(&self) -> String {
        hex::encode(self.0.get(..ID_BYTES).unwrap_or_default())
    }
}

impl fmt::Display for FileHash {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_sha_256() {
        // FIPS 180-2, appendix B.1.
        let hash = FileHash::of(&mut &b"abc"[..]).unwrap();
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash.id_prefix(), "ba7816bf8f01cfea414140de5dae2223");
        let longer = vec![7; CHUNK_BYTES + 1];
        assert_ne!(FileHash::of(&mut &longer[..]).unwrap(), FileHash::of(&mut &longer[1..]).unwrap());
    }
}
