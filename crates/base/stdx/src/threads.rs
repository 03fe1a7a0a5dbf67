//! Threads that give way to others.
//!
//! Not here: starting threads; each part starts its own, with a name and its bounds.

use std::time::Duration;

/// How much a thread that gives way is nicer than others: with all cores busy it gets little of the time, and all that
/// nobody else wants.
const GIVES_WAY_BY: i32 = 19;

/// Lets the calling thread, and those that it starts from now on, give way to all others of the process; for work that
/// may lag, such as what is derived from the ledger. Without effect where the system does not allow it.
pub fn give_way() {
    // Linux keeps a priority for each thread, under the thread's own id (setpriority(2), "C library/kernel differences").
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::setpriority_process(Some(rustix::thread::gettid()), GIVES_WAY_BY);
}

/// How long the calling thread has been ready to run and waited for a core, in all; none where the system does not tell
/// (Linux: proc(5), `/proc/pid/schedstat`, the second number, in nanoseconds).
#[must_use]
pub fn waited() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_asks_gives_way() {
        let mine = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = mine();
        let theirs = std::thread::spawn(move || {
            give_way();
            (mine(), std::thread::spawn(mine).join().unwrap())
        });
        let (theirs, children) = theirs.join().unwrap();
        assert_eq!(theirs, GIVES_WAY_BY.max(before));
        assert_eq!(children, theirs);
        assert_eq!(mine(), before);
    }

    #[test]
    fn the_time_of_waiting_never_goes_back() {
        let first = waited().unwrap();
        let more = (0..1_000).map(|_| waited().unwrap()).max().unwrap();
        assert!(more >= first && waited().unwrap() >= more);
    }
}
