//! One simulated file: what readers see, what the media holds, and the writes between the two.
//!
//! Place: beneath [`crate::disk`]. Not here: names, handles, which fault strikes.

use crate::prng::Prng;

/// The bytes of one write; a run of zeros is kept as its length, since preparing space writes many of them.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Bytes.
    Bytes(Vec<u8>),
    /// So many zeros.
    Zeros(u64),
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match waag_log::wire::first_nonzero(bytes) {
            None => Self::Zeros(bytes.len() as u64),
            Some(_) => Self::Bytes(bytes.to_vec()),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
        }
    }

    /// The first half, in whole sectors.
    pub(crate) fn first_half(mut self) -> Self {
        let half = self.len() / 2 / SECTOR_BYTES * SECTOR_BYTES;
        match &mut self {
            Self::Bytes(bytes) => bytes.truncate(usize_of(half)),
            Self::Zeros(len) => *len = half,
        }
        self
    }

    /// Puts the part from `from` to `to` of this write, which belongs at `offset`, into an image.
    fn put(&self, image: &mut Vec<u8>, offset: u64, from: u64, to: u64) {
        let (start, end) = (usize_of(offset + from), usize_of(offset + to));
        if image.len() < end {
            image.resize(end, 0);
        }
        let Some(target) = image.get_mut(start..end) else { return };
        match self {
            Self::Zeros(_) => target.fill(0),
            Self::Bytes(bytes) => {
                if let Some(source) = bytes.get(usize_of(from)..usize_of(to)) {
                    target.copy_from_slice(source);
                }
            }
        }
    }

    fn put_all(&self, image: &mut Vec<u8>, offset: u64) {
        self.put(image, offset, 0, self.len());
    }
}

/// The smallest unit that a disk writes whole.
const SECTOR_BYTES: u64 = 512;
/// The unit in which the system writes back.
const PAGE_BYTES: u64 = 4_096;

fn usize_of(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A change of a file that is not durable yet.
#[derive(Clone, Debug)]
enum Dirty {
    Write { content: Content, offset: u64 },
    Length(u64),
}

impl Dirty {
    fn apply(&self, media: &mut Vec<u8>) {
        match self {
            Self::Write { content, offset } => content.put_all(media, *offset),
            Self::Length(len) => media.resize(usize_of(*len), 0),
        }
    }

    /// Applies the units that `keep` says.
    fn apply_partly(&self, media: &mut Vec<u8>, unit: u64, mut keep: impl FnMut() -> bool) {
        match self {
            Self::Length(_) => {
                if keep() {
                    self.apply(media);
                }
            }
            Self::Write { content, offset } => {
                let end = offset + content.len();
                let mut at = *offset;
                while at < end {
                    let next = end.min((at / unit + 1) * unit);
                    if keep() {
                        content.put(media, *offset, at - offset, next - offset);
                    }
                    at = next;
                }
            }
        }
    }
}

/// One file.
#[derive(Debug)]
pub(crate) struct Image {
    cache: Vec<u8>,
    media: Vec<u8>,
    dirty: Vec<Dirty>,
    /// Cache and media can differ although nothing is dirty: a failed sync, a lost or misdirected write.
    diverged: bool,
    /// Failed writebacks so far.
    pub(crate) errors: u64,
}

impl Image {
    /// A file with these bytes, durable.
    pub(crate) fn durable(bytes: Vec<u8>) -> Self {
        Self { cache: bytes.clone(), media: bytes, dirty: Vec::new(), diverged: false, errors: 0 }
    }

    pub(crate) fn len(&self) -> u64 {
        self.cache.len() as u64
    }

    pub(crate) fn cache(&self) -> &[u8] {
        &self.cache
    }

    pub(crate) fn media(&self) -> &[u8] {
        &self.media
    }

    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let rest = self.cache.get(usize_of(offset)..).unwrap_or(&[]);
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        n
    }

    pub(crate) fn write(&mut self, content: Content, offset: u64) {
        content.put_all(&mut self.cache, offset);
        self.dirty.push(Dirty::Write { content, offset });
    }

    pub(crate) fn write_lost(&mut self, content: &Content, offset: u64) {
        content.put_all(&mut self.cache, offset);
        self.diverged = true;
    }

    pub(crate) fn write_elsewhere(&mut self, content: Content, offset: u64, other: u64) {
        content.put_all(&mut self.cache, offset);
        self.dirty.push(Dirty::Write { content, offset: other });
        self.diverged = true;
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.cache.resize(usize_of(len), 0);
        self.dirty.push(Dirty::Length(len));
    }

    pub(crate) fn sync(&mut self) {
        for change in self.dirty.drain(..) {
            change.apply(&mut self.media);
        }
        // A lost write that made the file longer must not leave a shorter file: its length is metadata, and kept.
        if self.media.len() < self.cache.len() {
            self.media.resize(self.cache.len(), 0);
        }
    }

    /// What was dirty is dropped, or a part of it becomes durable first.
    pub(crate) fn fail_sync(&mut self, partly: Option<Prng>) {
        if let Some(mut rng) = partly {
            for change in self.dirty.drain(..) {
                change.apply_partly(&mut self.media, SECTOR_BYTES, || rng.coin());
            }
        }
        self.dirty.clear();
        self.diverged = true;
        self.errors += 1;
    }

    /// The power is cut: of the dirty changes nothing, everything, a beginning, or any units survive.
    pub(crate) fn crash(&mut self, rng: &mut Prng) {
        if self.dirty.is_empty() && !self.diverged {
            return;
        }
        let unit = if rng.coin() { SECTOR_BYTES } else { PAGE_BYTES };
        let how = rng.below(4);
        let changes = std::mem::take(&mut self.dirty);
        let whole = if how == 2 { rng.index(changes.len() + 1) } else { 0 };
        for (n, change) in changes.iter().enumerate() {
            match how {
                0 => {}
                1 => change.apply(&mut self.media),
                2 if n < whole => change.apply(&mut self.media),
                2 if n > whole => {}
                _ => change.apply_partly(&mut self.media, unit, || rng.coin()),
            }
        }
        self.cache.clone_from(&self.media);
        self.diverged = false;
        self.errors = 0;
    }

    pub(crate) fn corrupt(&mut self, offset: u64, change: impl FnOnce(u8) -> u8) -> bool {
        let at = usize_of(offset);
        let Some(byte) = self.cache.get_mut(at) else { return false };
        *byte = change(*byte);
        let value = *byte;
        if let Some(stored) = self.media.get_mut(at) {
            *stored = value;
        }
        true
    }
}
