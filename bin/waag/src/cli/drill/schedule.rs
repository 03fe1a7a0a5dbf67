//! What `waag serve` takes about backups and drills on a schedule.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::failure::Failure;
use crate::node::upkeeping::{EVERY_MIN, UpkeepOptions};
use crate::store::backups::{KEY_BACKUP_DAYS_LIMIT, KEY_BACKUP_DAYS_MAX};

/// Longest interval: ten years.
const EVERY_MAX: Duration = Duration::from_secs(315_360_000);

/// Backups and drills that a node makes by itself.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Backups and drills")]
pub(in crate::cli) struct Schedule {
    /// The backup repository (`waag backup init`) that backups go to and drills restore from
    #[arg(long, value_name = "DIR", requires = "backup_key")]
    backup_to: Option<PathBuf>,

    /// The key's file of the repository
    #[arg(long, value_name = "FILE", requires = "backup_to")]
    backup_key: Option<PathBuf>,

    /// How often a backup is made, such as 15m, 6h or 1d
    #[arg(long, value_name = "TIME", requires = "backup_to", value_parser = every)]
    backup_every: Option<Duration>,

    /// Days until keys in a backup expire
    #[arg(long, value_name = "N", requires = "backup_to", default_value_t = KEY_BACKUP_DAYS_MAX,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(KEY_BACKUP_DAYS_LIMIT)))]
    backup_key_days: u32,

    /// How often a drill is made, such as 7d: the newest backup is restored into a scratch place and verified
    #[arg(long, value_name = "TIME", requires = "backup_to", value_parser = every)]
    drill_every: Option<Duration>,

    /// Where drills restore to; the data folder's name with `.drill` where not given
    #[arg(long, value_name = "DIR", requires = "drill_every")]
    drill_scratch: Option<PathBuf>,
}

/// A number and a unit: `s`, `m`, `h` or `d`.
fn every(text: &str) -> Result<Duration, String> {
    let wrong = || "is a whole number and `s`, `m`, `h` or `d`, such as 6h".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let every = number.checked_mul(seconds).map(Duration::from_secs);
    every
        .filter(|every| (EVERY_MIN..=EVERY_MAX).contains(every))
        .ok_or_else(|| "is from one second to ten years".to_owned())
}

impl Schedule {
    /// What is to be done when; none where nothing is.
    pub(in crate::cli) fn options(&self) -> Result<Option<UpkeepOptions>, Failure> {
        let (Some(repository), Some(key)) = (&self.backup_to, &self.backup_key) else { return Ok(None) };
        if self.backup_every.is_none() && self.drill_every.is_none() {
            return Err(Failure::usage(
                "--backup-to needs --backup-every or --drill-every: it says where, and they say when",
            ));
        }
        Ok(Some(UpkeepOptions {
            repository: repository.clone(),
            key: key.clone(),
            key_days: self.backup_key_days,
            backup_every: self.backup_every,
            drill_every: self.drill_every,
            scratch: self.drill_scratch.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit_within_its_bounds() {
        for (text, seconds) in
            [("1s", 1), ("15m", 900), ("6h", 21_600), ("7d", 604_800), ("3650d", 315_360_000)]
        {
            assert_eq!(every(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "s", "0s", "1", "1w", "-1h", "1.5h", "3651d", "99999999999999999999d", "é"] {
            assert!(every(wrong).is_err(), "{wrong}");
        }
    }
}
