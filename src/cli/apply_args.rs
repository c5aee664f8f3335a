//! The arguments of `cygnet apply` and `cygnet export`; as `args.rs`, it may use nothing but clap.

use super::common_args::Json;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The arguments of `cygnet apply`.
#[derive(Args)]
pub struct ApplyArgs {
    /// A file of YAML or JSON, a directory of .yaml, .yml and .json files (not those below it), or `-` for standard input;
    /// may be repeated. All of them are one set.
    #[arg(short, long = "file", value_name = "FILE|DIR", required = true)]
    pub files: Vec<PathBuf>,
    /// Does not ask. Deletions need --max-deletions beside it.
    #[arg(long, short)]
    pub yes: bool,
    /// Shows what would be done, and does nothing.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// What is deleted.
    #[command(flatten)]
    pub deletions: PruneArgs,
    /// Takes each write back if its tunnel is not up in TIME (1s to 10m; 60s if there is none), and stops there.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "60s")]
    pub confirm: Option<String>,
    /// How many connections that were up may be down at a time because of this. The first one is changed alone.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_unavailable: u16,
    /// How long a connection that was up may take until it is up again.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub wait: String,
    /// What is printed.
    #[arg(short, long, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    pub output: Option<ApplyOutput>,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// What is deleted.
#[derive(Args)]
pub struct PruneArgs {
    /// Deletes the connections that are not in the files. They are listed, and asked about on their own.
    #[arg(long)]
    pub prune: bool,
    /// Of these, deletes only those with this user tag. Each connection of the files must have it.
    #[arg(long, value_name = "TAG", requires = "prune")]
    pub scope: Option<String>,
    /// Refuses to delete more than COUNT connections.
    #[arg(long, value_name = "COUNT", requires = "prune")]
    pub max_deletions: Option<usize>,
    /// Deletes also if the files have no connection at all.
    #[arg(long, requires = "prune")]
    pub allow_empty: bool,
}

impl ApplyArgs {
    /// Whether the result is printed as JSON.
    pub fn is_json(&self) -> bool {
        self.json.json || self.output.is_some()
    }
}

/// What `cygnet apply` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ApplyOutput {
    /// What was planned and what was done, for programs; errors too.
    Json,
}

/// The arguments of `cygnet export`.
#[derive(Args)]
pub struct ExportArgs {
    /// The connections: their names, their uuids, or four or more first digits of these. Without any, all.
    #[arg(value_name = "CONNECTION")]
    pub connections: Vec<String>,
    /// The format.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "yaml")]
    pub output: ExportOutput,
}

/// What `cygnet export` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportOutput {
    /// A document for each connection.
    Yaml,
    /// A list.
    Json,
}
