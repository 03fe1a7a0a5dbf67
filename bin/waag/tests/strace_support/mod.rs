//! `strace` around the real program: counting the calls on a store's files, failing one of them.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The calls that change a store, or hold it.
const CALLS: &str = "openat,pwrite64,fsync,fdatasync,ftruncate,rename,unlink,mkdir,flock";

/// One call of one thread on one file of the store, counted from 1 among its like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) thread: String,
    pub(crate) name: String,
    /// Below the root of the store's folders.
    pub(crate) file: String,
    pub(crate) nth: usize,
}

/// A fault: which call, and `strace`'s words for it.
pub(crate) struct Inject<'a> {
    pub(crate) call: &'a Call,
    pub(crate) words: &'static str,
}

/// A folder in memory where the system has such a place: calls are what is struck, not disks.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies a store's two folders below a root; where its data is then.
pub(crate) fn copy(data: &Path, root: &Path) -> PathBuf {
    for name in ["data", "data.state"] {
        let to = root.join(name);
        copy_folder(&data.with_file_name(name), &to);
    }
    root.join("data")
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The tracer: of all calls without a fault, of one call with one. What it sees is in the file `trace`.
pub(crate) fn strace(root: &Path, inject: Option<&Inject<'_>>) -> Command {
    let mut command = Command::new("strace");
    command.arg("-y").arg("-o").arg(root.join("trace"));
    match inject {
        None => command.arg("-e").arg(format!("trace={CALLS}")),
        Some(Inject { call: Call { name, file, nth, .. }, words }) => command
            .arg("-P")
            .arg(root.join(file))
            .arg("-e")
            .arg(format!("trace={name}"))
            .arg("-e")
            .arg(format!("inject={name}:{words}:when={nth}")),
    };
    command
}

/// The calls of a trace on files of the store, in order; `threads` names the threads, and without a number it is the
/// program's first, `waag`.
pub(crate) fn calls_in(trace: &str, root: &Path, threads: &BTreeMap<u32, String>) -> Vec<Call> {
    let mut counts = BTreeMap::new();
    let mut calls = Vec::new();
    let root = root.to_str().unwrap();
    for line in trace.lines() {
        let (thread, rest) = match line.split_once(' ') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                (number.parse().ok().and_then(|number: u32| threads.get(&number)).map(String::as_str), rest)
            }
            _ => (Some("waag"), line),
        };
        let Some((name, arguments)) = rest.trim_start().split_once('(') else { continue };
        let Some(file) = arguments.split_once(root).and_then(|(_, rest)| rest.split(['>', '"']).next())
        else {
            continue;
        };
        let file = file.trim_start_matches('/').to_owned();
        let Some(thread) = thread.filter(|_| file.starts_with("data")) else { continue };
        let nth = counts.entry((thread, name, file.clone())).or_insert(0);
        *nth += 1;
        calls.push(Call { thread: thread.to_owned(), name: name.to_owned(), file, nth: *nth });
    }
    calls
}
