//! Embeds the pages of the error codes: the program explains each code it can print, offline.
//!
//! The table is made from the folder, so that no code is written down twice; a folder without pages gives an empty table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let missing = || io::Error::other("cargo sets this variable");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or_else(missing)?);
    let pages = manifest.join("../../docs/errors");
    println!("cargo:rerun-if-changed={}", pages.display());
    let mut table = String::from("[\n");
    for (code, path) in codes(&pages)? {
        writeln!(table, "    ({code:?}, include_str!({:?})),", path.display().to_string())
            .map_err(io::Error::other)?;
    }
    table.push_str("]\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(missing)?);
    fs::write(out.join("error_pages.rs"), table)
}

/// The codes with their pages, sorted.
fn codes(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut codes = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(codes),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path().canonicalize()?;
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let digits = name.strip_prefix('E').unwrap_or_default();
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        if is_page && digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            codes.push((name, path));
        }
    }
    codes.sort();
    Ok(codes)
}
