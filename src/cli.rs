//! The command line.

mod accounts;
mod client;
mod doctor;
mod plan;
mod render;
mod serve;

use clap::{Args, Parser, Subcommand};
use std::{net::IpAddr, path::PathBuf, process::ExitCode};

/// An IPsec configuration agent beside strongSwan.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// The settings file.
    #[arg(long, global = true, env = "CYGNET_CONFIG", default_value = "/etc/cygnet/cygnet.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the agent.
    Serve,
    /// Prints the swanctl.conf that the body of a Create or Change means, key included. Asks nobody.
    Render(RenderArgs),
    /// Shows what a Change would do: what differs, how deep it goes, which steps it takes. Nothing is done.
    Plan(PlanArgs),
    /// Says what is wrong on this gateway, each with its fix. Exit code 0: nothing has to be done; 1: something has.
    Doctor(DoctorArgs),
    /// Sets the password of an account, read from standard input, in the accounts file.
    Passwd {
        /// The account; it is made if there is none.
        account: String,
    },
    /// Makes an access key for an account in the accounts file, and prints it, once.
    Accesskey {
        /// The account; it is made if there is none.
        account: String,
    },
}

/// The arguments of `cygnet plan`.
#[derive(Args)]
struct PlanArgs {
    /// The connection.
    uuid: String,
    /// The body of the Change: a file, or `-` for standard input.
    #[arg(default_value = "-")]
    body: PathBuf,
    /// Print the agent's JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// The arguments of `cygnet doctor`.
#[derive(Args)]
struct DoctorArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// The arguments of `cygnet render`.
#[derive(Args)]
struct RenderArgs {
    /// The request body: a file, or `-` for standard input.
    #[arg(default_value = "-")]
    body: PathBuf,
    /// The stored record that a Change starts from (`connections/<uuid>.json` of a state directory).
    #[arg(long, value_name = "RECORD.json")]
    given: Option<PathBuf>,
    /// The gateway's public address, if neither the settings nor the record say it.
    #[arg(long, value_name = "ADDRESS")]
    vip: Option<IpAddr>,
    /// A network behind this gateway; may be repeated.
    #[arg(long, value_name = "CIDR")]
    local_cidr: Vec<String>,
    /// A network behind the peer; may be repeated.
    #[arg(long, value_name = "CIDR")]
    peer_cidr: Vec<String>,
    /// For a kernel interface without trap policies: render `start_action = none`.
    #[arg(long)]
    no_traps: bool,
}

/// Runs the command that the arguments name; 0 is success, 1 a failure, 2 a wrong command line.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Serve => serve::run(&cli.config),
        Command::Render(args) => render::run(&cli.config, &args),
        Command::Plan(args) => plan::run(&cli.config, &args),
        Command::Doctor(args) => doctor::run(&cli.config, &args),
        Command::Passwd { account } => accounts::passwd(&cli.config, &account),
        Command::Accesskey { account } => accounts::access_key(&cli.config, &account),
    }
}
