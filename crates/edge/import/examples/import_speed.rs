//! How fast a log is read into events, on one thread: `import_speed MAPPING LOG`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::fs::File;
use std::time::Instant;

use waag_import::{FileHash, Import, Mapping};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mapping = Mapping::parse(&std::fs::read_to_string(arguments.next().unwrap()).unwrap()).unwrap();
    let log = arguments.next().unwrap();
    let begun = Instant::now();
    let hash = FileHash::of(&mut File::open(&log).unwrap()).unwrap();
    let mut import = Import::open(&mapping, hash, File::open(&log).unwrap()).unwrap();
    let count = import.by_ref().map(Result::unwrap).count();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{count} events in {seconds:.3} s: {:.0} events/s", count as f64 / seconds);
}
