//! The benchmarks behind `cargo xtask bench`: each prints its conditions with its figures.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program that measures real time and reports it"
)]

mod core;
mod events;
mod ingest;
mod latency;
mod measure;
mod opening;
mod primitives;
mod probe;
mod rig;
mod tables;
mod verify;
mod views;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["core", rest @ ..] => core::run(rest),
        ["views", rest @ ..] => views::run(rest),
        ["ingest", rest @ ..] => ingest::run(rest),
        ["ingest-serve", folder, address] => ingest::serve(folder.as_ref(), address),
        ["fill", folder, events] => opening::fill(folder.as_ref(), events.parse()?),
        ["dictionary", schema, out] => {
            Ok(std::fs::write(out, events::shipped_dictionary(&std::fs::read(schema)?)?)?)
        }
        ["seal"] => core::seal_only(20_000, 30),
        ["seal", count, rounds] => core::seal_only(count.parse()?, rounds.parse()?),
        _ => {
            println!(
                "waag-bench core [--quick] [--folder DIR]   the evidence core: throughput, latency, verification, opening\n\
                 waag-bench ingest [--modes 1x64,500x4] [--events N] [--runs N] [--folder DIR]   the HTTP door on loopback\n\
                 waag-bench views [--invoices N] [--events N] [--projection invoices|count] [--rows N] [--folder DIR]   projecting to SQLite"
            );
            Ok(())
        }
    }
}
