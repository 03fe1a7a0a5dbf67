//! The outside programs in `testing/outside`, each against a node of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::Folder;
use crate::support::{Node, PATIENCE, key};

/// How long schemathesis may try, in seconds, unless `WAAG_OUTSIDE_SECONDS` says otherwise.
const SECONDS: &str = "30";
/// What it draws its requests from unless `WAAG_OUTSIDE_SEED` says otherwise: what is found is found again.
const SEED: &str = "1";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The interpreter of the virtual environment that `cargo xtask test` makes.
fn python() -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let python = root().join(target).join("needs/bin/python");
    assert!(python.is_file(), "{} is not there; `cargo xtask test` brings it", python.display());
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Runs a program of `testing/outside` against the node; it must say that all is well.
fn run(name: &str, node: &Node, keys: &[(&str, &str)], more: &[&str]) {
    let mut command = python();
    command.arg(root().join("testing/outside").join(name)).arg(format!("http://{}", node.listen)).args(more);
    let output = command.envs(keys.iter().copied()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{out}\n{err}");
}

#[test]
fn the_door_is_what_its_openapi_document_says_needs_schemathesis() {
    let folder = Folder::with_store();
    let keys = [(); 2].map(|()| key(&folder, &["--role", "admin"]));
    let node = Node::serve(&folder);
    let seconds = std::env::var("WAAG_OUTSIDE_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let seed = std::env::var("WAAG_OUTSIDE_SEED").unwrap_or_else(|_| SEED.to_owned());
    let told = [("WAAG_KEY", &*keys[0]), ("WAAG_MAPPING_KEY", &*keys[1]), ("WAAG_OUTSIDE_SEED", &*seed)];
    run("door.py", &node, &told, &[&seconds]);
    // What it has sent is no trouble to anything behind the door.
    node.caught_up(&keys[0], PATIENCE);
    assert!(node.terminate().success());
    folder.run(&["verify"]).exits(0);
}

#[test]
fn cloudevents_own_library_reads_back_what_it_made_needs_cloudevents() {
    let folder = Folder::with_store();
    let key = key(&folder, &["--role", "admin"]);
    let node = Node::serve(&folder);
    run("cloudevents_sdk.py", &node, &[("WAAG_KEY", &key)], &[]);
}
