//! The benchmarks behind `cargo xtask bench`: each prints its conditions with its figures.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program that measures real time and reports it"
)]

mod core;
mod events;
mod measure;
mod probe;
mod rig;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["core", rest @ ..] => core::run(rest),
        _ => {
            println!(
                "waag-bench core [--quick] [--folder DIR]   the evidence core: throughput, latency, verification, opening"
            );
            Ok(())
        }
    }
}
