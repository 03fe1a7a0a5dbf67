//! The folder an export is written into: each file hashed as it is written, and named in the list.
//!
//! Files are for their owner only (0600), folders too (0700). Nothing is durable before [`Folder::sync`].

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;

use super::LIST_FILE;
use super::error::ExportError;
use super::forms::{FileForm, ListForm};
use crate::store::error::StoreError;

/// Bytes that wait in memory for each open file.
const BUFFER_BYTES: usize = 64 * 1_024;

/// A file under way.
pub(super) struct Stream {
    path: PathBuf,
    file: BufWriter<File>,
    pub(super) sum: Summed,
}

/// The SHA-256 and length of what was written so far.
#[derive(Clone)]
pub(super) struct Summed {
    context: Context,
    bytes: u64,
}

impl Summed {
    pub(super) fn new() -> Self {
        Self { context: Context::new(&SHA256), bytes: 0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    fn form(self, path: &str) -> FileForm {
        let sha256 = hex::encode(self.context.finish());
        FileForm { path: path.to_owned(), bytes: self.bytes, sha256 }
    }
}

impl Stream {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.sum.update(bytes);
        self.file.write_all(bytes).map_err(|error| StoreError::io("write", &self.path)(error).into())
    }

    /// One JSON object as a line.
    pub(super) fn json_line(&mut self, value: &impl Serialize) -> Result<(), ExportError> {
        let mut line = to_json(value)?;
        line.push(b'\n');
        self.write(&line)
    }

    /// Gives the file back; what was hashed goes on where it is opened again.
    pub(super) fn end(mut self) -> Result<Summed, ExportError> {
        self.file.flush().map_err(StoreError::io("write", &self.path))?;
        Ok(self.sum)
    }
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, ExportError> {
    serde_json::to_vec(value).map_err(|error| ExportError::damaged("JSON", error.to_string()))
}

/// The folder, and its list under way.
pub(super) struct Folder {
    root: PathBuf,
    list: Stream,
    files: u64,
    bytes: u64,
}

fn make(folder: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(StoreError::io("make", folder))
}

fn open(path: &Path, append: bool) -> Result<BufWriter<File>, StoreError> {
    let mut options = OpenOptions::new();
    options.append(append).write(true).create_new(!append).mode(0o600);
    let file = options.open(path).map_err(StoreError::io("write", path))?;
    Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
}

impl Folder {
    /// Begins in a folder that is new or empty.
    pub(super) fn create(root: &Path) -> Result<Self, ExportError> {
        make(root)?;
        let mut names = std::fs::read_dir(root).map_err(StoreError::io("list", root))?;
        if names.next().is_some() {
            return Err(ExportError::Folder(root.to_owned()));
        }
        let path = root.join(LIST_FILE);
        let list = Stream { file: open(&path, false)?, path, sum: Summed::new() };
        Ok(Self { root: root.to_owned(), list, files: 0, bytes: 0 })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A new file.
    pub(super) fn stream(&self, name: &str) -> Result<Stream, ExportError> {
        fresh(&self.root, name)
    }

    /// Ends a file and names it in the list.
    pub(super) fn close(&mut self, name: &str, stream: Stream) -> Result<(), ExportError> {
        let sum = stream.end()?;
        self.listed(name, sum)
    }

    /// Names a file in the list.
    pub(super) fn listed(&mut self, name: &str, sum: Summed) -> Result<(), ExportError> {
        let form = sum.form(name);
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(form.bytes);
        self.list.json_line(&form)
    }

    /// A whole file.
    pub(super) fn whole(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let mut stream = self.stream(name)?;
        stream.write(bytes)?;
        self.close(name, stream)
    }

    /// Ends the list: its SHA-256, and what it lists.
    pub(super) fn finish_list(&mut self) -> Result<(String, ListForm), ExportError> {
        self.list.file.flush().map_err(StoreError::io("write", &self.list.path))?;
        let sha256 = self.list.sum.clone().form(LIST_FILE).sha256;
        let others = ListForm { count: self.files, bytes: self.bytes, sha256: String::new() };
        Ok((sha256, others))
    }

    /// A file that the list does not name.
    pub(super) fn aside(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let mut stream = self.stream(name)?;
        stream.write(bytes)?;
        stream.end().map(drop)
    }

    /// Makes everything written so far durable: of thousands of files, one sync of their file system is the quickest.
    pub(super) fn sync(&self) -> Result<(), ExportError> {
        sync(&self.root)
    }
}

/// Makes everything below a folder durable, and its name.
pub(super) fn sync(root: &Path) -> Result<(), ExportError> {
    let folder = File::open(root).map_err(StoreError::io("open", root))?;
    let synced = rustix::fs::syncfs(&folder).map_err(std::io::Error::from);
    synced.map_err(|error| StoreError::io("sync", root)(error).into())
}

/// A new file.
pub(super) fn fresh(root: &Path, name: &str) -> Result<Stream, ExportError> {
    let path = root.join(name);
    if let Some(folder) = path.parent() {
        make(folder)?;
    }
    Ok(Stream { file: open(&path, false)?, path, sum: Summed::new() })
}

/// Goes on with a file that was ended.
pub(super) fn again(root: &Path, name: &str, sum: Summed) -> Result<Stream, ExportError> {
    let path = root.join(name);
    Ok(Stream { file: open(&path, true)?, path, sum })
}
