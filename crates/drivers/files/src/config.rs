//! The sizes of a log on files, checked once.
//!
//! Place: given by `bin/waag` (defaults) and by tests (small). Not here: limits of a frame (`waag_log::frame`).

use std::fmt;

use waag_log::frame::FRAME_ALIGN;

/// Smallest segment.
pub const SEGMENT_BYTES_MIN: u64 = 64 * 1_024;
/// A segment by default.
pub const SEGMENT_BYTES: u64 = 256 * 1_024 * 1_024;
/// The first extent of prepared space, and one step of preparing, by default.
pub const EXTENT_BYTES_MIN: u64 = 1_024 * 1_024;
/// The most space that is prepared ahead of the tail, by default.
pub const EXTENT_BYTES_MAX: u64 = 32 * 1_024 * 1_024;

/// Sizes of a log on files, all in bytes and multiples of [`FRAME_ALIGN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment's length; a frame that is longer still gets a segment of its own.
    pub segment_bytes: u64,
    /// Space prepared at once, by one write and one sync; a fresh log has so much.
    pub step_bytes: u64,
    /// Most space prepared ahead of the tail. Below it, as much is prepared as the log already holds.
    pub ahead_bytes_max: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { segment_bytes: SEGMENT_BYTES, step_bytes: EXTENT_BYTES_MIN, ahead_bytes_max: EXTENT_BYTES_MAX }
    }
}

/// A size that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting's name.
    pub setting: &'static str,
    /// Its value.
    pub bytes: u64,
    /// The least it may be.
    pub least: u64,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, bytes, least } = self;
        write!(f, "`{setting}` of `{bytes}` is not a multiple of `{FRAME_ALIGN}` from `{least}` up")
    }
}

impl std::error::Error for ConfigError {}

impl LogConfig {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is too small or no multiple of [`FRAME_ALIGN`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let align = FRAME_ALIGN as u64;
        for (setting, bytes, least) in [
            ("segment_bytes", self.segment_bytes, SEGMENT_BYTES_MIN),
            ("step_bytes", self.step_bytes, align),
            ("ahead_bytes_max", self.ahead_bytes_max, self.step_bytes),
        ] {
            if bytes < least || !bytes.is_multiple_of(align) {
                return Err(ConfigError { setting, bytes, least });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_at_their_limits() {
        LogConfig::default().check().unwrap();
        let small = LogConfig { segment_bytes: SEGMENT_BYTES_MIN, step_bytes: 4_096, ahead_bytes_max: 4_096 };
        small.check().unwrap();
        for (bad, setting) in [
            (LogConfig { segment_bytes: SEGMENT_BYTES_MIN - 4_096, ..small }, "segment_bytes"),
            (LogConfig { segment_bytes: SEGMENT_BYTES_MIN + 1, ..small }, "segment_bytes"),
            (LogConfig { step_bytes: 0, ..small }, "step_bytes"),
            (LogConfig { step_bytes: 8_192, ..small }, "ahead_bytes_max"),
        ] {
            assert_eq!(bad.check().unwrap_err().setting, setting);
        }
    }
}
