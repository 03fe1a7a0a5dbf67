//! What `waag serve` takes about publication and witnessing.

use std::path::PathBuf;

use crate::cli::failure::Failure;
use crate::node::publishing::{PUBLISH_INTERVAL_MS, PublishOptions, WITNESS_TIMEOUT_MS, read_policy};
use crate::node::witnessing::WitnessOptions;

/// Publication and witnessing, for a node.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Publication and witnesses")]
pub(crate) struct Publication {
    /// Let anybody read the log (checkpoint, tiles, sealed entries) without an API key
    #[arg(long)]
    publish_log: bool,

    /// Milliseconds between two published checkpoints
    #[arg(long, value_name = "N", default_value_t = PUBLISH_INTERVAL_MS, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    publish_interval_ms: u64,

    /// Sign published checkpoints with Ed25519 only, and not with ML-DSA-44 too
    #[arg(long)]
    ed25519_only: bool,

    /// Whose cosignatures to ask for: a policy file (C2SP tlog-policy) that names witnesses with their URLs
    #[arg(long, value_name = "FILE")]
    witness_policy: Option<PathBuf>,

    /// Ask witnesses with plain `http` URLs too: answers can be held back on their way, though not forged
    #[arg(long, requires = "witness_policy")]
    allow_http_witnesses: bool,

    /// Longest time for one question to a witness, in milliseconds
    #[arg(long, value_name = "N", default_value_t = WITNESS_TIMEOUT_MS, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    witness_timeout_ms: u64,

    /// Be a witness of these logs: a file with their public keys (vkeys), one a line
    #[arg(long, value_name = "FILE", requires = "witness_name")]
    witness_for: Option<PathBuf>,

    /// The witness's name, which its keys bear: a host name and a path, without a scheme
    #[arg(long, value_name = "NAME", requires = "witness_for")]
    witness_name: Option<String>,
}

impl Publication {
    /// How the node publishes.
    pub(crate) fn publish(&self) -> Result<PublishOptions, Failure> {
        Ok(PublishOptions {
            interval_ms: self.publish_interval_ms,
            is_public: self.publish_log,
            with_ml_dsa: !self.ed25519_only,
            policy: self.witness_policy.as_deref().map(read_policy).transpose()?,
            allow_http: self.allow_http_witnesses,
            timeout_ms: self.witness_timeout_ms,
        })
    }

    /// Whom it witnesses.
    pub(crate) fn witness(&self) -> Result<Option<WitnessOptions>, Failure> {
        let asked = self.witness_for.as_deref().zip(self.witness_name.as_deref());
        Ok(asked.map(|(file, name)| WitnessOptions::read(file, name)).transpose()?)
    }
}
