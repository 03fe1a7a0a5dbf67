//! The real program killed at a call of its own.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use crate::common::Folder;

/// The same folder once more, in a place of its own.
pub(crate) fn copy_of(folder: &Folder) -> Folder {
    let copy = Folder::new();
    let mut from = folder.path("").into_os_string();
    from.push("/.");
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(copy.path("")).status().unwrap();
    assert!(copied.success());
    copy
}

/// Runs the program and kills it at the n-th of its calls on any of these files; whether it came that far.
pub(crate) fn killed_at(
    folder: &Folder,
    arguments: &[&str],
    calls: &str,
    files: &[&str],
    nth: usize,
) -> bool {
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-q", "-o", "/dev/null", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:signal=KILL:when={nth}")]);
    for file in files {
        command.arg("-P").arg(folder.path(file));
    }
    let program = folder.command(arguments);
    command.arg(program.get_program()).args(program.get_args()).current_dir(folder.path(""));
    let output = command.output().unwrap();
    !output.status.success()
}
