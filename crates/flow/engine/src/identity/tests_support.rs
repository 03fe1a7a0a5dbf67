//! For the index's tests: tags, and a disk in memory that fails and crashes on command.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use waag_model::ids::Tag;
use waag_stdx::files::{File, Files, Lock, Open};

/// A tag that looks random, always the same for the same `n` (the mixing of SplitMix64).
pub(super) fn random_tag(n: u64) -> Tag {
    let mix = |mut z: u64| {
        z = z.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut tag = [0; 16];
    tag[..8].copy_from_slice(&mix(2 * n + 1).to_be_bytes());
    tag[8..].copy_from_slice(&mix(2 * n + 2).to_be_bytes());
    Tag(tag)
}

/// What the operation that fails has done by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Half,
    All,
}

/// What happens after the operation that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Everything fails: the machine is going down.
    Dead,
    /// All is well again.
    Well,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug, Default)]
struct World {
    files: BTreeMap<String, Arc<Mutex<Content>>>,
    changes: u64,
    fail: Option<(u64, Effect, After)>,
    dead: bool,
}

/// A disk in memory: names are durable at once (`FILES-1`), bytes when they are synced (`FILES-2`).
#[derive(Clone, Debug, Default)]
pub(super) struct MemFiles(Arc<Mutex<World>>);

impl MemFiles {
    /// Fails the change numbered `at`, counted from 0 from the disk's making on.
    pub(super) fn fail(&self, at: u64, effect: Effect, after: After) {
        self.0.lock().unwrap().fail = Some((at, effect, after));
    }

    /// How many changes there have been.
    pub(super) fn changes(&self) -> u64 {
        self.0.lock().unwrap().changes
    }

    /// The disk after a crash: with all that was written, or only with what was synced.
    pub(super) fn after_crash(&self, keep_unsynced: bool) -> Self {
        let world = self.0.lock().unwrap();
        let survive = |content: &Arc<Mutex<Content>>| {
            let content = content.lock().unwrap();
            let bytes = if keep_unsynced { content.now.clone() } else { content.durable.clone() };
            Arc::new(Mutex::new(Content { now: bytes.clone(), durable: bytes }))
        };
        let files = world.files.iter().map(|(name, content)| (name.clone(), survive(content))).collect();
        Self(Arc::new(Mutex::new(World { files, ..World::default() })))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().files.keys().cloned().collect()
    }

    pub(super) fn bytes(&self, path: &str) -> Vec<u8> {
        self.0.lock().unwrap().files[path].lock().unwrap().now.clone()
    }

    pub(super) fn set_bytes(&self, path: &str, bytes: Vec<u8>) {
        let content = Content { now: bytes.clone(), durable: bytes };
        self.0.lock().unwrap().files.insert(path.to_owned(), Arc::new(Mutex::new(content)));
    }

    /// What the next change may do, and whether it reports an error then.
    fn change(&self) -> io::Result<(Effect, bool)> {
        let mut world = self.0.lock().unwrap();
        if world.dead {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let number = world.changes;
        world.changes += 1;
        match world.fail {
            Some((at, effect, after)) if at == number => {
                world.dead = after == After::Dead;
                Ok((effect, true))
            }
            _ => Ok((Effect::All, false)),
        }
    }

    fn readable(&self) -> io::Result<()> {
        if self.0.lock().unwrap().dead { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

fn outcome(failed: bool) -> io::Result<()> {
    if failed { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
}

impl Files for MemFiles {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        self.readable()?;
        let known = self.0.lock().unwrap().files.get(path).cloned();
        let content = match (how, known) {
            (Open::Create, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Open::Create, None) => {
                let (effect, failed) = self.change()?;
                let content = Arc::new(Mutex::new(Content::default()));
                if effect != Effect::Nothing {
                    self.0.lock().unwrap().files.insert(path.to_owned(), content.clone());
                }
                outcome(failed)?;
                content
            }
            (Open::Read | Open::Write, Some(content)) => content,
            (Open::Read | Open::Write, None) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(MemFile { disk: self.clone(), content }))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.readable()?;
        let inside = |path: &String| Some(path.strip_prefix(folder)?.strip_prefix('/')?.to_owned());
        Ok(self.0.lock().unwrap().files.keys().filter_map(inside).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (effect, failed) = self.change()?;
        let mut world = self.0.lock().unwrap();
        if effect == Effect::All {
            let content = world.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            world.files.insert(to.to_owned(), content);
        }
        outcome(failed)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        if !self.0.lock().unwrap().files.contains_key(path) {
            self.readable()?;
            return Err(io::ErrorKind::NotFound.into());
        }
        let (effect, failed) = self.change()?;
        if effect == Effect::All {
            self.0.lock().unwrap().files.remove(path);
        }
        outcome(failed)
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn Lock>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[derive(Debug)]
struct MemFile {
    disk: MemFiles,
    content: Arc<Mutex<Content>>,
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.readable()?;
        let content = self.content.lock().unwrap();
        let from = usize::try_from(offset).unwrap().min(content.now.len());
        let len = buf.len().min(content.now.len() - from);
        buf[..len].copy_from_slice(&content.now[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (effect, failed) = self.disk.change()?;
        let written = match effect {
            Effect::Nothing => 0,
            Effect::Half => bytes.len() / 2,
            Effect::All => bytes.len(),
        };
        let mut content = self.content.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let end = (from + written).max(content.now.len());
        content.now.resize(end, 0);
        content.now[from..from + written].copy_from_slice(&bytes[..written]);
        outcome(failed)
    }

    fn sync(&self) -> io::Result<()> {
        let (effect, failed) = self.disk.change()?;
        let mut content = self.content.lock().unwrap();
        if effect == Effect::All {
            content.durable = content.now.clone();
        }
        outcome(failed)
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.readable()?;
        Ok(self.content.lock().unwrap().now.len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
