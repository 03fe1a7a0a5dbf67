//! What the checks look at: the files of the checkout and the packages as Cargo sees them, read once.
//!
//! Checks take these values and return findings, so each is tested on small inputs made in memory.
//! The rules themselves are in `tidy`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package};

/// A text file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

/// The files of the checkout that are tracked or would be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// The files that are valid UTF-8.
    pub(crate) files: Vec<TextFile>,
    /// Every file and folder, binary files included, as paths from the root.
    pub(crate) paths: BTreeSet<String>,
}

impl Tree {
    /// The Rust sources.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The Markdown pages.
    pub(crate) fn markdown(&self) -> impl Iterator<Item = &TextFile> {
        self.files.iter().filter(|file| file.path.ends_with(".md"))
    }

    /// The file at a path.
    pub(crate) fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Notes a file and the folders above it.
    pub(crate) fn add_path(&mut self, path: &str) {
        for (end, _) in path.match_indices('/') {
            self.paths.extend(path.get(..end).map(str::to_owned));
        }
        self.paths.insert(path.to_owned());
    }
}

/// A member of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    /// The package's name.
    pub(crate) name: String,
    /// Its folder from the root, with `/`.
    pub(crate) folder: String,
    /// Names of the packages it needs when built for use; build scripts' needs are among them.
    pub(crate) normal: Vec<String>,
    /// Names of its programs.
    pub(crate) programs: Vec<String>,
}

/// A package of the resolved graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    /// The package's name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its SPDX licence expression.
    pub(crate) licence: Option<String>,
    /// Identifiers of the packages that are linked into it: neither development nor build dependencies.
    pub(crate) linked: Vec<String>,
}

/// The packages as Cargo sees them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packages {
    /// The workspace's own.
    pub(crate) members: Vec<Member>,
    /// All, by identifier. Optional features of every member are switched on and every platform counts, so the
    /// graph holds at least what any build of any member can link, and may hold more.
    pub(crate) graph: BTreeMap<String, Resolved>,
}

impl Packages {
    /// Without what is listed and never built, such as a dependency that only an unused feature would bring.
    pub(crate) fn only_built(mut self, built: &BTreeSet<(String, String)>) -> Self {
        self.graph.retain(|_, package| built.contains(&(package.name.clone(), package.version.clone())));
        self
    }
}

/// Names and versions of the packages that any build of any member compiles, with every feature and on every platform,
/// as Cargo's own resolver of features has them.
pub(crate) fn read_built(root: &Path) -> anyhow::Result<BTreeSet<(String, String)>> {
    let mut command = crate::process::cargo(root);
    command.env("CARGO_TERM_COLOR", "never");
    command.args(["tree", "--workspace", "--all-features", "--target", "all", "--edges", "normal,build,dev"]);
    let ended =
        command.args(["--prefix", "none", "--format", "{p}"]).output().context("cargo does not start")?;
    anyhow::ensure!(
        ended.status.success(),
        "`cargo tree` failed: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let told = String::from_utf8(ended.stdout).context("`cargo tree` told no text")?;
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    let built: BTreeSet<_> = told.lines().filter_map(of_line).collect();
    anyhow::ensure!(!built.is_empty(), "`cargo tree` told no package");
    Ok(built)
}

/// The root of the checkout that holds the current folder.
pub(crate) fn find_root() -> anyhow::Result<PathBuf> {
    let start = std::env::current_dir().context("the current folder cannot be read")?;
    let root = start
        .ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file() && folder.join("Cargo.toml").is_file());
    Ok(root.context("no checkout of this repository at or above the current folder")?.to_owned())
}

/// Reads every file that Git tracks or would track.
pub(crate) fn read_tree(root: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::default();
    for path in listed_by_git(root)? {
        let full = root.join(&path);
        if !full.is_file() {
            continue; // deleted, and the deletion not yet recorded
        }
        tree.add_path(&path);
        let bytes = std::fs::read(&full).with_context(|| format!("`{path}` cannot be read"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            tree.files.push(TextFile { path, text });
        }
    }
    anyhow::ensure!(!tree.files.is_empty(), "no file found: nothing was checked");
    Ok(tree)
}

/// Asks Git, because it alone knows what is ignored.
fn listed_by_git(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("`git` cannot be started")?;
    anyhow::ensure!(
        output.status.success(),
        "`git ls-files` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let listing = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut paths: Vec<String> =
        listing.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Asks Cargo for the packages and their graph.
pub(crate) fn read_packages(root: &Path) -> anyhow::Result<Packages> {
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .features(CargoOpt::AllFeatures)
        .exec()
        .context("`cargo metadata` failed")?;
    let members =
        metadata.workspace_packages().into_iter().map(|package| member(package, &metadata)).collect();
    Ok(Packages { members, graph: graph(&metadata) })
}

fn member(package: &Package, metadata: &Metadata) -> Member {
    let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
    let folder = folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder);
    let normal = package.dependencies.iter().filter(|needed| needed.kind != DependencyKind::Development);
    let programs = package.targets.iter().filter(|target| target.is_bin());
    Member {
        name: package.name.to_string(),
        folder: folder.as_str().replace('\\', "/"),
        normal: normal.map(|needed| needed.name.clone()).collect(),
        programs: programs.map(|target| target.name.clone()).collect(),
    }
}

fn graph(metadata: &Metadata) -> BTreeMap<String, Resolved> {
    let mut graph = BTreeMap::new();
    for package in &metadata.packages {
        let resolved = Resolved {
            name: package.name.to_string(),
            version: package.version.to_string(),
            licence: package.license.clone(),
            linked: Vec::new(),
        };
        graph.insert(package.id.repr.clone(), resolved);
    }
    for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
        let linked = node.deps.iter().filter(|needed| {
            needed.dep_kinds.is_empty()
                || needed.dep_kinds.iter().any(|info| info.kind == DependencyKind::Normal)
        });
        let linked: Vec<String> = linked.map(|needed| needed.pkg.repr.clone()).collect();
        if let Some(resolved) = graph.get_mut(&node.id.repr) {
            resolved.linked = linked;
        }
    }
    graph
}

#[cfg(test)]
pub(crate) mod samples {
    //! Small trees and packages for the tests of the checks.

    use super::{Member, TextFile, Tree};

    /// A tree of text files.
    pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::default();
        for (path, text) in files {
            tree.add_path(path);
            tree.files.push(TextFile { path: (*path).to_owned(), text: (*text).to_owned() });
        }
        tree
    }

    /// A member with its normal dependencies.
    pub(crate) fn member(name: &str, folder: &str, normal: &[&str]) -> Member {
        let normal = normal.iter().map(|name| (*name).to_owned()).collect();
        Member { name: name.to_owned(), folder: folder.to_owned(), normal, programs: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::{find_root, read_packages, read_tree};

    #[test]
    fn this_very_checkout_is_readable() {
        let root = find_root().unwrap();
        let tree = read_tree(&root).unwrap();
        assert!(tree.file("xtask/src/repository.rs").is_some());
        assert!(tree.paths.contains("xtask/src"));
        assert!(!tree.paths.iter().any(|path| path.starts_with("target/")));
        let packages = read_packages(&root).unwrap();
        let own = packages.members.iter().find(|member| member.name == "xtask").unwrap();
        assert_eq!(own.folder, "xtask");
        assert!(own.normal.contains(&"anyhow".to_owned()));
        assert_eq!(own.programs, ["xtask"]);
        let resolved = packages.graph.values().find(|package| package.name == "xtask").unwrap();
        assert!(resolved.linked.iter().any(|id| packages.graph[id].name == "anyhow"));
    }
}
