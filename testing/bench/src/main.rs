//! The benchmarks behind `cargo xtask bench`: each prints its conditions with its figures.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that measures real time and reports it"
)]

mod bare;
mod client;
mod core;
mod deliveries;
mod drive;
mod events;
mod evidence;
mod handed_out;
mod ingest;
mod latency;
mod lives;
mod matching;
mod measure;
mod node;
mod opening;
mod pages;
mod primitives;
mod probe;
mod rig;
mod router;
mod scratch;
mod scrubbing;
mod tables;
mod verify;
mod views;
mod visible;

use std::process::ExitCode;

const HELP: &str = "\
waag-bench core [--quick] [--folder DIR]   the evidence core: throughput, latency, verification, opening
waag-bench ingest [--modes 1x64,500x4] [--events N] [--runs N] [--open-invoices N] [--folder DIR]   a whole node over HTTP
waag-bench views [--invoices N] [--events N] [--projection invoices|count] [--rows N] [--known true] [--tables true] [--folder DIR]   projecting to SQLite
waag-bench pages [--invoices N] [--requests N] [--connections N] [--keep true] [--folder DIR]   every page over a large view
waag-bench router [matching [--events N] [--rounds N] | deliveries [PART] [--folder DIR] [--quick]]   which subscriptions an event concerns, and its way to them
waag-bench evidence [proof [--leaves N] [--proofs N] [--folder DIR] | scrub [--events N] [--pairs N] [--folder DIR] | packs|backup [--entries N] [--rounds N] [--unregistered true] [--folder DIR]]   proofs in a large tree, the scrubber, packs, backup and restore
waag-bench bare --listen ADDR [--keep DIR]   a server that takes anything and does nothing, or only keeps it: what HTTP costs here
waag-bench visible --door ADDR --pages ADDR --key KEY [--rate N] [--seconds N]   from acknowledgement to the open page, on a running node

Example:
  waag-bench views --invoices 100000 --events 200000 --projection invoices";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() || arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}\nhelp: waag-bench --help");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bare", rest @ ..] => bare::run(rest),
        ["core", rest @ ..] => core::run(rest),
        ["views", rest @ ..] => views::run(rest),
        ["pages", rest @ ..] => pages::run(rest),
        ["visible", rest @ ..] => visible::run(rest),
        ["ingest", rest @ ..] => ingest::run(rest),
        ["router", rest @ ..] => router::run(rest),
        ["evidence", rest @ ..] => evidence::run(rest),
        ["fill", folder, events] => opening::fill(folder.as_ref(), events.parse()?),
        ["dictionary", schema, out] => {
            Ok(std::fs::write(out, events::shipped_dictionary(&std::fs::read(schema)?)?)?)
        }
        ["seal"] => core::seal_only(20_000, 30),
        ["seal", count, rounds] => core::seal_only(count.parse()?, rounds.parse()?),
        _ => anyhow::bail!("there is no such benchmark: {}", arguments.join(" ")),
    }
}
