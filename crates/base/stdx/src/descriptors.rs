//! How many files and connections this process may have open.

/// More is not asked for; some systems reserve memory for each.
const WANTED: u64 = 65_536;

/// Raises how many files and connections this process may have open as far as it may itself, and tells how many that are;
/// none where the system does not tell. What services start with (often 1,024) is below what many connections need, and
/// whoever runs out of it can open no file either.
#[must_use]
pub fn raise() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let now = getrlimit(Resource::Nofile);
        let most = now.maximum.map_or(WANTED, |maximum| maximum.min(WANTED));
        // None is no limit.
        let current = now.current?;
        if current < most {
            let raised = Rlimit { current: Some(most), maximum: now.maximum };
            let _refused = setrlimit(Resource::Nofile, raised);
        }
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    None
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::process::{Resource, getrlimit};

    use super::*;

    #[test]
    fn as_many_as_may_be_and_never_fewer_than_before() {
        let before = getrlimit(Resource::Nofile);
        let raised = raise();
        let now = getrlimit(Resource::Nofile);
        assert_eq!((raised, now.maximum), (now.current, before.maximum));
        assert!(now.current.is_none_or(|now| before.current.is_some_and(|before| now >= before)));
        let most = before.maximum.unwrap_or(u64::MAX).min(WANTED);
        assert!(now.current.is_none_or(|now| now >= most), "{now:?}");
    }
}
