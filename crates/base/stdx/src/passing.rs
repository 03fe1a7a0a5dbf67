//! Which of the operating system's errors pass by themselves.

use std::io;

/// Whether the same may work a little later: what was interrupted or took too long, memory, files or connections that are all
/// in use now.
///
/// What is not there, may not be read, or is no longer held by its disk is no such error, and neither is `EIO`: each further
/// look at a bad place can hold a disk up for seconds that commits need, so that somebody should look at it first.
#[must_use]
pub fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, OutOfMemory, ResourceBusy, TimedOut, WouldBlock};

    let kinds = [Interrupted, OutOfMemory, ResourceBusy, TimedOut, WouldBlock];
    kinds.contains(&error.kind()) || is_out_of_files(error)
}

/// Has no kind of its own in the standard library.
#[cfg(unix)]
fn is_out_of_files(error: &io::Error) -> bool {
    use rustix::io::Errno;

    // Of this process, of the whole system, of what sockets need.
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS]
        .map(Errno::raw_os_error)
        .map(Some)
        .contains(&error.raw_os_error())
}

#[cfg(not(unix))]
fn is_out_of_files(_: &io::Error) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_lacks_for_a_while_passes_and_what_is_gone_or_broken_does_not() {
        let passes = |errno: Errno| may_pass(&io::Error::from_raw_os_error(errno.raw_os_error()));
        for errno in [
            Errno::INTR,
            Errno::AGAIN,
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::NOBUFS,
            Errno::TIMEDOUT,
            Errno::BUSY,
        ] {
            assert!(passes(errno), "{errno:?}");
        }
        for errno in
            [Errno::IO, Errno::NOENT, Errno::ACCESS, Errno::PERM, Errno::ISDIR, Errno::STALE, Errno::ROFS]
        {
            assert!(!passes(errno), "{errno:?}");
        }
        assert!(!may_pass(&io::Error::other("a checksum")));
        assert!(!may_pass(&io::ErrorKind::UnexpectedEof.into()), "a file that ends too early is damage");
    }
}
