//! What strikes which operation of the simulated disk: planned by number, planned by kind, or by chance.
//!
//! Place: beneath [`crate::disk`]. Not here: what a fault does to the bytes (`disk`, `image`).

use std::collections::BTreeMap;

use crate::prng::Prng;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A file is created.
    Create,
    /// A file is renamed.
    Rename,
    /// A file is removed.
    Remove,
    /// Bytes are written.
    Write,
    /// A file is synced.
    Sync,
    /// A file's length is set.
    SetLen,
    /// Bytes are read; not counted among the mutating operations.
    Read,
}

/// What happens to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `StorageFull`, nothing done.
    NoSpace,
    /// `StorageFull` after the first half of a write; on a sync, after a part chosen by chance became durable.
    NoSpaceShort,
    /// EIO, nothing done; on a sync, what was dirty is dropped.
    Io,
    /// EIO after the first half of a write; on a sync, after a part chosen by chance became durable.
    IoShort,
    /// EIO, although all was done.
    IoPersisted,
    /// A write that is acknowledged, and shown from the cache, but never reaches the media.
    Lost,
    /// A write that is acknowledged, and shown from the cache, but reaches the media at another offset.
    Misdirected {
        /// Where it lands, in bytes from the file's start.
        offset: u64,
    },
    /// Done, after a delay that is added to the disk's own count.
    Slow {
        /// The delay.
        ns: u64,
    },
    /// The power goes: a write is in the cache, anything else is not done, and nothing works until the crash.
    PowerOff,
}

/// Chances of faults, in parts per million of the operations they can strike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// [`Fault::PowerOff`] on any mutating operation.
    pub power_off_ppm: u32,
    /// [`Fault::NoSpace`] or [`Fault::NoSpaceShort`] on a write.
    pub no_space_ppm: u32,
    /// [`Fault::Io`], [`Fault::IoShort`] or [`Fault::IoPersisted`] on a write.
    pub write_ppm: u32,
    /// The same three on a sync.
    pub sync_ppm: u32,
    /// [`Fault::Io`] or [`Fault::IoPersisted`] on create, rename, remove, set length.
    pub names_ppm: u32,
    /// [`Fault::Lost`] on a write.
    pub lost_ppm: u32,
    /// [`Fault::Misdirected`] on a write, to another page of the first 64 KiB.
    pub misdirected_ppm: u32,
}

/// The faults to come.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rates: Rates,
    rng: Prng,
    operations: u64,
    struck: u64,
    at: BTreeMap<u64, Fault>,
    nth: Vec<(Op, u64, Fault)>,
}

impl Plan {
    pub(crate) fn new(rng: Prng) -> Self {
        Self { rates: Rates::default(), rng, operations: 0, struck: 0, at: BTreeMap::new(), nth: Vec::new() }
    }

    pub(crate) fn operations(&self) -> u64 {
        self.operations
    }

    pub(crate) fn struck(&self) -> u64 {
        self.struck
    }

    pub(crate) fn at(&mut self, at: u64, fault: Fault) {
        self.at.insert(at, fault);
    }

    pub(crate) fn nth(&mut self, op: Op, nth: u64, fault: Fault) {
        self.nth.push((op, nth, fault));
    }

    pub(crate) fn clear(&mut self) {
        self.at.clear();
        self.nth.clear();
        self.rates = Rates::default();
    }

    pub(crate) fn fork(&mut self) -> Prng {
        self.rng.fork()
    }

    /// Counts one operation and tells what strikes it.
    pub(crate) fn next(&mut self, op: Op, len: u64) -> Option<Fault> {
        let planned = if op == Op::Read {
            None
        } else {
            let number = self.operations;
            self.operations += 1;
            self.at.remove(&number)
        };
        let fault = self.by_kind(op).or(planned).or_else(|| self.by_chance(op, len));
        self.struck += u64::from(fault.is_some());
        fault
    }

    fn by_kind(&mut self, op: Op) -> Option<Fault> {
        let mut struck = None;
        self.nth.retain_mut(|(kind, left, fault)| {
            if *kind != op {
                return true;
            }
            if *left == 0 && struck.is_none() {
                struck = Some(*fault);
                return false;
            }
            *left = left.saturating_sub(1);
            true
        });
        struck
    }

    fn by_chance(&mut self, op: Op, len: u64) -> Option<Fault> {
        let rates = self.rates;
        if rates == Rates::default() || op == Op::Read {
            return None;
        }
        if self.rng.chance(rates.power_off_ppm) {
            return Some(Fault::PowerOff);
        }
        match op {
            Op::Write => self.on_write(rates, len),
            Op::Sync => self.rng.chance(rates.sync_ppm).then(|| self.one_of_three()),
            Op::Create | Op::Rename | Op::Remove | Op::SetLen => {
                let struck = self.rng.chance(rates.names_ppm);
                struck.then(|| if self.rng.coin() { Fault::Io } else { Fault::IoPersisted })
            }
            Op::Read => None,
        }
    }

    fn on_write(&mut self, rates: Rates, len: u64) -> Option<Fault> {
        if self.rng.chance(rates.no_space_ppm) {
            return Some(if self.rng.coin() { Fault::NoSpace } else { Fault::NoSpaceShort });
        }
        if self.rng.chance(rates.write_ppm) {
            return Some(self.one_of_three());
        }
        if self.rng.chance(rates.lost_ppm) {
            return Some(Fault::Lost);
        }
        let misdirected = len > 0 && self.rng.chance(rates.misdirected_ppm);
        misdirected.then(|| Fault::Misdirected { offset: self.rng.below(16) * 4_096 })
    }

    fn one_of_three(&mut self) -> Fault {
        match self.rng.below(3) {
            0 => Fault::Io,
            1 => Fault::IoShort,
            _ => Fault::IoPersisted,
        }
    }
}
