//! The published log as outsiders read it: checkpoint, tiles, bundles.
//!
//! Tiles come from stored hashes and bundles from frames; both are checked against the published root before they leave,
//! since stored hashes are derived (`TLOG-2`: nothing beyond the published checkpoint).
//! A bundle takes at most 256 entries of 65,535 bytes, and the frames that it reads one after the other.

use std::ops::ControlFlow;
use std::sync::Arc;

use waag_http::fault::{Fault, Kind};
use waag_http::tlog::PublishedLog;
use waag_ledger::hash::{Hash, leaf_hash};
use waag_ledger::tile::{TILE_WIDTH, Tile, TileKind, write_entry_bundle};
use waag_log::contract::EventLog;
use waag_model::ids::Position;

use super::{Held, Publishing, Shared};

/// A log as far as it is published.
struct Published(Arc<Shared>);

impl Publishing {
    /// The log as outsiders read it.
    #[must_use]
    pub fn log(&self) -> Arc<dyn PublishedLog> {
        Arc::new(Published(Arc::clone(&self.shared)))
    }

    /// The same where anybody may read it.
    #[must_use]
    pub fn public_log(&self) -> Option<Arc<dyn PublishedLog>> {
        self.shared.options.is_public.then(|| self.log())
    }
}

impl Published {
    fn newest(&self) -> Result<Held, Fault> {
        let state = self.0.state();
        match (&state.stopped, state.recent.back()) {
            // What is served must be there; what was published of another history is not.
            (Some(stopped), None) => Err(Fault::of(Kind::Unpublished(stopped.code))),
            (_, Some(held)) => Ok(held.clone()),
            (None, None) => Err(Fault::of(Kind::NotPublished)),
        }
    }

    fn entries(&self, tile: Tile) -> Result<Vec<Vec<u8>>, Fault> {
        let first = tile.index.saturating_mul(u64::from(TILE_WIDTH));
        let wanted = usize::from(tile.width);
        let mut entries: Vec<Vec<u8>> = Vec::with_capacity(wanted);
        let read = self.0.store.log.read(Position(first), &mut |frame| {
            let behind = frame.entries().filter(|(position, _)| position.0 >= first);
            let room = wanted.saturating_sub(entries.len());
            entries.extend(behind.take(room).map(|(_, bytes)| bytes.to_vec()));
            if entries.len() == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        read.map_err(|error| Fault::of(Kind::NotSealed(error.code())))?;
        Ok(entries)
    }
}

impl PublishedLog for Published {
    fn checkpoint(&self) -> Result<Arc<str>, Fault> {
        Ok(self.newest()?.note)
    }

    fn tile(&self, tile: Tile) -> Result<Option<Vec<u8>>, Fault> {
        let newest = self.newest()?;
        let told = newest.log.checkpoint();
        if tile.width > Tile::width_in(tile.kind, tile.index, told.size) {
            return Ok(None);
        }
        let failed = |code| Fault::of(Kind::NotSealed(code));
        let stored = &*self.0.store.hashes;
        let (hashes, bytes) = match tile.kind {
            TileKind::Hashes(_) => {
                let hashes = tile.read(stored, told.size).map_err(|error| failed(error.code()))?;
                let bytes = hashes.iter().flat_map(|hash| hash.0).collect();
                (hashes, bytes)
            }
            TileKind::Entries => {
                let entries = self.entries(tile)?;
                let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
                let bundle = write_entry_bundle(entries.iter().map(Vec::as_slice));
                (hashes, bundle.map_err(|error| failed(error.code()))?)
            }
        };
        tile.verify(&hashes, stored, told.size, &told.root).map_err(|error| failed(error.code()))?;
        Ok(Some(bytes))
    }
}
