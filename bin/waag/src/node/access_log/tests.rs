//! Files of the log: rotated by size and by day, bounded, whole lines only, and a disk that is full stops nobody.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::AtomicI64;

use waag_model::time::UtcNanos;

use super::*;

const DAY_NS: i64 = 86_400_000_000_000;

/// A clock that stands where it is put.
#[derive(Default)]
struct Standing(AtomicI64);

impl Clock for Standing {
    fn now(&self) -> UtcNanos {
        UtcNanos(self.0.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

struct World {
    folder: tempfile::TempDir,
    clock: Arc<Standing>,
    options: AccessLogOptions,
}

impl World {
    fn new(bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = AccessLogOptions { folder: folder.path().join("access"), days: 2, bytes_max };
        Self { folder, clock: Arc::default(), options }
    }

    fn files(&self) -> Files {
        let clock: Arc<dyn Clock> = self.clock.clone();
        Files { options: self.options.clone(), clock, current: None, swept: None }
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.options.folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.options.folder.join(name)).unwrap()
    }

    fn bytes(&self) -> u64 {
        self.names().iter().map(|name| self.text(name).len() as u64).sum()
    }
}

fn put(files: &mut Files, lines: &str) -> io::Result<()> {
    files.write(&mut lines.as_bytes())
}

fn access(took: u64) -> Access<'static> {
    Access {
        at: UtcNanos(0),
        method: "POST",
        route: "/v1/events",
        status: 200,
        code: None,
        key: None,
        tenant: None,
        client: None,
        took: Duration::from_micros(took),
        bytes_in: 0,
        bytes_out: 0,
        counts: [1, 0, 0],
        span: None,
    }
}

#[test]
fn a_restart_goes_on_in_the_same_file_and_cuts_a_torn_line_off() {
    let world = World::new(1 << 20);
    put(&mut world.files(), "one\n").unwrap();
    let name = "access-1970-01-01-0001.jsonl";
    let path = world.options.folder.join(name);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"torn").unwrap();
    put(&mut world.files(), "two\n").unwrap();
    assert_eq!(world.names(), [name]);
    assert_eq!(world.text(name), "one\ntwo\n");
    for torn in ["x".repeat(10_000), format!("{}\ny", "x".repeat(10_000))] {
        std::fs::write(&path, &torn).unwrap();
        put(&mut world.files(), "three\n").unwrap();
        let whole = torn.rsplit_once('\n').map_or(String::new(), |(whole, _)| format!("{whole}\n"));
        assert_eq!(world.text(name), format!("{whole}three\n"));
    }
}

#[test]
fn files_turn_by_size_and_the_oldest_give_way_so_that_all_stay_within_their_bytes() {
    let most = 16 * LINE_BYTES_MAX;
    let world = World::new(most);
    let mut files = world.files();
    let line = format!("{}\n", "x".repeat(99));
    for round in 0..40 {
        put(&mut files, &line.repeat(41)).unwrap();
        assert!(world.bytes() <= most, "{round}: {}", world.bytes());
        if round % 7 == 0 {
            files = world.files();
        }
    }
    assert!(world.bytes() > most / 2, "{}", world.bytes());
    for name in world.names() {
        let text = world.text(&name);
        assert!(text.len() as u64 <= LINE_BYTES_MAX && text.lines().all(|kept| kept.len() == 99), "{name}");
    }
    assert!(!world.names().contains(&"access-1970-01-01-0001.jsonl".to_owned()));
    let newest = world.names().pop().unwrap();
    put(&mut files, &format!("{}\n", "y".repeat(10_000))).unwrap();
    assert!(world.names().pop().unwrap() > newest, "a long line has a file of its own");
}

#[test]
fn a_day_has_its_own_file_and_old_days_go_and_other_files_stay() {
    let world = World::new(1 << 20);
    let mut files = world.files();
    for day in 0..5 {
        world.clock.0.store(day * DAY_NS, Ordering::Relaxed);
        put(&mut files, "line\n").unwrap();
        std::fs::write(world.options.folder.join("access-note.jsonl"), "mine").unwrap();
    }
    let days = ["1970-01-03-0001", "1970-01-04-0001", "1970-01-05-0001", "note"];
    assert_eq!(world.names(), days.map(|day| format!("access-{day}.jsonl")));
    // Also where nobody asks for anything.
    world.clock.0.store(9 * DAY_NS, Ordering::Relaxed);
    put(&mut files, "").unwrap();
    assert_eq!(world.names(), ["access-note.jsonl"]);
}

#[test]
fn a_full_disk_drops_lines_and_counts_them_and_room_brings_the_log_back() {
    let world = World::new(1 << 20);
    std::fs::create_dir(&world.options.folder).unwrap();
    let path = world.options.folder.join("access-1970-01-01-0001.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let log = AccessLog::start(world.options.clone(), world.clock.clone()).unwrap();
    let settled = |lines: u64| {
        for _ in 0..500 {
            let figures = log.families().into_iter().map(|family| family.samples[0].value.clone());
            let [written, dropped, failures] = figures.collect::<Vec<_>>().try_into().unwrap();
            let whole = |value| if let waag_stdx::figures::Value::Whole(value) = value { value } else { 0 };
            let told = (whole(written), whole(dropped), whole(failures));
            if told.0 + told.1 == lines {
                return told;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("lines were neither written nor dropped");
    };
    log.over(&access(1));
    log.over(&access(2));
    assert_eq!((settled(2).0, settled(2).1), (0, 2));
    std::fs::remove_file(&path).unwrap();
    log.over(&access(3));
    assert_eq!((settled(3).0, settled(3).1), (1, 2));
    // What waits when it ends is written.
    log.over(&access(4));
    drop(log);
    assert_eq!(world.text("access-1970-01-01-0001.jsonl").lines().count(), 2);
    drop(world.folder);
}

#[test]
fn what_waits_is_bounded_and_nobody_waits_for_the_disk() {
    let shared = Arc::new(Shared::default());
    // Nobody writes.
    let log = AccessLog { shared: Arc::clone(&shared), thread: None };
    let lines = WAITING_BYTES_MAX / access(1).line().len() + 1_000;
    (0..lines).for_each(|_| log.over(&access(1)));
    let waiting = shared.waiting();
    assert!(waiting.lines.len() <= WAITING_BYTES_MAX, "{}", waiting.lines.len());
    assert!(waiting.lines.len() > WAITING_BYTES_MAX - 1_000);
    assert_eq!(waiting.count + shared.dropped.load(Ordering::Relaxed), lines as u64);
    drop(waiting);
}
