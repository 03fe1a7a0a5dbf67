//! The last look at a world: its log read back from its bytes, a bit flipped, a folder taken back.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use waag_entry::form::{Entry, check};
use waag_entry::plain::Body;
use waag_files::walk::RawFiles;
use waag_keys::memory::Model;
use waag_ledger::hash::leaf_hash;
use waag_ledger::tree::Frontier;
use waag_log::contract::EventLog;
use waag_model::ids::{Position, Tag};
use waag_model::value::Value;

use super::{Outcome, World};
use crate::auditor::{Broken, ERASED, Sent};
use crate::disk::Snapshot;
use crate::node::Node;

impl World {
    /// The last look: everything is read back and verified.
    pub(super) fn finish(&mut self) -> Result<(), Broken> {
        if let Some(halted) = self.node.as_ref().and_then(|node| node.engine.halted().cloned()) {
            return if self.lied {
                Ok(())
            } else {
                Err(Broken(format!("LIVE-2: halted without a cause: {halted}")))
            };
        }
        if !self.under_way.is_empty() {
            return Err(Broken(format!("LIVE-1: {} batches were never answered", self.under_way.len())));
        }
        match self.verify() {
            Ok(()) => Ok(()),
            // A disk that lied may be found out; what verifies must still be what was acknowledged.
            Err(broken) if self.lied && broken.0.starts_with("VER-") => Ok(()),
            Err(broken) => Err(broken),
        }
    }

    /// Verifies the log from its bytes, and holds what is in it against the auditor.
    fn verify(&self) -> Result<(), Broken> {
        let Some(node) = &self.node else { return Ok(()) };
        let inspected = waag_files::guard::inspect(self.ground.state_files.as_ref());
        let guard = inspected.map_err(|error| Broken(format!("VER-1: {error}")))?.record;
        let raw = RawFiles::new(Arc::clone(&self.ground.data), node.reader.ledger);
        let report = waag_log::verify::verify(&raw, node.reader.ledger, guard.as_ref(), &mut |_, bytes| {
            check(bytes).map_err(|error| error.to_string())
        });
        if !report.verified() {
            return Err(Broken(format!("VER-1: not verified: {:?}", report.faults.first())));
        }
        let tag = |id: u32| (node.sealer.identity_tag("/sim", &format!("e{id}")), id);
        let tags: BTreeMap<Tag, u32> = (0..self.next_id).map(tag).collect();
        let mut entries = Vec::new();
        let mut frontier = Frontier::new();
        let mut roots = vec![frontier.root()];
        let mut sink = Vec::new();
        let mut failed = None;
        let read = node.log.read(Position(0), &mut |frame| {
            for (_, bytes) in frame.entries() {
                let leaf = leaf_hash(bytes);
                frontier.append(leaf, &mut sink);
                sink.clear();
                roots.push(frontier.root());
                match read_back(node, &tags, bytes) {
                    Ok(sent) => entries.push((leaf, sent)),
                    Err(broken) => failed = Some(broken),
                }
            }
            ControlFlow::Continue(())
        });
        if let Some(broken) = failed {
            return Err(broken);
        }
        read.or_else(|error| if node.log.tail().position.0 == 0 { Ok(()) } else { Err(error) })
            .map_err(|error| Broken(format!("VER-2: {error}")))?;
        let root_at = |size: u64| usize::try_from(size).ok().and_then(|size| roots.get(size)).copied();
        self.auditor.audits(&entries, &root_at)
    }

    /// After the end: a bit flips, or a folder is taken back; both must be noticed.
    pub(super) fn aftermath(&mut self, early: Option<(Snapshot, Snapshot, Model)>) -> Outcome {
        if self.lied || self.node.as_ref().is_some_and(|node| node.engine.halted().is_some()) {
            return self.report("whole, after a disk that lied".to_owned());
        }
        self.flip()?;
        let Some((data, state_files, records)) = early else { return self.report("whole".to_owned()) };
        let size = |world: &Self| world.node.as_ref().map_or(0, |node| node.log.tail().position.0);
        let before = size(self);
        self.node = None;
        self.disk.kill();
        self.lied = true;
        let what = self.rng.coin();
        if what {
            self.strike("rollback of the log");
            self.disk.folder("data").restore(&data);
        } else {
            self.strike("rollback of the state");
            self.disk.folder("state").restore(&state_files);
            self.state.restore(records);
        }
        if let Some(code) = self.reopen()? {
            return self.report(format!("refused after a rollback: {code}"));
        }
        // It opened: then nothing may be missing.
        self.verify()?;
        if size(self) < before {
            Err(Broken("AUD-1: a rollback went unnoticed".to_owned()))
        } else {
            self.report("whole".to_owned())
        }
    }

    /// Flips a byte under the guard: verification must go red and name the file, and green again when it is put back.
    fn flip(&mut self) -> Result<(), Broken> {
        let Some(node) = &self.node else { return Ok(()) };
        let mut frames = Vec::new();
        drop(node.log.read(Position(0), &mut |view| {
            frames.push((view.place.file.to_owned(), view.place.offset, view.header().frame_bytes() as u64));
            ControlFlow::Continue(())
        }));
        if frames.is_empty() {
            return Ok(());
        }
        let (file, start, len) = frames.swap_remove(self.rng.index(frames.len()));
        let (at, bit) = (start + self.rng.below(len), self.rng.below(8));
        self.strike("bit flip at rest");
        let data = self.disk.folder("data");
        data.corrupt(&file, at, |byte| byte ^ (1 << bit));
        let seen = self.verify();
        data.corrupt(&file, at, |byte| byte ^ (1 << bit));
        match seen {
            Err(_) => self.verify(),
            Ok(()) => {
                Err(Broken(format!("VER-3: bit {bit} of byte {at} of {file} was flipped and nobody saw")))
            }
        }
    }
}

/// What an entry of the log was, as far as it can be read.
fn read_back(node: &Node, tags: &BTreeMap<Tag, u32>, bytes: &[u8]) -> Result<Sent, Broken> {
    let broken = |what: String| Broken(format!("AUD-6: {what}"));
    let entry = Entry::read(bytes).map_err(|error| broken(error.to_string()))?;
    let opened = node.reader.open(&entry).map_err(|error| broken(error.to_string()))?;
    let event = opened.opened.event().map_err(|error| broken(error.to_string()))?;
    let number = |value: Option<&Value<'_>>| match value {
        Some(Value::Integer(number)) => u32::try_from(*number).ok(),
        _ => None,
    };
    if let Some(Body::Json(data)) = event.as_ref().map(|event| &event.body)
        && let (Some(id), Some(content)) = (number(data.child("n")), number(data.child("c")))
    {
        return Ok(Sent { id, content: u8::try_from(content).unwrap_or(ERASED) });
    }
    // Erased as a whole: the identity's tag still says which event it was.
    let known = tags.get(&entry.header.identity).copied();
    match known {
        Some(id) if opened.erased > 0 => Ok(Sent { id, content: ERASED }),
        Some(_) | None => Err(broken("an entry that cannot be read and was not erased".to_owned())),
    }
}
