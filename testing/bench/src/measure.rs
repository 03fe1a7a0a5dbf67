//! What the operating system says of this process: CPU by thread, peak memory; and percentiles.
//!
//! CPU of a thread comes from `/proc/PID/task/*/schedstat` in nanoseconds; threads are told apart by their names.

use std::collections::BTreeMap;
use std::time::Duration;

/// CPU time by thread name (numbers at the end of a name are dropped, so that workers add up), of a process, or of this
/// one without a pid.
pub(crate) fn cpu_by_thread(pid: Option<u32>) -> BTreeMap<String, Duration> {
    let mut sums = BTreeMap::new();
    let folder = pid.map_or("/proc/self/task".to_owned(), |pid| format!("/proc/{pid}/task"));
    let tasks = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for task in tasks {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let name = read("comm").trim().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        let ns = read("schedstat").split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0);
        *sums.entry(name).or_insert(Duration::ZERO) += Duration::from_nanos(ns);
    }
    sums
}

/// CPU time of the calling thread so far; a thread that ends takes its figure out of [`cpu_by_thread`].
pub(crate) fn cpu_of_this_thread() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// The CPU time spent between two readings, by thread name.
pub(crate) fn spent(
    before: &BTreeMap<String, Duration>,
    after: &BTreeMap<String, Duration>,
) -> BTreeMap<String, Duration> {
    let since = |name: &String| before.get(name).copied().unwrap_or_default();
    after.iter().map(|(name, at)| (name.clone(), at.saturating_sub(since(name)))).collect()
}

/// Peak resident memory of a process, in bytes; of this one without a pid.
pub(crate) fn peak_memory(pid: Option<u32>) -> u64 {
    let path = pid.map_or("/proc/self/status".to_owned(), |pid| format!("/proc/{pid}/status"));
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// A value of sorted samples at a share of 0 to 1.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a length"
    )]
    let at = (share * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The median of some figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 0.5)
}
