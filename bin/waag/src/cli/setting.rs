//! What every command on a store takes: where it is, whose it is, who asks, and the vault's passphrase.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use clap::Args;
use waag_model::event::Event;
use waag_model::ids::{Actor, LedgerId, TenantName};
use zeroize::Zeroizing;

use super::failure::{CliError, Failure};
use super::output::{progress, tell};
use crate::node::NodeError;
use crate::store::beside::{ask_to_record, holder};
use crate::store::error::StoreError;
use crate::store::options::Options;
use crate::store::place::Place;
use crate::store::writer::{OpenedStore, open_writer};

/// How often a store that another process writes, and that takes no questions, is tried again to record something.
const RECORD_TRIES_MAX: u32 = 40;
/// The wait between two of these, in milliseconds.
const RECORD_DELAY_MS: u64 = 50;

/// The tenant where none is named.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// The data folder where none is named.
const DATA_FOLDER: &str = "./waag-data";

/// How much of a passphrase's file is read, in bytes: more than the longest passphrase, so that a longer one is refused.
const PASSPHRASE_FILE_BYTES_MAX: usize = 4_096;

/// The variable that holds a passphrase where no file is named.
pub(crate) const PASSPHRASE_VARIABLE: &str = "WAAG_PASSPHRASE";

/// Under which help texts list what is here, apart from a command's own options.
const HEADING: &str = "Which store, who asks, how to answer";

/// The options that say which store is meant, for commands that refuse them ([`Setting::must_name_no_place`]).
pub(super) const PLACE_OPTIONS: [&str; 4] = ["data", "state", "tenant", "earlier"];

#[derive(Debug, Args)]
pub(crate) struct Setting {
    /// The data folder; ./waag-data where not given
    #[arg(long, value_name = "DIR", global = true, help_heading = HEADING)]
    data: Option<PathBuf>,

    /// The state folder: keys, guard; the data folder's name with `.state` where not given
    #[arg(long, value_name = "DIR", global = true, help_heading = HEADING)]
    pub(crate) state: Option<PathBuf>,

    /// The tenant
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TENANT, global = true, help_heading = HEADING)]
    pub(crate) tenant: String,

    /// Read an earlier ledger of this store, by its id: one that a promotion has taken the place of
    #[arg(long, value_name = "ID", global = true, help_heading = HEADING, value_parser = ledger_id)]
    pub(crate) earlier: Option<LedgerId>,

    /// Who asks; the system's user where not given
    #[arg(long = "as", value_name = "NAME", global = true, help_heading = HEADING)]
    pub(crate) actor: Option<String>,

    /// A file whose first line is the vault's passphrase; else the variable WAAG_PASSPHRASE is read
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Answer in JSON, one object a line
    #[arg(long, global = true, help_heading = HEADING)]
    pub(crate) json: bool,
}

/// How much is to be free on the store's disks.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct FreeSpace {
    /// Mebibytes that must be free where the store is: with less, no more events are taken until there is room; 0 for no bound
    #[arg(long, value_name = "N", default_value_t = 256)]
    disk_free_mib: u32,
}

impl FreeSpace {
    /// A store's options with it.
    pub(crate) fn of(self, options: Options) -> Options {
        Options { free_bytes_min: u64::from(self.disk_free_mib).saturating_mul(1_024 * 1_024), ..options }
    }
}

impl Setting {
    /// Refuses what says which store is meant, for a command that makes one and is told where by an option of its own.
    pub(crate) fn must_name_no_store(&self, named_by: &str) -> Result<(), Failure> {
        let given = match (&self.data, self.earlier) {
            (Some(_), _) => "--data",
            (None, Some(_)) => "--earlier",
            (None, None) => return Ok(()),
        };
        Err(Failure::usage(format!(
            "{given} names a store that is there; the one to be made is named by {named_by}"
        )))
    }

    /// Refuses the name of an earlier ledger, for a command that concerns the one that is written.
    pub(crate) fn must_name_no_earlier(&self) -> Result<(), Failure> {
        match self.earlier {
            None => Ok(()),
            Some(_) => Err(Failure::usage(
                "--earlier names a ledger that is only read; this command concerns the one that is written",
            )),
        }
    }

    /// Refuses also what says where the state is and whose it is, for a command whose one folder holds all of it.
    pub(crate) fn must_name_no_place(&self, named_by: &str) -> Result<(), Failure> {
        self.must_name_no_store(named_by)?;
        let given = match (&self.state, self.tenant.as_str()) {
            (Some(_), _) => "--state",
            (None, DEFAULT_TENANT) => return Ok(()),
            (None, _) => "--tenant",
        };
        Err(Failure::usage(format!(
            "{given} is of no use here: the folder that {named_by} names holds everything"
        )))
    }

    /// The tenant's place, or that of an earlier ledger of theirs.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        let place = self.written_place()?;
        Ok(self.earlier.map_or_else(|| place.clone(), |ledger| place.earlier(ledger)))
    }

    /// The place of the ledger that is written, whichever is read.
    pub(crate) fn written_place(&self) -> Result<Place, Failure> {
        let tenant = TenantName::new(&self.tenant).map_err(|error| Failure::name("--tenant", error))?;
        let data = self.data.as_deref().unwrap_or(Path::new(DATA_FOLDER));
        Ok(Place::new(data, self.state.as_deref(), tenant)?)
    }

    /// Refuses to put something that is to outlive the store, or to be handed out, inside of it: anywhere in the data
    /// folder or the state folder, whichever tenant's.
    pub(crate) fn must_be_outside(&self, target: &Path) -> Result<(), Failure> {
        let place = self.written_place()?;
        let target_real = resolved(target);
        let roots = [&place.data, &place.state].map(|folder| folder.parent().unwrap_or(folder).to_owned());
        if roots.iter().any(|root| target_real.starts_with(resolved(root))) {
            return Err(Failure::usage(format!(
                "`{}` is inside the store: choose a place elsewhere",
                target.display()
            )));
        }
        Ok(())
    }

    /// How the store is opened.
    pub(crate) fn options(&self) -> Result<Options, Failure> {
        Ok(Options { passphrase: self.passphrase()?, ..Options::default() })
    }

    fn passphrase(&self) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        if let Some(path) = &self.passphrase_file {
            return read_passphrase(path).map(Some);
        }
        let variable = std::env::var_os(PASSPHRASE_VARIABLE);
        // A script whose secret did not arrive would make a vault that anybody can open.
        if variable.as_ref().is_some_and(|value| value.is_empty()) {
            return Err(CliError::NoPassphrase(PASSPHRASE_VARIABLE.into()).into());
        }
        Ok(variable.map(|value| Zeroizing::new(value.into_encoded_bytes())))
    }

    /// Who asks.
    pub(crate) fn actor(&self) -> Result<Actor, Failure> {
        let name = self.actor.clone().unwrap_or_else(system_user);
        Actor::new(&name).map_err(|error| Failure::name("--as", error))
    }

    /// Records an event of Waag's own and waits until it is durable: through the process that writes the store where one
    /// does and takes questions, else by opening the store to write. Answers the event's position.
    pub(crate) fn record(&self, event: &Event<'_>) -> Result<u64, Failure> {
        let (place, options, actor) = (self.written_place()?, self.options()?, self.actor()?);
        let mut tries = 0;
        loop {
            if let Some(position) = ask_to_record(&place, event, &actor)? {
                return Ok(position);
            }
            match open_writer(&place, &options, &mut |_, _| {}) {
                Ok(store) => {
                    tell_found(&store);
                    return Ok(store.record(event, &actor)?.0.position.0);
                }
                // It starts, or ends, or is one of the commands that are done soon.
                Err(StoreError::InUse) if tries < RECORD_TRIES_MAX => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(RECORD_DELAY_MS));
                }
                Err(error) => return Err(in_use(&place, error)),
            }
        }
    }

    /// Opens the store to write, and says what it found beyond the guard.
    pub(crate) fn open_writer(&self, options: &Options) -> Result<OpenedStore, Failure> {
        self.must_name_no_earlier()?;
        let place = self.written_place()?;
        let bar = progress(None, "entries");
        let opened = open_writer(&place, options, &mut |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        let store = opened.map_err(|error| in_use(&place, error))?;
        bar.finish_and_clear();
        tell_found(&store);
        if let Err(error) = crate::store::subjects::finish(&store) {
            tell(&format!(
                "warning: {}: a change that was broken off is not finished: {error}",
                error.code()
            ));
        }
        Ok(store)
    }
}

/// Where a path leads: links are followed as far as there is something, and what is not there yet is named plainly.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut real = PathBuf::new();
    for component in whole.components() {
        match component {
            // What was gone through has no links left in it, so that its parent is the one above.
            Component::ParentDir => drop(real.pop()),
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => real.push(component),
        }
        real = real.canonicalize().unwrap_or(real);
    }
    real
}

/// A ledger's id in hexadecimal digits.
fn ledger_id(text: &str) -> Result<LedgerId, String> {
    let mut id = [0; 16];
    let read = hex::decode_to_slice(text, &mut id);
    read.map(|()| LedgerId(id)).map_err(|_| "a ledger's id has 32 hexadecimal digits".to_owned())
}

/// Says what an opening found beyond the guard, and in it.
fn tell_found(store: &OpenedStore) {
    if let Some(cut) = &store.recovery.cut {
        let (bytes, file, offset) = (cut.bytes, &cut.file, cut.offset);
        tell(&format!(
            "note: {bytes} bytes of an unfinished write were cut from `{file}` at offset {offset}"
        ));
    }
    if !store.recovery.residue.is_empty() {
        let frames = match store.recovery.residue.len() {
            1 => "1 whole frame is".to_owned(),
            frames => format!("{frames} whole frames are"),
        };
        tell(&format!(
            "note: {frames} part of the ledger now, beyond its guard: perhaps never acknowledged, or the guard was taken back"
        ));
    }
    for (offset, fault) in &store.guard.faults {
        tell(&format!(
            "note: the guard's slot at offset {offset} was damaged ({fault}); the next write mends it"
        ));
    }
}

/// The error of opening a store; where another process writes it, with its number if it tells.
fn in_use(place: &Place, error: StoreError) -> Failure {
    let is_in_use = matches!(error, StoreError::InUse);
    let mut failure = Failure::from(error);
    if let Some(process) = is_in_use.then(|| holder(place)).flatten() {
        failure.reason.push_str(&format!(": process {process}"));
    }
    failure
}

/// The error of starting a node; where another process writes the store, with its number if it tells.
pub(crate) fn not_started(place: &Place, error: NodeError) -> Failure {
    if let NodeError::Store(error) = error { in_use(place, error) } else { error.into() }
}

/// The first line of a file, as it is; of a longer one its beginning, which is too long for a passphrase.
pub(crate) fn read_passphrase(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Never grown, so that no copy is left behind; of an endless file only the beginning is taken.
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSPHRASE_FILE_BYTES_MAX + 1));
    let opened = File::open(path);
    if let Ok(file) = &opened {
        tell_readers(path, file);
    }
    let read =
        opened.and_then(|file| file.take(PASSPHRASE_FILE_BYTES_MAX as u64).read_to_end(bytes.as_mut()));
    read.map_err(CliError::file("read", path))?;
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    bytes.truncate(end);
    if bytes.is_empty() { Err(CliError::NoPassphrase(path.to_owned()).into()) } else { Ok(bytes) }
}

/// Says once where others may read a passphrase's file. A pipe or a device has a mode that says nothing of its readers.
fn tell_readers(path: &Path, file: &File) {
    static TOLD: Once = Once::new();
    let is_open =
        file.metadata().is_ok_and(|known| known.is_file() && known.permissions().mode() & 0o077 != 0);
    if is_open {
        TOLD.call_once(|| {
            let path = path.display();
            tell(&format!("warning: `{path}` holds a passphrase and others may read it: give it mode 0600"));
        });
    }
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
