//! PostgreSQL keeps the contract of views: a real server, started here, whose default order of texts is not bytewise.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use waag_postgres::views::PostgresViews;
use waag_views::conformance::{ViewsHarness, views};
use waag_views::contract::Views;
use waag_views::error::ViewsError;

/// The newest server's programs: where Debian puts them, else on the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder): &(u32, PathBuf)| folder.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, folder)| folder).unwrap_or_default()
}

fn number(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A server of its own, reached by a socket in its folder only.
struct Server {
    folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, log) = (folder.path().join("data"), folder.path().join("log"));
        // The server refuses to run as root: it then runs as the user that its package made.
        let other = (number(&["-u"]) == Some(0))
            .then(|| (number(&["-u", "postgres"]).unwrap(), number(&["-g", "postgres"]).unwrap()));
        if let Some((user, group)) = other {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let program = |name: &str| {
            let mut command = Command::new(programs().join(name));
            command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
            if let Some((user, group)) = other {
                command.gid(group).uid(user);
            }
            command
        };
        let made = program("initdb")
            .args(["--no-sync", "-A", "trust", "-U", "waag", "-E", "UTF8", "--locale=C.UTF-8"])
            .args(["--locale-provider=icu", "--icu-locale=en", "-D"])
            .arg(&data)
            .stderr(Stdio::null())
            .status()
            .unwrap_or_else(|error| panic!("initdb: {error}; install the package `postgresql`"));
        assert!(made.success(), "initdb failed");
        let child = program("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=16MB", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let server = Self { folder, child };
        for _ in 0..200 {
            if PostgresViews::open(&server.connection(), "ready").is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the server does not answer: {}", std::fs::read_to_string(log).unwrap());
    }

    fn connection(&self) -> String {
        connection(self.folder.path())
    }
}

fn connection(folder: &Path) -> String {
    format!("host={} user=waag dbname=postgres", folder.display())
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its children see that it is gone and end too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

struct Harness(Server);

impl ViewsHarness for Harness {
    fn open(&self) -> Result<Arc<dyn Views>, ViewsError> {
        Ok(Arc::new(PostgresViews::open(&self.0.connection(), "suite")?))
    }

    fn reset(&self) -> Result<(), ViewsError> {
        let mut client = postgres::Client::connect(&self.0.connection(), postgres::NoTls).unwrap();
        client.batch_execute("DROP SCHEMA IF EXISTS suite CASCADE").unwrap();
        Ok(())
    }
}

#[test]
fn needs_pg_lsclusters_the_contract_is_kept() {
    let harness = Harness(Server::start());
    views(&harness).unwrap();
    let mut client = postgres::Client::connect(&harness.0.connection(), postgres::NoTls).unwrap();
    let row = client.query_one("SELECT 'a' < 'B'", &[]).unwrap();
    assert!(
        row.get::<_, bool>(0),
        "the server's own order is bytewise, so that the suite shows less than it should"
    );
    client.batch_execute("CREATE SCHEMA foreign_one; CREATE TABLE foreign_one.view(x int)").unwrap();
    let refused = PostgresViews::open(&harness.0.connection(), "foreign_one").unwrap_err();
    assert_eq!(refused.code(), "E0691");
    assert_eq!(PostgresViews::open(&harness.0.connection(), "a\"b").unwrap_err().code(), "E0691");
}
