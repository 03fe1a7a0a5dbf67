//! An import is known by the SHA-256 of its file, as the bytes lie there: `sha256sum FILE` prints the same.
//!
//! A file and its gzip form are two imports, since nothing says which of them a log's owner will keep.
//! The hash is known only behind the file's end, and ids begin with it, so a file is read twice: [`HashedFile`] keeps the
//! second reading to the bytes of the first.

use std::fmt;
use std::io::{self, Read, Seek};

use aws_lc_rs::digest;

use crate::error::ImportError;

/// Bytes of the hash that stand in an event's id; 128 bits, so that no two files of one source ever meet.
const ID_BYTES: usize = 16;
/// How much is read at once.
const CHUNK_BYTES: usize = 65_536;
/// How much of a file is compared at once; 32 bytes are held for each.
const COMPARED_BYTES: usize = 1_048_576;

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
        Ok(Self(finished(context)))
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

/// A file that was hashed and is read from its beginning. Each piece is compared with what was hashed before any of it is
/// handed on, so no event of other bytes gets this hash's ids, whoever writes to the file meanwhile.
#[derive(Debug)]
pub struct HashedFile<R> {
    inner: R,
    hash: FileHash,
    /// The hash of each piece, in order.
    pieces: Vec<[u8; 32]>,
    compared: usize,
    piece: Vec<u8>,
    taken: usize,
    changed: bool,
}

impl<R: Read + Seek> HashedFile<R> {
    /// Hashes what `inner` has from where it stands to its end, and goes back to its beginning.
    ///
    /// # Errors
    /// The reader's own.
    pub fn open(mut inner: R) -> io::Result<Self> {
        let mut whole = digest::Context::new(&digest::SHA256);
        let (mut pieces, mut piece) = (Vec::new(), Vec::new());
        while fill(&mut inner, &mut piece)? {
            whole.update(&piece);
            pieces.push(sha_256(&piece));
        }
        inner.rewind()?;
        piece.clear();
        let hash = FileHash(finished(whole));
        Ok(Self { inner, hash, pieces, compared: 0, piece, taken: 0, changed: false })
    }

    /// The SHA-256 of the whole file.
    #[must_use]
    pub fn hash(&self) -> FileHash {
        self.hash
    }
}

impl<R: Read> HashedFile<R> {
    /// Takes the next piece, which is empty at the end.
    fn next_piece(&mut self) -> io::Result<()> {
        self.taken = 0;
        let more = fill(&mut self.inner, &mut self.piece)?;
        let hashed = self.pieces.get(self.compared);
        let is_same = if more { hashed == Some(&sha_256(&self.piece)) } else { hashed.is_none() };
        if !is_same {
            self.changed = true;
            self.piece.clear();
            return Err(ImportError::Changed.into_io());
        }
        self.compared += usize::from(more);
        Ok(())
    }
}

impl<R: Read> Read for HashedFile<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.changed {
            return Err(ImportError::Changed.into_io());
        }
        if self.taken == self.piece.len() {
            self.next_piece()?;
        }
        let read = self.piece.get(self.taken..).unwrap_or_default().read(buffer)?;
        self.taken += read;
        Ok(read)
    }
}

/// Fills `piece` anew, short of its size only at the end; false where there is nothing more.
fn fill(reader: &mut impl Read, piece: &mut Vec<u8>) -> io::Result<bool> {
    piece.clear();
    Ok(reader.take(COMPARED_BYTES as u64).read_to_end(piece)? > 0)
}

fn sha_256(bytes: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(bytes);
    finished(context)
}

fn finished(context: digest::Context) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is another one once it was read to its end.
    struct Changing {
        now: io::Cursor<Vec<u8>>,
        then: Vec<u8>,
    }

    impl Read for Changing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.now.read(buffer)
        }
    }

    impl Seek for Changing {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.now = io::Cursor::new(self.then.clone());
            self.now.seek(to)
        }
    }

    #[test]
    fn a_hashed_file_is_read_as_it_was_hashed_or_not_at_all() {
        for bytes in [0, 1, COMPARED_BYTES - 1, COMPARED_BYTES, COMPARED_BYTES + 1, 2 * COMPARED_BYTES] {
            let first: Vec<u8> = (0..=250_u8).cycle().take(bytes).collect();
            let read = |then: Vec<u8>| {
                let changing = Changing { now: io::Cursor::new(first.clone()), then };
                let mut file = HashedFile::open(changing).unwrap();
                assert_eq!(file.hash(), FileHash::of(&mut &first[..]).unwrap());
                let mut out = Vec::new();
                let read = file.read_to_end(&mut out).map_err(|error| error.to_string());
                assert!(first.starts_with(&out), "nothing of other bytes is handed on");
                assert_eq!(
                    read.is_err(),
                    file.read(&mut [0; 1]).is_err(),
                    "changed once is changed for ever"
                );
                read
            };
            assert_eq!(read(first.clone()), Ok(bytes));
            let told = Err(ImportError::Changed.to_string());
            assert_eq!(read([&first[..], b"x"].concat()), told, "longer than {bytes}");
            if let Some(last) = bytes.checked_sub(1) {
                assert_eq!(read(first[..last].to_vec()), told, "shorter than {bytes}");
                let mut other = first.clone();
                other[last] ^= 1;
                assert_eq!(read(other), told, "another one of {bytes}");
            }
        }
    }

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
