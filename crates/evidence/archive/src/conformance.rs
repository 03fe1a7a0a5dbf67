//! What every backup store must hold, as one suite; a driver's tests call [`store`] with a way to open it anew.

use crate::contract::{BackupStore, StoreFault};

/// Runs the suite; `open` opens the same empty store again, as after a restart.
///
/// # Errors
/// What does not hold, in words.
pub fn store(open: &mut dyn FnMut() -> Box<dyn BackupStore>) -> Result<(), String> {
    let check = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let said = |fault: StoreFault| format!("{}: {fault}", fault.code());
    let here = open();
    check(here.list("").map_err(said)?.is_empty(), "an empty store has no names")?;
    check(here.get("runs/1").map_err(said)?.is_none(), "what is not there is none")?;
    here.remove("runs/1").map_err(said)?;
    here.put_new("runs/2", b"two").map_err(said)?;
    here.put_new("runs/1", b"").map_err(said)?;
    here.put_new("repository", &[7; 70_000]).map_err(said)?;
    here.put_new("pieces/ab/abcd", b"piece").map_err(said)?;
    check(
        matches!(here.put_new("runs/2", b"other"), Err(StoreFault::Taken { name }) if name == "runs/2"),
        "a taken name is refused and named",
    )?;
    for bad in ["", "../x", "a/../b", "/x", "x/", "X"] {
        check(here.put_new(bad, b"").is_err(), "a name outside the repository is refused")?;
    }
    drop(here);
    let here = open();
    check(here.get("runs/2").map_err(said)?.as_deref() == Some(b"two"), "what was put first stays")?;
    check(here.get("runs/1").map_err(said)?.as_deref() == Some(b""), "an empty object is an object")?;
    check(here.get("repository").map_err(said)?.map(|bytes| bytes.len()) == Some(70_000), "whole")?;
    let all = ["pieces/ab/abcd", "repository", "runs/1", "runs/2"];
    check(here.list("").map_err(said)? == all, "all names, in order")?;
    check(here.list("runs/").map_err(said)? == ["runs/1", "runs/2"], "names by their beginning")?;
    check(here.list("run").map_err(said)? == ["runs/1", "runs/2"], "a beginning need not end a part")?;
    here.remove("runs/1").map_err(said)?;
    here.remove("runs/1").map_err(said)?;
    drop(here);
    let here = open();
    check(here.get("runs/1").map_err(said)?.is_none(), "what was removed is gone")?;
    check(here.list("runs/").map_err(said)? == ["runs/2"], "and not listed")?;
    here.put_new("runs/1", b"again").map_err(said)?;
    check(here.get("runs/1").map_err(said)?.as_deref() == Some(b"again"), "a removed name is free")
}
