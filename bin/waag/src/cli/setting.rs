//! What every command on a store takes: where it is, whose it is, who asks, and the vault's passphrase.

use std::path::PathBuf;

use clap::Args;
use waag_model::ids::{Actor, TenantName};
use zeroize::Zeroizing;

use super::failure::{CliError, Failure};
use super::output::{progress, tell};
use crate::store::options::Options;
use crate::store::place::Place;
use crate::store::writer::{OpenedStore, open_writer};

/// The variable that holds a passphrase where no file is named.
pub(crate) const PASSPHRASE_VARIABLE: &str = "WAAG_PASSPHRASE";

#[derive(Debug, Args)]
pub(crate) struct Setting {
    /// The data folder
    #[arg(long, value_name = "DIR", default_value = "./waag-data", global = true)]
    pub(crate) data: PathBuf,

    /// The state folder: keys, guard; the data folder's name with `.state` where not given
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state: Option<PathBuf>,

    /// The tenant
    #[arg(long, value_name = "NAME", default_value = "default", global = true)]
    pub(crate) tenant: String,

    /// Who asks; the system's user where not given
    #[arg(long = "as", value_name = "NAME", global = true)]
    pub(crate) actor: Option<String>,

    /// A file whose first line is the vault's passphrase; else the variable WAAG_PASSPHRASE is read
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Answer in JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Setting {
    /// The tenant's place.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        let tenant = TenantName::new(&self.tenant).map_err(|error| Failure::name("--tenant", error))?;
        Ok(Place::new(&self.data, self.state.as_deref(), tenant)?)
    }

    /// How the store is opened.
    pub(crate) fn options(&self) -> Result<Options, Failure> {
        Ok(Options { passphrase: self.passphrase()?, ..Options::default() })
    }

    fn passphrase(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        if let Some(path) = &self.passphrase_file {
            return read_passphrase(path).map(Some);
        }
        let variable = std::env::var_os(PASSPHRASE_VARIABLE).filter(|value| !value.is_empty());
        Ok(variable.map(|value| Zeroizing::new(value.into_encoded_bytes())))
    }

    /// Who asks.
    pub(crate) fn actor(&self) -> Result<Actor, Failure> {
        let name = self.actor.clone().unwrap_or_else(system_user);
        Actor::new(&name).map_err(|error| Failure::name("--as", error))
    }

    /// Opens the store to write, and says what it found beyond the guard.
    pub(crate) fn open_writer(&self, options: &Options) -> Result<OpenedStore, Failure> {
        let place = self.place()?;
        let bar = progress(None, "entries");
        let store = open_writer(&place, options, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })?;
        bar.finish_and_clear();
        if let Some(cut) = &store.recovery.cut {
            let (bytes, file, offset) = (cut.bytes, &cut.file, cut.offset);
            tell(&format!(
                "note: {bytes} bytes of an unfinished write were cut from `{file}` at offset {offset}"
            ));
        }
        if !store.recovery.residue.is_empty() {
            let frames = store.recovery.residue.len();
            tell(&format!("note: {frames} whole frames that nobody was told of are part of the ledger now"));
        }
        for (offset, fault) in &store.guard.faults {
            tell(&format!(
                "note: the guard's slot at offset {offset} was damaged ({fault}); the next write mends it"
            ));
        }
        Ok(store)
    }
}

/// The first line of a file, as it is.
pub(crate) fn read_passphrase(path: &std::path::Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(std::fs::read(path).map_err(CliError::file("read", path))?);
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    if bytes.is_empty() { Err(CliError::NoPassphrase(path.to_owned()).into()) } else { Ok(bytes) }
}

/// The name of the user that runs this process, or its number.
///
/// Not from `USER`, which anybody can set; nobody is authenticated here either way.
fn system_user() -> String {
    let user = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == user).then(|| name.to_owned())
    });
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("uid-{user}"))
}
