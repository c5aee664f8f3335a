//! The definition of the command line. The program, the man pages and the completions are made from it, so this file
//! may use nothing but clap. The arguments of the subcommands that write are in `write_args.rs`, what both have in
//! `common_args.rs`.

use super::{
    apply_args::{ApplyArgs, ExportArgs},
    common_args::{Json, Which},
    compare_args::CompareArgs,
    file_args::{BundleArgs, RenderArgs},
    init_args::InitArgs,
    write_args::{
        BackupArgs, ChangeArgs, CreateArgs, CutArgs, DeleteArgs, DisableArgs, NetworksArgs, ReconnectArgs, RestoreArgs,
        RevertArgs, TransitionArgs, UpdateArgs, Values, WriteArgs,
    },
};
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use std::{net::IpAddr, path::PathBuf};

/// What the exit codes mean; part of the interface.
const EXIT_CODES: &str = "\
Exit codes:
  0  done; after a write: the tunnel is up, or should not be
  1  failed or refused; nothing has changed, or the message says what has (doctor: something has to be done;
     compare: the gateways differ)
  2  the command line is wrong, or a confirmation is needed and nobody can be asked
  3  the agent cannot be reached (compare: or the other gateway cannot be asked)
  4  done, but a tunnel that should be up is not (writes, status)";

/// An IPsec configuration agent beside strongSwan.
#[derive(Parser)]
#[command(name = "cygnet", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// The settings file, which names the agent's socket. `conf.d/*.toml` beside it is read too.
    #[arg(long, global = true, env = "CYGNET_CONFIG", default_value = "/etc/cygnet/cygnet.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Sets this gateway up: its VIPs and local networks, and a token. What is there already is kept.
    Init(InitArgs),
    /// Runs the agent.
    Serve(ServeArgs),
    /// Makes this gateway a standby before maintenance: closes all tunnels, telling the peers, and negotiates none.
    Standby(Json),
    /// Makes a gateway active again that was made a standby.
    Active(Json),
    /// Has the agent read the settings anew, and says what was taken over and what needs a restart.
    Reload(Json),
    /// Shows whether the agent is ready, and how many tunnels are up.
    Status(Json),
    /// Lists the connections.
    List(ListArgs),
    /// Shows a connection: what is wanted, what runs, and why it is not up. Of one in charon that is not cygnet's, what is
    /// known.
    Show(OneArgs),
    /// Creates a connection.
    Create(CreateArgs),
    /// Changes options of a connection. Options that are not named, and the key, keep their values.
    Change(ChangeArgs),
    /// Shows what a change would do: the differences, the impact and the steps. Nothing is done.
    Plan(PlanArgs),
    /// Changes the name or the description of a connection.
    Update(UpdateArgs),
    /// Shows the last revisions of a connection: who changed what, and when.
    History(HistoryArgs),
    /// Makes a connection what a revision said, but for its key: keys are not reverted. Shows the plan and asks. If the
    /// tunnel is not up in time, the revert is taken back.
    Revert(RevertArgs),
    /// Deletes a connection and closes its tunnel.
    Delete(DeleteArgs),
    /// Negotiates the tunnel anew and closes the old one. The connection takes over its VIP and networks from the
    /// settings.
    Reconnect(ReconnectArgs),
    /// Brings a disabled connection up.
    Enable(WriteArgs),
    /// Takes the tunnel down; the connection stays stored.
    Disable(DisableArgs),
    /// Adds networks behind the peer.
    AddCidr(NetworksArgs),
    /// Removes networks behind the peer.
    RemoveCidr(CutArgs),
    /// Attaches networks of this gateway.
    Attach(NetworksArgs),
    /// Detaches networks of this gateway.
    Detach(CutArgs),
    /// Makes the connections what files say: plans all of them together, shows the plan and asks, then writes them one by
    /// one, the first one alone. The first failure ends it. A second run does nothing.
    Apply(ApplyArgs),
    /// Compares the connections with those of another gateway, field by field; of keys it says only whether they differ.
    /// Exit code 0: they are the same; 1: they differ.
    Compare(CompareArgs),
    /// Prints connections as `cygnet apply` reads them, without keys.
    Export(ExportArgs),
    /// Shows what was logged about a connection.
    Log(LogArgs),
    /// Shows the events of this gateway as they occur.
    Events(EventsArgs),
    /// Pings through a tunnel, and says by the SA's counters where packets are lost. Exit code 0: there was an answer.
    Ping(PingArgs),
    /// Checks this gateway, and says how to fix what is wrong. Exit code 0: nothing has to be done; 1: something has.
    Doctor(Json),
    /// Writes an archive for whoever helps: versions, settings, doctor, views, logs, the journal of the last hour, rules and
    /// routes; without keys. What cannot be had is named in it.
    Support {
        /// The archive (`.tar.gz`), which must not exist. Without it, one in this directory that is named after the host and
        /// the time.
        file: Option<PathBuf>,
    },
    /// Writes a backup: all connections with their keys and certificates, the settings, tokens and accounts. It is sealed
    /// with a passphrase. Needs no agent.
    Backup(BackupArgs),
    /// Restores what a backup has and this gateway lacks. Shows what is here in its place and asks.
    Restore(RestoreArgs),
    /// Prints the swanctl.conf that the body of a Create or Change means, with the key. Needs no agent.
    Render(RenderArgs),
    /// Makes a bundle for `authKey` of a private key and certificates, from the files of other programs. Needs no agent.
    Bundle(BundleArgs),
    /// Says what may stand at the cursor of a command line, for the completions of the shells.
    #[command(hide = true)]
    Complete(CompleteArgs),
    /// Sets the password of an account in the accounts file. A terminal asks for it twice; otherwise it is the first line
    /// of standard input.
    Passwd(AccountArgs),
    /// Makes an access key for an account in the accounts file, and prints it once.
    Accesskey(AccountArgs),
    /// Adds a token to the tokens file, and prints it once.
    Token(TokenArgs),
}

/// What a token, or the sessions and keys of an account, may do.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// Calls that change nothing; keys are masked.
    Read,
    /// All calls.
    Write,
}

/// The arguments of `cygnet passwd` and `cygnet accesskey`.
#[derive(Args)]
pub struct AccountArgs {
    /// The account. It is made if it does not exist.
    pub account: String,
    /// What the account may do. Without it, an account keeps its role; a new one may write.
    #[arg(long, value_enum)]
    pub role: Option<RoleWord>,
}

/// The arguments of `cygnet token`.
#[derive(Args)]
pub struct TokenArgs {
    /// Who the token is for, as the audit trail will name the caller.
    pub name: String,
    /// What may be done with it.
    #[arg(long, value_enum, default_value = "write")]
    pub role: RoleWord,
}

/// The arguments of `cygnet serve`.
#[derive(Args)]
pub struct ServeArgs {
    /// Checks the settings and the files that they name, prints all faults with file and line, and ends: with exit code 0
    /// if there are none, else 1.
    #[arg(long)]
    pub check: bool,
}

/// A connection without further options.
#[derive(Args)]
pub struct OneArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// A status of a connection.
#[derive(Clone, Copy, ValueEnum)]
pub enum StatusWord {
    /// Everything wanted runs.
    Ready,
    /// It is coming up.
    Connecting,
    /// Something wanted does not run.
    Disconnected,
    /// charon does not answer.
    Unknown,
}

/// The arguments of `cygnet list`.
#[derive(Args)]
pub struct ListArgs {
    /// Lists the connections in charon that are not cygnet's too; their status is `foreign`.
    #[arg(short, long, conflicts_with_all = ["status", "conditions"])]
    pub all: bool,
    /// Only connections with this status.
    #[arg(long, value_enum, ignore_case = true)]
    pub status: Option<StatusWord>,
    /// Only connections in transition: until when, and what runs; also those whose time is over and that never moved.
    #[arg(long, conflicts_with_all = ["all", "sort"])]
    pub transition: bool,
    /// Only connections for which this condition holds, such as `name~=site-%` or `peerCidrs.cidr=10.2.0.0/24`; may be
    /// repeated.
    #[arg(short = 'q', long = "where", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// What is printed: whole texts, the agent's JSON, or names alone. Without it, a table that fits the terminal (or
    /// `COLUMNS`, or 80 columns).
    #[arg(short, long, value_enum, conflicts_with = "json")]
    pub output: Option<Output>,
    /// Prints the table again when it changes, until it is interrupted.
    #[arg(short, long, conflicts_with = "json")]
    pub watch: bool,
    /// The column that rows are sorted by.
    #[arg(long, value_enum, value_name = "COLUMN", ignore_case = true, default_value = "name")]
    pub sort: Column,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// What `cygnet list` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table with whole texts and uuids.
    Wide,
    /// The agent's JSON.
    Json,
    /// A name on each line.
    Name,
}

/// A column of `cygnet list`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// The name.
    Name,
    /// The peer's address.
    Peer,
    /// The networks behind the peer.
    Networks,
    /// The status.
    Status,
    /// The worst condition of its children.
    Condition,
    /// Since when; the longest time first.
    Since,
    /// Why it is not up.
    Reason,
    /// The uuid.
    Uuid,
}

/// The arguments of `cygnet plan`.
#[derive(Args)]
pub struct PlanArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// The body of a Change: a file, or `-` for standard input. Options that it leaves out take their defaults.
    #[arg(conflicts_with_all = ["set", "auth_key_file", "unset"])]
    pub body: Option<PathBuf>,
    /// What is set.
    #[command(flatten)]
    pub values: Values,
    /// Takes an identity away: the default one counts again, such as the address. May be repeated.
    #[arg(long, value_name = "NAME", value_parser = ["localId", "remoteId"])]
    pub unset: Vec<String>,
    /// Gives the key to all connections that share it, in one step.
    #[arg(long)]
    pub together: bool,
    /// In which time the other end is changed.
    #[command(flatten)]
    pub transition: TransitionArgs,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// The arguments of `cygnet history`.
#[derive(Args)]
pub struct HistoryArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// What is printed: whole texts, or the agent's JSON. Without it, a table that fits the terminal (or `COLUMNS`, or 80
    /// columns).
    #[arg(short, long, value_enum, conflicts_with = "json")]
    pub output: Option<Form>,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// What `cygnet history` prints.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A table with whole texts.
    Wide,
    /// The agent's JSON.
    Json,
}

/// The arguments of `cygnet log`.
#[derive(Args)]
pub struct LogArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// The number of lines.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 100)]
    pub lines: usize,
    /// Continues with new lines.
    #[arg(short, long)]
    pub follow: bool,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// The arguments of `cygnet events`.
#[derive(Args)]
pub struct EventsArgs {
    /// Begins with the events that the agent still has.
    #[arg(long)]
    pub all: bool,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// The arguments of `cygnet ping`.
#[derive(Args, Default)]
pub struct PingArgs {
    /// Which connection.
    #[command(flatten)]
    pub which: Which,
    /// The address that is to answer, behind the peer. Without it, the first host of the peer's network.
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<IpAddr>,
    /// The address of this host that the packets come from. Without it, one in the local networks of the connection.
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<IpAddr>,
    /// How many packets are sent (1 to 100).
    #[arg(short, long, value_name = "COUNT", default_value_t = 3, value_parser = value_parser!(u16).range(1..=100))]
    pub count: u16,
    /// How the result is printed.
    #[command(flatten)]
    pub json: Json,
}

/// A shell that completes command lines.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// The arguments of `cygnet complete`.
#[derive(Args)]
pub struct CompleteArgs {
    /// Which shell asks.
    #[arg(value_enum)]
    pub shell: Shell,
    /// What was typed up to the cursor: for bash the characters that break words and the line, for others the words.
    #[arg(last = true)]
    pub words: Vec<String>,
}
