//! The command line of `cygnet-fleet`.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed or refused; nothing is written, or the message says what is
  2  the command line is wrong
  3  etcd cannot be reached
  4  written, but a tunnel is not up
  5  another writer was first";

/// Connections of many gateways, wanted in etcd: what planes write, and what each gateway follows.
///
/// `cygnet-fleet follow` runs beside the agent of each gateway and brings what is wanted to it; the other commands write and
/// read what is wanted, from any machine that reaches etcd.
#[derive(Debug, Parser)]
#[command(name = "cygnet-fleet", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Settings file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/cygnet/fleet.toml",
        global = true,
        env = "CYGNET_FLEET_CONFIG"
    )]
    pub config: PathBuf,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring what is wanted in etcd to the agent of this gateway, and publish what runs
    Follow,
    /// Write the spec of a connection: the JSON object of Create's parameters
    Put(PutArgs),
    /// Print a spec with its revision
    Get(GetArgs),
    /// List the specs of all gateways or of one, with what their gateways say
    List(ListArgs),
    /// Delete a spec; its gateway deletes the connection
    Delete(DeleteArgs),
    /// Write many specs, a few tunnels at a time, the first one alone; stop at the first failure
    Apply(ApplyArgs),
    /// Count the connections of each gateway by what it says of them, or print the status of one connection
    Status(StatusArgs),
    /// Print specs and statuses as they change
    Watch(ListArgs),
    /// Seal all specs under the first key of the file of fleet keys
    Reseal(Output),
    /// Make a key for the file of fleet keys
    Keygen,
}

/// Options of output.
#[derive(Debug, Args)]
pub struct Output {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How long to wait.
#[derive(Debug, Args)]
pub struct Wait {
    /// Wait until the gateway says that the connection is Ready, or why not; 30s unless another time is given
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "30s", require_equals = true)]
    pub wait: Option<String>,
}

/// `put`.
#[derive(Debug, Args)]
pub struct PutArgs {
    /// The place, as GATEWAY/UUID
    pub target: String,
    /// The file with the spec; - is standard input
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// Only if the spec is at this revision; 0: only if there is none
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<i64>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show a text")]
    pub wait: Wait,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show a text")]
    pub output: Output,
}

/// `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The place, as GATEWAY/UUID
    pub target: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show a text")]
    pub output: Output,
}

/// `list` and `watch`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this gateway
    pub gateway: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show a text")]
    pub output: Output,
}

/// `delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The place, as GATEWAY/UUID
    pub target: String,
    /// Only if the spec is at this revision
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<i64>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show a text")]
    pub wait: Wait,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show a text")]
    pub output: Output,
}

/// `apply`.
#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Files with a JSON list of specs, each with the members gateway and uuid beside those of Create; - is standard input
    #[arg(required_unless_present = "merge", conflicts_with = "merge")]
    pub files: Vec<PathBuf>,
    /// A JSON object whose members are changed in stored specs; null takes a member out
    #[arg(long, value_name = "JSON")]
    pub merge: Option<String>,
    /// Take the specs of all gateways
    #[arg(long, conflicts_with = "gateway")]
    pub all: bool,
    /// Take the specs of this gateway alone; may be repeated
    #[arg(long, value_name = "GATEWAY")]
    pub gateway: Vec<String>,
    /// How many tunnels change at once, after the first one. Both ends of a tunnel have one uuid, and change in one step
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub max_unavailable: u16,
    /// Put back what is refused or not up again within this time; 60s unless another time is given
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "60s", require_equals = true)]
    pub confirm: Option<String>,
    /// Print what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show a text")]
    pub output: Output,
}

/// `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// A gateway, or a connection as GATEWAY/UUID
    pub target: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show a text")]
    pub output: Output,
}

impl Command {
    /// Whether it prints JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        match self {
            Self::Put(args) => args.output.json,
            Self::Get(args) => args.output.json,
            Self::List(args) | Self::Watch(args) => args.output.json,
            Self::Delete(args) => args.output.json,
            Self::Apply(args) => args.output.json,
            Self::Status(args) => args.output.json,
            Self::Reseal(output) => output.json,
            Self::Follow | Self::Keygen => false,
        }
    }
}
