//! Writes the golden pack of version 1 to the standard output: how `tests/golden/pack-v1.zip` was made.
//!
//! It was made once. A later zstd may compress its one compressed entry otherwise; the file in the tree is what every
//! later version must read, so it is not made again.

#[path = "../tests/support/packs.rs"]
mod packs;

use std::io::Write;

use waag_entry::codec::Dictionary;

fn main() -> std::io::Result<()> {
    let samples: Vec<Vec<u8>> = (0..2_000).flat_map(packs::plains).collect();
    let trained = zstd::dict::from_samples(&samples, 1_024)?;
    let dictionary = Dictionary::new(&trained).map_err(std::io::Error::other)?;
    let entries = packs::entries(Some(&dictionary));
    let pack = packs::gather(&entries, &[2, 3, 4, 7], Some(&dictionary)).pack();
    std::io::stdout().write_all(&pack)
}
